//! What the home server keeps, in operations of its domain. SQL lives in the engines below and nowhere else.
//!
//! [`Store`] is a trait because there will be two engines; each area of the domain has a trait of its own, and a store
//! is all of them. `conformance` is what each engine has to pass.

mod blobs;
#[cfg(test)]
mod conformance;
mod contacts;
mod conversations;
mod devices;
mod inbox;
mod key_packages;
mod leaving;
mod operations;
mod registry;
mod small_store;
mod sqlite;

use async_trait::async_trait;
use kez_core::ServerName;

pub use blobs::{
    BlobRefusal, BlobUsage, Blobs, ListedBlob, PartReceived, Reference, Upload, UploadOpened, UploadWanted,
};
pub use contacts::{AcceptRefusal, Answered, Contact, Contacts, Peer, RemoveRefusal, Removed};
pub use conversations::{
    AcceptedBundle, AcceptedFrame, Appended, Author, BadCursor, BundleRefusal, CONVERSATIONS_MAX, Committed,
    Conversation, ConversationSummary, Conversations, Creation, FramePage, FrameRefusal, Head, MembersFault,
    MessageLimits, NewWelcome, NotAdmitted, PageLimits, PageRefusal, Placed, Recipient, StoredFrame, Tell,
};
pub use devices::{
    ACTIVE_DEVICES_MAX, AcceptedDevice, AcceptedRevocation, AccountId, ActiveDevice, DEVICES_EVER_MAX,
    DeviceRow, Devices, EnrolRefusal, Enrolled, EnrolledHow, RevokeRefusal, Revoked, Standing, StoredDevice,
    Woken,
};
pub use inbox::{
    AckRefusal, ConversationRow, CursorRefusal, DeviceChange, EVENT_BYTES, Event, InboxLimits, InboxPage,
    Inboxes, Mailbox, News, NoMailbox, Retention, Swept,
};
pub use key_packages::{
    CLAIM_LIFETIME_SECONDS_MIN, CLAIM_REPEAT_SECONDS, CLAIM_WINDOW_SECONDS, CLAIMS_PER_CLAIMER_MAX,
    CLAIMS_PER_TARGET_MAX, Claim, ClaimRefusal, Claimed, ClaimedKeyPackage, KeyPackageCounts, KeyPackages,
    ONE_TIME_MAX, UploadRefusal,
};
pub use kez_serve::storage::{StoreError, StoreHealth};
pub use leaving::{
    AcceptedDeletion, Deletion, DeletionRefusal, DeletionRow, Exhibit, ExportPage, ExportPlace, Exported,
    Leaving,
};
pub use operations::{
    AccountQuota, Action, AuditEntry, AuditId, BadReason, NoHolder, Operations, QuotaChange, Reason,
    ReinstateRefusal, SuspendRefusal, Suspension, UnknownAction, Usage,
};
pub use registry::{Account, INVITES_MAX, Past, RegisterRefusal, Registered, Registry};
pub use small_store::{Entry, EntryHead, EntryRefusal, EntryWrite, SmallStore};
pub use sqlite::SqliteStore;

/// The home server's state. Each write is durable when its future resolves, or has not happened.
#[async_trait]
pub trait Store:
    Registry
    + Devices
    + Conversations
    + Contacts
    + KeyPackages
    + Inboxes
    + SmallStore
    + Blobs
    + Operations
    + Leaving
{
    /// The name of the server whose home this is: `server`, when the store is new.
    async fn claim(&self, server: &ServerName) -> Result<ServerName, StoreError>;

    /// How the last write went; costs nothing.
    fn health(&self) -> StoreHealth;

    /// Finishes what was accepted and closes.
    async fn close(&self);
}
