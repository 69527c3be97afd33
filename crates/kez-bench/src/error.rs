//! What can end a run.

use std::{io, path::PathBuf, process::ExitStatus};

use thiserror::Error;

/// Why a measurement could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The operating system refused something; `what` in the infinitive.
    #[error("could not {what}")]
    Io { what: &'static str, source: io::Error },
    /// A database refused something.
    #[error("database")]
    Sqlite(#[from] rusqlite::Error),
    /// A document of ours is none.
    #[error("document")]
    Envelope(#[from] kez_core::EnvelopeError),
    /// A chain of ours, as it came from the sig-server, is none.
    #[error("sigchain")]
    Chain(#[from] kez_core::sigchain::ChainError),
    /// A chain came from the sig-server with another number of events than it was given.
    #[error("the sig-server gave {found} events of a chain of {expected}")]
    Events { expected: u32, found: usize },
    /// A handle of ours is none.
    #[error("handle")]
    Handle(#[from] kez_core::BadHandle),
    /// The program under test is not there.
    #[error("no server at {0}: build it first, as `cargo xtask bench` does, or name it with --server")]
    NoServer(PathBuf),
    /// A server ended by itself.
    #[error("{name} ended with {status} instead of serving, see {log}")]
    Ended { name: &'static str, status: ExitStatus, log: PathBuf },
    /// A server did not say 200 on `/v1/readyz` in time.
    #[error("{name} is not ready after {seconds} s, see {log}")]
    NotReady { name: &'static str, seconds: u64, log: PathBuf },
    /// Answers with another status than the measured operation has: a rate of them would be a lie.
    #[error("{name}: {wrong} of {all} answers were not {expected}, one was {status}")]
    Answers { name: &'static str, wrong: u32, all: usize, expected: u16, status: u16 },
    /// Not every frame arrived at its listener once.
    #[error("{name}: a frame was delivered never, or twice, or none was sent")]
    Deliveries { name: &'static str },
    /// What the load needs before it begins was refused.
    #[error("{path} was answered {status}: {body}")]
    SetUp { path: String, status: u16, body: String },
    /// valgrind is not there, or did not answer.
    #[error("{tool} does not work here; both come with Debian's package valgrind")]
    NoValgrind { tool: &'static str, source: io::Error },
    /// More handles than the bench has names for.
    #[error("{0} handles are more than the bench can name: lower --seconds, --rounds or --handles")]
    TooManyHandles(u32),
}

impl Error {
    /// For `map_err`: names what was tried.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { what, source: source.into() }
    }
}
