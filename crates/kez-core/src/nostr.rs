//! Nostr keys: x-only secp256k1 keys as NIP-19 writes them. SPEC "Nostr keys".

use std::fmt;

use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;

use crate::identifier::BadIdentifier;

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

    /// `npub1` and the first eight letters, for logs.
    pub fn short(self) -> String {
        self.to_npub().chars().take(13).collect()
    }
}

impl fmt::Debug for NostrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NostrKey({})", self.short())
    }
}
