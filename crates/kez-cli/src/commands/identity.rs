//! `kez identity new|show|restore`.

use std::path::Path;

use kez_core::{Fqhn, Phrase, PublicKey, Seed, WordCount};
use serde::Serialize;
use zeroize::Zeroizing;

use super::open;
use crate::ask;
use crate::cli::{Identity, New, Restore, Show, Storing};
use crate::error::CliError;
use crate::home::{Former, Home, HomeError};
use crate::output::{Output, Page, Report};
use crate::sealing::Passphrase;
use crate::seed_file::SeedFile;
use crate::system;

/// Words per line of a printed phrase.
const COLUMNS: usize = 4;

/// Runs a subcommand.
pub(super) fn run(command: &Identity, home: &Home, output: &Output) -> Result<(), CliError> {
    match command {
        Identity::New(args) => output.report(&new(args, home)?),
        Identity::Show(args) => output.report(&show(args, home)?),
        Identity::Restore(args) => output.report(&restore(args, home)?),
    }
}

fn new(args: &New, home: &Home) -> Result<Made, CliError> {
    refuse_overwriting(&args.storing, home)?;
    let passphrase = args.storing.passphrase.then(ask::new_passphrase).transpose()?;
    let phrase = random_phrase(args.words.into())?;
    let stored = store(&phrase, passphrase.as_ref(), args.storing.force, home)?;
    Ok(Made { phrase: phrase.words(), words: word_count(&phrase), stored })
}

fn restore(args: &Restore, home: &Home) -> Result<Stored, CliError> {
    refuse_overwriting(&args.storing, home)?;
    if args.storing.passphrase {
        ask::refuse_two_secrets()?;
    }
    let phrase: Phrase = ask::recovery_phrase()?.parse()?;
    let passphrase = args.storing.passphrase.then(ask::new_passphrase).transpose()?;
    store(&phrase, passphrase.as_ref(), args.storing.force, home)
}

fn show(args: &Show, home: &Home) -> Result<Shown, CliError> {
    let identity = home.identity()?;
    // A file without a passphrase is checked whole; the key beside sealed words is believed until they are asked for.
    let phrase = if args.phrase || !identity.is_sealed() { Some(open(&identity, home)?) } else { None };
    let phrase = phrase.filter(|_| args.phrase);
    Ok(Shown {
        primary: identity.primary(),
        address: address_of(identity.primary(), home)?,
        seed_file: display(&home.seed_path()),
        encrypted: identity.is_sealed(),
        words: phrase.as_ref().map(word_count),
        phrase: phrase.as_ref().map(Phrase::words),
    })
}

/// Fails before anything is asked or made. The write itself refuses again.
fn refuse_overwriting(storing: &Storing, home: &Home) -> Result<(), HomeError> {
    if storing.force {
        return home.refuse_link();
    }
    if home.has_identity() { Err(HomeError::IdentityExists { path: home.seed_path() }) } else { Ok(()) }
}

fn random_phrase(words: WordCount) -> Result<Phrase, CliError> {
    Ok(match words {
        WordCount::Twelve => Phrase::from_short_entropy(&*system::random()?),
        WordCount::TwentyFour => Phrase::from_seed(&Seed::from_bytes(*system::random()?)),
    })
}

fn store(
    phrase: &Phrase,
    passphrase: Option<&Passphrase>,
    replace: bool,
    home: &Home,
) -> Result<Stored, CliError> {
    let identity = match passphrase {
        Some(passphrase) => {
            let (salt, nonce) = (system::random()?, system::random()?);
            SeedFile::sealed(phrase, passphrase, *salt, *nonce)
                .map_err(|source| HomeError::SeedFile { path: home.seed_path(), source })?
        }
        None => SeedFile::plain(phrase),
    };
    let former = if replace {
        home.replace_identity(&identity, system::now())?
    } else {
        home.add_identity(&identity)?;
        None
    };
    Ok(Stored {
        primary: identity.primary(),
        seed_file: display(&home.seed_path()),
        encrypted: identity.is_sealed(),
        former_seed_file: former.map(|Former { path }| display(&path)),
    })
}

fn address_of(primary: PublicKey, home: &Home) -> Result<Option<Fqhn>, HomeError> {
    let account = home.memory()?.account.filter(|account| account.primary == primary);
    Ok(account.map(|account| account.address))
}

fn word_count(phrase: &Phrase) -> usize {
    match phrase.word_count() {
        WordCount::Twelve => 12,
        WordCount::TwentyFour => 24,
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// An identity that has been put on disk.
#[derive(Serialize)]
struct Stored {
    primary: PublicKey,
    seed_file: String,
    encrypted: bool,
    former_seed_file: Option<String>,
}

/// A new identity.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    stored: Stored,
    words: usize,
    phrase: Zeroizing<String>,
}

/// The identity of this computer.
#[derive(Serialize)]
struct Shown {
    primary: PublicKey,
    address: Option<Fqhn>,
    seed_file: String,
    encrypted: bool,
    words: Option<usize>,
    phrase: Option<Zeroizing<String>>,
}

impl Report for Made {
    fn print(&self, page: &mut Page) {
        page.line("You have a new identity. This is its recovery phrase:\n");
        push_numbered(page, &self.phrase);
        page.line(format_args!("\nWrite these {} words on paper now, in this order.", self.words));
        page.push(WHAT_WORDS_ARE);
        push_kept(page, &self.stored);
        page.push(HOW_TO_REGISTER);
    }
}

const HOW_TO_REGISTER: &str = "
Next, take a handle on a home server:
  kez register alice --server <address of a home server>
for example http://127.0.0.1:6969 for one on this machine.
";

/// The least that somebody must know about a recovery phrase.
const WHAT_WORDS_ARE: &str = "
  * They are the only way back if this computer is lost. Nobody can reset them
    for you, not even your home server.
  * Whoever has them can be you. Show them to nobody.

";

impl Report for Stored {
    fn print(&self, page: &mut Page) {
        page.line("Your identity is back on this computer.\n");
        push_kept(page, self);
    }
}

impl Report for Shown {
    fn print(&self, page: &mut Page) {
        match &self.address {
            Some(address) => page.field("address", page.bold(address)),
            None => {
                page.field("address", "none yet (kez register alice --server <address of a home server>)");
            }
        }
        page.field("public key", self.primary);
        page.field("kept in", &self.seed_file);
        page.field("", if self.encrypted { "protected by a passphrase" } else { "without a passphrase" });
        if let Some(phrase) = &self.phrase {
            page.line("\nYour recovery phrase. Whoever has these words can be you:\n");
            push_numbered(page, phrase);
        }
    }
}

/// The words with their numbers, read line by line.
fn push_numbered(page: &mut Page, phrase: &str) {
    for (at, word) in phrase.split_whitespace().enumerate() {
        page.push(&page.dim(format_args!("{:>4}. ", at + 1)));
        page.push(word);
        let is_last_of_line = at % COLUMNS == COLUMNS - 1;
        page.push(if is_last_of_line { "\n" } else { "          ".get(word.len()..).unwrap_or(" ") });
    }
}

/// Where the identity is, and how well it is kept.
fn push_kept(page: &mut Page, stored: &Stored) {
    page.field("public key", stored.primary);
    page.field("kept in", &stored.seed_file);
    page.field(
        "",
        if stored.encrypted {
            "protected by your passphrase"
        } else {
            "readable by your user only, without a passphrase"
        },
    );
    if let Some(former) = &stored.former_seed_file {
        page.field("former one", former);
    }
}
