//! The command line of `kez claim`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kez_core::{Identifier, Timestamp};

/// Say that an account or a domain is yours
///
/// A claim is a short signed text: "what this names is mine". Put it where the account or domain can be seen to say it
/// (a public gist, a profile page, a TXT record), and everybody can check that both belong together.
#[derive(Debug, Subcommand)]
pub(crate) enum Claim {
    Create(Create),
    Show(Read),
    Verify(Verify),
}

/// Make a claim and print it
///
/// Only the claim goes to standard output, so that it can go on into a file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez claim create github:alice                           print it as JSON
  kez claim create github:alice --format markdown         for a page
  kez claim create dns:example.org --format dns           as a DNS record
  kez claim create github:alice --expires 2027-01-01 > claim.json")]
pub(crate) struct Create {
    /// What is yours: github:alice, dns:example.org, web:https://example.org …
    #[arg(value_parser = subject)]
    pub(crate) subject: Identifier,
    /// When the claim ends by itself: 2027-01-01, or 2027-01-01T12:00:00Z [default: never]
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) expires: Option<Timestamp>,
    /// How the claim is written
    #[arg(long, value_enum, default_value_t = ClaimFormat::Json)]
    pub(crate) format: ClaimFormat,
}

/// Show what a claim says
///
/// Also when it is not to be believed, which is said as well. kez claim verify decides.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez claim show claim.json
  curl -s https://example.org/kez.md | kez claim show -")]
pub(crate) struct Read {
    /// A file that holds the claim in any form; - for standard input
    pub(crate) file: PathBuf,
}

/// Check a claim
///
/// Reads any form, also out of a whole Markdown page or the answer of a DNS tool. Checks the signature and the expiry.
/// Whether the claim was found where it belongs only you can know.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  kez claim verify claim.json
  curl -s https://example.org/kez.md | kez claim verify -
  dig +short TXT _kez.example.org | kez claim verify -")]
pub(crate) struct Verify {
    /// A file that holds the claim in any form; - for standard input
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClaimFormat {
    /// A JSON document
    Json,
    /// One short line, kez:z1:…
    Compact,
    /// A block for a Markdown page
    Markdown,
    /// A TXT record, for dns: subjects
    Dns,
}

/// What somebody holds, `system:name`.
pub(crate) fn subject(text: &str) -> Result<Identifier, String> {
    if text.starts_with("https://") || text.starts_with("http://") {
        return Err(format!("name the system first: web:{text}"));
    }
    text.parse().map_err(|_| {
        "write what is yours as system:name, for example github:alice or dns:example.org".to_owned()
    })
}

/// A day, which means its beginning in UTC, or an instant.
fn date(text: &str) -> Result<Timestamp, String> {
    let written = if text.len() == "2027-01-01".len() { format!("{text}T00:00:00Z") } else { text.into() };
    written.parse().map_err(|_| "write a date such as 2027-01-01, or 2027-01-01T12:00:00Z (UTC)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_beginning() {
        assert_eq!(date("2027-01-01").unwrap().to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(date("2027-01-01T12:00:00Z").unwrap().to_string(), "2027-01-01T12:00:00Z");
        assert!(date("2027-02-30").is_err() && date("tomorrow").is_err() && date("").is_err());
    }

    #[test]
    fn a_wrong_subject_is_answered_with_a_right_one() {
        assert_eq!(subject("GitHub:Alice").unwrap().as_str(), "github:alice");
        assert_eq!(
            subject("https://example.org").unwrap_err(),
            "name the system first: web:https://example.org"
        );
        assert!(subject("alice").unwrap_err().contains("github:alice"));
    }
}
