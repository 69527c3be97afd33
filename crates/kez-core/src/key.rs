//! Ed25519 keys and signatures, under one rule. SPEC "Signatures".
//!
//! The rule (RFC 8032 with every choice on the strict side): S below the group order; A and R in their one
//! canonical encoding and not of small order; the cofactorless equation. Every verifier of this project is
//! [`PublicKey::verify`], natively and in the browser, so no two of them can disagree about a signature.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::identifier::BadIdentifier;
use crate::text::serde_as_text;

/// How an Ed25519 key is written: this and 64 lower-case hex digits.
const PREFIX: &str = "ed25519:";

/// An Ed25519 public key: 32 bytes, written `ed25519:<64 lower-case hex digits>`.
///
/// Any 32 bytes are a key by name; whether they are a usable point is checked when a signature is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// An Ed25519 signature, 64 bytes, written as 128 lower-case hex digits. Not yet checked against anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// The 32 secret bytes of an identity. Wiped when dropped; prints as `Seed(..)`.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

/// The signature is not one that the key made over the message, by the rule of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// The key with these 32 bytes (RFC 8032 section 5.1.2).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of RFC 8032 section 5.1.2.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 lower-case hex digits without prefix.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// The first eight hex digits, for logs.
    pub fn short(self) -> String {
        self.to_hex().chars().take(8).collect()
    }

    /// Checks that `signature` was made over `message` with this key's seed.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        if !is_canonical_y(&self.0) {
            return Err(BadSignature);
        }
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        // `verify_strict` refuses S >= L, R and A of small order, and compares R in its encoded form.
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).map_err(|_| BadSignature)
    }
}

/// Whether the y coordinate is below p = 2^255 - 19. dalek decodes also the 19 values above (RFC 8032 section
/// 5.1.3 step 1 refuses them). The other double encoding, x = 0 with a sign, is of small order.
fn is_canonical_y(encoded: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = encoded;
    *low < 0xed || middle.iter().any(|byte| *byte != 0xff) || high & 0x7f != 0x7f
}

impl Signature {
    /// The signature R ‖ S with these 64 bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// R ‖ S.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Reads 128 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        decode_hex(text).map(Self)
    }

    /// 128 lower-case hex digits.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl Seed {
    /// The seed with these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The 32 secret bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public key of this seed.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.signing_key().verifying_key().to_bytes())
    }

    /// Signs `message` by plain RFC 8032.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.signing_key().sign(message).to_bytes())
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0)
    }
}

/// `N` bytes from exactly `2 * N` lower-case hex digits.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

impl FromStr for PublicKey {
    type Err = BadIdentifier;

    fn from_str(text: &str) -> Result<Self, BadIdentifier> {
        let hex = text.strip_prefix(PREFIX).ok_or(BadIdentifier)?;
        decode_hex(hex).map(Self).ok_or(BadIdentifier)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 64];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        f.write_str(PREFIX)?;
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.short())
    }
}

serde_as_text!(PublicKey);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_never_prints() {
        assert_eq!(format!("{:?}", Seed::from_bytes([0x42; 32])), "Seed(..)");
    }

    #[test]
    fn every_y_from_p_up_is_refused() {
        let mut encoded = [0xff; 32];
        for low in 0xed..=0xff {
            for high in [0x7f, 0xff] {
                encoded[0] = low;
                encoded[31] = high;
                assert!(!is_canonical_y(&encoded));
            }
        }
        encoded[0] = 0xec;
        assert!(is_canonical_y(&encoded));
    }
}
