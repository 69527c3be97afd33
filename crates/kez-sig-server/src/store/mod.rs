//! What the sig-server keeps, in operations of its domain. SQL lives in the engines below and nowhere else.
//!
//! [`ChainStore`] is a trait because there are two engines. `conformance` is what each of them has to pass.

#[cfg(test)]
mod conformance;
mod postgres;
mod sqlite;
mod stored;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use kez_core::sigchain::{EventHash, Head};
use kez_core::{PrimaryKey, Timestamp};
use kez_serve::rate::RetryAfter;
use kez_serve::storage::{StoreError, StoreHealth};

pub use postgres::PostgresChainStore;
pub use sqlite::SqliteChainStore;

use crate::extension::Extension;
use crate::limits::Quotas;

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The event is the chain's new end, durable.
    New(Head),
    /// The very same event stands at this place already.
    SameAgain,
}

/// Why the store does not append an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendRefusal {
    /// The chain does not end any more where the event goes on.
    #[error("the chain has another end now")]
    Conflict {
        /// Where it ends; `None`: it has no event.
        head: Option<Head>,
    },
    /// The chain grows too fast.
    #[error("the chain grows too fast: {0}")]
    RateLimited(RetryAfter),
    /// All chains together have the bytes they may have.
    #[error("this server keeps no more")]
    StorageMax,
}

/// A chain from somewhere to its end, as it was when reading began.
pub struct Reading {
    /// The end.
    pub head: Head,
    /// How many bytes come, where that is known beforehand.
    pub bytes: Option<u64>,
    /// One canonical envelope a line, oldest first, in pieces of some lines; each piece is read when it is asked for.
    pub lines: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// Sums over all chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Chains.
    pub chains: u64,
    /// Events of all chains.
    pub events: u64,
    /// Bytes of all events as they are served.
    pub bytes: u64,
}

/// All chains. Each write is durable when its future resolves, or has not happened. Nothing is ever changed or deleted.
#[async_trait]
pub trait ChainStore: fmt::Debug + Send + Sync + 'static {
    /// Where a chain ends; `None`: it has no event.
    async fn head(&self, chain: &PrimaryKey) -> Result<Option<Head>, StoreError>;

    /// The hash of the event at a place, if there is one.
    async fn event_hash(&self, chain: &PrimaryKey, seq: u64) -> Result<Option<EventHash>, StoreError>;

    /// Makes the event the end of its chain if the chain still ends where the event goes on; accepted at `at`.
    async fn append(
        &self,
        extension: Extension,
        at: Timestamp,
        quotas: &Quotas,
    ) -> Result<Result<Appended, AppendRefusal>, StoreError>;

    /// The events of a chain, or those after position `since`; `None`: it has no event.
    async fn read(&self, chain: &PrimaryKey, since: Option<u64>) -> Result<Option<Reading>, StoreError>;

    /// Up to `limit` chains after the chain `after`, in an order of the store's own.
    async fn chains(&self, after: Option<&PrimaryKey>, limit: u32) -> Result<Vec<Head>, StoreError>;

    /// How much there is.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// How the last write went; costs nothing.
    fn health(&self) -> StoreHealth;

    /// Finishes what was accepted and closes.
    async fn close(&self);
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("head", &self.head)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
