//! What conversations there are. SPEC "Conversations".

use serde::{Deserialize, Serialize};

/// A kind of conversation, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two people, for ever the same; a pair has one.
    Direct,
    /// People who come and go.
    Group,
    /// The devices of one person; each has one.
    #[serde(rename = "self")]
    OwnDevices,
}
