//! `kez chat read|save|search`.

use std::path::PathBuf;

use kez_core::ConversationId;
use serde::Serialize;

use super::{entry, print_entries};
use crate::chat::files;
use crate::chat::history;
use crate::chat::lines::{ChatLine, EntryLine};
use crate::chat::model::{Chat, Content, Message};
use crate::chat::session::{Local, Session};
use crate::chat::words::{self, Names};
use crate::cli::{ReadChat, SaveFiles, SearchChat};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::system;

/// Entries that are shown when nothing is unread and no number was given.
const LAST: usize = 20;

/// Shows what was said, and counts it as read.
pub(super) async fn run(args: &ReadChat, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = if args.offline { None } else { Some(Session::open(home, output)?) };
    if let Some(session) = &mut session {
        session.catch_up().await?;
    }
    let opened = if session.is_none() { Some(Local::open(home)?) } else { None };
    // invariant: there is one of both.
    let local = session.as_ref().map(Session::local).or(opened.as_ref()).expect("what is on this device");
    let chats = match &args.with {
        Some(peer) => vec![local.chat(local.require(peer)?)?],
        None => history::chats(local.records())?
            .into_iter()
            .filter(|chat| chat.unread > 0 && chat.is_shown())
            .collect(),
    };
    let names = local.names()?;
    let mut shown = Vec::new();
    for chat in chats {
        let unread = usize::try_from(chat.unread).unwrap_or(LAST);
        let count =
            args.last.map_or(unread.max(if args.with.is_some() { LAST } else { 1 }), |last| last as usize);
        let entries = history::messages(local.records(), chat.cid, None, count)?;
        shown.push(Shown::new(chat, entries, names.clone()));
    }
    output.report(&Conversations { conversations: shown.iter().collect(), is_all: args.with.is_none() })?;
    let Some(session) = session.as_mut().filter(|_| !args.peek) else { return Ok(()) };
    for shown in &shown {
        if let Some(last) = shown.messages.last() {
            session.mark_read(shown.chat.cid, last.seq)?;
        }
    }
    session.finish().await
}

#[derive(Serialize)]
struct Conversations<'a> {
    conversations: Vec<&'a Shown>,
    #[serde(skip)]
    is_all: bool,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    line: ChatLine,
    entries: Vec<EntryLine>,
    #[serde(skip)]
    chat: Chat,
    #[serde(skip)]
    messages: Vec<Message>,
    #[serde(skip)]
    names: Names,
}

impl Shown {
    fn new(chat: Chat, messages: Vec<Message>, names: Names) -> Self {
        let entries = messages.iter().map(|entry| EntryLine::of(chat.cid, entry, &names)).collect();
        Self { line: ChatLine::of(&chat, &names), entries, chat, messages, names }
    }
}

impl Report for Conversations<'_> {
    fn print(&self, page: &mut Page) {
        if self.conversations.is_empty() {
            page.line("Nothing new.");
        }
        for (at, shown) in self.conversations.iter().enumerate() {
            if self.is_all {
                let title = words::title(&shown.chat, &shown.names);
                page.line(format_args!("{}{}", if at > 0 { "\n" } else { "" }, page.bold(title)));
            }
            if shown.messages.is_empty() {
                page.line("Nothing was said here yet, as far as this device knows.");
            }
            print_entries(page, &shown.messages, &shown.names);
        }
    }
}

/// Saves the files of a message.
pub(super) async fn save(args: &SaveFiles, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up().await?;
    let cid = session.local().require(&args.with)?;
    let message = match &args.message {
        Some(start) => entry(session.local(), cid, start)?,
        None => newest_with_files(session.local(), cid)?,
    };
    let Content::Files { files, .. } = &message.content else { return Err(CliError::NoFiles) };
    let mut saved = Vec::new();
    for file in files {
        let path = files::save(file, &args.to, session.client()).await?;
        saved.push(Saved { path, size: file.size });
    }
    output.report(&SavedFiles { saved })
}

/// The newest entry that has files.
pub(crate) fn newest_with_files(local: &Local, cid: ConversationId) -> Result<Message, CliError> {
    let entries = history::messages(local.records(), cid, None, super::ENTRIES_LOOKED_AT)?;
    let has_files = |entry: &Message| matches!(entry.content, Content::Files { .. });
    entries.into_iter().rev().find(has_files).ok_or(CliError::NoFiles)
}

#[derive(Serialize)]
struct SavedFiles {
    saved: Vec<Saved>,
}

#[derive(Serialize)]
struct Saved {
    path: PathBuf,
    size: u64,
}

impl Report for SavedFiles {
    fn print(&self, page: &mut Page) {
        for saved in &self.saved {
            page.line(format_args!("{}  {}", saved.path.display(), page.dim(words::bytes(saved.size))));
        }
    }
}

/// Finds entries on this device.
pub(super) fn search(args: &SearchChat, home: &Home, output: &Output) -> Result<(), CliError> {
    let local = Local::open(home)?;
    let within = args.with.as_ref().map(|peer| local.require(peer)).transpose()?;
    let found = history::search(local.records(), within, &args.words.join(" "), args.last as usize)?;
    let names = local.names()?;
    let mut entries = Vec::new();
    for found in found {
        let title = words::title(&local.chat(found.cid)?, &names);
        let line = EntryLine::of(found.cid, &found.message, &names);
        entries.push(FoundEntry { line, title, message: found.message });
    }
    output.report(&Found { found: entries, names })
}

#[derive(Serialize)]
struct Found {
    found: Vec<FoundEntry>,
    #[serde(skip)]
    names: Names,
}

#[derive(Serialize)]
struct FoundEntry {
    #[serde(flatten)]
    line: EntryLine,
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    message: Message,
}

impl Report for Found {
    fn print(&self, page: &mut Page) {
        if self.found.is_empty() {
            page.line("Nothing on this device has all of these words.");
        }
        for found in &self.found {
            let when = words::moment(found.message.at, system::now());
            let who = self.names.of(found.message.from);
            page.line(format_args!(
                "{}  {}  {who}: {}",
                page.dim(when),
                page.bold(&found.title),
                words::body(&found.message, &self.names).replace('\n', "\n    ")
            ));
        }
    }
}
