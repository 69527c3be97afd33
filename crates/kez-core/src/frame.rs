//! What is bound to each message of a conversation outside its ciphertext. SPEC "Conversation frames".

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::key::PublicKey;

/// The most people in one conversation. Each commit's cost grows with the people, and a client draws all of them.
pub const MEMBERS_MAX: usize = 64;

/// The most frames in one request. Ours: what a device said while it was offline goes out in a few calls.
pub const FRAMES_MAX: usize = 16;

/// The longest body of a request with frames, in bytes: one frame of 64 KiB, or as much in several as a bundle may have,
/// in base64url with what stands around it.
pub const FRAMES_BODY_BYTES_MAX: usize = 704 * 1024;

/// What kind of message a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// Something said: an MLS application message.
    App,
    /// A change of the group: an MLS commit.
    Commit,
}

/// The people of a conversation: 1 to [`MEMBERS_MAX`] different primary keys, sorted by their bytes. In JSON an array,
/// in any order when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<PublicKey>", into = "Vec<PublicKey>")]
pub struct Members(Vec<PublicKey>);

/// Why keys are not the members of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMembers {
    /// Nobody.
    #[error("a conversation has at least one member")]
    Empty,
    /// More than [`MEMBERS_MAX`].
    #[error("a conversation has at most 64 members")]
    TooMany,
    /// A key stands twice.
    #[error("a member stands twice")]
    Duplicate,
}

impl FrameKind {
    /// The byte in the authenticated data.
    pub const fn byte(self) -> u8 {
        match self {
            Self::App => 1,
            Self::Commit => 2,
        }
    }
}

impl BadMembers {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooMany => "too_many",
            Self::Duplicate => "duplicate",
        }
    }
}

impl Members {
    /// `members_hash`: SHA-256 of the keys, 32 bytes each, in order. It ties the list by which a server routes to the
    /// roster that the members see.
    pub fn hash(&self) -> [u8; 32] {
        self.0
            .iter()
            .fold(Sha256::new(), |hash, member| hash.chain_update(member.as_bytes()))
            .finalize()
            .into()
    }

    /// The keys, sorted.
    pub fn as_slice(&self) -> &[PublicKey] {
        &self.0
    }

    /// Whether `primary` is one of them.
    pub fn contains(&self, primary: &PublicKey) -> bool {
        self.0.binary_search(primary).is_ok()
    }
}

impl TryFrom<Vec<PublicKey>> for Members {
    type Error = BadMembers;

    fn try_from(mut keys: Vec<PublicKey>) -> Result<Self, BadMembers> {
        if keys.is_empty() {
            return Err(BadMembers::Empty);
        }
        if keys.len() > MEMBERS_MAX {
            return Err(BadMembers::TooMany);
        }
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [first, second] if first == second)) {
            return Err(BadMembers::Duplicate);
        }
        Ok(Self(keys))
    }
}

impl From<Members> for Vec<PublicKey> {
    fn from(members: Members) -> Self {
        members.0
    }
}

/// The `authenticated_data` of MLS messages (RFC 9420 section 6): readable by the server, signed by the sender.
///
/// Everybody who checks a message builds these bytes anew and compares.
pub mod authenticated_data {
    use super::{FrameKind, Members};
    use crate::ids::{ConversationId, MessageId};

    /// What both kinds begin with.
    const DOMAIN: &[u8] = b"kez-chat/frame/v1\0";

    /// Of an application message: 51 bytes.
    pub fn app(conversation: ConversationId, message: MessageId) -> Vec<u8> {
        data(FrameKind::App, conversation, message, &[])
    }

    /// Of a commit after which the conversation has these members: 83 bytes.
    pub fn commit(conversation: ConversationId, message: MessageId, members_after: &Members) -> Vec<u8> {
        data(FrameKind::Commit, conversation, message, &members_after.hash())
    }

    fn data(
        kind: FrameKind,
        conversation: ConversationId,
        message: MessageId,
        members_hash: &[u8],
    ) -> Vec<u8> {
        [DOMAIN, &[kind.byte()], conversation.as_bytes(), message.as_bytes(), members_hash].concat()
    }
}
