//! The sealed box of nkeys `xkv1`: a `NaCl` box (X25519, `XSalsa20`, `Poly1305`) between two curve keys.

use crypto_box::SalsaBox;
use crypto_box::aead::Aead as _;

use crate::nkey::{CurveSeed, Nkey, Role};

/// What a sealed text begins with.
const VERSION: &[u8] = b"xkv1";

/// Random bytes that each sealing takes.
pub const SEAL_NONCE_BYTES: usize = 24;

/// Not sealed for us by that key, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not open")]
pub struct BadSeal;

/// Seals `plain` for `to`. `nonce` is random: used twice, it gives both texts away.
pub fn seal(
    by: &CurveSeed,
    to: &Nkey,
    nonce: [u8; SEAL_NONCE_BYTES],
    plain: &[u8],
) -> Result<Vec<u8>, BadSeal> {
    let sealed = between(by, to)?.encrypt(&nonce.into(), plain).map_err(|_| BadSeal)?;
    Ok([VERSION, nonce.as_slice(), sealed.as_slice()].concat())
}

/// Opens what `from` sealed for us.
pub fn open(by: &CurveSeed, from: &Nkey, sealed: &[u8]) -> Result<Vec<u8>, BadSeal> {
    let rest = sealed.strip_prefix(VERSION).ok_or(BadSeal)?;
    let (nonce, sealed) = rest.split_first_chunk::<SEAL_NONCE_BYTES>().ok_or(BadSeal)?;
    between(by, from)?.decrypt(&(*nonce).into(), sealed).map_err(|_| BadSeal)
}

fn between(by: &CurveSeed, other: &Nkey) -> Result<SalsaBox, BadSeal> {
    if other.role() != Role::Curve {
        return Err(BadSeal);
    }
    Ok(SalsaBox::new(&crypto_box::PublicKey::from(*other.as_bytes()), &by.secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_library_opens_and_seals_the_same() {
        let (ours, theirs) = (CurveSeed::from_bytes([7; 32]), CurveSeed::from_bytes([8; 32]));
        let library = nkeys::XKey::from_seed(&theirs.expose()).unwrap();
        let us = nkeys::XKey::from_public_key(&ours.public_key().to_string()).unwrap();
        let sealed = seal(&ours, &theirs.public_key(), [9; 24], b"a text").unwrap();
        assert_eq!(library.open(&sealed, &us).unwrap(), b"a text");
        let sealed = library.seal(b"another", &us).unwrap();
        assert_eq!(open(&ours, &theirs.public_key(), &sealed).unwrap(), b"another");
    }

    #[test]
    fn a_changed_byte_and_another_key_are_refused() {
        let (ours, theirs) = (CurveSeed::from_bytes([7; 32]), CurveSeed::from_bytes([8; 32]));
        let sealed = seal(&theirs, &ours.public_key(), [9; 24], b"a text").unwrap();
        for place in 0..sealed.len() {
            let mut spoilt = sealed.clone();
            spoilt[place] ^= 1;
            assert_eq!(open(&ours, &theirs.public_key(), &spoilt), Err(BadSeal), "byte {place}");
            assert_eq!(open(&ours, &theirs.public_key(), &sealed[..place]), Err(BadSeal));
        }
        assert_eq!(open(&ours, &CurveSeed::from_bytes([6; 32]).public_key(), &sealed), Err(BadSeal));
    }
}
