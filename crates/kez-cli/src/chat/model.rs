//! What a person sees of conversations, as it is kept on this device. SPEC "Device records".

use std::collections::{BTreeMap, BTreeSet};

use kez_core::{ConversationId, ConversationKind, DeviceId, MessageId, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chat {
    pub(crate) cid: ConversationId,
    pub(crate) kind: ConversationKind,
    pub(crate) state: State,
    /// What an admin called a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) members: BTreeSet<PublicKey>,
    /// Everybody's devices.
    #[serde(default)]
    pub(crate) devices: BTreeSet<(PublicKey, DeviceId)>,
    /// The other one, of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<PublicKey>,
    /// Of a group.
    #[serde(default)]
    pub(crate) admins: BTreeSet<PublicKey>,
    /// The number of the newest entry, and when the server took it; what chats are sorted by.
    #[serde(default)]
    pub(crate) newest_seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest_at: Option<Timestamp>,
    /// Up to which number everything was read, on whichever device.
    #[serde(default)]
    pub(crate) read_seq: u64,
    /// Messages of others after that.
    #[serde(default)]
    pub(crate) unread: u32,
    /// Whether the safety number was compared, of a conversation of two.
    #[serde(default)]
    pub(crate) verified: bool,
    /// Entries that are kept.
    #[serde(default)]
    pub(crate) kept: u64,
}

/// How a conversation stands for this account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(crate) enum State {
    /// Everybody may speak.
    Open,
    /// Somebody wants to talk, and nobody has answered yet.
    Request,
    /// This account wants to talk, and the other has not answered yet.
    Asked,
    /// This account is no longer in it.
    Left,
    /// Something was refused: nothing more is said or believed here.
    Frozen {
        /// In words.
        reason: String,
    },
}

/// An entry of a conversation's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Its number in the conversation. Numbers have gaps: not every frame is an entry.
    pub(crate) seq: u64,
    pub(crate) mid: MessageId,
    /// When the server took it.
    pub(crate) at: Timestamp,
    /// Who said it; of a notice, who did it.
    pub(crate) from: PublicKey,
    /// From which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<DeviceId>,
    pub(crate) content: Content,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) edited: bool,
    /// Emoji, and who put them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) reactions: BTreeMap<String, BTreeSet<PublicKey>>,
    /// Who has it, of an own message.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) delivered: BTreeSet<PublicKey>,
    /// Who has read it, of an own message.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) read: BTreeSet<PublicKey>,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(crate) enum Content {
    /// Text.
    Text {
        body: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Reply>,
    },
    /// Files, with words to them.
    Files {
        files: Vec<FileRef>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// It was taken back.
    Deleted,
    /// Something happened to the conversation.
    Notice(Notice),
    /// Something that a newer program said.
    Newer {
        /// Its name.
        what: String,
    },
    /// A message that this device cannot open.
    Unreadable,
}

/// What a message answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) mid: MessageId,
    pub(crate) quote: String,
}

/// An encrypted file at the home server, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRef {
    /// SHA-256 of the ciphertext, hex.
    pub(crate) blob: String,
    /// 32 bytes, base64url.
    pub(crate) key: String,
    /// Of the plaintext, in bytes.
    pub(crate) size: u64,
    pub(crate) name: String,
    pub(crate) mime: String,
}

/// Something that happened to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(crate) enum Notice {
    /// It was begun.
    Begun,
    /// Somebody let this device in.
    Welcomed,
    /// This device came in by itself; what was said before is not on it.
    Joined,
    /// People came in.
    Added { people: BTreeSet<PublicKey> },
    /// People went, or were removed.
    Removed { people: BTreeSet<PublicKey> },
    /// Somebody asks to be removed.
    Leaving,
    /// A device of the actor, or of somebody else, came in.
    DeviceAdded { owner: PublicKey, device: DeviceId },
    /// A device went.
    DeviceRemoved { owner: PublicKey, device: DeviceId },
    /// It has another name.
    Renamed { name: String },
    /// The admins are others.
    Admins { admins: BTreeSet<PublicKey> },
    /// This device had lost its place and is back; something may be missing.
    Repaired,
    /// What came before is no longer to be had.
    Missed,
    /// Something was refused, and nothing more is believed here.
    Frozen { reason: String },
}

/// A message that this device has yet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) cid: ConversationId,
    pub(crate) content: Content,
}

impl Content {
    /// The words that a search looks through.
    pub(crate) fn words(&self) -> Option<&str> {
        match self {
            Self::Text { body, .. } => Some(body),
            Self::Files { body, .. } => body.as_deref(),
            _ => None,
        }
    }

    /// The names of files that a search looks through.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &str> {
        let files = match self {
            Self::Files { files, .. } => files.as_slice(),
            _ => &[],
        };
        files.iter().map(|file| file.name.as_str())
    }

    /// Whether somebody said it, so that it counts as unread.
    pub(crate) fn is_said(&self) -> bool {
        !matches!(self, Self::Notice(_))
    }
}

impl Chat {
    /// Whether people see it: the conversation of one's own devices is theirs.
    pub(crate) fn is_shown(&self) -> bool {
        self.kind != ConversationKind::OwnDevices
    }

    /// The other one, of two.
    pub(crate) fn peer(&self) -> Option<PublicKey> {
        self.peer
    }
}

impl State {
    /// Whether this account may speak.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open | Self::Asked)
    }
}
