//! Accounts that are exported, and those that are deleted.

use async_trait::async_trait;
use kez_core::{Handle, PublicKey, Timestamp};
use serde_json::Value;

use super::{AccountId, Event, StoreError};
use crate::blobs::BlobHash;
use crate::secret::KeyId;

/// A deletion that only the stored state can still stop.
#[derive(Debug, Clone)]
pub struct AcceptedDeletion {
    /// The key that leaves.
    pub primary: PublicKey,
    /// The handle that it says it holds.
    pub handle: Handle,
    /// What makes a repetition the same deletion.
    pub payload_sha256: [u8; 32],
    /// The secret whose key the receipt is signed with.
    pub receipt_key: KeyId,
    /// The server's time, in whole seconds.
    pub at: Timestamp,
}

/// The row of a deletion. Never on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeletionRow(pub(in crate::store) i64);

/// A deletion that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// Its row.
    pub row: DeletionRow,
    /// The secret whose key its receipt is signed with.
    pub receipt_key: KeyId,
    /// When the last of the account was deleted, in whole seconds; `None`: it goes on.
    pub finished_at: Option<Timestamp>,
}

/// Why the store refuses a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeletionRefusal {
    /// The key does not hold the handle.
    #[error("this key does not hold this handle here")]
    NotHeld,
}

/// Whose data are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// The account.
    pub account: AccountId,
    /// Its key.
    pub primary: PublicKey,
}

/// Where an export goes on. It begins at the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportPlace {
    pub(in crate::store) area: usize,
    pub(in crate::store) after: (i64, i64),
}

/// Something of an account.
#[derive(Debug, Clone, PartialEq)]
pub enum Exhibit {
    /// An event of its inbox.
    Event(Event),
    /// Anything else: an object whose member `type` says what.
    Other(Value),
}

/// A piece of an export, as one state of the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPage {
    /// What there is; perhaps nothing, and more later.
    pub exhibits: Vec<Exhibit>,
    /// Where the next piece begins; `None`: that was all.
    pub next: Option<ExportPlace>,
}

/// Accounts that are exported, and those that are deleted.
#[async_trait]
pub trait Leaving: std::fmt::Debug + Send + Sync + 'static {
    /// Accepts a deletion, in one step: the handle is given up, all devices end, and the rest is sure to follow. Accepted
    /// before: says how far it is.
    async fn begin_deletion(
        &self,
        wanted: AcceptedDeletion,
    ) -> Result<Result<Deletion, DeletionRefusal>, StoreError>;

    /// What became of the deletion with these signed bytes, if it was ever accepted.
    async fn past_deletion(&self, payload_sha256: &[u8; 32]) -> Result<Option<Deletion>, StoreError>;

    /// The deletions that go on, oldest first: up to 64.
    async fn unfinished_deletions(&self) -> Result<Vec<DeletionRow>, StoreError>;

    /// Blobs that the account refers to or uploads, some of them. Whoever deletes lets go of all before
    /// [`delete_portion`](Self::delete_portion) goes on: their bytes are not the store's.
    async fn blobs_of_leaver(&self, deletion: DeletionRow) -> Result<Vec<(AccountId, BlobHash)>, StoreError>;

    /// Deletes a portion of the account: some milliseconds of the writer's time. Answers when the last of it was deleted,
    /// and `None` while there may be more. Safe to be broken off, to be repeated, and to be called by several at once.
    async fn delete_portion(
        &self,
        deletion: DeletionRow,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// A piece of everything that is stored of an account.
    async fn export(&self, whose: Exported, from: ExportPlace) -> Result<ExportPage, StoreError>;
}
