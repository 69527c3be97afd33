//! How a record is sealed: AES-256-GCM (NIST SP 800-38D) under the data key, bound to the record's key.

use std::fmt;

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};

use crate::system;

/// The first byte of a sealed record, and part of what is authenticated.
const VERSION: u8 = 1;
/// What is authenticated before the version and the record's key.
const LABEL: &[u8] = b"kez-device-record\0";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The cipher of a device's records.
pub(super) struct Seal(Box<Aes256Gcm>);

impl Seal {
    pub(super) fn new(data_key: &[u8; 32]) -> Self {
        Self(Box::new(Aes256Gcm::new(data_key.into())))
    }

    /// `01 | nonce 12 | ciphertext | tag 16`. The nonce is random: after 2^32 writes of one device the chance that one
    /// came twice is 2^-32 (SP 800-38D section 8.3), and a thousand messages a day need ten thousand years for that.
    pub(super) fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = system::random_bytes();
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + value.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let text = sealed.get_mut(1 + NONCE_BYTES..).unwrap_or_default();
        // invariant: AES-GCM takes 64 GiB, and a record has 4 MiB at most.
        let tag =
            self.0.encrypt_in_place_detached(&nonce.into(), &associated_data(key), text).expect("a record");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// The value; `None` when it is not what was sealed under this key.
    pub(super) fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, rest) = rest.split_at_checked(NONCE_BYTES)?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let mut value = text.to_vec();
        let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
        let opened = self.0.decrypt_in_place_detached(nonce, &associated_data(key), &mut value, tag);
        opened.ok().filter(|()| *version == VERSION).map(|()| value)
    }
}

fn associated_data(key: &[u8]) -> Vec<u8> {
    [LABEL, &[VERSION], key].concat()
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}
