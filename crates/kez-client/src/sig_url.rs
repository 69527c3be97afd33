//! Where sigchains are kept: a sig-server as a person or a home server writes it, and one chain of it.

use std::fmt;
use std::str::FromStr;

use kez_core::PrimaryKey;
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base_url::{BadBaseUrl, is_loopback, written_url};

/// What stands before a chain's system and value in a URL.
const CHAINS_PATH: &str = "/v1/sigchains";

/// The root of a sig-server: `https://sig.example.org`, `http://localhost:7878`, `https://example.org/kez`.
///
/// As with home servers, a name without a scheme means `https://`, and `http://` for this machine itself. Kept without
/// a trailing slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigUrl(Url);

/// One chain at one sig-server: the `sigchain_url` of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainUrl {
    /// The sig-server.
    pub server: SigUrl,
    /// The name of the chain.
    pub chain: PrimaryKey,
}

/// The text is not the URL of a sig-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a sig-server, such as https://sig.example.org")]
pub struct BadSigUrl;

/// The text is not the URL of a sigchain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a sigchain, such as https://sig.example.org/v1/sigchains/ed25519/<64 digits>")]
pub struct BadChainUrl;

impl SigUrl {
    /// Whether the host is this machine itself.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// Whether calls cross a network without encryption: plain http to another machine than this one.
    pub fn is_exposed(&self) -> bool {
        self.0.scheme() != "https" && !self.is_loopback()
    }

    /// The host without port, as it stands in the URL.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }

    /// `…/v1/sigchains/<system>/<value>` and further segments.
    pub(crate) fn call(&self, chain: PrimaryKey, further: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(CHAINS_PATH.split('/').skip(1));
            path.push(chain.system()).push(&chain.value()).extend(further);
        }
        url
    }
}

impl FromStr for SigUrl {
    type Err = BadSigUrl;

    fn from_str(text: &str) -> Result<Self, BadSigUrl> {
        let mut url = written_url(text).map_err(|_: BadBaseUrl| BadSigUrl)?;
        if !is_plain(&url) {
            return Err(BadSigUrl);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl FromStr for ChainUrl {
    type Err = BadChainUrl;

    /// Takes also the alias with `/events` at the end.
    fn from_str(text: &str) -> Result<Self, BadChainUrl> {
        let mut url = Url::parse(text).map_err(|_| BadChainUrl)?;
        let is_web = matches!(url.scheme(), "https" | "http");
        let path = url.path().trim_end_matches('/').trim_end_matches("/events").to_owned();
        let (root, chain) = path.rsplit_once(&format!("{CHAINS_PATH}/")).ok_or(BadChainUrl)?;
        let (system, value) = chain.split_once('/').ok_or(BadChainUrl)?;
        let chain = format!("{system}:{value}").parse().map_err(|_| BadChainUrl)?;
        url.set_path(root);
        if is_web && is_plain(&url) { Ok(Self { server: SigUrl(url), chain }) } else { Err(BadChainUrl) }
    }
}

/// No user name, password, query or fragment.
fn is_plain(url: &Url) -> bool {
    let has_user = !url.username().is_empty() || url.password().is_some();
    url.has_host() && !has_user && url.query().is_none() && url.fragment().is_none()
}

impl fmt::Display for SigUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for SigUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ChainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.server.call(self.chain, &[]).as_str())
    }
}

impl Serialize for SigUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SigUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for ChainUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12";

    #[test]
    fn a_sig_server_is_written_as_a_home_server_is_and_may_lie_below_a_path() {
        let written = |text: &str| text.parse::<SigUrl>().map(|url| url.to_string());
        assert_eq!(written("sig.kez.lat").unwrap(), "https://sig.kez.lat");
        assert_eq!(written("localhost:7878/").unwrap(), "http://localhost:7878");
        assert_eq!(written("https://kez.lat/sig/").unwrap(), "https://kez.lat/sig");
        for text in ["", "ftp://kez.lat", "https://a@kez.lat", "https://kez.lat/?a=b", "https://kez.lat/#a"] {
            assert_eq!(written(text), Err(BadSigUrl), "{text}");
        }
    }

    #[test]
    fn a_chains_url_names_its_server_and_key_and_is_written_back() {
        for (server, path) in [
            ("http://localhost:7878", ""),
            ("https://kez.lat/sig", ""),
            ("https://kez.lat", "/"),
            ("https://kez.lat", "/events"),
        ] {
            let url = format!("{server}/v1/sigchains/ed25519/{KEY}");
            let chain: ChainUrl = format!("{url}{path}").parse().unwrap();
            assert_eq!((chain.server.to_string(), chain.to_string()), (server.to_owned(), url));
            assert_eq!(chain.chain.to_string(), format!("ed25519:{KEY}"));
        }
    }

    #[test]
    fn what_names_no_chain_is_refused() {
        let upper = KEY.to_uppercase();
        for text in [
            "https://kez.lat".to_owned(),
            format!("https://kez.lat/v1/sigchains/{KEY}"),
            format!("https://kez.lat/v1/sigchains/ed25519/{upper}"),
            format!("https://kez.lat/v1/sigchains/ed25519/{KEY}/head"),
            format!("https://kez.lat/v1/sigchains/ed25519/{KEY}?since=3"),
            format!("https://mallory@kez.lat/v1/sigchains/ed25519/{KEY}"),
            format!("file:///v1/sigchains/ed25519/{KEY}"),
        ] {
            assert_eq!(text.parse::<ChainUrl>(), Err(BadChainUrl), "{text}");
        }
    }
}
