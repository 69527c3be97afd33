//! What every store says when it cannot answer, whatever it keeps.

use std::convert::Infallible;

use http::StatusCode;

use crate::problem::Problem;
use crate::sqlite::{Health, ReadError, WriteError};

/// The store could not answer. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room is left where the data lies.
    #[error("the disk is full")]
    Full,
    /// More writes are waiting than the store takes.
    #[error("too many writes are waiting")]
    Busy,
    /// Anything else: the device fails, the file is damaged, the store is closed.
    #[error("the store failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whether writes can succeed, as far as the last one tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreHealth {
    /// The last write succeeded.
    Ok,
    /// The last write found no room.
    Full,
    /// The last write failed.
    Failing,
}

impl StoreError {
    /// A failure by its cause.
    pub fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(cause))
    }
}

impl StoreHealth {
    /// Why no writes should be sent, as readiness tells it.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::Full => Some("storage_full"),
            Self::Failing => Some("storage_failing"),
        }
    }
}

/// 507 `storage_full`, 503 `busy`, 503 `storage_unavailable`, each with a time to retry.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let unavailable = |code, title| Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title);
        match error {
            StoreError::Full => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", "Server storage is full")
                    .retry_after(30)
            }
            StoreError::Busy => unavailable("busy", "Too busy now").retry_after(1),
            failed @ StoreError::Failed(_) => {
                unavailable("storage_unavailable", "Server storage is not available")
                    .retry_after(5)
                    .caused_by(crate::problem::chain(&failed))
            }
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        Self::failed(error)
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::Full,
            WriteError::Busy => Self::Busy,
            other => Self::failed(other),
        }
    }
}

impl From<Health> for StoreHealth {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Full => Self::Full,
            Health::Failing(_) => Self::Failing,
        }
    }
}

/// The result of a write that the domain cannot refuse.
pub fn unrefused<T>(result: Result<Result<T, Infallible>, WriteError>) -> Result<T, StoreError> {
    let Ok(value) = result?;
    Ok(value)
}
