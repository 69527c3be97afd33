//! Nostr keys: x-only secp256k1 keys as NIP-19 writes them, and their signatures by BIP-340. SPEC "Nostr keys".
//!
//! Chat accounts are Ed25519 only; nostr keys sign claims and sigchains. The arithmetic is behind the feature `nostr`.

use std::fmt;

use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;

use crate::identifier::BadIdentifier;
#[cfg(feature = "nostr")]
use crate::key::{BadSignature, Signature};

/// What the text of a key starts with (NIP-19).
const NPUB: bech32::Hrp = bech32::Hrp::parse_unchecked("npub");

/// A nostr public key: the 32 bytes of an x coordinate on secp256k1 (BIP-340), written `npub1…` (NIP-19).
///
/// Any 32 bytes are a key by name; whether they are a point is checked when a signature is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NostrKey([u8; 32]);

impl NostrKey {
    /// The key with this x coordinate.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The x coordinate, 32 bytes, big-endian (BIP-340).
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `npub1…` (bech32 of BIP-173, not bech32m) in the one spelling that [`to_npub`](Self::to_npub) gives:
    /// lower case, padding bits zero.
    pub fn from_npub(text: &str) -> Result<Self, BadIdentifier> {
        let checked = CheckedHrpstring::new::<Bech32>(text).map_err(|_| BadIdentifier)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let key = Self(bytes.try_into().map_err(|_| BadIdentifier)?);
        if key.to_npub() == text { Ok(key) } else { Err(BadIdentifier) }
    }

    /// `npub1` and 58 letters.
    pub fn to_npub(self) -> String {
        // 32 bytes are within the length of bech32, so there is no error to pass on.
        bech32::encode::<Bech32>(NPUB, &self.0).unwrap_or_default()
    }

    /// Checks that `signature` was made over the 32 bytes `hash` with this key's secret (BIP-340 "Verification").
    #[cfg(feature = "nostr")]
    pub fn verify(&self, hash: &[u8; 32], signature: &Signature) -> Result<(), BadSignature> {
        let key = k256::schnorr::VerifyingKey::from_bytes(&self.0.into()).map_err(|_| BadSignature)?;
        let signature =
            k256::schnorr::Signature::from_bytes(signature.as_bytes()).map_err(|_| BadSignature)?;
        key.verify_raw(hash, &signature).map_err(|_| BadSignature)
    }

    /// `npub1` and the first eight letters, for logs.
    pub fn short(self) -> String {
        self.to_npub().chars().take(13).collect()
    }
}

/// The secret of a nostr key. Wiped when dropped; prints as `NostrSecret(..)`.
#[cfg(feature = "nostr")]
#[derive(Clone)]
pub struct NostrSecret(k256::schnorr::SigningKey);

#[cfg(feature = "nostr")]
impl NostrSecret {
    /// The secret with these 32 bytes, big-endian; `None` for 0 and from the order of the group up.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        k256::schnorr::SigningKey::from_slice(bytes).ok().map(Self)
    }

    /// The public key of this secret.
    pub fn public_key(&self) -> NostrKey {
        NostrKey(self.0.verifying_key().to_bytes().into())
    }

    /// Signs the 32 bytes `hash` (BIP-340 "Default Signing"). `aux` is fresh randomness; it guards against side
    /// channels only, so zeros are sound.
    ///
    /// [`BadSignature`] when the nonce came out as zero, which nobody will see happen.
    pub fn sign(&self, hash: &[u8; 32], aux: &[u8; 32]) -> Result<Signature, BadSignature> {
        let signature = self.0.sign_raw(hash, aux).map_err(|_| BadSignature)?;
        Ok(Signature::from_bytes(signature.to_bytes()))
    }
}

#[cfg(feature = "nostr")]
impl fmt::Debug for NostrSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NostrSecret(..)")
    }
}

impl fmt::Debug for NostrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NostrKey({})", self.short())
    }
}
