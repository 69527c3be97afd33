//! What a screen or a program asks of the device, and what it hears from it.

use std::path::PathBuf;

use kez_core::{ConversationId, PublicKey};

use super::model::{Chat, Message, Queued};
use super::words::Names;
use crate::cli::{Peer, Who};
use crate::error::Failure;

/// Something to be done.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// Say something in a conversation.
    Say { cid: ConversationId, text: String },
    /// Send a file there.
    SendFile { cid: ConversationId, path: PathBuf },
    /// Find a conversation, or begin one with a person.
    Open { peer: Peer },
    /// Begin a group.
    CreateGroup { name: String, people: Vec<Who> },
    /// Add people to a group.
    Add { cid: ConversationId, people: Vec<Who> },
    /// Remove people from a group.
    Remove { cid: ConversationId, people: Vec<Who> },
    /// Leave a group.
    Leave { cid: ConversationId },
    /// Give a group another name.
    Rename { cid: ConversationId, name: String },
    /// Answer somebody who wants to talk.
    Accept { cid: ConversationId },
    /// Refuse somebody who wants to talk.
    Decline { cid: ConversationId },
    /// Hear nothing more of a person.
    Block { who: PublicKey, on: bool },
    /// Everything up to a number was read.
    MarkRead { cid: ConversationId, seq: u64 },
    /// Show entries before a number; `None`: the newest.
    Load { cid: ConversationId, before: Option<u64> },
    /// Save the files of the newest message that has some in a folder.
    Save { cid: ConversationId, folder: PathBuf },
    /// Show what two people compare.
    Verify { cid: ConversationId },
    /// Show entries with these words.
    Search { words: String },
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum News {
    /// Whether the home server is reached; why not, where it is not.
    Online(Result<(), String>),
    /// All conversations, and what people are called.
    Chats { chats: Vec<Chat>, names: Names },
    /// Entries of a conversation, oldest first. `before` is what they were asked for with.
    Entries { cid: ConversationId, before: Option<u64>, entries: Vec<Message> },
    /// A new entry, or one that has changed.
    Entry { cid: ConversationId, entry: Message },
    /// What waits to be sent.
    Queue(Vec<Queued>),
    /// A conversation was found or begun.
    Opened(ConversationId),
    /// Something to be read, line by line.
    Told(Vec<String>),
    /// A wish was not fulfilled.
    Failed(Failure),
}
