//! URLs that come from configuration and that other URLs are built on.

use std::fmt;
use std::str::FromStr;

use kez_core::ServerName;
use reqwest::Url;

/// An `http` or `https` URL with a host and no query, fragment or user, kept without a trailing slash:
/// `https://example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    url: Url,
}

/// The text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give a URL such as https://example.org, without query, fragment or user name")]
pub struct BadBaseUrl;

impl BaseUrl {
    /// `https://<server>`, where the name can stand in a URL: `xn--a.lat` cannot, it is no international name.
    pub fn https(server: &ServerName) -> Result<Self, BadBaseUrl> {
        let base: Self = format!("https://{server}").parse()?;
        if base.url.domain() == Some(server.as_str()) { Ok(base) } else { Err(BadBaseUrl) }
    }

    /// The URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port, unless it is the scheme's own.
    pub fn port(&self) -> Option<u16> {
        self.url.port()
    }

    /// The scheme's own port.
    pub fn default_port(&self) -> u16 {
        if self.url.scheme() == "https" { 443 } else { 80 }
    }

    /// Whether the host is this machine itself.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost"
            || host.ends_with(".localhost")
            || address.is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for BaseUrl {
    type Err = BadBaseUrl;

    fn from_str(text: &str) -> Result<Self, BadBaseUrl> {
        let url: Url = text.parse().map_err(|_| BadBaseUrl)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_plain {
            return Err(BadBaseUrl);
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), url })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
