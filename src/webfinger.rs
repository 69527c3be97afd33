//! WebFinger (RFC 7033): what a query asks for and what is answered. Pure. SPEC "WebFinger".

use kez_core::webfinger::{REL_PROFILE_PAGE, REL_SELF, REL_SIGCHAIN};
use kez_core::{Handle, ServerName};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base_url::BaseUrl;
use crate::record::sigchains;
use crate::store::Account;

/// The media type of a JRD (RFC 7033 section 10.2).
pub const JRD_JSON: &str = "application/jrd+json";

/// Room for the usual descriptor, in bytes.
const JRD_BYTES: usize = 1024;
/// The longest resource looked at, in bytes.
const RESOURCE_BYTES_MAX: usize = 1024;
/// The most `rel` parameters in one query.
const RELS_MAX: usize = 16;

/// A well-formed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The handle that the resource names, if it is one of this server's form.
    pub handle: Option<Handle>,
    /// The wanted link relations; empty: all.
    pub rels: Vec<String>,
}

/// The query is not one of RFC 7033 section 4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadQuery {
    /// A `%` is not followed by two hex digits, or the decoded text is not UTF-8.
    #[error("the query is not percent-encoded UTF-8")]
    Encoding,
    /// There is no `resource`, or more than one.
    #[error("give exactly one resource, such as ?resource=acct:alice@example.org")]
    NotOneResource,
    /// The resource is not a URI.
    #[error("resource is not a URI such as acct:alice@example.org")]
    NotAUri,
    /// Longer, or with more `rel`s, than anybody needs.
    #[error("the query is too long")]
    TooLong,
}

impl Query {
    /// Reads the raw query of a request to `server`, which is also reached as `public_urls`.
    pub fn parse(raw: &str, server: &ServerName, public_urls: &[BaseUrl]) -> Result<Self, BadQuery> {
        let (mut resources, mut rels) = (Vec::new(), Vec::new());
        for (name, value) in parameters(raw)? {
            match name.as_str() {
                "resource" => resources.push(value),
                "rel" if rels.len() == RELS_MAX => return Err(BadQuery::TooLong),
                "rel" => rels.push(value),
                _ => {}
            }
        }
        let resource = only(resources)?;
        Ok(Self { handle: named_handle(&resource, server, public_urls)?, rels })
    }

    fn wants(&self, rel: &str) -> bool {
        self.rels.is_empty() || self.rels.iter().any(|wanted| wanted == rel)
    }
}

/// The one `resource` of a raw query.
pub(crate) fn resource(raw: &str) -> Result<String, BadQuery> {
    only(
        parameters(raw)?.into_iter().filter(|(name, _)| name == "resource").map(|(_, value)| value).collect(),
    )
}

fn only(resources: Vec<String>) -> Result<String, BadQuery> {
    match <[String; 1]>::try_from(resources) {
        Ok([resource]) if resource.is_empty() => Err(BadQuery::NotOneResource),
        Ok([resource]) if resource.len() > RESOURCE_BYTES_MAX => Err(BadQuery::TooLong),
        Ok([resource]) => Ok(resource),
        Err(_) => Err(BadQuery::NotOneResource),
    }
}

/// The parameters of a raw query, in order, decoded.
fn parameters(raw: &str) -> Result<Vec<(String, String)>, BadQuery> {
    raw.split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

/// Percent-decoding of RFC 3986: unlike in forms, `+` is a plus.
fn decode(text: &str) -> Result<String, BadQuery> {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| {
        bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit)
            && bytes.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
    };
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && !is_escape(at)) {
        return Err(BadQuery::Encoding);
    }
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| BadQuery::Encoding)
}

/// The handle in `acct:handle@server` or `https://server/@handle`; scheme and host are compared without case.
fn named_handle(
    resource: &str,
    server: &ServerName,
    public_urls: &[BaseUrl],
) -> Result<Option<Handle>, BadQuery> {
    let (scheme, rest) = resource.split_once(':').ok_or(BadQuery::NotAUri)?;
    if !is_scheme(scheme) || resource.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(BadQuery::NotAUri);
    }
    let handle = if scheme.eq_ignore_ascii_case("acct") {
        rest.rsplit_once('@')
            .filter(|(_, host)| host.eq_ignore_ascii_case(server.as_str()))
            .map(|(user, _)| user)
    } else {
        profile_handle(resource, server, public_urls)
    };
    Ok(handle.and_then(|handle| handle.parse().ok())) // what was escaped twice is no handle
}

/// The handle in a profile page's address. Both the server's name and its public URLs lead there.
fn profile_handle<'a>(resource: &'a str, server: &ServerName, public_urls: &[BaseUrl]) -> Option<&'a str> {
    let after = |base: &str| {
        let (head, tail) = resource.split_at_checked(base.len())?;
        head.eq_ignore_ascii_case(base).then_some(tail)?.strip_prefix("/@")
    };
    after(&format!("https://{server}")).or_else(|| public_urls.iter().find_map(|base| after(base.as_str())))
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A JSON Resource Descriptor (RFC 7033 section 4.4).
#[derive(Debug, Serialize, ToSchema)]
pub struct Jrd<'a> {
    /// `acct:alice@example.org`.
    subject: String,
    /// The primary key and the profile page.
    aliases: [&'a str; 2],
    /// The primary key again, by name.
    properties: Properties<'a>,
    /// Where more is found.
    links: Vec<Link<'a>>,
}

/// What is said about the subject of a resource descriptor (RFC 7033 section 4.4.3).
#[derive(Debug, Serialize, ToSchema)]
struct Properties<'a> {
    /// The primary key, by the name that `kez_core::webfinger` gives.
    #[serde(rename = "https://kez.lat/ns/primary")]
    primary: &'a str,
}

/// A link of a resource descriptor.
#[derive(Debug, Serialize, ToSchema)]
struct Link<'a> {
    /// What stands there, by the names of SPEC "WebFinger".
    rel: &'static str,
    /// The media type of it.
    #[serde(rename = "type")]
    media_type: &'static str,
    /// Where it stands.
    href: &'a str,
}

/// Makes descriptors. What is the same in each of them is prepared.
#[derive(Debug)]
pub(crate) struct Descriptors {
    /// Up to the links.
    head: Template,
    /// Each with its relation.
    links: [(&'static str, Template); 3],
}

impl Descriptors {
    /// Descriptors of people of `server`, which is reached as the first of `public_urls`, and who publish at
    /// `sig_server_url`.
    pub(crate) fn new(server: &ServerName, public_urls: &[BaseUrl], sig_server_url: &BaseUrl) -> Self {
        let public_url = public_urls.first().map_or("", BaseUrl::as_str); // there is always one
        let primary = format!("ed25519:{KEY}");
        let [own, chain, profile] = [
            format!("{public_url}/v1/u/{HANDLE}"),
            format!("{}{KEY}", sigchains(sig_server_url)),
            format!("{public_url}/@{HANDLE}"),
        ];
        let head = Jrd {
            subject: format!("acct:{HANDLE}@{server}"),
            aliases: [&primary, &profile],
            properties: Properties { primary: &primary },
            links: Vec::new(),
        };
        let link = |rel, media_type, href| (rel, Template::new(&Link { rel, media_type, href }));
        Self {
            head: Template::new(&head).without_end("]}"),
            links: [
                link(REL_SELF, "application/json", &own),
                link(REL_SIGCHAIN, "application/jsonl", &chain),
                link(REL_PROFILE_PAGE, "text/html", &profile),
            ],
        }
    }

    /// The JSON of an account's [`Jrd`], with the links that the query wants: in a tenth of the time that serde takes, as
    /// other servers ask for each person they meet.
    pub(crate) fn json(&self, account: &Account, query: &Query) -> Vec<u8> {
        let mut json = Vec::with_capacity(JRD_BYTES);
        let key = account.primary.to_hex();
        self.head.write(&mut json, &account.handle, &key);
        let wanted = self.links.iter().filter(|(rel, _)| query.wants(rel));
        for (at, (_, link)) in wanted.enumerate() {
            json.extend_from_slice(if at == 0 { b"" } else { b"," });
            link.write(&mut json, &account.handle, &key);
        }
        json.extend_from_slice(b"]}");
        json
    }
}

/// Stands for the handle in a [`Template`]. URLs and server names are ASCII, and JSON leaves it as it is.
const HANDLE: char = '\u{e000}';
/// Stands for the hex digits of the key.
const KEY: char = '\u{e001}';

/// A JSON text with places for a handle and a key, neither of which needs escaping: a-z 0-9 _ -.
#[derive(Debug)]
struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Handle,
    Key,
}

impl Template {
    fn new(value: &impl Serialize) -> Self {
        // invariant: plain data with string keys is JSON.
        #[expect(clippy::expect_used, reason = "plain data with string keys is JSON")]
        let json = serde_json::to_string(value).expect("JSON");
        let pieces = json.split_inclusive([HANDLE, KEY]).flat_map(|piece| {
            let text = Piece::Text(piece.trim_end_matches([HANDLE, KEY]).to_owned());
            let place = match piece.chars().next_back() {
                Some(HANDLE) => Some(Piece::Handle),
                Some(KEY) => Some(Piece::Key),
                _ => None,
            };
            [Some(text), place]
        });
        Self(pieces.flatten().collect())
    }

    /// Without these last characters.
    fn without_end(mut self, end: &str) -> Self {
        if let Some(Piece::Text(text)) = self.0.last_mut() {
            text.truncate(text.trim_end_matches(end).len());
        }
        self
    }

    fn write(&self, json: &mut Vec<u8>, handle: &Handle, key: &str) {
        for piece in &self.0 {
            json.extend_from_slice(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Handle => handle.as_str().as_bytes(),
                Piece::Key => key.as_bytes(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kez_core::webfinger::PROPERTY_PRIMARY;

    #[test]
    fn the_property_has_the_name_that_clients_look_for() {
        let written = serde_json::to_value(Properties { primary: "x" }).unwrap();
        assert_eq!(written, serde_json::json!({ PROPERTY_PRIMARY: "x" }));
    }

    #[test]
    fn the_text_is_what_serde_makes_of_the_value() {
        let (server, public) = ("kez.lat".parse().unwrap(), ["https://[::1]/~a'b".parse().unwrap()]);
        let descriptors = Descriptors::new(&server, &public, &"http://localhost:7878/é".parse().unwrap());
        let account = Account {
            handle: "a_-1".parse().unwrap(),
            primary: kez_core::PublicKey::from_bytes([0xaf; 32]),
            registered_at: kez_core::Timestamp::from_unix(0, 0).unwrap(),
        };
        let hex = account.primary.to_hex();
        let primary = format!("ed25519:{hex}");
        let chain = format!("http://localhost:7878/%C3%A9/v1/sigchains/ed25519/{hex}");
        for wanted in [&[][..], &[REL_SELF], &[REL_SIGCHAIN, REL_PROFILE_PAGE], &["other"]] {
            let links = [
                Link { rel: REL_SELF, media_type: "application/json", href: "https://[::1]/~a'b/v1/u/a_-1" },
                Link { rel: REL_SIGCHAIN, media_type: "application/jsonl", href: &chain },
                Link { rel: REL_PROFILE_PAGE, media_type: "text/html", href: "https://[::1]/~a'b/@a_-1" },
            ];
            let query = Query { handle: None, rels: wanted.iter().map(|rel| (*rel).to_owned()).collect() };
            let jrd = Jrd {
                subject: "acct:a_-1@kez.lat".to_owned(),
                aliases: [&primary, "https://[::1]/~a'b/@a_-1"],
                properties: Properties { primary: &primary },
                links: links.into_iter().filter(|link| query.wants(link.rel)).collect(),
            };
            let text = String::from_utf8(descriptors.json(&account, &query)).unwrap();
            assert_eq!(text, serde_json::to_string(&jrd).unwrap());
        }
    }
}
