//! The command line: what can be typed, and the words of its help.

mod chat;
mod claim;
mod device;
mod sigchain;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kez_client::{BaseUrl, SigUrl};
use kez_core::{BadHandle, Fqhn, Handle, PublicKey, ServerName, WordCount};

pub(crate) use self::chat::{
    Chat, Delete as DeleteMessage, Edit as EditMessage, Group, Listen, Peer, React, Read as ReadChat,
    Save as SaveFiles, Search as SearchChat, Send, Verify as VerifyPerson, peer,
};
pub(crate) use self::claim::{Claim, ClaimFormat, Create as CreateClaim};
pub(crate) use self::device::{Device, Enrol as EnrolDevice, Revoke as RevokeDevice};
pub(crate) use self::sigchain::{ChainFormat, Publishing, Sigchain, Verify as VerifyChain};
pub(crate) use self::verify::Verify;
use crate::error::Failure;
use crate::output::Output;

const AFTER_HELP: &str = "\
First steps:
  kez identity new                          make an identity and note its recovery phrase
  kez register alice --server <address>     take a handle on a home server
  kez device enrol                          make this computer a device, to chat from it
  kez whois bob@example.org                 find somebody, on any home server
  kez sigchain add github:alice --publish   let everybody see what else is yours

Environment:
  KEZ_HOME              where kez keeps its files
                        [default: $XDG_DATA_HOME/kez, else ~/.local/share/kez]
  KEZ_PASSPHRASE_FILE   a file whose first line is the passphrase of your identity
  KEZ_INVITE            an invite for kez register
  NO_COLOR              when not empty, no colours

Exit status:
  0  done
  1  refused, or failed for another reason
  2  the command line is wrong
  3  nobody has that handle or key, or there is no document or sigchain
  4  a server cannot be reached, or is not one of KEZ
  5  an answer or a document failed verification: do not trust it";

/// Your name and key on the KEZ network.
///
/// kez makes an identity that only you hold, gives it a handle such as alice@kez.lat on a home server, keeps the public
/// list of what else is yours, and looks up and checks other people's.
#[derive(Debug, Parser)]
#[command(name = "kez", version, after_long_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print JSON: the result as one object, errors and warnings as lines on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, show or restore your identity
    #[command(subcommand)]
    Identity(Identity),
    Register(Register),
    #[command(subcommand)]
    Device(Device),
    #[command(subcommand)]
    Chat(Chat),
    Whois(Whois),
    #[command(subcommand)]
    Claim(Claim),
    #[command(subcommand)]
    Sigchain(Sigchain),
    #[command(subcommand)]
    Verify(Verify),
    Completions(Completions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    New(New),
    Show(Show),
    Restore(Restore),
}

/// Make a new identity and print its recovery phrase
///
/// The recovery phrase is 24 words (or 12) that stand for the whole identity. Write them on paper: they are the only
/// way back if this computer is lost, and whoever has them can be you.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez identity new
  kez identity new --passphrase    protect the file on this computer
  kez identity new --words 12      a shorter phrase, still far beyond guessing

A passphrase is read from the file that KEZ_PASSPHRASE_FILE names, else asked for
on the terminal, else read from standard input.")]
pub(crate) struct New {
    /// How many words the recovery phrase has
    #[arg(long, value_enum, default_value_t = Words::TwentyFour)]
    pub(crate) words: Words,
    #[command(flatten)]
    pub(crate) storing: Storing,
}

/// Show your identity
///
/// Prints your public key, your address and where the identity is kept. Nothing of it is secret, unless you ask for
/// the recovery phrase.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez identity show
  kez identity show --phrase    look behind you first")]
pub(crate) struct Show {
    /// Also print the recovery phrase
    #[arg(long)]
    pub(crate) phrase: bool,
}

/// Restore an identity from its recovery phrase
///
/// Asks for the words without showing them, or reads them from standard input when that is no terminal. They are
/// never taken from the command line, where other programs and the shell's history could read them.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez identity restore
  kez identity restore < words.txt
  kez identity restore --passphrase    also protect the file on this computer

Where standard input holds the words, the passphrase needs KEZ_PASSPHRASE_FILE.")]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) storing: Storing,
}

/// How an identity is put on disk.
#[derive(Debug, Args)]
pub(crate) struct Storing {
    /// Protect the identity on this computer with a passphrase
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Replace the identity that is there; its file is kept under another name
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Words {
    #[value(name = "12")]
    Twelve,
    #[value(name = "24")]
    TwentyFour,
}

impl From<Words> for WordCount {
    fn from(words: Words) -> Self {
        match words {
            Words::Twelve => Self::Twelve,
            Words::TwentyFour => Self::TwentyFour,
        }
    }
}

/// Take a handle on a home server
///
/// Signs "this handle is mine" with your identity and sends it. The home server is remembered, so that other commands
/// need no --server. Sending the same wish twice does no harm.
///
/// Signs only for a server that has the name it gives itself: by its https address, or because the domain points to it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez register alice --server localhost:6969
  kez register alice --server https://example.org
  kez register alice --server https://example.org --invite-file invite.txt
  kez register alice --server http://192.168.1.7:6969 --as example.org

Without --invite-file, an invite is taken from KEZ_INVITE, or asked for when the
server wants one.")]
pub(crate) struct Register {
    /// The handle you want: 3 to 32 of a-z 0-9 _ -
    #[arg(value_parser = bare_handle)]
    pub(crate) handle: Handle,
    /// Where the home server is reached [default: the one you used last]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<BaseUrl>,
    /// The name behind the @ that this server really has [default: what its domain confirms]
    #[arg(long = "as", value_name = "NAME", value_parser = server_name)]
    pub(crate) vouched: Option<ServerName>,
    /// A file with your invite, where the server asks for one
    #[arg(long, value_name = "FILE")]
    pub(crate) invite_file: Option<PathBuf>,
}

/// Look somebody up
///
/// Asks the remembered home server (or --server) about its own people, and any other domain over https (WebFinger).
/// Then reads the person's own sigchain and checks it. Prints what the server says, what kez could check about it, and
/// what not. A sigchain that lacks what this computer has seen of it before ends with status 5.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez whois bob                    on the remembered home server
  kez whois bob@example.org        on any other
  kez whois ed25519:2152f8d1…      by key, written in full")]
pub(crate) struct Whois {
    /// A handle, an address (alice@kez.lat) or a key (ed25519:...)
    #[arg(value_name = "WHO", value_parser = who)]
    pub(crate) who: Who,
    /// Where the home server is reached [default: the one you used last]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<BaseUrl>,
    /// Where the sigchain is read [default: what the home server names]
    #[arg(long, value_name = "URL")]
    pub(crate) sig_server: Option<SigUrl>,
}

/// Whom a lookup is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Somebody of the asked home server.
    Handle(Handle),
    /// Somebody of a named server.
    Address(Fqhn),
    /// Whoever holds this key on the asked home server.
    Key(PublicKey),
}

/// Print a completion script for your shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez completions bash > ~/.local/share/bash-completion/completions/kez
  kez completions zsh > ~/.zfunc/_kez
  kez completions fish > ~/.config/fish/completions/kez.fish")]
pub(crate) struct Completions {
    /// The shell to write for
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// What came of reading the command line.
pub(crate) enum Parsed {
    /// A command to run.
    Command(Box<Cli>),
    /// Help, a version or a usage error, already printed.
    Answered(ExitCode),
}

impl Cli {
    /// Reads the arguments; prints help and usage errors itself, the latter as JSON when that was asked for.
    pub(crate) fn read(args: impl Iterator<Item = OsString>) -> Parsed {
        let args: Vec<OsString> = args.collect();
        let wants_json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
        let error = match Self::try_parse_from(args) {
            Ok(cli) => return Parsed::Command(Box::new(cli)),
            Err(error) => error,
        };
        let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if wants_json && !is_help {
            return Parsed::Answered(Output::new(true).failure(&Failure::usage(&error)));
        }
        // Nothing is left to do where the answer cannot be printed.
        let _ = error.print();
        Parsed::Answered(if is_help { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}

fn bare_handle(text: &str) -> Result<Handle, String> {
    match text.trim_start_matches('@').split_once('@') {
        Some((name, server)) => Err(format!("write the handle alone: {name} --server https://{server}")),
        None => handle(text),
    }
}

fn handle(text: &str) -> Result<Handle, String> {
    text.parse().map_err(|error: BadHandle| {
        let lower = text.to_ascii_lowercase();
        match lower.parse::<Handle>() {
            Ok(_) => format!("{error}: try {lower}"),
            Err(_) => error.to_string(),
        }
    })
}

/// A handle, an address or a key.
pub(crate) fn who(text: &str) -> Result<Who, String> {
    if text.starts_with("nostr:") {
        return Err("people on home servers have ed25519 keys, not nostr keys".into());
    }
    if text.contains(':') {
        let key = text.parse().map_err(|_| "a key is ed25519: and 64 digits of 0-9 a-f")?;
        return Ok(Who::Key(key));
    }
    match text.trim_start_matches('@').split_once('@') {
        None => handle(text.trim_start_matches('@')).map(Who::Handle),
        Some((name, server)) => {
            let server = server_name(server)?;
            Ok(Who::Address(Fqhn::new(handle(name)?, server)))
        }
    }
}

/// DNS names are compared without case (RFC 4343).
fn server_name(text: &str) -> Result<ServerName, String> {
    text.to_ascii_lowercase().parse().map_err(|error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn people_are_named_by_handle_address_or_key() {
        let alice: Fqhn = "alice@kez.lat".parse().unwrap();
        assert_eq!(who("alice"), Ok(Who::Handle(alice.handle().clone())));
        assert_eq!(who("@alice"), Ok(Who::Handle(alice.handle().clone())));
        assert_eq!(who("@alice@KEZ.lat"), Ok(Who::Address(alice)));
        let key = format!("ed25519:{}", "0f".repeat(32));
        assert_eq!(who(&key), Ok(Who::Key(key.parse().unwrap())));
    }

    #[test]
    fn a_wrong_name_is_answered_with_a_right_one() {
        assert!(who("Alice").unwrap_err().ends_with("try alice"));
        assert!(bare_handle("alice@kez.lat").unwrap_err().contains("alice --server https://kez.lat"));
        assert!(who("nostr:npub1xyz").unwrap_err().contains("ed25519"));
        assert!(who(&format!("ed25519:{}", "0F".repeat(32))).unwrap_err().contains("0-9 a-f"));
    }

    /// Whatever is written on a command line can be read by other programs and stays in the shell's history.
    #[test]
    fn no_flag_takes_a_secret() {
        let mut names = Vec::new();
        value_flags(&Cli::command(), &mut names);
        names.sort();
        names.dedup();
        assert_eq!(
            names,
            [
                "as",
                "expires",
                "file",
                "format",
                "invite-file",
                "last",
                "message",
                "reply-to",
                "server",
                "sig-server",
                "to",
                "with",
                "words"
            ]
        );
    }

    fn value_flags(command: &clap::Command, names: &mut Vec<String>) {
        let takes_value = |arg: &&clap::Arg| arg.get_action().takes_values();
        names.extend(
            command.get_opts().filter(takes_value).filter_map(|arg| arg.get_long()).map(str::to_owned),
        );
        for sub in command.get_subcommands() {
            value_flags(sub, names);
        }
    }
}
