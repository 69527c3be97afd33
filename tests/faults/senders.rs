//! Who sends blobs: a person with a device, whose keys follow from a name.

use std::io::Write as _;
use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use kez_core::http_signature::{LIFETIME_S_MAX, Nonce, RequestParts, Signer, content_digest, sign};
use kez_core::{Device, DeviceCertificate, DeviceId, Envelope, Registration, Seed};
use kez_serve::rng::{SystemRng, bytes};
use sha2::{Digest as _, Sha256};

use crate::http::{Answer, Connection};
use crate::people::{SERVER, now};

const KIB: u64 = 1024;

/// How long a part is here: the longest that is taken.
pub(crate) const PART: u64 = 1024 * KIB;

/// Each sender has one device.
const DEVICE_ID: [u8; 16] = [7; 16];

/// A device of somebody.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    primary: Seed,
    auth: Seed,
}

/// Bytes like no others of another number, made where they are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Film {
    number: u64,
    pub(crate) size: u64,
    hash: [u8; 32],
}

impl Film {
    pub(crate) fn new(number: u64, size: u64) -> Self {
        let mut film = Self { number, size, hash: [0; 32] };
        let mut hash = Sha256::new();
        for from in (0..size).step_by(usize::try_from(PART).unwrap()) {
            hash.update(film.bytes(from, size.min(from + PART)));
        }
        film.hash = hash.finalize().into();
        film
    }

    /// Some of it; `from` is where a part begins. Cheap to make: many clients share a core with the server.
    pub(crate) fn bytes(&self, from: u64, to: u64) -> Vec<u8> {
        assert_eq!(from % PART, 0);
        let mut bytes = vec![0x42; usize::try_from(to - from).unwrap()];
        bytes[..8].copy_from_slice(&from.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    fn path(&self) -> String {
        format!("/v1/blobs/{}", HEXLOWER.encode(&self.hash))
    }
}

impl Sender {
    /// Registers somebody and takes a device in.
    pub(crate) async fn set_up(addr: SocketAddr, name: &str) -> Self {
        let seed = |what: &str| Seed::from_bytes(Sha256::digest(format!("kez faults {what} {name}")).into());
        let sender = Self { primary: seed("primary"), auth: seed("auth") };
        let (now, device_id) = (now(), DeviceId::from_bytes(DEVICE_ID));
        let registration = Registration { handle: name.to_owned(), server: SERVER.to_owned() };
        let registration = Envelope::sign(&registration, &sender.primary, now).unwrap();
        let (mls_key, expires_at) = (seed("mls").public_key(), now.truncated().plus_seconds(86_400).unwrap());
        let device = Device {
            server: SERVER.to_owned(),
            device_id,
            auth_key: sender.auth.public_key(),
            mls_key,
            mls_certificate: DeviceCertificate::issue(&sender.primary, device_id, &mls_key, now, expires_at)
                .unwrap(),
            expires_at,
        };
        let enrolment = Envelope::sign(&device, &sender.primary, now).unwrap();
        let mut connection = Connection::open(addr).await.unwrap();
        for (path, envelope) in [("/v1/register", registration), ("/v1/devices", enrolment)] {
            let answer = connection.post(path, envelope.canonical().as_bytes()).await.unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        sender
    }

    /// A request as it goes over the line, signed now.
    fn request(&self, addr: SocketAddr, method: &str, path: &str, range: &str, body: &[u8]) -> Vec<u8> {
        let authority = addr.to_string();
        let digest = (!body.is_empty()).then(|| content_digest(body));
        let parts = RequestParts {
            method,
            authority: &authority,
            path,
            query: None,
            content_digest: digest.as_deref(),
        };
        let signer = Signer::Device {
            primary: self.primary.public_key(),
            device_id: DeviceId::from_bytes(DEVICE_ID),
            seed: self.auth.clone(),
        };
        let nonce = Nonce::from_random(bytes(&SystemRng));
        let headers = sign(&signer, &parts, now().unix_seconds(), LIFETIME_S_MAX, &nonce).unwrap();
        let mut raw = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        for (name, value) in [("Content-Range", range), ("Content-Digest", digest.as_deref().unwrap_or(""))] {
            if !value.is_empty() {
                write!(raw, "{name}: {value}\r\n").unwrap();
            }
        }
        write!(
            raw,
            "Content-Length: {}\r\nSignature-Input: {}\r\nSignature: {}\r\n\r\n",
            body.len(),
            headers.signature_input,
            headers.signature
        )
        .unwrap();
        raw.extend_from_slice(body);
        raw
    }

    /// The request with the part that begins at `from`.
    pub(crate) fn part(&self, addr: SocketAddr, film: &Film, from: u64) -> Vec<u8> {
        let to = film.size.min(from + PART);
        let range = format!("bytes {from}-{}/{}", to - 1, film.size);
        self.request(addr, "PUT", &film.path(), &range, &film.bytes(from, to))
    }

    /// Asks how far an upload is.
    pub(crate) async fn ask(&self, addr: SocketAddr, film: &Film) -> Answer {
        let request = self.request(addr, "PUT", &film.path(), &format!("bytes */{}", film.size), b"");
        Connection::open(addr).await.unwrap().ask(&request).await.unwrap()
    }

    /// Sends one part.
    pub(crate) async fn send(&self, addr: SocketAddr, film: &Film, from: u64) -> Answer {
        let request = self.part(addr, film, from);
        Connection::open(addr).await.unwrap().ask(&request).await.unwrap()
    }

    /// Sends what is left from `from` on, on one connection.
    pub(crate) async fn send_rest(&self, addr: SocketAddr, film: &Film, from: u64) {
        let mut connection = Connection::open(addr).await.unwrap();
        for from in (from..film.size).step_by(usize::try_from(PART).unwrap()) {
            let answer = connection.ask(&self.part(addr, film, from)).await.unwrap();
            let expected = if from + PART >= film.size { 201 } else { 202 };
            assert_eq!(answer.status, expected, "{answer:?}");
        }
    }

    /// Reads a film to its end and compares; `false`: it is not there.
    pub(crate) async fn sees(&self, addr: SocketAddr, film: &Film) -> bool {
        let request = self.request(addr, "GET", &film.path(), "", b"");
        let answer = Connection::open(addr).await.unwrap().ask(&request).await.unwrap();
        if answer.status == 404 {
            return false;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(<[u8; 32]>::from(Sha256::digest(&answer.body)), film.hash);
        true
    }
}
