//! A whole chain from text.

use super::chain::Chain;
use super::head::ChainError;
use crate::envelope::{Envelope, EnvelopeError};
use crate::identifier::PrimaryKey;

/// An event as text, in bytes: what a sig-server takes and what a reader has to.
pub const EVENT_BYTES_MAX: usize = 16 * 1024;

/// Why a text is not the chain that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No line at all.
    #[error("the chain has no event")]
    Empty,
    /// A line is longer than [`EVENT_BYTES_MAX`].
    #[error("line {line} has more than {bytes_max} bytes")]
    LineTooLong {
        /// From 1.
        line: usize,
        /// [`EVENT_BYTES_MAX`].
        bytes_max: usize,
    },
    /// A line is not the next event.
    #[error("line {line}: {fault}")]
    Event {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        fault: ChainError,
    },
}

impl ReadError {
    /// The stable code of SPEC "Sigchains".
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::LineTooLong { .. } => "too_large",
            Self::Event { fault, .. } => fault.code(),
        }
    }
}

impl Chain {
    /// Reads and checks a chain, one event a line, oldest first, with or without a line feed at the end.
    ///
    /// `id` is the chain that was asked for; `None` takes the one that event 0 begins.
    pub fn read(id: Option<PrimaryKey>, jsonl: &str) -> Result<Self, ReadError> {
        if jsonl.trim_ascii().is_empty() {
            return Err(ReadError::Empty);
        }
        let mut lines = jsonl.strip_suffix('\n').unwrap_or(jsonl).split('\n').enumerate();
        let first = lines.next().ok_or(ReadError::Empty)?;
        let begin = |envelope| match id {
            Some(id) => Self::genesis(id, envelope),
            None => Self::begin(envelope),
        };
        let mut chain = line(first, begin)?;
        for rest in lines {
            line(rest, |envelope| chain.extend(envelope).map(|_| ()))?;
        }
        Ok(chain)
    }
}

fn line<T>(
    (at, text): (usize, &str),
    take: impl FnOnce(Envelope) -> Result<T, ChainError>,
) -> Result<T, ReadError> {
    let line = at + 1;
    if text.len() > EVENT_BYTES_MAX {
        return Err(ReadError::LineTooLong { line, bytes_max: EVENT_BYTES_MAX });
    }
    Envelope::parse(text.as_bytes())
        .map_err(|fault| ChainError::Envelope(EnvelopeError::Malformed(fault)))
        .and_then(take)
        .map_err(|fault| ReadError::Event { line, fault })
}
