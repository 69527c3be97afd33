//! `kez verify file`.

use std::path::Path;

use kez_core::sigchain::{Event, EventHash, RotationProof};
use kez_core::{PrimaryKey, Registration, Timestamp, Verified};
use serde::Serialize;

use super::claim::ValidClaim;
use super::sigchain::document_report;
use crate::chain_view::moment;
use crate::cli::Verify;
use crate::document::{self, Checked};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::system;

/// Checks a document, whatever it is.
pub(super) fn run(
    command: &Verify,
    home: impl FnOnce() -> Result<Home, CliError>,
    output: &Output,
) -> Result<(), CliError> {
    let Verify::File(args) = command;
    let path: &Path = &args.file;
    match document::check(document::read(path)?)? {
        Checked::Claim(claim) => {
            document::require_current(&claim, system::now())?;
            output.report(&ValidClaim::new(&claim))
        }
        Checked::Chain(chain) => output.report(&document_report(path, &chain, &home()?)?),
        Checked::Registration(registration) => output.report(&ValidRegistration::new(&registration)),
        Checked::Event(event) => output.report(&ValidEvent::new(&event)),
        Checked::Rotation(consent) => output.report(&ValidConsent::new(&consent)),
    }
}

/// What a signature alone proves.
const SIGNATURE: &str = "the signature: the key says so itself";

#[derive(Serialize)]
struct ValidRegistration {
    kind: &'static str,
    handle: String,
    server: String,
    primary: PrimaryKey,
    created_at: Timestamp,
    checked: [&'static str; 1],
    not_checked: [&'static str; 1],
}

impl ValidRegistration {
    fn new(registration: &Verified<Registration>) -> Self {
        let Registration { handle, server } = registration.document();
        Self {
            kind: "registration",
            handle: printable(handle),
            server: printable(server),
            primary: registration.primary().into(),
            created_at: registration.created_at(),
            checked: ["signature"],
            not_checked: ["accepted"],
        }
    }
}

impl Report for ValidRegistration {
    fn print(&self, page: &mut Page) {
        let address = format!("{}@{}", self.handle, self.server);
        page.line(format_args!("A registration: \"I take {}\"\n", page.bold(&address)));
        page.field("public key", self.primary);
        page.field("made", moment(self.created_at));
        page.field("checked", SIGNATURE);
        page.field("not checked", format_args!("that {} accepted it (kez whois {address})", self.server));
    }
}

#[derive(Serialize)]
struct ValidEvent {
    kind: &'static str,
    primary: PrimaryKey,
    created_at: Timestamp,
    seq: u64,
    op: String,
    hash: EventHash,
    checked: [&'static str; 1],
    not_checked: [&'static str; 1],
}

impl ValidEvent {
    fn new(event: &Verified<Event>) -> Self {
        Self {
            kind: "sigchain_event",
            primary: event.primary(),
            created_at: event.created_at(),
            seq: event.document().seq,
            op: printable(event.document().op.name()),
            hash: EventHash::from(event),
            checked: ["signature"],
            not_checked: ["place"],
        }
    }
}

impl Report for ValidEvent {
    fn print(&self, page: &mut Page) {
        let what = format!("Entry {} of a sigchain ({})", self.seq, self.op);
        page.line(format_args!("{}\n", page.bold(what)));
        page.field("public key", self.primary);
        page.field("made", moment(self.created_at));
        page.field("hash", self.hash);
        page.field("checked", SIGNATURE);
        page.field("not checked", "that it stands in the key's sigchain: the entries before it are not here");
    }
}

#[derive(Serialize)]
struct ValidConsent {
    kind: &'static str,
    primary: PrimaryKey,
    chain: PrimaryKey,
    seq: u64,
    checked: [&'static str; 1],
    not_checked: [&'static str; 1],
}

impl ValidConsent {
    fn new(consent: &Verified<RotationProof>) -> Self {
        let RotationProof { chain, seq, .. } = consent.document();
        Self {
            kind: "sigchain_rotation",
            primary: consent.primary(),
            chain: *chain,
            seq: *seq,
            checked: ["signature"],
            not_checked: ["place"],
        }
    }
}

impl Report for ValidConsent {
    fn print(&self, page: &mut Page) {
        page.line("A key's consent to take a sigchain over\n");
        page.field("new key", self.primary);
        page.field("sigchain of", self.chain);
        page.field("at entry", self.seq);
        page.field("checked", SIGNATURE);
        page.field("not checked", "that the sigchain was handed over");
    }
}

/// Text of a stranger as it may reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(100).collect()
}
