//! What the devices of an account keep for each other on the server: small, encrypted, by name. SPEC "Small store".

pub use kez_core::{BadEntryName, ENTRY_BYTES_MAX, EntryName};

/// Names with a value that one account has at most. With [`ENTRY_BYTES_MAX`] that bounds an account's share at 16 MiB;
/// the client design has a handful of names.
pub const ENTRIES_MAX: u32 = 256;

/// Names whose value was deleted that are remembered of one account. Beyond, the one deleted first is forgotten, and its
/// versions begin at 1 again: nobody still holds a version that is that many deletions old.
pub const DELETED_ENTRIES_MAX: u32 = 1_024;

/// What a writer believes to be stored under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No value. The name may have had one.
    Nothing,
    /// This version, which may be that of a deletion.
    Version(u64),
}
