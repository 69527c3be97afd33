//! Blobs: who refers to which, and what is on its way.

use async_trait::async_trait;
use kez_core::Timestamp;

use super::{AccountId, DeviceRow, StoreError};
use crate::blobs::{ACCOUNT_BLOB_BYTES_MAX, ACCOUNT_BLOBS_MAX, BlobHash, UPLOADS_MAX};

/// A blob that a device wants to send, or has sent.
#[derive(Debug, Clone)]
pub struct UploadWanted {
    /// Who will refer to it.
    pub account: AccountId,
    /// Which device sends.
    pub device: DeviceRow,
    /// The blob.
    pub hash: BlobHash,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many bytes all blobs and uploads may take.
    pub storage_bytes_max: u64,
    /// The server's time.
    pub at: Timestamp,
}

/// Part of a blob that has become durable.
#[derive(Debug, Clone)]
pub struct PartReceived {
    /// Whose upload.
    pub account: AccountId,
    /// Which device sent it.
    pub device: DeviceRow,
    /// The blob.
    pub hash: BlobHash,
    /// How many bytes were there before.
    pub from: u64,
    /// How many are there now.
    pub to: u64,
    /// The server's time.
    pub at: Timestamp,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// How many bytes the blob has.
    pub bytes: u64,
    /// How many of them are there.
    pub received: u64,
}

/// What an account that wants to send a blob finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOpened {
    /// The blob is there, and the account refers to it.
    Stored(Reference),
    /// It is to be sent, from here on.
    Receiving(Upload),
}

/// An account's own reference to a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// How many bytes the blob has.
    pub bytes: u64,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Why the store refuses an upload or a part of one; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobRefusal {
    /// The device has been revoked.
    #[error("the device is not enrolled, or not any more")]
    DeviceRevoked,
    /// The account is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// The blob, or what was received of it, has another length.
    #[error("the blob of this name has {bytes} bytes")]
    OtherSize {
        /// How many bytes it has.
        bytes: u64,
    },
    /// The account would have more than [`ACCOUNT_BLOB_BYTES_MAX`] or [`ACCOUNT_BLOBS_MAX`].
    #[error("an account has at most {ACCOUNT_BLOB_BYTES_MAX} bytes in {ACCOUNT_BLOBS_MAX} blobs")]
    QuotaExceeded,
    /// The account would have more than [`UPLOADS_MAX`] uploads.
    #[error("an account has at most {UPLOADS_MAX} uploads under way")]
    TooManyUploads,
    /// All blobs together would take more than they may.
    #[error("no room is left for blobs")]
    StorageFull,
    /// The upload is not there, or not where it was said to be.
    #[error("the upload has been given up")]
    NoUpload,
}

/// A blob of an account, for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its name.
    pub hash: BlobHash,
    /// How many bytes it has.
    pub bytes: u64,
    /// When the account's reference ends.
    pub expires_at: Timestamp,
}

/// What an account has in blobs and uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobUsage {
    /// Bytes of the blobs that it refers to, and of those that it is sending.
    pub bytes: u64,
    /// How many of them it may have.
    pub bytes_max: u64,
    /// How many blobs these are.
    pub blobs: u32,
    /// How many of them it is sending.
    pub uploads: u32,
}

/// Blobs: references, uploads, and what nobody refers to. The bytes are elsewhere.
#[async_trait]
pub trait Blobs: std::fmt::Debug + Send + Sync + 'static {
    /// How far an account's upload is.
    async fn upload(&self, account: AccountId, hash: &BlobHash) -> Result<Option<Upload>, StoreError>;

    /// Begins an upload, or finds the one that was begun. When the blob is there the account gets its reference, or has
    /// it renewed.
    async fn open_upload(
        &self,
        wanted: UploadWanted,
    ) -> Result<Result<UploadOpened, BlobRefusal>, StoreError>;

    /// Notes that a part is durable.
    async fn note_part(&self, part: PartReceived) -> Result<Result<(), BlobRefusal>, StoreError>;

    /// Makes a blob of an upload, whose bytes are durable and are those of its name, with a reference of the account.
    async fn finish_upload(&self, done: UploadWanted) -> Result<Result<Reference, BlobRefusal>, StoreError>;

    /// Lets an upload begin again: what was received of it is lost.
    async fn restart_upload(&self, account: AccountId, hash: &BlobHash) -> Result<(), StoreError>;

    /// Gives an upload up; whether it was there.
    async fn drop_upload(&self, account: AccountId, hash: &BlobHash) -> Result<bool, StoreError>;

    /// The length of a blob that somebody refers to.
    async fn blob(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError>;

    /// Gives an account's reference up; whether it was there.
    async fn drop_reference(&self, account: AccountId, hash: &BlobHash) -> Result<bool, StoreError>;

    /// The blobs that an account refers to, in the order in which they came to the server, after the one named.
    async fn blobs_of(
        &self,
        account: AccountId,
        after: Option<BlobHash>,
        limit: u32,
    ) -> Result<Vec<ListedBlob>, StoreError>;

    /// The blobs that an account is sending, at most [`UPLOADS_MAX`].
    async fn uploads_of(&self, account: AccountId) -> Result<Vec<BlobHash>, StoreError>;

    /// What an account has.
    async fn blob_usage(&self, account: AccountId) -> Result<BlobUsage, StoreError>;

    /// Uploads that were not touched after `before`, at most `limit`.
    async fn resting_uploads(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AccountId, BlobHash)>, StoreError>;

    /// Gives an upload up, if it was not touched after `before`; whether it was.
    async fn drop_resting_upload(
        &self,
        account: AccountId,
        hash: &BlobHash,
        before: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Drops references that ended at `now` or before, at most `limit`; how many.
    async fn drop_ended_references(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;

    /// Blobs that nobody refers to, at most `limit`.
    async fn blobs_of_nobody(&self, limit: u32) -> Result<Vec<BlobHash>, StoreError>;

    /// The blobs that somebody refers to and how many bytes they have, for verification: up to `limit` after the blob
    /// `after`, by their names.
    async fn blob_evidence(
        &self,
        after: Option<BlobHash>,
        limit: u32,
    ) -> Result<Vec<(BlobHash, u64)>, StoreError>;

    /// Whether a blob has a row, be it of nobody.
    async fn is_blob_known(&self, hash: &BlobHash) -> Result<bool, StoreError>;

    /// Forgets a blob, unless somebody refers to it.
    async fn forget_blob(&self, hash: &BlobHash) -> Result<(), StoreError>;
}
