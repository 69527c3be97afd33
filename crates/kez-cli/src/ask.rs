//! Secrets that people type: without echo on a terminal, else from a file or standard input. Never from the command
//! line, and never kept longer than needed.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use kez_client::Invite;
use zeroize::Zeroizing;

use crate::sealing::Passphrase;

/// The most that is read of a secret, in bytes. 24 words have 215 at most.
const SECRET_BYTES_MAX: u64 = 4096;
/// The variable that names the passphrase's file.
const PASSPHRASE_FILE: &str = "KEZ_PASSPHRASE_FILE";
/// The variable that holds an invite.
const INVITE: &str = "KEZ_INVITE";

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AskError {
    /// Nobody is there to ask, and nothing was given.
    #[error("no {what} was given")]
    Nothing {
        /// `passphrase`, `recovery phrase`.
        what: &'static str,
    },
    /// Reading failed.
    #[error("the {what} cannot be read")]
    Io {
        /// `passphrase`, `recovery phrase`, `invite`.
        what: &'static str,
        source: io::Error,
    },
    /// The file that was named cannot be read.
    #[error("the {what} cannot be read from {path}")]
    File {
        /// `passphrase`, `invite`.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The two typed passphrases are not the same.
    #[error("the two passphrases are not the same")]
    Differ,
    /// The new passphrase is too short.
    #[error("a passphrase has at least 8 characters")]
    TooShort,
    /// Words and passphrase would both have to come from standard input.
    #[error("standard input holds the recovery phrase, so the passphrase needs a file")]
    TwoSecrets,
    /// What was given as an invite cannot be one.
    #[error(transparent)]
    BadInvite(#[from] kez_client::BadInvite),
}

/// The passphrase of the identity.
pub(crate) fn passphrase() -> Result<Passphrase, AskError> {
    passphrase_of("Passphrase of your identity: ")
}

/// The passphrase of this computer's device.
pub(crate) fn device_passphrase() -> Result<Passphrase, AskError> {
    passphrase_of("Passphrase of this device: ")
}

fn passphrase_of(prompt: &str) -> Result<Passphrase, AskError> {
    match passphrase_file() {
        Some(path) => first_line_of_file("passphrase", &path).map(Passphrase::new),
        None => typed("passphrase", prompt, Amount::Line).map(Passphrase::new),
    }
}

/// A passphrase for a new file: typed twice on a terminal.
pub(crate) fn new_passphrase() -> Result<Passphrase, AskError> {
    let passphrase = match passphrase_file() {
        Some(path) => Passphrase::new(first_line_of_file("passphrase", &path)?),
        None => typed_twice()?,
    };
    if passphrase.is_long_enough() { Ok(passphrase) } else { Err(AskError::TooShort) }
}

/// Fails when standard input, which is no terminal, would have to give words and a passphrase.
pub(crate) fn refuse_two_secrets() -> Result<(), AskError> {
    let has_room = passphrase_file().is_some() || io::stdin().is_terminal();
    if has_room { Ok(()) } else { Err(AskError::TwoSecrets) }
}

/// The words of a recovery phrase, not yet checked.
pub(crate) fn recovery_phrase() -> Result<Zeroizing<String>, AskError> {
    typed("recovery phrase", "Your 12 or 24 words (not shown while you type): ", Amount::All)
}

/// An invite that was handed over without a question: from a file, or the environment.
pub(crate) fn given_invite(file: Option<&Path>) -> Result<Option<Invite>, AskError> {
    let text = match file {
        Some(path) => Some(first_line_of_file("invite", path)?),
        None => std::env::var(INVITE).ok().filter(|text| !text.is_empty()).map(Zeroizing::new),
    };
    Ok(text.map(|text| text.trim().parse()).transpose()?)
}

/// An invite typed on a terminal; `None` without one.
pub(crate) fn typed_invite() -> Result<Option<Invite>, AskError> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    Ok(Some(typed("invite", "Your invite: ", Amount::Line)?.trim().parse()?))
}

fn passphrase_file() -> Option<PathBuf> {
    std::env::var_os(PASSPHRASE_FILE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn typed_twice() -> Result<Passphrase, AskError> {
    let first =
        Passphrase::new(typed("passphrase", "New passphrase (at least 8 characters): ", Amount::Line)?);
    if !io::stdin().is_terminal() {
        return Ok(first);
    }
    let second = Passphrase::new(typed("passphrase", "The same again: ", Amount::Line)?);
    if first.is_same(&second) { Ok(first) } else { Err(AskError::Differ) }
}

/// How much of standard input belongs to one secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    Line,
    All,
}

/// Asks on a terminal without echo; else reads standard input.
fn typed(what: &'static str, prompt: &str, amount: Amount) -> Result<Zeroizing<String>, AskError> {
    let failed = |source| AskError::Io { what, source };
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(failed)?
    } else {
        let all = read_text(io::stdin().lock()).map_err(failed)?;
        if amount == Amount::All { all } else { first_line(&all) }
    };
    if text.trim().is_empty() { Err(AskError::Nothing { what }) } else { Ok(text) }
}

fn first_line_of_file(what: &'static str, path: &Path) -> Result<Zeroizing<String>, AskError> {
    let text = File::open(path).and_then(read_text);
    let text = text.map_err(|source| AskError::File { what, path: path.to_owned(), source })?;
    let line = first_line(&text);
    if line.is_empty() { Err(AskError::Nothing { what }) } else { Ok(line) }
}

fn read_text(source: impl Read) -> io::Result<Zeroizing<String>> {
    // Reserved at once: a string that grows leaves unwiped copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(SECRET_BYTES_MAX).unwrap_or(0) + 1));
    source.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn first_line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
}
