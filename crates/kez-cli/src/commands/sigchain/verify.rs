//! `kez sigchain verify`.

use std::path::{Path, PathBuf};

use kez_client::ChainUrl;
use kez_core::sigchain::{Chain, Comparison};
use serde::Serialize;

use super::own;
use crate::chain_view::{ChainView, entries, moment};
use crate::cli::{VerifyChain, Who, who};
use crate::commands::follow::{self, OfRecord};
use crate::commands::{on_network, whois};
use crate::document::{self, DocumentError};
use crate::error::CliError;
use crate::home::Home;
use crate::output::{Output, Page, Report};
use crate::seen;

/// What somebody names as a chain.
enum Named {
    Own,
    File(PathBuf),
    Url(ChainUrl),
    Person(Who),
}

/// Verifies a chain, from wherever it comes.
pub(super) fn run(args: VerifyChain, home: &Home, output: &Output) -> Result<(), CliError> {
    match named(args.what.as_deref())? {
        Named::Own => output.report(&own_chain(home)?),
        Named::File(path) => output.report(&in_file(&path, home)?),
        Named::Url(url) => on_network(async {
            let followed = follow::follow(&url, home, output).await?;
            let followed = followed.ok_or_else(|| CliError::NoChain { url: url.to_string() })?;
            output.report(&VerifiedChain::published(url.to_string(), &followed.chain, followed.seen_before))
        }),
        Named::Person(who) => on_network(of_person(who, args, home, output)),
    }
}

fn named(what: Option<&str>) -> Result<Named, CliError> {
    let Some(text) = what else { return Ok(Named::Own) };
    if text.contains("://") {
        let url = text.parse().map_err(|_| CliError::BadChainUrl { url: text.to_owned() })?;
        return Ok(Named::Url(url));
    }
    let is_file = text == "-" || Path::new(text).exists();
    match who(text) {
        Ok(who @ (Who::Address(_) | Who::Key(_))) if !is_file => Ok(Named::Person(who)),
        _ => Ok(Named::File(text.into())),
    }
}

fn own_chain(home: &Home) -> Result<VerifiedChain, CliError> {
    let local = own(home)?;
    local.require_whole()?;
    let chain = local.chain().ok_or(CliError::EmptyChain)?;
    Ok(VerifiedChain::new(local.path().display().to_string(), chain, None))
}

fn in_file(path: &Path, home: &Home) -> Result<VerifiedChain, CliError> {
    let artifact = document::read(path)?;
    match document::check(artifact)? {
        document::Checked::Chain(chain) => document_report(path, &chain, home),
        other => Err(DocumentError::OtherKind { wanted: "sigchain", found: other.kind() }.into()),
    }
}

/// A chain out of a file. One that is older than what was seen is no lie; one that parts from it is.
pub(in crate::commands) fn document_report(
    path: &Path,
    chain: &Chain,
    home: &Home,
) -> Result<VerifiedChain, CliError> {
    let source = document::name(path);
    let Some(seen) = seen::recall(home, chain.id())? else {
        return Ok(VerifiedChain::new(source, chain, None));
    };
    let events = seen.head().seq + 1;
    match chain.compare_to_head(&seen.head()) {
        Comparison::Forked { seq } => Err(CliError::FileForked { path: source, seq }),
        Comparison::Shorter => {
            Ok(VerifiedChain { older_than: Some(events), ..VerifiedChain::new(source, chain, None) })
        }
        Comparison::Same | Comparison::Longer => Ok(VerifiedChain::new(source, chain, Some(events))),
    }
}

async fn of_person(who: Who, args: VerifyChain, home: &Home, output: &Output) -> Result<(), CliError> {
    let found = whois::find(who, args.server, home, output).await?;
    match follow::of_record(&found.record, args.sig_server, found.is_local, home, output).await? {
        OfRecord::Followed(url, followed) => {
            let report = VerifiedChain::published(url.to_string(), &followed.chain, followed.seen_before);
            output.report(&report)
        }
        OfRecord::None(url) => Err(CliError::NoChain { url: url.to_string() }),
        OfRecord::Unread(error) => Err(*error),
    }
}

/// A chain that verifies.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct VerifiedChain {
    kind: &'static str,
    source: String,
    sigchain: ChainView,
    /// How many entries of it this computer had seen before, all of which are here.
    seen_before: Option<u64>,
    /// How many entries this computer has seen where there are less here.
    older_than: Option<u64>,
    not_checked: Vec<Gap>,
}

/// What was not checked. The JSON names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Gap {
    /// Whether there are later entries elsewhere.
    Newer,
    /// That nothing is held back: this computer has never seen this sigchain before.
    NeverSeen,
    /// That what the sigchain holds points back to the key.
    Subjects,
}

impl VerifiedChain {
    fn new(source: String, chain: &Chain, seen_before: Option<u64>) -> Self {
        let sigchain = ChainView::of(chain);
        let mut not_checked = vec![Gap::Newer];
        if !sigchain.subjects.is_empty() {
            not_checked.push(Gap::Subjects);
        }
        Self { kind: "sigchain", source, sigchain, seen_before, older_than: None, not_checked }
    }

    /// What was just read where it is published.
    fn published(source: String, chain: &Chain, seen_before: Option<u64>) -> Self {
        let mut report = Self::new(source, chain, seen_before);
        report.not_checked.retain(|gap| *gap != Gap::Newer);
        if seen_before.is_none() {
            report.not_checked.insert(0, Gap::NeverSeen);
        }
        report
    }

    fn gap_text(&self, gap: Gap) -> String {
        match (gap, self.older_than) {
            (Gap::Newer, Some(seen)) => {
                format!("what comes later: this computer has seen {}", entries(seen))
            }
            (Gap::Newer, None) => "whether more was added since".into(),
            (Gap::NeverSeen, _) => NEVER_SEEN.into(),
            (Gap::Subjects, _) => "that what it holds points back to this key".into(),
        }
    }
}

impl Report for VerifiedChain {
    fn print(&self, page: &mut Page) {
        let ChainView { events, key, key_since, head, .. } = &self.sigchain;
        page.line(format_args!(
            "{}\n",
            page.bold(format_args!("A sigchain of {}, whole and in order.", entries(*events)))
        ));
        page.field("public key", key);
        page.field("key since", moment(*key_since));
        self.sigchain.print_holdings(page);
        page.field("read from", &self.source);
        page.field("last entry", head);
        page.field("checked", "every entry: signed by the key, each tied to the one before");
        if let Some(events) = self.seen_before {
            page.field("", seen_text(events));
        }
        let gaps: Vec<String> = self.not_checked.iter().map(|gap| self.gap_text(*gap)).collect();
        page.fields("not checked", &gaps);
    }
}

/// Said where a chain is seen for the first time.
pub(in crate::commands) const NEVER_SEEN: &str =
    "whether entries are held back: this computer sees this sigchain for the first time";

/// Said where a chain goes on from what was seen.
pub(in crate::commands) fn seen_text(events: u64) -> String {
    format!("it has all that this computer has seen of it before ({})", entries(events))
}
