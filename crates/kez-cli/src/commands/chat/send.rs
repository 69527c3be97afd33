//! `kez chat send|react|edit|delete`.

use std::io::{self, IsTerminal, Read};

use kez_core::{ConversationId, MessageId, Timestamp};
use serde::Serialize;

use super::entry;
use crate::chat::model::{Content, Reply};
use crate::chat::session::{Sending, Session};
use crate::chat::words;
use crate::cli::{DeleteMessage, EditMessage, React, Send};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};

/// The longest text, in bytes.
const TEXT_BYTES_MAX: u64 = kez_e2e::BODY_BYTES_MAX as u64;
/// Characters of a message that its answer repeats.
const QUOTE_CHARS: usize = 80;

/// Says something, with files or without.
pub(super) async fn run(args: Send, home: &Home, output: &Output) -> Result<(), CliError> {
    let text = match args.words {
        Some(words) => Some(words),
        None if args.file.is_empty() => Some(read_text()?),
        None => None,
    };
    let mut session = Session::open(home, output)?;
    session.catch_up_or_warn().await?;
    let cid = session.find(&args.to).await?;
    let reply_to = args.reply_to.map(|start| reply_to(&session, cid, &start)).transpose()?;
    let mid = if args.file.is_empty() {
        session.say(cid, text.unwrap_or_default(), reply_to)?
    } else {
        session.send_files(cid, &args.file, text).await?
    };
    let sent = session.deliver(mid).await?;
    let names = session.names()?;
    let title = words::title(&session.local().chat(cid)?, &names);
    output.report(&Handed::new(cid, mid, sent, title))
}

/// What a message answers, by the first digits of its id.
pub(in crate::commands) fn reply_to(
    session: &Session,
    cid: ConversationId,
    start: &str,
) -> Result<Reply, CliError> {
    let answered = entry(session.local(), cid, start)?;
    let quote = answered.content.words().unwrap_or_default().chars().take(QUOTE_CHARS).collect();
    Ok(Reply { mid: answered.mid, quote })
}

/// All of standard input, or what is typed up to Ctrl-D.
fn read_text() -> Result<String, CliError> {
    if io::stdin().is_terminal() {
        return Err(CliError::NothingToSay);
    }
    let mut text = String::new();
    let read = io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(CliError::Stdin)?;
    let text = text.trim_end_matches('\n').to_owned();
    if text.is_empty() { Err(CliError::NothingToSay) } else { Ok(text) }
}

/// Puts an emoji on a message, or takes it off.
pub(super) async fn react(args: React, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up_or_warn().await?;
    let cid = session.local().require(&args.with)?;
    let target = entry(session.local(), cid, &args.message)?.mid;
    let mid = session.queue(cid, kez_e2e::Content::Reaction { target, emoji: args.emoji, on: !args.off })?;
    finish(&mut session, cid, mid, output).await
}

/// Changes what was said.
pub(super) async fn edit(args: EditMessage, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up_or_warn().await?;
    let (cid, target) = own(&session, &args.with, &args.message)?;
    let mid = session.queue(cid, kez_e2e::Content::Edit { target, body: args.words })?;
    finish(&mut session, cid, mid, output).await
}

/// Takes back what was said.
pub(super) async fn delete(args: DeleteMessage, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut session = Session::open(home, output)?;
    session.catch_up_or_warn().await?;
    let (cid, target) = own(&session, &args.with, &args.message)?;
    let mid = session.queue(cid, kez_e2e::Content::Delete { target })?;
    finish(&mut session, cid, mid, output).await
}

/// An own message, by the first digits of its id.
fn own(
    session: &Session,
    with: &crate::cli::Peer,
    start: &str,
) -> Result<(ConversationId, MessageId), CliError> {
    let cid = session.local().require(with)?;
    let found = entry(session.local(), cid, start)?;
    let is_said = !matches!(found.content, Content::Notice(_) | Content::Deleted);
    if found.from == session.me() && is_said { Ok((cid, found.mid)) } else { Err(CliError::NotYours) }
}

async fn finish(
    session: &mut Session,
    cid: ConversationId,
    mid: MessageId,
    output: &Output,
) -> Result<(), CliError> {
    let sent = session.deliver(mid).await?;
    let title = words::title(&session.local().chat(cid)?, &session.names()?);
    output.report(&Handed::new(cid, mid, sent, title))
}

/// A message that the server has, or that waits for it.
#[derive(Serialize)]
struct Handed {
    conversation: ConversationId,
    id: MessageId,
    /// Whether the server has it.
    sent: bool,
    seq: Option<u64>,
    at: Option<Timestamp>,
    #[serde(skip)]
    title: String,
}

impl Handed {
    fn new(conversation: ConversationId, id: MessageId, sending: Sending, title: String) -> Self {
        let (seq, at) = match sending {
            Sending::Sent { seq, at } => (Some(seq), Some(at)),
            Sending::Waits => (None, None),
        };
        Self { conversation, id, sent: seq.is_some(), seq, at, title }
    }
}

impl Report for Handed {
    fn print(&self, page: &mut Page) {
        let title = page.bold(&self.title);
        if self.sent {
            page.line(format_args!("Sent to {title}.  {}", page.dim(self.id.short())));
        } else {
            page.line(format_args!("Kept for {title}: the server cannot be reached now."));
            page.line("It is sent by the next kez chat that reaches it.");
        }
    }
}
