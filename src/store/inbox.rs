//! What an account has to read, in one order.
//!
//! An inbox is a list of events, numbered 1, 2, … per account and read by every device of it. Each device has a cursor:
//! the number up to which it acknowledged. Events go from the front only, so what is left of an inbox is always whole.

use async_trait::async_trait;
use kez_core::{ContactChange, ConversationId, ConversationKind, DeviceId, FrameKind, MessageId, Timestamp};
use serde::Serialize;

use super::{AccountId, DeviceRow, Peer, StoreError};

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChange {
    /// It was taken in.
    Enrolled,
    /// It got a new certificate and another end.
    Renewed,
    /// It was revoked.
    Revoked,
}

/// An event of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub n: u64,
    /// What it tells.
    pub news: News,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A frame of a conversation.
    Frame {
        /// The conversation.
        cid: ConversationId,
        /// Its place in the conversation.
        seq: u64,
        /// When the server took it, in whole milliseconds.
        at: Timestamp,
        /// The id that its sender gave it.
        mid: MessageId,
        /// What kind of message it carries.
        kind: FrameKind,
        /// One MLS message, at most 64 KiB; of a commit at most 512 KiB.
        frame: Vec<u8>,
    },
    /// A Welcome to a conversation, for devices of the account.
    Welcome {
        /// The conversation.
        cid: ConversationId,
        /// What kind of conversation it is.
        kind: ConversationKind,
        /// The commit that it belongs to: the first frame that its readers need comes after it.
        seq: u64,
        /// When the server took that commit, in whole milliseconds.
        at: Timestamp,
        /// One MLS message, at most 512 KiB.
        welcome: Vec<u8>,
        /// The devices of the account that it is for.
        device_ids: Vec<DeviceId>,
    },
    /// Something happened to a device of the account.
    Device {
        /// The device.
        device_id: DeviceId,
        /// What.
        change: DeviceChange,
        /// When, in whole milliseconds.
        at: Timestamp,
    },
    /// Something happened between the account and somebody.
    Contact {
        /// The conversation of the two.
        cid: ConversationId,
        /// What.
        change: ContactChange,
        /// When, in whole milliseconds.
        at: Timestamp,
        /// The other side; `None`: it has left the server.
        peer: Option<Peer>,
    },
}

/// How far an inbox and a device in it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailbox {
    /// The number of the last event ever put in.
    pub head: u64,
    /// The number of the first event that is still there, or will be the next.
    pub oldest: u64,
    /// The number up to which the device acknowledged.
    pub acked: u64,
    /// When the device ends by itself, in whole seconds: whether it has is for the reader to say.
    pub expires_at: Timestamp,
}

/// How much of an inbox is read at once, at most. One event is read whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// Events.
    pub events: u32,
    /// Bytes of frames and Welcomes, and [`EVENT_BYTES`] for each event.
    pub bytes: usize,
}

/// What an event is counted for besides its frame or Welcome: about the size of the rest of its JSON.
pub const EVENT_BYTES: usize = 256;

/// A piece of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPage {
    /// The events after the cursor, in the order of their numbers, without a gap.
    pub events: Vec<Event>,
    /// The number of the last event ever put in; more is there when the last one of `events` is another.
    pub head: u64,
}

/// Why an inbox is not read from a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorRefusal {
    /// Events after the cursor were dropped.
    #[error("events after this cursor are gone; the oldest that is left is {oldest}")]
    Gone {
        /// The number of the first event that is still there, or will be the next.
        oldest: u64,
    },
    /// No such event has been put in yet.
    #[error("the last event of this inbox is {head}")]
    BeyondHead {
        /// The number of the last event.
        head: u64,
    },
}

/// Why a device reads no inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMailbox {
    /// The device was revoked.
    #[error("the device was revoked")]
    DeviceRevoked,
    /// The account is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
}

/// Why an acknowledgement is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckRefusal {
    /// The device has no inbox to read.
    #[error(transparent)]
    NoMailbox(#[from] NoMailbox),
    /// No such event has been put in yet.
    #[error("the last event of this inbox is {head}")]
    BeyondHead {
        /// The number of the last event.
        head: u64,
    },
}

/// What may be dropped at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The moment: a device that has expired by then is waited for no more.
    pub now: Timestamp,
    /// An event of this age or older may go once every active device acknowledged it.
    pub settled_at: Timestamp,
    /// An event of this age or older goes in any case.
    pub expired_at: Timestamp,
}

/// What one portion of a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept<P> {
    /// Events that were dropped.
    pub events: u64,
    /// Frames that were dropped.
    pub frames: u64,
    /// Where the next portion begins; `None`: the end was reached.
    pub next: Option<P>,
}

/// A conversation's row. Never on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConversationRow(pub(in crate::store) i64);

/// The inboxes of the accounts.
#[async_trait]
pub trait Inboxes: std::fmt::Debug + Send + Sync + 'static {
    /// How far an inbox and this device in it are.
    async fn mailbox(&self, device: DeviceRow) -> Result<Result<Mailbox, NoMailbox>, StoreError>;

    /// The events after a cursor: one page of one state.
    async fn events(
        &self,
        account: AccountId,
        after: u64,
        limits: InboxLimits,
    ) -> Result<Result<InboxPage, CursorRefusal>, StoreError>;

    /// Moves the cursor of a device to `n`, or leaves it where it is further; answers where it is.
    async fn ack(&self, device: DeviceRow, n: u64) -> Result<Result<u64, AckRefusal>, StoreError>;

    /// Drops from the inboxes after this account what may go, and the frames and Welcomes that nobody needs then. One
    /// portion: some milliseconds of the writer's time at most. Safe to be broken off and to be repeated.
    async fn sweep_inboxes(
        &self,
        after: Option<AccountId>,
        retention: Retention,
    ) -> Result<Swept<AccountId>, StoreError>;

    /// Drops frames that no inbox points to any more, from the conversations after this one. A portion, as above. Finds
    /// what [`sweep_inboxes`](Self::sweep_inboxes) left over.
    async fn sweep_conversations(
        &self,
        after: Option<ConversationRow>,
        retention: Retention,
    ) -> Result<Swept<ConversationRow>, StoreError>;

    /// The time by which things were dropped, as it was noted last; `None`: it never was.
    async fn noted_time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Notes it, in whole seconds; it may go back.
    async fn note_time(&self, now: Timestamp) -> Result<(), StoreError>;
}
