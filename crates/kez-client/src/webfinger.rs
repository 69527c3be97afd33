//! People of other domains: WebFinger (RFC 7033). SPEC "WebFinger".

use kez_core::webfinger::{Account, Descriptor, Disagreement};
use kez_core::{Fqhn, Record, ServerName};
use reqwest::{StatusCode, Url};

use crate::error::{AnswerFault, ClientError, Contradiction};
use crate::transport::{Answer, Transport};

/// Somebody found by WebFinger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The record, checked to be about the address that was asked, with the key that WebFinger named.
    pub record: Record,
    /// Where the record came from: an https URL, by the word of the address's domain.
    pub record_url: String,
}

/// Looks `address` up at its own domain, over https; `None` when that domain knows nobody by that name.
///
/// Two requests, each within the limits of this crate: one to the domain, one to where it keeps its records.
pub async fn discover(address: &Fqhn) -> Result<Option<Discovered>, ClientError> {
    look_up(&home_of(address.server())?, address).await
}

/// `https://<server>/`. Not every DNS name is the host of a URL: `xn--a.lat` is no valid international name. The
/// host must come out as it went in.
pub(crate) fn home_of(server: &ServerName) -> Result<Url, ClientError> {
    Url::parse(&format!("https://{server}/"))
        .ok()
        .filter(|url| url.host_str() == Some(server.as_str()))
        .ok_or_else(|| ClientError::NoHost { server: server.clone() })
}

/// [`discover`] at another origin than the domain's own, so that tests need no certificate.
async fn look_up(base: &Url, address: &Fqhn) -> Result<Option<Discovered>, ClientError> {
    let transport = Transport::for_url(base)?;
    let answer = transport.get(&query(base, address)).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(answer.refusal()),
    }
    let descriptor: Descriptor = answer.json()?;
    let account = descriptor.account(address).map_err(|fault| disagreement(&answer, fault))?;
    let record_url = record_url(&answer, &account, base)?;
    let record = record(&transport, &record_url, &account, address).await?;
    Ok(Some(Discovered { record, record_url: record_url.into() }))
}

fn query(base: &Url, address: &Fqhn) -> Url {
    let mut url = base.clone();
    url.set_path("/.well-known/webfinger");
    url.query_pairs_mut().append_pair("resource", &subject(address));
    url
}

fn subject(address: &Fqhn) -> String {
    format!("acct:{address}")
}

/// Where the record lies, if it may be asked there.
fn record_url(answer: &Answer, account: &Account<'_>, base: &Url) -> Result<Url, ClientError> {
    let url = Url::parse(account.record_url).map_err(|_| answer.not_protocol(AnswerFault::NoKezAccount))?;
    if may_hold_records(&url, base) { Ok(url) } else { Err(answer.contradiction(Contradiction::UnfitLink)) }
}

/// A domain may keep its chat home on another host, found by name and by https as the domain itself.
fn may_hold_records(url: &Url, base: &Url) -> bool {
    let is_elsewhere = url.domain().is_some() && url.port().is_none();
    url.scheme() == base.scheme() && (url.origin() == base.origin() || is_elsewhere)
}

async fn record(
    transport: &Transport,
    url: &Url,
    account: &Account<'_>,
    address: &Fqhn,
) -> Result<Record, ClientError> {
    let answer = transport.get(url).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(answer.contradiction(Contradiction::RecordDisagrees)),
        _ => return Err(answer.refusal()),
    }
    let record = answer.json()?;
    account.check(&record, address).map_err(|fault| disagreement(&answer, fault))?;
    Ok(record)
}

fn disagreement(answer: &Answer, fault: Disagreement) -> ClientError {
    match fault {
        Disagreement::OtherSubject => answer.contradiction(Contradiction::OtherSubject),
        Disagreement::OtherHandle => answer.contradiction(Contradiction::OtherHandle),
        Disagreement::OtherKey => answer.contradiction(Contradiction::RecordDisagrees),
        _ => answer.not_protocol(AnswerFault::NoKezAccount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::Canned;

    const JRD: &str = r#"{"subject":"acct:alice@kez.lat","aliases":["https://kez.lat/@alice"],
        "properties":{"https://kez.lat/ns/primary":
            "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12","http://example.org/none":null},
        "links":[{"rel":"self","type":"application/activity+json","href":"https://elsewhere.example/alice"},
            {"rel":"self","type":"application/json","href":"{origin}/v1/u/alice"}]}"#;
    const RECORD: &str = r#"{"handle":"alice","fqhn":"alice@kez.lat",
        "primary":"ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        "sigchain_url":"https://kez.lat/v1/sigchains/ed25519/2152","registered_at":"2026-05-25T03:00:00Z"}"#;

    async fn look_up_in(bodies: &[&str]) -> (Result<Option<Discovered>, ClientError>, Canned) {
        let server = Canned::start_with_json(bodies).await;
        let address = "alice@kez.lat".parse().unwrap();
        (look_up(&server.url("/"), &address).await, server)
    }

    async fn fault(bodies: &[&str]) -> ClientError {
        look_up_in(bodies).await.0.unwrap_err()
    }

    async fn contradiction(bodies: &[&str]) -> Contradiction {
        match fault(bodies).await {
            ClientError::Contradiction { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn webfinger_leads_to_the_record_of_the_same_account() {
        let (found, server) = look_up_in(&[JRD, RECORD]).await;
        let found = found.unwrap().unwrap();
        assert_eq!(found.record.fqhn.to_string(), "alice@kez.lat");
        assert_eq!(found.record_url, server.url("/v1/u/alice").as_str());
        let asked = "GET /.well-known/webfinger?resource=acct%3Aalice%40kez.lat HTTP/1.1\r\n";
        assert!(server.heard()[0].starts_with(asked));
    }

    #[tokio::test]
    async fn another_account_or_key_or_an_unfit_link_is_not_taken() {
        let other_account = JRD.replace("acct:alice", "acct:mallory");
        assert_eq!(contradiction(&[&other_account]).await, Contradiction::OtherSubject);
        let other_key = RECORD.replace("2152f8d1", "00000000");
        assert_eq!(contradiction(&[JRD, &other_key]).await, Contradiction::RecordDisagrees);
        let other_record = RECORD.replace("alice", "mallory");
        assert_eq!(contradiction(&[JRD, &other_record]).await, Contradiction::OtherHandle);
        for elsewhere in ["http://169.254.169.254", "https://127.0.0.1", "file://"] {
            let other_host = JRD.replace("{origin}", elsewhere);
            assert_eq!(contradiction(&[&other_host]).await, Contradiction::UnfitLink);
        }
    }

    #[test]
    fn records_may_lie_on_another_host_of_a_name() {
        let base = Url::parse("https://example.org/").unwrap();
        for (url, fits) in [
            ("https://example.org/v1/u/alice", true),
            ("https://chat.example.org/v1/u/alice", true),
            ("https://chat.example.org:8443/v1/u/alice", false),
            ("http://chat.example.org/v1/u/alice", false),
            ("https://192.0.2.1/v1/u/alice", false),
            ("https://0x7f000001/v1/u/alice", false),
        ] {
            assert_eq!(may_hold_records(&Url::parse(url).unwrap(), &base), fits, "{url}");
        }
    }

    #[tokio::test]
    async fn an_account_without_a_kez_key_is_not_ours() {
        for jrd in [JRD.replace("ns/primary", "ns/other"), JRD.replace(r#""type":"application/json","#, "")] {
            let fault = fault(&[&jrd]).await;
            assert!(matches!(fault, ClientError::NotProtocol { what: AnswerFault::NoKezAccount, .. }));
        }
    }

    #[test]
    fn a_name_that_is_no_host_is_not_looked_up() {
        assert_eq!(home_of(&"kez.lat".parse().unwrap()).unwrap().as_str(), "https://kez.lat/");
        let server = "xn--a.lat".parse().unwrap();
        assert!(matches!(home_of(&server), Err(ClientError::NoHost { server: named }) if named == server));
    }

    #[tokio::test]
    async fn nobody_by_that_name_is_no_error() {
        let server = Canned::start(vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into()]).await;
        assert_eq!(look_up(&server.url("/"), &"alice@kez.lat".parse().unwrap()).await.unwrap(), None);
    }
}
