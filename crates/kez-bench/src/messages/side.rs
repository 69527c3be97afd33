//! What the load says to either side: the product, by signed calls of a session, or the floor.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use kez_core::http_signature::{LIFETIME_S_MAX, Nonce, RequestParts, Signer, content_digest, sign};
use kez_core::{ConversationId, MessageId};

use super::frame;
use crate::{error::Error, load::Prepared, people};

/// The length of every frame: what a text of a few sentences comes to.
pub(crate) const FRAME_BYTES: usize = 1024;

/// Two people who talk: the first sends, the second listens.
#[derive(Clone)]
pub(crate) struct Pair {
    /// Their conversation.
    pub(crate) conversation: ConversationId,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Sessions of a device of each.
    pub(crate) signers: [Signer; 2],
}

/// Who is spoken to.
#[derive(Clone)]
pub(crate) enum Side {
    /// The baseline `message-floor`; the client's number is its conversation.
    Floor,
    /// The home server; a pair for each client.
    Product(Vec<Pair>),
}

/// Tells measurements apart: a message id is used once.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// A nonce is used once.
static NONCES: AtomicU64 = AtomicU64::new(0);

/// A side at its address, for one measurement.
#[derive(Clone)]
pub(crate) struct Talk {
    side: Side,
    host: String,
    run: u64,
}

impl Side {
    /// The side at `addr`, with message ids of its own.
    pub(crate) fn at(&self, addr: SocketAddr) -> Talk {
        Talk { side: self.clone(), host: addr.to_string(), run: RUNS.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Talk {
    /// The requests of each client's first frames. Signatures are good for a minute from now.
    pub(crate) fn prepared(&self, clients: u32, each: u32) -> Result<Arc<[Prepared]>, Error> {
        let of_client = |client| {
            let (mut prepared, mut request) = (Prepared::default(), Vec::new());
            for index in 0..each {
                self.send(client, index, &mut request);
                prepared.add(&request);
            }
            Ok(prepared)
        };
        people::on_all_cores(0..clients, of_client).map(Into::into)
    }

    /// Writes the request that sends frame number `index` of a client, signed as a client would.
    pub(crate) fn send(&self, client: u32, index: u32, request: &mut Vec<u8>) {
        let mid = self.mid(client, index);
        match &self.side {
            Side::Floor => {
                let cid = ConversationId::from_bytes([0; 16]);
                let frame = frame::app(cid, mid, 1, FRAME_BYTES);
                head(request, "POST", &format!("/frames/{client}/{mid}"), &self.host);
                body(request, "application/octet-stream", &frame);
            }
            Side::Product(pairs) => {
                let pair = &pairs[client as usize];
                let frame = frame::app(pair.conversation, mid, pair.epoch, FRAME_BYTES);
                let frame = BASE64URL_NOPAD.encode(&frame);
                let json = format!(r#"{{"mid":"{mid}","frame":"{frame}"}}"#);
                let path = format!("/v1/conversations/{}/frames", pair.conversation);
                signed(request, &pair.signers[0], "POST", &path, &self.host, Some(json.as_bytes()));
            }
        }
    }

    /// Writes the request for the end of an inbox, where a stream is to begin: of who sends (0) or who listens (1). The
    /// floor has no such thing, its streams begin at the end.
    pub(crate) fn end_of_inbox(&self, client: u32, who: usize, request: &mut Vec<u8>) -> bool {
        let Side::Product(pairs) = &self.side else { return false };
        let path = "/v1/inbox?after=0&limit=1";
        signed(request, &pairs[client as usize].signers[who], "GET", path, &self.host, None);
        true
    }

    /// Writes the request for the events of a client's pair after a number: of who sends (0) or who listens (1).
    pub(crate) fn listen(&self, client: u32, who: usize, after: u64, request: &mut Vec<u8>) {
        match &self.side {
            Side::Floor => {
                head(request, "GET", &format!("/events/{}", 2 * client as usize + who), &self.host);
                request.extend_from_slice(b"\r\n");
            }
            Side::Product(pairs) => {
                let path = format!("/v1/events?after={after}");
                signed(request, &pairs[client as usize].signers[who], "GET", &path, &self.host, None);
            }
        }
    }

    /// Client and index of a message id of this measurement, as 32 hex digits.
    pub(crate) fn read_mid(&self, digits: &[u8]) -> Option<(u32, u32)> {
        let bytes: [u8; 16] = HEXLOWER.decode(digits).ok()?.try_into().ok()?;
        let (client, rest) = bytes.split_first_chunk()?;
        let (index, run) = rest.split_first_chunk()?;
        (run == self.run.to_be_bytes()).then(|| (u32::from_be_bytes(*client), u32::from_be_bytes(*index)))
    }

    fn mid(&self, client: u32, index: u32) -> MessageId {
        let number = u128::from(client) << 96 | u128::from(index) << 64 | u128::from(self.run);
        MessageId::from_bytes(number.to_be_bytes())
    }
}

/// Writes a whole signed request.
pub(super) fn signed(
    request: &mut Vec<u8>,
    signer: &Signer,
    method: &str,
    target: &str,
    host: &str,
    json: Option<&[u8]>,
) {
    let digest = json.map(content_digest);
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let parts = RequestParts { method, authority: host, path, query, content_digest: digest.as_deref() };
    let now = people::now().unix_seconds();
    let nonce = u128::from(NONCES.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    // invariant: method, host and path are ours and plain ASCII.
    let headers = sign(signer, &parts, now, LIFETIME_S_MAX, &Nonce::from_random(nonce)).expect("plain parts");
    head(request, method, target, host);
    for (name, value) in [
        ("Signature-Input", Some(headers.signature_input)),
        ("Signature", Some(headers.signature)),
        ("Content-Digest", digest),
    ] {
        if let Some(value) = value {
            // Writing to a vector cannot fail.
            _ = write!(request, "{name}: {value}\r\n");
        }
    }
    match json {
        Some(json) => body(request, "application/json", json),
        None => request.extend_from_slice(b"\r\n"),
    }
}

fn head(request: &mut Vec<u8>, method: &str, path: &str, host: &str) {
    request.clear();
    // Writing to a vector cannot fail.
    _ = write!(request, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
}

/// The rest of a request with a body.
fn body(request: &mut Vec<u8>, content_type: &str, bytes: &[u8]) {
    // Writing to a vector cannot fail.
    _ = write!(request, "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", bytes.len());
    request.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_names_client_and_index_of_one_measurement() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let (one, other) = (Side::Floor.at(addr), Side::Floor.at(addr));
        let mid = one.mid(63, 70_000).to_string();
        assert_eq!(one.read_mid(mid.as_bytes()), Some((63, 70_000)));
        assert_eq!(other.read_mid(mid.as_bytes()), None);
        assert_eq!(one.read_mid(b"x"), None);
    }
}
