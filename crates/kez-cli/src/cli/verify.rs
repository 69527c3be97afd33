//! The command line of `kez verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Check a KEZ document of any kind
#[derive(Debug, Subcommand)]
pub(crate) enum Verify {
    File(VerifyFile),
}

/// Check a document in a file, whatever it is
///
/// Says what it is (a claim, a registration, an entry of a sigchain, a whole one), what was checked about it and what
/// not. Finds it also within a Markdown page.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez verify file claim.json
  kez verify file README.md
  curl -s https://example.org/kez.md | kez verify file -")]
pub(crate) struct VerifyFile {
    /// The file; - for standard input
    pub(crate) file: PathBuf,
}
