//! The command line of `kez sigchain`.

use clap::{Args, Subcommand, ValueEnum};
use kez_client::{BaseUrl, SigUrl};
use kez_core::Identifier;

use super::claim::subject;

/// Keep the public list of what is yours
///
/// Your sigchain is a list that only you can add to: accounts, domains, devices, each entry signed and tied to the one
/// before. It is kept on this computer first, and others see it once it is published on a sig-server. What is published
/// stays; revoking adds an entry that takes an earlier one back.
#[derive(Debug, Subcommand)]
pub(crate) enum Sigchain {
    Add(Add),
    Revoke(Revoke),
    Show(Show),
    Export(Export),
    Publish(Publish),
    Verify(Verify),
}

/// Add something of yours
///
/// The entry is signed and kept on this computer. Others see it after kez sigchain publish, or at once with --publish.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez sigchain add github:alice
  kez sigchain add dns:example.org --publish")]
pub(crate) struct Add {
    /// What is yours: github:alice, dns:example.org, web:https://example.org …
    #[arg(value_parser = subject)]
    pub(crate) subject: Identifier,
    #[command(flatten)]
    pub(crate) publishing: Publishing,
}

/// Take something back
///
/// The entry that takes it back is signed and kept on this computer. Others see it after kez sigchain publish, or at
/// once with --publish.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez sigchain revoke github:alice
  kez sigchain revoke dns:example.org --publish")]
pub(crate) struct Revoke {
    /// What is no longer yours, as kez sigchain show writes it
    #[arg(value_parser = subject)]
    pub(crate) subject: Identifier,
    #[command(flatten)]
    pub(crate) publishing: Publishing,
}

/// Whether and where an entry is published at once.
#[derive(Debug, Args)]
pub(crate) struct Publishing {
    /// Publish at once
    #[arg(long)]
    pub(crate) publish: bool,
    /// Where sigchains are published [default: what your home server names]
    #[arg(long, value_name = "URL", requires = "publish")]
    pub(crate) sig_server: Option<SigUrl>,
}

/// Show your sigchain
///
/// What is yours now, your devices, and how much of it others can see.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez sigchain show
  kez sigchain show --json    with every entry")]
pub(crate) struct Show {}

/// Print your sigchain, for a file or another program
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez sigchain export > sigchain.jsonl
  kez sigchain export --format bundle")]
pub(crate) struct Export {
    /// How the sigchain is written
    #[arg(long, value_enum, default_value_t = ChainFormat::Jsonl)]
    pub(crate) format: ChainFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChainFormat {
    /// One JSON document a line
    Jsonl,
    /// One short line, kez:zc1:…
    Bundle,
}

/// Publish your sigchain
///
/// Hands in what the sig-server does not have yet, and takes over what you published from another computer. Entries of
/// this computer that nobody has seen yet are then signed anew, behind those; what is published is never changed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez sigchain publish
  kez sigchain publish --sig-server https://sig.example.org")]
pub(crate) struct Publish {
    /// Where sigchains are published [default: what your home server names]
    #[arg(long, value_name = "URL")]
    pub(crate) sig_server: Option<SigUrl>,
}

/// Check a sigchain from its first entry to its last
///
/// Yours on this computer, one in a file, one at an address of the web, or that of a person. Also checks that it goes on
/// from what this computer has seen of it before.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez sigchain verify                      your own, on this computer
  kez sigchain verify sigchain.jsonl       a file in any form; - for standard input
  kez sigchain verify bob@example.org      that of a person
  kez sigchain verify https://sig.example.org/v1/sigchains/ed25519/2152f8d1…")]
pub(crate) struct Verify {
    /// A file, a sigchain's URL, or an address [default: your own sigchain]
    #[arg(value_name = "WHAT")]
    pub(crate) what: Option<String>,
    /// Where the home server is reached, for an address [default: the one you used last]
    #[arg(long, value_name = "URL", requires = "what")]
    pub(crate) server: Option<BaseUrl>,
    /// Where the sigchain is read, for an address [default: what its record names]
    #[arg(long, value_name = "URL", requires = "what")]
    pub(crate) sig_server: Option<SigUrl>,
}
