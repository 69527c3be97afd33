//! Where a home server is reached, as a person writes it.

use std::fmt;
use std::str::FromStr;

use kez_core::ServerName;
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Host;

/// The origin of a home server: `https://kez.lat`, `http://localhost:6969`.
///
/// A name without a scheme means `https://`, and `http://` for this machine itself. No user info, path, query or
/// fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// The text is not the URL of a home server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBaseUrl {
    /// Not a URL at all.
    #[error("not a URL such as https://kez.lat")]
    Syntax,
    /// Neither `https` nor `http`.
    #[error("a home server is reached by https:// (or http://)")]
    Scheme,
    /// A user name, path, query or fragment.
    #[error("only scheme, host and port belong here, as in https://kez.lat")]
    Surplus,
}

impl BaseUrl {
    /// Whether the host is this machine itself: `localhost`, `*.localhost`, or a loopback address.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// Whether calls cross a network without encryption: plain http to another machine than this one.
    pub fn is_exposed(&self) -> bool {
        !self.is_https() && !self.is_loopback()
    }

    /// Whether the server proves its name by a certificate.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether a certificate proves that the server has this name.
    pub fn proves(&self, server: &ServerName) -> bool {
        self.is_https() && self.host() == server.as_str()
    }

    /// The host without port, as it stands in the URL.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The root of the server, `https://kez.lat/`.
    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for BaseUrl {
    type Err = BadBaseUrl;

    fn from_str(text: &str) -> Result<Self, BadBaseUrl> {
        let url = written_url(text)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(BadBaseUrl::Surplus);
        }
        Ok(Self(url))
    }
}

/// A URL as a person writes it: without a scheme, `http` to this machine itself and `https` to any other.
pub(crate) fn written_url(text: &str) -> Result<Url, BadBaseUrl> {
    let url = if text.contains("://") { parse(text)? } else { with_scheme(text)? };
    if matches!(url.scheme(), "https" | "http") { Ok(url) } else { Err(BadBaseUrl::Scheme) }
}

fn parse(text: &str) -> Result<Url, BadBaseUrl> {
    Url::parse(text).map_err(|_| BadBaseUrl::Syntax)
}

fn with_scheme(text: &str) -> Result<Url, BadBaseUrl> {
    let plain = parse(&format!("http://{text}"))?;
    if is_loopback(&plain) { Ok(plain) } else { parse(&format!("https://{text}")) }
}

/// Whether the host is this machine itself.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"), // RFC 6761 section 6.3
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_means_https_and_this_machine_means_http() {
        let written = |text: &str| text.parse::<BaseUrl>().unwrap().to_string();
        assert_eq!(written("kez.lat"), "https://kez.lat");
        assert_eq!(written("kez.lat:8443/"), "https://kez.lat:8443");
        assert_eq!(written("localhost:6969"), "http://localhost:6969");
        assert_eq!(written("127.0.0.1:6969"), "http://127.0.0.1:6969");
        assert_eq!(written("[::1]:6969"), "http://[::1]:6969");
        assert_eq!(written("http://kez.lat"), "http://kez.lat");
    }

    #[test]
    fn only_plain_http_to_another_machine_is_exposed() {
        let exposed = |text: &str| text.parse::<BaseUrl>().unwrap().is_exposed();
        assert!(exposed("http://kez.lat"));
        assert!(exposed("http://10.0.0.7:6969"));
        assert!(!exposed("http://chat.localhost:6969"));
        assert!(!exposed("https://kez.lat"));
    }

    #[test]
    fn a_name_is_proved_by_https_to_it() {
        let proves = |text: &str| text.parse::<BaseUrl>().unwrap().proves(&"kez.lat".parse().unwrap());
        assert!(proves("https://kez.lat") && proves("https://KEZ.lat:8443"));
        assert!(!proves("http://kez.lat") && !proves("https://chat.kez.lat") && !proves("https://kez.lat."));
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        let fault = |text: &str| text.parse::<BaseUrl>().unwrap_err();
        assert_eq!(fault(""), BadBaseUrl::Syntax);
        assert_eq!(fault("https://"), BadBaseUrl::Syntax);
        assert_eq!(fault("ftp://kez.lat"), BadBaseUrl::Scheme);
        assert_eq!(fault("https://alice@kez.lat"), BadBaseUrl::Surplus);
        assert_eq!(fault("alice@kez.lat"), BadBaseUrl::Surplus);
        assert_eq!(fault("https://kez.lat/chat"), BadBaseUrl::Surplus);
        assert_eq!(fault("https://kez.lat/?a=b"), BadBaseUrl::Surplus);
    }
}
