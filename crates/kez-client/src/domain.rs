//! Where a domain says that its home server is. SPEC "Server information".

use kez_core::ServerName;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::base_url::BaseUrl;
use crate::error::ClientError;
use crate::transport::Transport;
use crate::webfinger::home_of;

/// Whether the domain `server` says, over https, that `url` is its home server: as where its WebFinger is answered
/// (`/.well-known/host-meta`), or among the `public_urls` of its `/v1/server`.
///
/// Two requests at most. An error means that the domain could not be asked; whatever else it answers is a no.
pub async fn points_to(server: &ServerName, url: &BaseUrl) -> Result<bool, ClientError> {
    named_at(&home_of(server)?, url).await
}

/// [`points_to`] at another origin than the domain's own, so that tests need no certificate.
async fn named_at(domain: &Url, url: &BaseUrl) -> Result<bool, ClientError> {
    let transport = Transport::for_url(domain)?;
    Ok(host_meta_names(&transport, domain, url).await? || server_info_names(&transport, domain, url).await?)
}

async fn host_meta_names(transport: &Transport, domain: &Url, url: &BaseUrl) -> Result<bool, ClientError> {
    let answer = transport.get(&at(domain, "/.well-known/host-meta")).await?;
    let xrd = answer.text().ok().filter(|_| answer.status() == StatusCode::OK).unwrap_or_default();
    Ok(lrdd_templates(&xrd).iter().any(|template| is_at(template, url)))
}

/// The member of `GET /v1/server` that is of use here.
#[derive(Deserialize)]
struct Reach {
    public_urls: Vec<String>,
}

async fn server_info_names(transport: &Transport, domain: &Url, url: &BaseUrl) -> Result<bool, ClientError> {
    let answer = transport.get(&at(domain, "/v1/server")).await?;
    let reach = answer.json::<Reach>().ok().filter(|_| answer.status() == StatusCode::OK);
    Ok(reach.is_some_and(|reach| reach.public_urls.iter().any(|public| is_at(public, url))))
}

fn at(domain: &Url, path: &str) -> Url {
    let mut url = domain.clone();
    url.set_path(path);
    url
}

/// Scheme, host and port are the same.
fn is_at(text: &str, url: &BaseUrl) -> bool {
    Url::parse(text).is_ok_and(|found| found.origin() == url.as_url().origin())
}

/// The templates of the links `lrdd` of an XRD (RFC 6415 section 3.1.1).
///
/// Stricter than XML: a document with comments, CDATA or a DOCTYPE has none, because a link could hide in them.
fn lrdd_templates(xrd: &str) -> Vec<&str> {
    if xrd.contains("<!") {
        return Vec::new();
    }
    let links = xrd.split('<').filter_map(|tag| tag.strip_prefix("Link")).map(attributes);
    let lrdd = links.filter(|link| link.contains(&("rel", "lrdd")));
    lrdd.flatten().filter(|(name, _)| *name == "template").map(|(_, value)| value).collect()
}

/// Names and values up to the end of a tag, with nothing unescaped.
fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut rest = tag;
    std::iter::from_fn(|| {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, next) = after.strip_prefix(quote)?.split_once(quote)?;
        rest = next;
        // Behind the end of the tag, this is text.
        (!name.contains('>')).then(|| (name.trim(), value))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::Canned;

    /// As our own server answers.
    const HOST_META: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">
  <Link rel="lrdd" type="application/jrd+json" template="https://chat.kez.lat/.well-known/webfinger?resource={uri}"/>
</XRD>
"#;
    const INFO: &str = r#"{"server":"kez.lat","public_urls":["https://kez.lat","https://chat.kez.lat"]}"#;
    const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// Whether a domain that gives these answers names `url`; and what it was asked.
    async fn names(answers: &[&str], url: &str) -> (bool, Vec<String>) {
        let domain = Canned::start(answers.iter().map(|&answer| answer.into()).collect()).await;
        let named = named_at(&domain.url("/"), &url.parse().unwrap()).await.unwrap();
        (named, domain.heard())
    }

    #[tokio::test]
    async fn a_domain_names_its_server_by_host_meta() {
        let (named, heard) = names(&[&ok(HOST_META)], "https://chat.kez.lat").await;
        assert!(named && heard.len() == 1 && heard[0].starts_with("GET /.well-known/host-meta HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn a_domain_names_its_server_by_its_own_public_urls() {
        for host_meta in [NOT_FOUND, &ok("<html>a page</html>"), &ok(&HOST_META.replace("chat.", ""))] {
            let (named, heard) = names(&[host_meta, &ok(INFO)], "https://chat.kez.lat").await;
            assert!(named && heard[1].starts_with("GET /v1/server HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn another_scheme_host_or_port_is_not_named() {
        for url in [
            "https://relay.example",
            "http://chat.kez.lat",
            "https://chat.kez.lat:8443",
            "https://at.kez.lat",
        ] {
            assert!(!names(&[&ok(HOST_META), &ok(INFO)], url).await.0, "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_names_nobody() {
        let moved = "HTTP/1.1 302 Found\r\nLocation: https://chat.kez.lat/\r\nContent-Length: 0\r\n\r\n";
        let failed = format!("HTTP/1.1 500 Oh\r\nContent-Length: {}\r\n\r\n{INFO}", INFO.len());
        for info in [NOT_FOUND, moved, &failed, &ok("{}"), &ok(r#"{"public_urls":"https://chat.kez.lat"}"#)] {
            assert!(!names(&[moved, info], "https://chat.kez.lat").await.0, "{info}");
        }
    }

    #[tokio::test]
    async fn a_domain_that_is_away_is_an_error() {
        let domain = Canned::start(vec!["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".into()]).await;
        let error = named_at(&domain.url("/"), &"https://chat.kez.lat".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }));
    }

    #[test]
    fn only_links_of_webfinger_count() {
        let templates = |link: &str| lrdd_templates(link).join(" ");
        assert_eq!(
            templates("<Link template='https://a.example/{uri}' rel = 'lrdd' />"),
            "https://a.example/{uri}"
        );
        assert_eq!(templates(r#"<Link rel="lrdd" href="https://a.example/">"#), "");
        assert_eq!(templates(r#"<Link rel="other" template="https://a.example/">"#), "");
        assert_eq!(templates(r#"<Link rel="lrdd"> template="https://a.example/""#), "");
        assert_eq!(templates(r#"<Link title='rel="lrdd"' template="https://a.example/">"#), "");
        assert_eq!(templates(r#"<!-- <Link rel="lrdd" template="https://a.example/"/> -->"#), "");
    }
}
