//! What two people are to each other, and whether they may write. SPEC "Contacts".

use serde::{Deserialize, Serialize};

/// Who may write to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationState {
    /// Its members.
    Open,
    /// A request that was not answered: who asked may send one small frame.
    Pending,
    /// Nobody, for ever: members go on to read it.
    Closed,
}

/// What somebody is to me.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// I asked, and wait.
    Outgoing,
    /// They asked, and wait.
    Incoming,
    /// One asked and the other accepted.
    Accepted,
    /// They asked, and I do not want to see it. They are not told.
    Declined,
}

/// What happened between me and somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactChange {
    /// I asked, with another device.
    Outgoing,
    /// They asked.
    Incoming,
    /// One of us accepted.
    Accepted,
    /// I declined, with another device.
    Declined,
    /// We are contacts no more, and our conversation is closed.
    Closed,
    /// Our conversation goes on in another one.
    Replaced,
}
