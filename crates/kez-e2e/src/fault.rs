//! Why a step cannot be taken.

use std::error::Error;

use kez_core::{ConversationId, MessageId};

use crate::room::BadRoom;

/// Why a step was not taken. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The device has no such conversation, or is not in it any more.
    #[error("this device is not in that conversation")]
    NotInConversation,
    /// The device is in this conversation already.
    #[error("this device is in that conversation already")]
    AlreadyThere,
    /// The conversation was frozen, because something in it broke the rules.
    #[error("the conversation is frozen: {0}")]
    Frozen(String),
    /// A change of this device waits for its place in the log; only one can.
    #[error("another change of the conversation is under way")]
    ChangePending,
    /// There is no such message of this device that waits to be sent.
    #[error("no message {0} waits to be sent")]
    NotWaiting(MessageId),
    /// The message id was used before.
    #[error("the message id {0} was used before")]
    MidReused(MessageId),
    /// The payload is too long, in bytes of JSON.
    #[error("a message has at most {max} bytes, and this one has {bytes}")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// A key package is not one of the device that it is said to be of, or cannot be used now.
    #[error("a key package of the other side cannot be used: {0}")]
    BadKeyPackage(&'static str),
    /// The change would break the rules of conversations.
    #[error("the change is not allowed: {0}")]
    NotAllowed(&'static str),
    /// A Welcome or a group information leads into no good conversation.
    #[error("the way into the conversation is not good: {0}")]
    BadEntry(&'static str),
    /// The room of a group cannot be read.
    #[error(transparent)]
    Room(#[from] BadRoom),
    /// Stored state is not what this program wrote.
    #[error("the stored state of {what} is damaged")]
    Damaged {
        /// What of.
        what: &'static str,
    },
    /// The MLS library failed.
    #[error("{doing}: {source}")]
    Mls {
        /// At what.
        doing: &'static str,
        /// Its reason.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The step was made before another one was stored.
    #[error("the step was made from a state that is over")]
    StaleStep,
    /// A conversation id that is used for something else.
    #[error("the conversation id {0} is taken")]
    ConversationExists(ConversationId),
}

impl Fault {
    pub(crate) fn mls(doing: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Mls { doing, source: Box::new(source) }
    }
}
