//! `kez sigchain add|revoke|show|export|publish|verify`.

mod publish;
mod verify;

use kez_core::encoding;
use kez_core::sigchain::{Chain, Event, EventHash, Op};
use kez_core::{Envelope, Identifier, PrimaryKey, Timestamp};
use serde::Serialize;

use self::publish::Outcome;
use super::{on_network, open};
use crate::chain_view::{ChainView, entries, shown};
use crate::cli::{ChainFormat, Publishing, Sigchain};
use crate::error::CliError;
use crate::home::Home;
use crate::local_chain::{LocalChain, jsonl};
use crate::output::{Output, Page, Report};
use crate::system;

pub(super) use self::publish::state;
pub(super) use self::verify::{NEVER_SEEN, document_report, seen_text};

/// Runs a subcommand.
pub(super) fn run(command: Sigchain, home: &Home, output: &Output) -> Result<(), CliError> {
    match command {
        Sigchain::Add(args) => wish(Wish::Add(args.subject), args.publishing, home, output),
        Sigchain::Revoke(args) => wish(Wish::Revoke(args.subject), args.publishing, home, output),
        Sigchain::Show(_) => output.report(&Shown::of(&own(home)?)?),
        Sigchain::Export(args) => export(args.format, home, output),
        Sigchain::Publish(args) => on_network(publish::run(args.sig_server, home, output)),
        Sigchain::Verify(args) => verify::run(args, home, output),
    }
}

/// The chain of this computer's identity.
fn own(home: &Home) -> Result<LocalChain, CliError> {
    Ok(LocalChain::open(home, home.identity()?.primary().into())?)
}

/// What somebody wants to state.
enum Wish {
    Add(Identifier),
    Revoke(Identifier),
}

fn wish(wish: Wish, publishing: Publishing, home: &Home, output: &Output) -> Result<(), CliError> {
    let mut stated = add_entry(wish, home, output)?;
    if publishing.publish {
        match on_network(publish::publish(publishing.sig_server, home, output)) {
            Ok(outcome) => stated.published = Some(outcome),
            Err(error) => {
                if !stated.already {
                    output.warn(
                        "kept",
                        "the entry is on your sigchain on this computer; only publishing it failed",
                    );
                }
                return Err(error);
            }
        }
    }
    output.report(&stated)
}

/// Signs an entry and keeps it, unless the chain says so already.
fn add_entry(wish: Wish, home: &Home, output: &Output) -> Result<Stated, CliError> {
    let identity = home.identity()?;
    let (mut local, _lock) = LocalChain::open_to_change(home, identity.primary().into(), output)?;
    local.require_whole()?;
    require_own_key(&local)?;
    let holds =
        |subject: &Identifier| local.chain().is_some_and(|chain| chain.subjects().contains_key(subject));
    let (done, op, subject) = match wish {
        Wish::Add(subject) => {
            ("added", (!holds(&subject)).then(|| Op::Add { subject: subject.clone() }), subject)
        }
        Wish::Revoke(subject) if !holds(&subject) => return Err(CliError::NotHeld { subject }),
        Wish::Revoke(subject) => ("revoked", Some(Op::Revoke { subject: subject.clone() }), subject),
    };
    let already = op.is_none();
    if let Some(op) = op {
        let seed = open(&identity, home)?.seed();
        let envelope = Envelope::sign(&local.next(op), &seed, system::now());
        local.push(envelope.map_err(|fault| CliError::Signing(fault.into()))?)?;
    }
    Ok(Stated {
        done,
        subject,
        already,
        events: local.events().len() as u64,
        unpublished: unpublished(&local),
        published: None,
    })
}

/// Fails when another key has taken the chain over: this one can no longer add to it.
fn require_own_key(local: &LocalChain) -> Result<(), CliError> {
    match local.chain().map(Chain::primary).filter(|key| *key != local.id()) {
        Some(now) => Err(CliError::KeyReplaced { now }),
        None => Ok(()),
    }
}

/// How many entries nobody else has seen.
fn unpublished(local: &LocalChain) -> u64 {
    (local.events().len() as u64).saturating_sub(local.published_count())
}

fn export(format: ChainFormat, home: &Home, output: &Output) -> Result<(), CliError> {
    let local = own(home)?;
    if local.events().is_empty() {
        return Err(CliError::EmptyChain);
    }
    let lines = jsonl(local.events());
    let (format, text) = match format {
        ChainFormat::Jsonl => ("jsonl", lines),
        ChainFormat::Bundle => ("bundle", format!("{}\n", encoding::bundle(&lines)?)),
    };
    if output.is_json() {
        let events = local.events().len() as u64;
        return output.report(&Exported { format, events, sigchain: text });
    }
    output.raw(text.as_bytes())
}

/// An entry that was made, or was there.
#[derive(Serialize)]
struct Stated {
    /// `added` or `revoked`.
    done: &'static str,
    subject: Identifier,
    already: bool,
    events: u64,
    unpublished: u64,
    published: Option<Outcome>,
}

impl Report for Stated {
    fn print(&self, page: &mut Page) {
        let subject = page.bold(shown(&self.subject));
        match (self.done, self.already) {
            (_, true) => {
                page.line(format_args!("{subject} is on your sigchain already. Nothing has changed."));
            }
            ("revoked", _) => page.line(format_args!("{subject} is taken back on your sigchain.")),
            _ => page.line(format_args!("{subject} is on your sigchain now.")),
        }
        page.push("\n");
        match &self.published {
            Some(outcome) => outcome.print(page),
            None if self.unpublished > 0 => {
                let it = if self.unpublished == 1 { "it" } else { "them" };
                page.line(format_args!(
                    "Only this computer knows {} yet. Let others see {it}:\n  kez sigchain publish",
                    entries_unpublished(self.unpublished)
                ));
            }
            None => page.line("It is published."),
        }
        if self.done == "added" && !self.already {
            page.line(format_args!(
                "\nTo prove it, make a claim and put it where only its owner can:\n  kez claim create {}",
                shown(&self.subject)
            ));
        }
    }
}

fn entries_unpublished(count: u64) -> String {
    if count == 1 { "this entry".into() } else { format!("{count} entries") }
}

#[derive(Serialize)]
struct Exported {
    format: &'static str,
    events: u64,
    sigchain: String,
}

impl Report for Exported {
    fn print(&self, page: &mut Page) {
        page.push(&self.sigchain);
    }
}

/// The chain of this computer's identity.
#[derive(Serialize)]
struct Shown {
    chain: PrimaryKey,
    sigchain: Option<ChainView>,
    unpublished: u64,
    published: Vec<PublishedAt>,
    file: String,
    events: Vec<Entry>,
}

#[derive(Serialize)]
struct PublishedAt {
    sig_server: String,
    events: u64,
}

/// One entry, oldest first.
#[derive(Serialize)]
struct Entry {
    seq: u64,
    hash: EventHash,
    created_at: Timestamp,
    op: String,
    subject: Option<Identifier>,
    published: bool,
}

impl Shown {
    fn of(local: &LocalChain) -> Result<Self, CliError> {
        let published = local.publications();
        let published = published.map(|(url, events)| PublishedAt { sig_server: url.to_string(), events });
        let entries = local.events().iter().map(|envelope| Entry::of(envelope, local.published_count()));
        Ok(Self {
            chain: local.id(),
            sigchain: local.chain().map(ChainView::of),
            unpublished: unpublished(local),
            published: published.collect(),
            file: local.path().display().to_string(),
            events: entries.collect::<Result<_, _>>()?,
        })
    }
}

impl Entry {
    fn of(envelope: &Envelope, published_count: u64) -> Result<Self, CliError> {
        let event = envelope.clone().verify::<Event>()?;
        let Event { seq, op, .. } = event.document();
        let subject = match op {
            Op::Add { subject } | Op::Revoke { subject } => Some(subject.clone()),
            _ => None,
        };
        Ok(Self {
            seq: *seq,
            hash: EventHash::from(&event),
            created_at: event.created_at(),
            op: op.name().to_owned(),
            subject,
            published: *seq < published_count,
        })
    }
}

impl Report for Shown {
    fn print(&self, page: &mut Page) {
        let Some(sigchain) = &self.sigchain else {
            page.line("Your sigchain is empty on this computer.\n");
            page.push("Add something of yours:\n  kez sigchain add github:alice\n");
            page.push("Or fetch what you published from another computer:\n  kez sigchain publish\n");
            return;
        };
        page.line(format_args!("Your sigchain has {}.\n", entries(sigchain.events)));
        sigchain.print_holdings(page);
        if sigchain.subjects.is_empty() {
            page.field("holds", "nothing now");
        }
        let at: Vec<String> =
            self.published.iter().map(|at| format!("{} at {}", entries(at.events), at.sig_server)).collect();
        page.fields("published", &at);
        if self.unpublished > 0 {
            page.field("unpublished", entries(self.unpublished));
        }
        page.field("kept in", &self.file);
        if self.unpublished > 0 {
            page.push("\nLet others see all of it:\n  kez sigchain publish\n");
        }
    }
}
