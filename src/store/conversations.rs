//! Conversations: created, changed by commits, written to, read. SPEC "Conversations".

use std::time::Duration;

use async_trait::async_trait;
use kez_core::{
    ConversationId, ConversationKind, ConversationState, DeviceId, FrameKind, Members, MessageId, PublicKey,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{AccountId, DeviceRow, StoreError, Woken};
use crate::contacts::{REQUEST_BUNDLE_BYTES_MAX, REQUEST_FRAME_BYTES_MAX, REQUESTS_SENT_MAX};
use crate::sending::NoRoom;

/// The most conversations that somebody may create, ever. Ours: a busy person has hundreds.
pub const CONVERSATIONS_MAX: u32 = 10_000;

/// What bounds messages besides the quotas of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// How large the store may get, in bytes, before it takes no more of them.
    pub storage_bytes_max: u64,
    /// The time over which what an account has sent flows back to it: as long as messages are kept.
    pub period: Duration,
}

impl Default for MessageLimits {
    /// No bound on the store; 30 days.
    fn default() -> Self {
        Self { storage_bytes_max: u64::MAX, period: Duration::from_hours(30 * 24) }
    }
}

/// The device that writes, by its rows. Each write looks again whether it was revoked meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    /// Its account.
    pub account: AccountId,
    /// Itself.
    pub device: DeviceRow,
}

/// A commit with what belongs to it, checked as far as its own bytes tell. It is stored whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBundle {
    /// Chosen by the client; the message id of the commit.
    pub id: MessageId,
    /// The epoch that the commit ends.
    pub epoch: u64,
    /// The frame.
    pub commit: Vec<u8>,
    /// Whether the commit's device joins by it, which changes nobody's membership.
    pub is_external: bool,
    /// One for each group of newcomers.
    pub welcomes: Vec<NewWelcome>,
    /// What a device needs to join by itself in the new epoch. Opaque.
    pub group_info: Vec<u8>,
    /// Who is in the conversation from then on; the author among them.
    pub members_after: Members,
    /// SHA-256 of everything that was asked for: tells a repetition from another request.
    pub request_sha256: [u8; 32],
    /// The server's time.
    pub at: Timestamp,
}

impl AcceptedBundle {
    /// How many bytes its parts have together.
    pub fn bytes(&self) -> usize {
        let welcomes: usize = self.welcomes.iter().map(|welcome| welcome.bytes.len()).sum();
        self.commit.len() + welcomes + self.group_info.len()
    }
}

/// A Welcome and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWelcome {
    /// The MLS message.
    pub bytes: Vec<u8>,
    /// Devices of members.
    pub to: Vec<Recipient>,
}

/// A device by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The key that took it in.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
}

/// An application message, checked as far as its own bytes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedFrame {
    /// Chosen by the client.
    pub id: MessageId,
    /// The epoch that it is encrypted in.
    pub epoch: u64,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The epoch that frames are accepted in.
    pub epoch: u64,
    /// The number of the last frame.
    pub seq: u64,
}

/// The place of a stored frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its number in the conversation: 1, 2, ….
    pub seq: u64,
    /// When the server accepted it, in whole milliseconds.
    pub at: Timestamp,
    /// Whether it was stored before, by the same request.
    pub is_repeated: bool,
}

/// What became of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Of its commit.
    pub placed: Placed,
    /// The generation of the conversation: 1, and one more each time a pair moves to a new one.
    pub generation: u64,
    /// The inboxes that got something.
    pub woken: Vec<Woken>,
}

/// What the creation of a conversation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// There is one.
    Made {
        /// Its first bundle.
        committed: Committed,
        /// Its state now.
        state: ConversationState,
    },
    /// There is none, because the other side had asked, which is accepted by it.
    Accepts {
        /// The conversation by which it asked.
        cid: ConversationId,
        /// The inboxes that got something.
        woken: Vec<Woken>,
    },
}

/// What became of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// A verdict for each frame, in their order.
    pub verdicts: Vec<Result<Placed, FrameRefusal>>,
    /// The inboxes that got something.
    pub woken: Vec<Woken>,
}

/// Told of the inboxes that got something, as soon as that is durable and before the writer itself hears of it: listeners
/// need not wait until somebody takes the answer. Called at most once, on a thread that must not wait.
pub type Tell = Box<dyn FnOnce(&[Woken]) + Send>;

/// The author may not write here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The device was revoked while the call was under way.
    #[error("the device was revoked")]
    DeviceRevoked,
    /// The account is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// No such conversation, or the account is not in it: nobody learns which.
    #[error("not a member of such a conversation")]
    NotAMember,
}

/// Why one frame is refused, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameRefusal {
    /// The id belongs to another request.
    #[error("this id was used for another message of the conversation")]
    MidReused,
    /// The conversation is a request that was not answered yet.
    #[error("the request was not answered yet")]
    RequestPending,
    /// The frame of a request is longer than [`REQUEST_FRAME_BYTES_MAX`].
    #[error("the frame of a request has at most {REQUEST_FRAME_BYTES_MAX} bytes")]
    RequestFrameTooLarge,
    /// Nobody may write here any more.
    #[error("the conversation is closed")]
    Closed {
        /// Where it goes on.
        replaced_by: Option<ConversationId>,
    },
    /// The frame is of another epoch than the head.
    #[error("the conversation is in another epoch")]
    StaleEpoch(Head),
    /// The author may not send this now.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Why a bundle is refused, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleRefusal {
    /// The author may not write here.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// On creation: the id belongs to another conversation, or to another request.
    #[error("this id belongs to another conversation")]
    CidTaken,
    /// On creation: the pair, or the person, has its conversation.
    #[error("there is a conversation of these members")]
    ConversationExists {
        /// That one.
        cid: ConversationId,
    },
    /// On creation: the author has created [`CONVERSATIONS_MAX`].
    #[error("one may create {CONVERSATIONS_MAX} conversations")]
    TooManyConversations,
    /// The commit is refused as a frame.
    #[error(transparent)]
    Frame(#[from] FrameRefusal),
    /// The members would be others than this conversation may have.
    #[error("{0}")]
    BadMembers(MembersFault),
    /// A newcomer of a group has not accepted the author as a contact.
    #[error("a newcomer has not accepted you as a contact")]
    ContactRequired {
        /// Who.
        primary: PublicKey,
    },
    /// A Welcome is for a device that is not enrolled, or was revoked, or has expired.
    #[error("a Welcome is for a device that is not active")]
    BadWelcome,
    /// On creation of a request: it is longer than [`REQUEST_BUNDLE_BYTES_MAX`].
    #[error("a request has at most {REQUEST_BUNDLE_BYTES_MAX} bytes of commit, Welcomes and group info")]
    RequestTooLarge,
    /// On creation of a request: as many of the author's wait as may.
    #[error("{REQUESTS_SENT_MAX} of your requests wait for an answer")]
    RequestsSent,
    /// On creation of a request: as many wait for the other side as may.
    #[error("too many requests wait for this person")]
    RequestsReceived,
}

/// Why somebody may not become, or cease to be, a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembersFault {
    /// A direct conversation, one of own devices, and an external commit keep the members that there are.
    #[error("the members of this conversation cannot change by this commit")]
    Fixed,
    /// A newcomer never enrolled a device here.
    #[error("a newcomer has no device here")]
    Unknown,
    /// No Welcome is for a device of a newcomer.
    #[error("a newcomer gets no Welcome")]
    NoWelcome,
}

/// A conversation as its members see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub cid: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Who may write to it.
    pub state: ConversationState,
    /// Where it goes on, if it does.
    pub replaced_by: Option<ConversationId>,
    /// The generation: 1, and one more each time a pair moves to a new one.
    pub generation: u64,
    /// Where it stands.
    pub head: Head,
    /// The first frame that the reader may still read.
    pub oldest: u64,
    /// Who is in it.
    pub members: Members,
    /// What a device needs to join by itself. Opaque.
    pub group_info: Vec<u8>,
}

/// A line in the list of one's conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationSummary {
    /// Its id.
    pub cid: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Who may write to it.
    pub state: ConversationState,
    /// Where it stands.
    pub head: Head,
}

/// Why there is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the list cannot go on after a conversation that is not in it")]
pub struct BadCursor;

/// A stored frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server accepted it, in whole milliseconds.
    pub at: Timestamp,
    /// Its id.
    pub mid: MessageId,
    /// What it carries.
    pub kind: FrameKind,
    /// The MLS message.
    pub bytes: Vec<u8>,
}

/// How much of a conversation is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// The most frames.
    pub frames_max: u32,
    /// The most bytes of frames, but for the first, which always comes.
    pub bytes_max: usize,
}

/// A piece of a conversation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePage {
    /// In the order of their numbers, without gaps.
    pub frames: Vec<StoredFrame>,
    /// The number of the last frame that the reader may read.
    pub head: u64,
    /// The first frame that the reader may still read.
    pub oldest: u64,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageRefusal {
    /// No such conversation, or the account never was in it.
    #[error("not a member of such a conversation")]
    NotAMember,
    /// Frames after the cursor were dropped.
    #[error("the log begins at {oldest}")]
    Gone {
        /// The first frame that the reader may still read.
        oldest: u64,
    },
}

/// Conversations and their frames.
///
/// An engine with several writers at once takes the row of the conversation before it reads its head, and then the rows of
/// accounts in the order of their numbers, in every write: else two writes give one number twice, or wait for each other.
#[async_trait]
pub trait Conversations: std::fmt::Debug + Send + Sync + 'static {
    /// Creates a conversation with its first bundle, in one step; says so when it was done before. A `direct` one of
    /// strangers is a request; where the other side has asked, that request is accepted instead.
    async fn create(
        &self,
        by: Author,
        cid: ConversationId,
        kind: ConversationKind,
        bundle: AcceptedBundle,
    ) -> Result<Result<Creation, BundleRefusal>, StoreError>;

    /// Ends the epoch by a commit, with all that belongs to it, in one step; says so when it was done before.
    async fn commit(
        &self,
        by: Author,
        cid: ConversationId,
        bundle: AcceptedBundle,
    ) -> Result<Result<Committed, BundleRefusal>, StoreError>;

    /// Appends frames in their order, each with its own verdict, at the server's time `at`; tells of the inboxes that got
    /// something.
    async fn append(
        &self,
        by: Author,
        cid: ConversationId,
        frames: Vec<AcceptedFrame>,
        at: Timestamp,
        tell: Tell,
    ) -> Result<Result<Appended, NotAdmitted>, StoreError>;

    /// Whether the account is in this conversation.
    async fn is_member(&self, account: AccountId, cid: ConversationId) -> Result<bool, StoreError>;

    /// A conversation that the account is in, as it is at `now`.
    async fn conversation(
        &self,
        account: AccountId,
        cid: ConversationId,
        now: Timestamp,
    ) -> Result<Option<Conversation>, StoreError>;

    /// The conversations that the account is in, as they are at `now`, oldest first: up to `limit` after one that it is
    /// or was in.
    async fn conversations(
        &self,
        account: AccountId,
        after: Option<ConversationId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Result<Vec<ConversationSummary>, BadCursor>, StoreError>;

    /// The frames after the number `after` that the account may read: also of a conversation that it was in.
    async fn frames(
        &self,
        account: AccountId,
        cid: ConversationId,
        after: u64,
        limits: PageLimits,
    ) -> Result<Result<FramePage, PageRefusal>, StoreError>;
}
