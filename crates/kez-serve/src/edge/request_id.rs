//! Names for requests, so that a client's report and a log line can be brought together.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderMap, HeaderValue};

use super::REQUEST_ID;
use crate::client_addr::TrustedProxies;
use crate::rng::{Rng, bytes};

/// Longest id taken over from a proxy, in bytes.
const FOREIGN_MAX: usize = 64;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A request id as text.
pub(super) fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default() // always ASCII, see the two makers
}

/// Makes request ids: a counter, stirred so that ids of two processes do not meet and do not tell how busy we are.
#[derive(Debug)]
pub(super) struct RequestIds {
    count: AtomicU64,
    stir: u64,
}

impl RequestIds {
    pub(super) fn new(rng: &dyn Rng) -> Self {
        let start = AtomicU64::new(u64::from_le_bytes(bytes(rng)));
        Self { count: start, stir: u64::from_le_bytes(bytes(rng)) | 1 }
    }

    /// A fresh id, 16 hex digits. Multiplying by an odd number is one-to-one: 2^64 ids pass before one comes again.
    pub(super) fn next(&self) -> HeaderValue {
        let number = self.count.fetch_add(1, Relaxed).wrapping_mul(self.stir);
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        // invariant: hex digits are valid in a header.
        HeaderValue::from_bytes(&digits).expect("hex digits")
    }

    /// The id `peer` sent, if it is a trusted proxy's and harmless (1 to 64 letters, digits, `-`, `_`, `.`); otherwise a
    /// fresh one.
    pub(super) fn choose(&self, peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> HeaderValue {
        match headers.get(REQUEST_ID) {
            Some(foreign) if proxies.trusts(peer) && harmless(foreign) => foreign.clone(),
            _ => self.next(),
        }
    }
}

fn harmless(id: &HeaderValue) -> bool {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=FOREIGN_MAX).contains(&id.len()) && id.as_bytes().iter().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    #[test]
    fn ids_are_16_hex_digits_and_differ() {
        let ids = RequestIds::new(&SystemRng);
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a, b);
        assert!(a.len() == 16 && a.as_bytes().iter().all(u8::is_ascii_hexdigit), "{a:?}");
    }

    #[test]
    fn only_a_trusted_proxy_names_a_request() {
        let proxies = TrustedProxies::parse(["10.0.0.1"]).unwrap();
        let chosen = |peer: &str, id: &'static str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(id))]);
            RequestIds::new(&SystemRng).choose(peer.parse().unwrap(), &headers, &proxies)
        };
        assert_eq!(chosen("10.0.0.1", "req-1.a_B"), "req-1.a_B");
        for (peer, id) in [("10.0.0.2", "req-1"), ("10.0.0.1", "a b"), ("10.0.0.1", "<i>"), ("10.0.0.1", "")]
        {
            assert_ne!(chosen(peer, id), id);
        }
        let long = "a".repeat(65).leak();
        assert_ne!(chosen("10.0.0.1", long), &*long);
    }
}
