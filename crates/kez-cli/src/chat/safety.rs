//! Digits that people compare. SPEC "Safety numbers".

use data_encoding::BASE64URL_NOPAD;
use kez_core::PublicKey;
use sha2::{Digest, Sha512};

/// What is hashed before a primary key, and before an epoch authenticator.
const PERSON: &[u8] = b"kez-chat/safety/v1\0";
const EPOCH: &[u8] = b"kez-chat/epoch-code/v1\0";
/// How often: it makes looking for a key with similar digits dear.
const ROUNDS: u32 = 5200;
/// Digits of one side.
const DIGITS_GROUPS: usize = 6;

/// 60 digits that two people have in common, whichever of them computes.
pub(crate) fn safety_number(one: &PublicKey, other: &PublicKey) -> String {
    let mut halves = [one, other].map(|key| digits(PERSON, key.as_bytes()));
    halves.sort_unstable();
    halves.concat()
}

/// 30 digits of an epoch authenticator (RFC 9420 section 8.7).
pub(crate) fn epoch_code(authenticator: &[u8]) -> String {
    digits(EPOCH, authenticator)
}

/// What the screen of `shown_by` shows as a QR code to `about`.
pub(crate) fn qr_text(shown_by: &PublicKey, about: &PublicKey) -> String {
    let keys = [*shown_by.as_bytes(), *about.as_bytes()].concat();
    format!("kez-safety:1:{}", BASE64URL_NOPAD.encode(&keys))
}

/// Six numbers of five digits, each from five bytes of the last digest.
fn digits(label: &[u8], of: &[u8]) -> String {
    let mut digest = Sha512::new().chain_update(label).chain_update(of).finalize();
    for _ in 1..ROUNDS {
        digest = Sha512::new().chain_update(digest).chain_update(of).finalize();
    }
    digest.chunks_exact(5).take(DIGITS_GROUPS).map(group).collect()
}

/// Five digits of five bytes.
fn group(five: &[u8]) -> String {
    let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{:05}", number % 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_and_others_something_else() {
        let key = |byte| PublicKey::from_bytes([byte; 32]);
        let number = safety_number(&key(1), &key(2));
        assert_eq!(number, safety_number(&key(2), &key(1)));
        assert_eq!(number.len(), 60);
        assert_ne!(number, safety_number(&key(1), &key(3)));
        assert_eq!(epoch_code(&[7; 32]).len(), 30);
    }
}
