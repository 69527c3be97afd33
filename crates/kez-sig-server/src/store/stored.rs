//! A chain as both engines store it.

use kez_core::sigchain::{EventHash, Head};
use kez_core::{NostrKey, PrimaryKey, PublicKey};
use sha2::{Digest as _, Sha256};

use super::AppendRefusal;
use crate::extension::Extension;
use crate::limits::{Kind, Quotas};

/// Places that belong to one chain: more than `kez_core::sigchain::EVENTS_MAX`.
pub(super) const PLACES: i64 = 1 << 14;

/// A piece of a chain ends once it has as many bytes: read inline in some dozen microseconds, and few enough that ten
/// thousand readers fit into memory.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// A row of `chains`.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) head: Head,
    pub(super) bytes: u64,
    pub(super) counted_at: Vec<i64>,
}

impl Stored {
    /// Where the event `seq` lies, if there is one.
    pub(super) fn place(&self, seq: u64) -> i64 {
        self.number * PLACES + seq.min(PLACES as u64 - 1).cast_signed()
    }

    pub(super) fn counted_at_bytes(&self) -> Vec<u8> {
        self.counted_at.iter().flat_map(|at| at.to_be_bytes()).collect()
    }

    /// The column `checksum`.
    pub(super) fn checksum(&self) -> i64 {
        let digest = Sha256::new()
            .chain_update(self.number.to_be_bytes())
            .chain_update(key_bytes(&self.head.chain))
            .chain_update(key_bytes(&self.head.primary))
            .chain_update(self.head.seq.to_be_bytes())
            .chain_update(self.head.hash.as_bytes())
            .chain_update(self.bytes.to_be_bytes())
            .chain_update(self.counted_at_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        digest.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
    }
}

/// The hash of a stored event.
pub(super) fn event_hash(envelope: &str) -> EventHash {
    EventHash::from_bytes(Sha256::digest(envelope.as_bytes()).into())
}

/// The chain with the event, if there is room for it.
pub(super) fn grow(
    number: i64,
    stored: Option<&Stored>,
    extension: &Extension,
    stored_bytes: u64,
    now: i64,
    quotas: &Quotas,
) -> Result<Stored, AppendRefusal> {
    let counted_at = stored.map_or(&[][..], |stored| &stored.counted_at);
    let (kind, counted_at) = match (stored, extension.is_revocation()) {
        (Some(_), true) => (Kind::Revocation, counted_at.to_vec()),
        (_, is_revocation) => {
            quotas.chain.admit(counted_at, now).map_err(AppendRefusal::RateLimited)?;
            let kind = if stored.is_none() { Kind::First } else { Kind::Further };
            (kind, if is_revocation { Vec::new() } else { quotas.chain.remember(counted_at, now) })
        }
    };
    if !quotas.has_room(kind, stored_bytes, line_bytes(extension)) {
        return Err(AppendRefusal::StorageMax);
    }
    let bytes = stored.map_or(0, |stored| stored.bytes) + line_bytes(extension);
    Ok(Stored { number, head: *extension.head(), bytes, counted_at })
}

/// An event's bytes as it is served, the line end among them.
pub(super) fn line_bytes(extension: &Extension) -> u64 {
    extension.envelope().len() as u64 + 1
}

/// A key as it is stored: a byte for its system, and its 32 bytes.
pub(super) fn key_bytes(key: &PrimaryKey) -> [u8; 33] {
    let (system, bytes) = match key {
        PrimaryKey::Ed25519(key) => (1, key.as_bytes()),
        PrimaryKey::Nostr(key) => (2, key.as_bytes()),
    };
    let mut stored = [system; 33];
    stored[1..].copy_from_slice(bytes);
    stored
}

pub(super) fn key_of(stored: [u8; 33]) -> Option<PrimaryKey> {
    let (system, bytes) = stored.split_first_chunk::<1>()?;
    let bytes = bytes.try_into().ok()?;
    match system {
        [1] => Some(PublicKey::from_bytes(bytes).into()),
        [2] => Some(NostrKey::from_bytes(bytes).into()),
        _ => None,
    }
}

/// What this program cannot have written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("the row of a chain is damaged")]
    Head,
    #[error("the last event of a chain is damaged or missing")]
    LastEvent,
    #[error("events of a chain are missing")]
    Gap,
}
