//! Entries of the small store: who expects what, and what is there.

use async_trait::async_trait;
use kez_core::Timestamp;

use super::{AccountId, DeviceRow, StoreError};
use crate::small_store::{ENTRIES_MAX, EntryName, Expected};

/// A write to an entry.
#[derive(Debug, Clone)]
pub struct EntryWrite {
    /// Whose entry.
    pub account: AccountId,
    /// With which device.
    pub device: DeviceRow,
    /// Which entry.
    pub name: EntryName,
    /// What has to be there.
    pub expected: Expected,
    /// The new value, at most [`ENTRY_BYTES_MAX`](crate::small_store::ENTRY_BYTES_MAX) bytes; `None` deletes.
    pub bytes: Option<Vec<u8>>,
    /// The server's time.
    pub at: Timestamp,
}

/// Why the store refuses a write to an entry; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryRefusal {
    /// The device has been revoked.
    #[error("the device is not enrolled, or not any more")]
    DeviceRevoked,
    /// The account is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// Something else than expected is stored.
    #[error("another version is stored")]
    OtherVersion {
        /// The version that is stored, be it of a deletion; 0 when nothing ever was, or it is forgotten.
        version: u64,
    },
    /// The server has no room for more.
    #[error("the server has no room for this")]
    StorageFull,
    /// The account would have more than [`ENTRIES_MAX`].
    #[error("an account has at most {ENTRIES_MAX} entries")]
    TooMany,
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its version; 0 when nothing was ever written.
    pub version: u64,
    /// The value; `None`: deleted, or never written.
    pub bytes: Option<Vec<u8>>,
}

/// An entry without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryHead {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The length of the value, in bytes.
    pub bytes: u64,
}

/// The small store: values by name, each replaced only by who knows what is replaced.
#[async_trait]
pub trait SmallStore: std::fmt::Debug + Send + Sync + 'static {
    /// Replaces or deletes a value, if the stored version is the expected one; the new version, which is the stored one
    /// and one.
    async fn write_entry(&self, write: EntryWrite) -> Result<Result<u64, EntryRefusal>, StoreError>;

    /// What is stored under a name.
    async fn entry(&self, account: AccountId, name: &EntryName) -> Result<Entry, StoreError>;

    /// The entries that have a value, by name: [`ENTRIES_MAX`] at most.
    async fn entries(&self, account: AccountId) -> Result<Vec<EntryHead>, StoreError>;
}
