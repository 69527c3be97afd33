//! The engine's own records: conversations, what waits to be sent, and the history.

use kez_core::{ConversationId, DeviceId, FrameKind, MessageId, PublicKey, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::bundle::{Bundle, bytes};
use crate::fault::Fault;
use crate::payload::{Payload, as_text};
use crate::policy::Leaf;
use crate::storage::{Key, Overlay, Rows};

const CONVERSATION: u8 = b'c';
const ENTRY: u8 = b'e';
const OUTBOX: u8 = b'o';
const HISTORY: u8 = b'm';

/// A conversation, as this device has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conversation {
    pub(crate) state: State,
    /// The number of the last frame that was processed.
    pub(crate) cursor: u64,
    /// A change of this device that waits for its place in the log.
    pub(crate) pending: Option<Bundle>,
    /// When this device last renewed its keys here, in Unix seconds, by the server's time; 0: not since it was let in.
    pub(crate) renewed_at: i64,
    /// Messages of this device since then.
    pub(crate) sent: u32,
    /// Frames of this epoch that could not be read.
    pub(crate) failures: u32,
}

/// Where a conversation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Made here; the server has not shown it yet.
    Creating,
    /// This device is in it.
    Active,
    /// The server has taken nothing of it yet: this device wants to come in by itself.
    Entering,
    /// What this device has of it is of no use any more; it can come in by itself.
    Lost,
    /// Something in it broke the rules.
    Frozen(String),
    /// This device was removed from it.
    Left,
}

/// An entry by this device that waits for its place in the log: the records of the group it makes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) bundle: Bundle,
    /// Of the group, by their keys, in base64 as everywhere.
    pub(crate) records: Vec<Record>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(with = "bytes")]
    pub(crate) key: Vec<u8>,
    #[serde(with = "bytes")]
    pub(crate) content: Vec<u8>,
}

/// A message of this device that the log has not shown yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Its place in the order of sending.
    pub(crate) order: u64,
    pub(crate) mid: MessageId,
    /// The epoch that `frame` is encrypted in.
    pub(crate) epoch: u64,
    #[serde(with = "bytes")]
    pub(crate) frame: Vec<u8>,
    #[serde(with = "as_text")]
    pub(crate) payload: Payload,
}

/// A line of the history of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// Its id.
    pub mid: MessageId,
    /// What it is.
    pub what: What,
}

/// What a line of the history is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// Something said.
    Said {
        /// By whom.
        sender: PublicKey,
        /// From which device.
        device_id: DeviceId,
        /// What.
        #[serde(with = "as_text")]
        payload: Payload,
    },
    /// A change of people or devices.
    Changed {
        /// By whom.
        by: PublicKey,
        /// Devices that came.
        came: Vec<Device>,
        /// Devices that went.
        went: Vec<Device>,
    },
    /// Something that this device cannot read.
    Unreadable,
}

/// Somebody's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Device {
    /// Whose.
    pub primary: PublicKey,
    /// Which.
    pub device_id: DeviceId,
}

impl From<&Leaf> for Device {
    fn from(leaf: &Leaf) -> Self {
        Self { primary: leaf.primary, device_id: leaf.device_id }
    }
}

/// A frame of the log, as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFrame {
    /// Its number in the conversation.
    pub seq: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// Its id.
    pub mid: MessageId,
    /// What it carries, by the server's word.
    pub kind: FrameKind,
    /// The MLS message.
    pub frame: Vec<u8>,
}

pub(crate) fn conversation_key(cid: ConversationId) -> Key {
    [&[CONVERSATION], &cid.as_bytes()[..]].concat()
}

pub(crate) fn entry_key(cid: ConversationId) -> Key {
    [&[ENTRY], &cid.as_bytes()[..]].concat()
}

pub(crate) fn outbox_prefix(cid: ConversationId) -> Key {
    [&[OUTBOX], &cid.as_bytes()[..]].concat()
}

pub(crate) fn outbox_key(cid: ConversationId, mid: MessageId) -> Key {
    [&[OUTBOX], &cid.as_bytes()[..], &mid.as_bytes()[..]].concat()
}

pub(crate) fn history_prefix(cid: ConversationId) -> Key {
    [&[HISTORY], &cid.as_bytes()[..]].concat()
}

pub(crate) fn history_key(cid: ConversationId, seq: u64) -> Key {
    [&[HISTORY], &cid.as_bytes()[..], &seq.to_be_bytes()].concat()
}

/// The conversations that have records.
pub(crate) fn conversation_ids(rows: &Rows) -> impl Iterator<Item = ConversationId> {
    let prefix = vec![CONVERSATION];
    rows.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix)).filter_map(
        |(key, _)| {
            let id = key.get(1..)?.try_into().ok()?;
            Some(ConversationId::from_bytes(id))
        },
    )
}

/// Reads a record.
pub(crate) fn read<T: DeserializeOwned>(
    overlay: &Overlay<'_>,
    key: &[u8],
    what: &'static str,
) -> Result<Option<T>, Fault> {
    overlay.read(key).map(|bytes| decode(&bytes, what)).transpose()
}

/// Reads a record's content.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|_| Fault::Damaged { what })
}

/// Writes a record.
pub(crate) fn write(overlay: &Overlay<'_>, key: Key, value: &impl Serialize) -> Result<(), Fault> {
    let bytes = serde_json::to_vec(value).map_err(|error| Fault::mls("writing a record", error))?;
    overlay.write(key, bytes);
    Ok(())
}
