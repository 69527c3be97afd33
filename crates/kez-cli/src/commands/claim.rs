//! `kez claim create|show|verify`.

use std::path::Path;

use kez_core::encoding::{self, DNS_LABEL};
use kez_core::{Claim, Envelope, Identifier, PrimaryKey, Timestamp, Verified};
use serde::Serialize;

use super::open;
use crate::chain_view::{moment, shown};
use crate::cli::{Claim as Command, ClaimFormat, CreateClaim};
use crate::document::{self, ClaimText};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::system;

/// Runs a subcommand.
pub(super) fn run(
    command: &Command,
    home: impl FnOnce() -> Result<Home, CliError>,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        Command::Create(args) => create(args, &home()?, output),
        Command::Show(args) => show(&args.file, output),
        Command::Verify(args) => output.report(&verify(&args.file)?),
    }
}

fn create(args: &CreateClaim, home: &Home, output: &Output) -> Result<(), CliError> {
    let now = system::now();
    if args.expires.is_some_and(|end| end <= now) {
        return Err(CliError::ExpiryPast);
    }
    if args.format == ClaimFormat::Dns && args.subject.system() != "dns" {
        return Err(CliError::DnsFormat { subject: args.subject.clone() });
    }
    let identity = home.identity()?;
    let seed = open(&identity, home)?.seed();
    let claim = Claim { subject: args.subject.clone(), expires_at: args.expires };
    let envelope = Envelope::sign(&claim, &seed, now).map_err(|fault| CliError::Signing(fault.into()))?;
    let text = written(&envelope, &claim.subject, args.format)?;
    if output.is_json() {
        return output.report(&Created { subject: claim.subject, expires_at: claim.expires_at, claim: text });
    }
    output.raw(text.as_bytes())?;
    output.hint(&where_to(&claim.subject, args.format));
    Ok(())
}

/// The claim as text, with a line end.
fn written(envelope: &Envelope, subject: &Identifier, format: ClaimFormat) -> Result<String, CliError> {
    Ok(match format {
        ClaimFormat::Json => format!("{}\n", envelope.canonical()),
        ClaimFormat::Markdown => encoding::markdown(envelope),
        ClaimFormat::Compact => format!("{}\n", encoding::compact(envelope)?),
        ClaimFormat::Dns => {
            let strings = encoding::dns_txt(envelope)?;
            let strings: Vec<String> = strings.iter().map(|string| format!("\"{string}\"")).collect();
            format!("{DNS_LABEL}.{}. IN TXT {}\n", subject.value(), strings.join(" "))
        }
    })
}

/// Where a claim has to stand to prove something.
fn where_to(subject: &Identifier, format: ClaimFormat) -> String {
    let (name, value) = (shown(subject), subject.value());
    let place = match subject.system() {
        "dns" if format == ClaimFormat::Dns => "Add this record to the zone of your domain".to_owned(),
        "dns" => format!("Put this into a TXT record at {DNS_LABEL}.{value} (--format dns writes it)"),
        "github" => format!("Put this where only {value} can: a public gist, or the profile's README"),
        _ => format!("Put this where only the owner of {name} can: a post, a profile, a page"),
    };
    format!("{place}.\nWho finds it there knows that {name} and your key belong together.")
}

fn show(path: &Path, output: &Output) -> Result<(), CliError> {
    let said = document::claim_text(document::read(path)?)?;
    output.report(&Shown::new(&said, system::now()))
}

fn verify(path: &Path) -> Result<ValidClaim, CliError> {
    let claim = document::valid_claim(document::read(path)?, system::now())?;
    Ok(ValidClaim::new(&claim))
}

/// A claim that was made.
#[derive(Serialize)]
struct Created {
    subject: Identifier,
    expires_at: Option<Timestamp>,
    claim: String,
}

impl Report for Created {
    fn print(&self, page: &mut Page) {
        page.push(&self.claim);
    }
}

/// What a claim says.
#[derive(Serialize)]
struct Shown {
    subject: Identifier,
    primary: PrimaryKey,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    expired: bool,
    signature_valid: bool,
}

impl Shown {
    fn new(said: &ClaimText, now: Timestamp) -> Self {
        Self {
            subject: said.claim.subject.clone(),
            primary: said.primary,
            created_at: said.created_at,
            expires_at: said.claim.expires_at,
            expired: said.claim.is_expired(now),
            signature_valid: said.fault.is_none(),
        }
    }
}

impl Report for Shown {
    fn print(&self, page: &mut Page) {
        push_claim(page, &self.subject, self.primary, self.created_at, self.expires_at);
        let verdict = match (self.signature_valid, self.expired) {
            (false, _) => "NO: the key did not sign this text",
            (true, true) => "no: it has ended",
            (true, false) => "yes, as the key's own word (kez claim verify says more)",
        };
        page.field("believable", verdict);
    }
}

/// A claim that is to be believed as its key's word.
#[derive(Debug, Serialize)]
pub(super) struct ValidClaim {
    kind: &'static str,
    subject: Identifier,
    primary: PrimaryKey,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    checked: [&'static str; 2],
    not_checked: [&'static str; 1],
}

impl ValidClaim {
    pub(super) fn new(claim: &Verified<Claim>) -> Self {
        Self {
            kind: "claim",
            subject: claim.document().subject.clone(),
            primary: claim.primary(),
            created_at: claim.created_at(),
            expires_at: claim.document().expires_at,
            checked: ["signature", "expiry"],
            not_checked: ["subject"],
        }
    }
}

impl Report for ValidClaim {
    fn print(&self, page: &mut Page) {
        push_claim(page, &self.subject, self.primary, self.created_at, self.expires_at);
        page.field("checked", "the signature: the key says so itself");
        let expiry = if self.expires_at.is_some() { "it has not ended" } else { "it never ends by itself" };
        page.field("", expiry);
        page.field("not checked", format_args!("that {} says the same", shown(&self.subject)));
        page.line(format_args!(
            "\nThis is the key's word alone. Did you find the claim where only {}\ncan have put it? Then both belong together.",
            shown(&self.subject)
        ));
    }
}

fn push_claim(
    page: &mut Page,
    subject: &Identifier,
    primary: PrimaryKey,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
) {
    page.line(format_args!("A claim: \"{} is mine\"\n", page.bold(shown(subject))));
    page.field("public key", primary);
    page.field("made", moment(created_at));
    page.field("ends", expires_at.map_or("never".to_owned(), moment));
}
