//! `kez chat …`: what is typed, carried out by a session and told.

mod group;
mod listen;
mod read;
mod send;
mod verify;

use kez_core::ConversationId;
use serde::Serialize;

pub(crate) use self::read::newest_with_files;
pub(crate) use self::verify::safety_lines;
use crate::chat::lines::{ChatLine, PersonLine};
use crate::chat::model::State;
use crate::chat::session::{Local, Session};
use crate::chat::words::{self, Names};
use crate::chat::{history, tui};
use crate::cli::{Chat, Who};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::system;

/// Runs a subcommand.
pub(super) async fn run(command: Chat, home: &Home, output: &Output) -> Result<(), CliError> {
    match command {
        Chat::Tui(args) => tui(args.with.as_ref(), home, output).await,
        Chat::Send(args) => send::run(args, home, output).await,
        Chat::Read(args) => read::run(&args, home, output).await,
        Chat::Listen(args) => listen::run(&args, home, output).await,
        Chat::List(args) => list(args.offline, home, output).await,
        Chat::Group(command) => group::run(command, home, output).await,
        Chat::Requests(_) => requests(home, output).await,
        Chat::Accept(args) => answer(Answer::Accepted, &args.who, home, output).await,
        Chat::Decline(args) => answer(Answer::Declined, &args.who, home, output).await,
        Chat::Block(args) => answer(Answer::Blocked, &args.who, home, output).await,
        Chat::Unblock(args) => answer(Answer::Unblocked, &args.who, home, output).await,
        Chat::React(args) => send::react(args, home, output).await,
        Chat::Edit(args) => send::edit(args, home, output).await,
        Chat::Delete(args) => send::delete(args, home, output).await,
        Chat::Save(args) => read::save(&args, home, output).await,
        Chat::Verify(args) => verify::run(&args, home, output).await,
        Chat::Search(args) => read::search(&args, home, output),
        Chat::Renew(_) => renew(home, output).await,
    }
}

async fn renew(home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up().await?;
    let renewed = session.renew_all().await?;
    output.report(&Renewed { renewed })
}

#[derive(Serialize)]
struct Renewed {
    /// Conversations.
    renewed: usize,
}

impl Report for Renewed {
    fn print(&self, page: &mut Page) {
        let conversations = if self.renewed == 1 { "conversation" } else { "conversations" };
        page.line(format_args!("This device has new keys in {} {conversations}.", self.renewed));
    }
}

/// A screen to talk on, beside a session that does what is wished there.
async fn tui(with: Option<&crate::cli::Peer>, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    let current = match with {
        Some(peer) => Some(session.find(peer).await?),
        None => None,
    };
    let (wishes, to_do) = tokio::sync::mpsc::unbounded_channel();
    let (news, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::select! {
        result = tui::run(current, wishes, heard) => result.map_err(CliError::Terminal),
        result = session.live(to_do, news) => result,
    }
}

async fn list(offline: bool, home: &Home, output: &Output) -> Result<(), CliError> {
    let local = caught_up(offline, home, output).await?;
    let names = local.names()?;
    let chats = history::chats(local.records())?;
    let lines = chats.iter().filter(|chat| chat.is_shown()).map(|chat| Listed {
        title: words::title(chat, &names),
        line: ChatLine::of(chat, &names),
        state: state_text(&chat.state, chat.unread),
        when: chat.newest_at.map(|at| words::moment(at, system::now())),
    });
    output.report(&List { conversations: lines.collect() })
}

/// What is on this device, after everything that is new was fetched, unless that is not wanted.
async fn caught_up(offline: bool, home: &Home, output: &Output) -> Result<Local, CliError> {
    if offline {
        return Local::open(home);
    }
    let mut session = Session::open(home, output)?;
    session.catch_up().await?;
    Ok(session.into_local())
}

fn state_text(state: &State, unread: u32) -> String {
    match state {
        State::Request => "wants to talk".into(),
        State::Asked => "not answered yet".into(),
        State::Left => "left".into(),
        State::Frozen { .. } => "stopped".into(),
        State::Open if unread > 0 => format!("{unread} new"),
        State::Open => String::new(),
    }
}

#[derive(Serialize)]
struct List {
    conversations: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    line: ChatLine,
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    state: String,
    #[serde(skip)]
    when: Option<String>,
}

impl Report for List {
    fn print(&self, page: &mut Page) {
        if self.conversations.is_empty() {
            page.line("No conversations yet. Begin one:\n  kez chat send bob \"Hello, Bob\"");
        }
        for chat in &self.conversations {
            let when = chat.when.as_deref().unwrap_or_default();
            page.line(format_args!("{:<24} {:<18} {}", page.bold(&chat.title), chat.state, page.dim(when)));
        }
    }
}

async fn requests(home: &Home, output: &Output) -> Result<(), CliError> {
    let local = caught_up(false, home, output).await?;
    let names = local.names()?;
    let mut requests = Vec::new();
    for chat in history::chats(local.records())? {
        let Some(peer) = chat.peer().filter(|_| chat.state == State::Request) else { continue };
        let said = history::messages(local.records(), chat.cid, None, 5)?;
        let words = said.iter().find(|entry| entry.content.is_said()).map(|entry| words::body(entry, &names));
        let (from, name) = (PersonLine::of(peer, &names), names.handle(peer));
        requests.push(Request { conversation: chat.cid, from, said: words, name });
    }
    output.report(&Requests { requests })
}

#[derive(Serialize)]
struct Requests {
    requests: Vec<Request>,
}

#[derive(Serialize)]
struct Request {
    conversation: ConversationId,
    from: PersonLine,
    said: Option<String>,
    #[serde(skip)]
    name: String,
}

impl Report for Requests {
    fn print(&self, page: &mut Page) {
        if self.requests.is_empty() {
            page.line("Nobody is waiting for an answer.");
            return;
        }
        for request in &self.requests {
            page.line(format_args!("{} wants to talk to you:", page.bold(&request.name)));
            page.line(format_args!("  {}\n", request.said.as_deref().unwrap_or("(nothing said yet)")));
        }
        page.line("Answer with one of\n  kez chat accept <name>\n  kez chat decline <name>\n  kez chat block <name>");
    }
}

/// What became of somebody who wants to talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Accepted,
    Declined,
    Blocked,
    Unblocked,
}

async fn answer(answer: Answer, who: &Who, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up().await?;
    let person = session.person(who).await?;
    match answer {
        Answer::Accepted => session.accept(person).await?,
        Answer::Declined => session.decline(person)?,
        Answer::Blocked => session.block(person, true)?,
        Answer::Unblocked => session.block(person, false)?,
    }
    let names = session.names()?;
    output.report(&Answered { done: answer, who: PersonLine::of(person, &names), name: names.handle(person) })
}

#[derive(Serialize)]
struct Answered {
    done: Answer,
    who: PersonLine,
    #[serde(skip)]
    name: String,
}

impl Report for Answered {
    fn print(&self, page: &mut Page) {
        let name = page.bold(&self.name);
        match self.done {
            Answer::Accepted => {
                page.line(format_args!("You and {name} can talk now:\n  kez chat read {}", self.name));
            }
            Answer::Declined => page.line(format_args!("{name} gets no answer.")),
            Answer::Blocked => {
                page.line(format_args!("Nothing of {name} reaches you any more; they are not told."));
            }
            Answer::Unblocked => page.line(format_args!("{name} can reach you again.")),
        }
    }
}

/// The entry whose id begins so.
fn entry(local: &Local, cid: ConversationId, start: &str) -> Result<crate::chat::model::Message, CliError> {
    let mut found = None;
    for entry in history::messages(local.records(), cid, None, ENTRIES_LOOKED_AT)? {
        if entry.mid.to_string().starts_with(start) {
            if found.is_some() {
                return Err(CliError::SeveralMessages { start: start.to_owned() });
            }
            found = Some(entry);
        }
    }
    found.ok_or_else(|| CliError::NoSuchMessage { start: start.to_owned() })
}

/// How far back a message is looked for by the first digits of its id.
const ENTRIES_LOOKED_AT: usize = 10_000;

/// Entries as text, with a line for each day and each speaker.
fn print_entries(page: &mut Page, entries: &[crate::chat::model::Message], names: &Names) {
    let now = system::now();
    for entry in entries {
        let (who, when) = (names.of(entry.from), words::moment(entry.at, now));
        let body = words::body(entry, names);
        if entry.content.is_said() {
            let head = format!("{}  {}  {}", page.dim(&when), page.dim(entry.mid.short()), page.bold(&who));
            page.line(format_args!("{head}  {}", body.replace('\n', "\n    ")));
        } else {
            page.line(page.dim(format_args!("{when}  · {body}")));
        }
        for (emoji, from) in &entry.reactions {
            page.line(page.dim(format_args!("    {} {}", words::safe_line(emoji), names.list(from))));
        }
    }
}
