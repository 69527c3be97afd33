//! Who asked whom, who accepted whom. SPEC "Contacts".

use async_trait::async_trait;
use kez_core::{ContactState, ConversationId, Handle, PublicKey, Timestamp};

use super::{AccountId, Author, BadCursor, NotAdmitted, StoreError, Woken};

/// Somebody of this server, as others are told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The key.
    pub primary: PublicKey,
    /// The handle that it holds, and since when, in whole seconds; `None`: it was given up.
    pub handle: Option<(Handle, Timestamp)>,
}

/// A line in the list of one's contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who it is.
    pub peer: Peer,
    /// What they are to the reader.
    pub state: ContactState,
    /// When one asked the other, in whole milliseconds.
    pub asked_at: Timestamp,
    /// Since when it is so, in whole milliseconds.
    pub at: Timestamp,
    /// The conversation of the two, and its generation.
    pub conversation: Option<(ConversationId, u64)>,
}

/// What an acceptance did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The inboxes that got something; none, where it was accepted before.
    pub woken: Vec<Woken>,
}

/// Why nothing is accepted, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptRefusal {
    /// The author may not write here.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// It is the author's own request.
    #[error("the request was not answered yet")]
    Pending,
    /// The request has expired, or the conversation is closed.
    #[error("the conversation is closed")]
    Closed {
        /// Where it goes on.
        replaced_by: Option<ConversationId>,
    },
}

/// What the removal of a contact did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// What they are now; `None`: a stranger.
    pub state: Option<ContactState>,
    /// The inboxes that got something.
    pub woken: Vec<Woken>,
}

/// Why a contact is not removed, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveRefusal {
    /// The author may not write.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// The author's own request is not answered yet: it cannot be taken back.
    #[error("the request was not answered yet")]
    Pending,
}

/// Contacts of the accounts.
#[async_trait]
pub trait Contacts: std::fmt::Debug + Send + Sync + 'static {
    /// The contacts and waiting requests of an account at `now`: up to `limit` after one of a known key.
    async fn contacts(
        &self,
        account: AccountId,
        after: Option<PublicKey>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Result<Vec<Contact>, BadCursor>, StoreError>;

    /// Accepts the request that a conversation is, at the server's time `at`; changes nothing where that was done, and
    /// in a conversation that is no request.
    async fn accept(
        &self,
        by: Author,
        cid: ConversationId,
        at: Timestamp,
    ) -> Result<Result<Answered, AcceptRefusal>, StoreError>;

    /// Declines the request of somebody, or makes a stranger of a contact, at the server's time `at`.
    async fn remove_contact(
        &self,
        by: Author,
        peer: PublicKey,
        at: Timestamp,
    ) -> Result<Result<Removed, RemoveRefusal>, StoreError>;

    /// Makes contacts of all accounts, for tests about something else.
    #[cfg(test)]
    async fn befriend_everybody(&self);
}
