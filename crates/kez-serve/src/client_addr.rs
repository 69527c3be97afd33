//! Whose request it is: the peer's address, or the one a trusted proxy vouches for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::edge::Caller;
use crate::problem::Problem;

/// The header a trusted proxy appends its peer's address to.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose word about a client's address counts.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// An entry that is neither an address nor a network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no IP address and no network; write for example 10.0.0.7 or 10.0.0.0/8")]
pub struct BadProxy(String);

impl TrustedProxies {
    /// Reads addresses (`10.0.0.7`, `::1`) and networks (`10.0.0.0/8`).
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, BadProxy> {
        entries.into_iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `addr` is one of them.
    pub fn trusts(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.0.iter().any(|network| network.contains(&addr))
    }

    /// The client behind `peer`: the right-most address of `X-Forwarded-For` that is no trusted proxy.
    ///
    /// It is `peer` itself when the peer is not trusted, sent no such header, or one whose right end cannot be read. Where
    /// nobody else stands in it, it is the right-most address: that one the peer wrote, what is left of it anybody may have.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(address));
        let Some(nearest) = hops.next().flatten() else { return peer };
        let mut readable = std::iter::once(nearest).chain(hops.map_while(|hop| hop));
        readable.find(|hop| !self.trusts(*hop)).unwrap_or(nearest)
    }
}

fn network(entry: &str) -> Result<IpNet, BadProxy> {
    let entry = entry.trim();
    let addr = entry.parse::<IpAddr>().map(|addr| IpNet::from(addr.to_canonical()));
    addr.or_else(|_| entry.parse::<IpNet>()).map_err(|_| BadProxy(entry.to_owned()))
}

/// An address as proxies write it: bare, `[v6]`, or with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let addr = bare.parse::<IpAddr>().ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))?;
    Some(addr.to_canonical())
}

/// Headers that say a proxy passed the request on. `X-Forwarded-` begins some more.
const PROXY_HEADERS: [&str; 3] = ["forwarded", "via", "x-real-ip"];
const X_FORWARDED: &str = "x-forwarded-";

/// Whether a program on this machine speaks for itself: the peer is loopback, and nothing says that it passes on what
/// somebody else asks.
pub fn is_local(parts: &Parts) -> Result<bool, Problem> {
    let is_passed_on =
        |name: &HeaderName| name.as_str().starts_with(X_FORWARDED) || PROXY_HEADERS.contains(&name.as_str());
    let is_loopback = Caller::of(parts)?.peer.to_canonical().is_loopback();
    Ok(is_loopback && !parts.headers.keys().any(is_passed_on))
}

/// The network a client is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientNet {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: a /64 is one household's or one host's.
    V6(u64),
}

impl From<IpAddr> for ClientNet {
    fn from(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self::V4(addr),
            IpAddr::V6(addr) => Self::V6((addr.to_bits() >> 64) as u64),
        }
    }
}

/// Who is calling. An extractor; costs nothing where it is not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The client's address, IPv4-mapped ones as IPv4; see [`TrustedProxies::client`].
    pub addr: IpAddr,
}

impl Client {
    /// What it is counted by.
    pub fn net(&self) -> ClientNet {
        self.addr.into()
    }
}

/// Makes a request that came by another way than a connection count as one from `addr`.
pub fn speaks_as<B>(request: &mut http::Request<B>, addr: IpAddr) {
    request.extensions_mut().insert(Caller { peer: addr, proxies: TrustedProxies::default() });
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = Caller::of(parts)?;
        Ok(Self { addr: caller.proxies.client(caller.peer, &parts.headers) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded_for: &[&'static str]) -> String {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", "127.0.0.1", "fd00::/8"]).unwrap();
        let mut headers = HeaderMap::new();
        for line in forwarded_for {
            headers.append(FORWARDED_FOR, http::HeaderValue::from_static(line));
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_right_most_untrusted_address_is_the_client() {
        let table: &[(&str, &[&'static str], &str)] = &[
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.2.3.4"], "203.0.113.9"),
            ("10.0.0.1", &["6.6.6.6", "203.0.113.9,10.2.3.4"], "203.0.113.9"),
            ("10.0.0.1", &["203.0.113.9", "10.2.3.4"], "203.0.113.9"),
            // Every hop is trusted: who wrote the left ones is unknown, the right-most one is the peer's own word.
            ("10.0.0.1", &["10.9.9.9, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["10.9.9.9", "10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", &["junk, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["203.0.113.9, junk, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["203.0.113.9", "10.2.3.4,"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["2001:db8::2"], "2001:db8::2"),
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["junk, 203.0.113.9"], "203.0.113.9"),
            ("203.0.113.1", &["6.6.6.6"], "203.0.113.1"),
            ("::ffff:203.0.113.1", &["6.6.6.6"], "203.0.113.1"),
        ];
        for (peer, lines, expected) in table {
            assert_eq!(client(peer, lines), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_network_is_one_v4_address_or_a_v6_64() {
        let net = |addr: &str| ClientNet::from(addr.parse::<IpAddr>().unwrap());
        assert_eq!(net("203.0.113.9"), net("::ffff:203.0.113.9"));
        assert_ne!(net("203.0.113.9"), net("203.0.113.8"));
        assert_eq!(net("2001:db8:0:1::1"), net("2001:db8:0:1:ffff::2"));
        assert_ne!(net("2001:db8:0:1::1"), net("2001:db8:0:2::1"));
    }

    #[test]
    fn a_bad_entry_is_named() {
        let error = TrustedProxies::parse(["10.0.0.0/8", "proxy.local"]).unwrap_err();
        assert!(error.to_string().contains("\"proxy.local\""));
    }
}
