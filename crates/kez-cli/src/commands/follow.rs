//! Reading somebody's sigchain, checked in itself and against what this computer has seen of it.

use kez_client::{ChainReadError, ChainUrl, ClientError, SigUrl, check_key};
use kez_core::sigchain::Chain;
use kez_core::{PrimaryKey, Record, ServerName};

use super::{connect_sig_server, require_reachable};
use crate::error::CliError;
use crate::home::Home;
use crate::output::Output;
use crate::{seen, system};

/// A chain that verifies and goes on from what was seen before.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) chain: Chain,
    /// How many entries of it this computer had seen before, all of which are there; `None`: nothing.
    pub(super) seen_before: Option<u64>,
}

/// What became of a record's chain.
#[derive(Debug)]
pub(super) enum OfRecord {
    /// It was read.
    Followed(ChainUrl, Box<Followed>),
    /// The key has none there.
    None(ChainUrl),
    /// It could not be read, which says nothing about it.
    Unread(Box<CliError>),
}

/// Reads the chain at `url`; `None` when there is none.
pub(super) async fn follow(
    url: &ChainUrl,
    home: &Home,
    output: &Output,
) -> Result<Option<Followed>, CliError> {
    let server = connect_sig_server(url.server.clone(), output)?;
    let seen = seen::recall(home, url.chain)?;
    let head = seen.as_ref().map(seen::Seen::head);
    let Some(chain) = server.chain_since(url.chain, head.as_ref()).await? else { return Ok(None) };
    if let Err(error) = seen::remember(home, &chain, system::now()) {
        output.warn("not_remembered", &error.to_string());
    }
    Ok(Some(Followed { chain, seen_before: head.map(|head| head.seq + 1) }))
}

/// Reads the chain that a record names, or the same one at `named`. `asked_loopback`: the record comes from this machine.
pub(super) async fn of_record(
    record: &Record,
    named: Option<SigUrl>,
    asked_loopback: bool,
    home: &Home,
    output: &Output,
) -> Result<OfRecord, CliError> {
    let url = match url_of(record, named, asked_loopback) {
        Ok(url) => url,
        Err(error) => return Ok(OfRecord::Unread(Box::new(error))),
    };
    match follow(&url, home, output).await {
        Ok(Some(followed)) => {
            check_key(record, &followed.chain)?;
            Ok(OfRecord::Followed(url, Box::new(followed)))
        }
        Ok(None) => Ok(OfRecord::None(url)),
        Err(error) if is_unread(&error) => Ok(OfRecord::Unread(Box::new(error))),
        Err(error) => Err(error),
    }
}

fn url_of(record: &Record, named: Option<SigUrl>, asked_loopback: bool) -> Result<ChainUrl, CliError> {
    let of_record = record.sigchain_url.parse::<ChainUrl>();
    match (named, of_record) {
        (Some(server), of_record) => {
            let chain = of_record.map_or(PrimaryKey::from(record.primary), |url| url.chain);
            Ok(ChainUrl { server, chain })
        }
        (None, Ok(url)) => {
            let server: &ServerName = record.fqhn.server();
            require_reachable(&url.server, asked_loopback, server)?;
            Ok(url)
        }
        (None, Err(_)) => Err(CliError::BadChainUrl { url: record.sigchain_url.clone() }),
    }
}

/// Whether nothing was learnt. A contradiction is something.
fn is_unread(error: &CliError) -> bool {
    match error {
        CliError::Client(error) | CliError::Chain(ChainReadError::Client(error)) => {
            !matches!(error, ClientError::Contradiction { .. })
        }
        _ => false,
    }
}
