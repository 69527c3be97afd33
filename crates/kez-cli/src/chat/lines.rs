//! What `--json` prints of conversations, and what programs may say. SPEC "Chat lines".

use std::path::PathBuf;

use kez_core::{ConversationId, ConversationKind, DeviceId, Fqhn, MessageId, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::{Chat, Content, FileRef, Message, Notice, Reply, State};
use super::words::Names;

/// The longest line that a program may say, in bytes: a text of 16 KiB with every character escaped, and room.
pub(crate) const LINE_BYTES_MAX: usize = 128 * 1024;

/// Somebody.
#[derive(Debug, Serialize)]
pub(crate) struct PersonLine {
    primary: PublicKey,
    /// `None`: this device does not know.
    address: Option<Fqhn>,
}

impl PersonLine {
    pub(crate) fn of(primary: PublicKey, names: &Names) -> Self {
        Self { primary, address: names.known.get(&primary).cloned() }
    }
}

fn people<'a>(keys: impl IntoIterator<Item = &'a PublicKey>, names: &Names) -> Vec<PersonLine> {
    keys.into_iter().map(|key| PersonLine::of(*key, names)).collect()
}

/// A conversation.
#[derive(Debug, Serialize)]
pub(crate) struct ChatLine {
    pub(crate) conversation: ConversationId,
    kind: ConversationKind,
    state: State,
    /// Of a group.
    name: Option<String>,
    /// The other one, of two.
    with: Option<PersonLine>,
    members: Vec<PersonLine>,
    admins: Vec<PersonLine>,
    verified: bool,
    unread: u32,
    newest_at: Option<Timestamp>,
}

impl ChatLine {
    pub(crate) fn of(chat: &Chat, names: &Names) -> Self {
        Self {
            conversation: chat.cid,
            kind: chat.kind,
            state: chat.state.clone(),
            name: chat.name.clone(),
            with: chat.peer().map(|peer| PersonLine::of(peer, names)),
            members: people(&chat.members, names),
            admins: people(&chat.admins, names),
            verified: chat.verified,
            unread: chat.unread,
            newest_at: chat.newest_at,
        }
    }
}

/// An entry of a conversation.
#[derive(Debug, Serialize)]
pub(crate) struct EntryLine {
    conversation: ConversationId,
    id: MessageId,
    seq: u64,
    at: Timestamp,
    from: PersonLine,
    device: Option<DeviceId>,
    mine: bool,
    #[serde(flatten)]
    what: What,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    edited: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delivered_to: Vec<PersonLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    read_by: Vec<PersonLine>,
}

/// What an entry says, by its member `type`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
enum What {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<Reply>,
    },
    Files {
        files: Vec<FileLine>,
        text: Option<String>,
    },
    Deleted,
    Notice {
        notice: NoticeLine,
    },
    Newer {
        what: String,
    },
    Unreadable,
}

/// A file, without what opens it.
#[derive(Debug, Serialize)]
struct FileLine {
    name: String,
    size: u64,
    mime: String,
}

#[derive(Debug, Serialize)]
struct ReactionLine {
    emoji: String,
    from: Vec<PersonLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
enum NoticeLine {
    Begun,
    Welcomed,
    Joined,
    Added { people: Vec<PersonLine> },
    Removed { people: Vec<PersonLine> },
    Leaving,
    DeviceAdded { owner: PersonLine, device: DeviceId },
    DeviceRemoved { owner: PersonLine, device: DeviceId },
    Renamed { name: String },
    Admins { admins: Vec<PersonLine> },
    Repaired,
    Missed,
    Frozen { reason: String },
}

impl EntryLine {
    pub(crate) fn of(cid: ConversationId, entry: &Message, names: &Names) -> Self {
        let reaction =
            |(emoji, from): (&String, _)| ReactionLine { emoji: emoji.clone(), from: people(from, names) };
        Self {
            conversation: cid,
            id: entry.mid,
            seq: entry.seq,
            at: entry.at,
            from: PersonLine::of(entry.from, names),
            device: entry.device,
            mine: names.me == Some(entry.from),
            what: What::of(&entry.content, names),
            edited: entry.edited,
            reactions: entry.reactions.iter().map(reaction).collect(),
            delivered_to: people(&entry.delivered, names),
            read_by: people(&entry.read, names),
        }
    }
}

impl What {
    fn of(content: &Content, names: &Names) -> Self {
        match content.clone() {
            Content::Text { body, reply_to } => Self::Text { text: body, reply_to },
            Content::Files { files, body } => {
                Self::Files { files: files.into_iter().map(FileLine::of).collect(), text: body }
            }
            Content::Deleted => Self::Deleted,
            Content::Notice(notice) => Self::Notice { notice: NoticeLine::of(notice, names) },
            Content::Newer { what } => Self::Newer { what },
            Content::Unreadable => Self::Unreadable,
        }
    }
}

impl FileLine {
    fn of(file: FileRef) -> Self {
        Self { name: file.name, size: file.size, mime: file.mime }
    }
}

impl NoticeLine {
    fn of(notice: Notice, names: &Names) -> Self {
        let person = |key| PersonLine::of(key, names);
        match notice {
            Notice::Begun => Self::Begun,
            Notice::Welcomed => Self::Welcomed,
            Notice::Joined => Self::Joined,
            Notice::Added { people: who } => Self::Added { people: people(&who, names) },
            Notice::Removed { people: who } => Self::Removed { people: people(&who, names) },
            Notice::Leaving => Self::Leaving,
            Notice::DeviceAdded { owner, device } => Self::DeviceAdded { owner: person(owner), device },
            Notice::DeviceRemoved { owner, device } => Self::DeviceRemoved { owner: person(owner), device },
            Notice::Renamed { name } => Self::Renamed { name },
            Notice::Admins { admins } => Self::Admins { admins: people(&admins, names) },
            Notice::Repaired => Self::Repaired,
            Notice::Missed => Self::Missed,
            Notice::Frozen { reason } => Self::Frozen { reason },
        }
    }
}

/// What a program says on standard input: one command, and a mark of its own that the answer repeats.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderLine {
    #[serde(default, rename = "ref")]
    pub(crate) mark: Option<String>,
    #[serde(default)]
    send: Option<SendOrder>,
    #[serde(default)]
    read: Option<WithOrder>,
    #[serde(default)]
    accept: Option<WhoOrder>,
    #[serde(default)]
    decline: Option<WhoOrder>,
    #[serde(default)]
    block: Option<WhoOrder>,
}

/// A command of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Send(SendOrder),
    Read(WithOrder),
    Accept(WhoOrder),
    Decline(WhoOrder),
    Block(WhoOrder),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendOrder {
    /// A person or a group, or the id of a conversation.
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) files: Vec<PathBuf>,
    /// The first digits of a message's id.
    #[serde(default)]
    pub(crate) reply_to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithOrder {
    pub(crate) with: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhoOrder {
    pub(crate) who: String,
}

impl OrderLine {
    /// Reads a line; `Err` says what is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| format!("not a command: {error}"))
    }

    /// The one command of the line.
    pub(crate) fn order(self) -> Result<Order, String> {
        let Self { mark: _, send, read, accept, decline, block } = self;
        let mut orders = [
            send.map(Order::Send),
            read.map(Order::Read),
            accept.map(Order::Accept),
            decline.map(Order::Decline),
            block.map(Order::Block),
        ]
        .into_iter()
        .flatten();
        match (orders.next(), orders.next()) {
            (Some(order), None) => Ok(order),
            _ => Err("a line has one command: send, read, accept, decline or block".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Result<Order, String> {
        OrderLine::parse(line).and_then(OrderLine::order)
    }

    #[test]
    fn a_line_is_one_command() {
        let send = order(r#"{"send":{"to":"bob","text":"Hello"},"ref":"1"}"#);
        assert!(matches!(send, Ok(Order::Send(SendOrder { ref to, .. })) if to == "bob"), "{send:?}");
        let accept = order(r#"{"accept":{"who":"bob"}}"#);
        assert_eq!(accept, Ok(Order::Accept(WhoOrder { who: "bob".into() })));
        for bad in ["", "{}", "[]", r#"{"sing":{}}"#, r#"{"send":{"to":"bob","txt":"x"}}"#] {
            assert!(order(bad).is_err(), "{bad}");
        }
        let two = order(r#"{"accept":{"who":"bob"},"decline":{"who":"bob"}}"#);
        assert!(two.unwrap_err().starts_with("a line has one command"));
    }
}
