//! What can go wrong in a task, told so that the reader knows what to type next.

use std::{fmt, io, path::PathBuf};

/// Why a command of xtask gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the environment asks for something that does not exist.
    Usage(String),
    /// A program could not be started at all.
    Start { program: String, source: io::Error },
    /// A program ran and reported failure; it has said why itself.
    Ended { program: String },
    /// A file or directory could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// A tool is missing and could not be obtained; `cure` is the line to type.
    Missing { tool: &'static str, cure: String },
    /// The server under test did not start listening, or ended while it was tested.
    Server(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Server(text) => f.write_str(text),
            Self::Start { program, source } => write!(f, "cannot start `{program}`: {source}"),
            Self::Ended { program } => write!(f, "`{program}` failed"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Missing { tool, cure } => write!(f, "{tool} is missing; {cure}"),
        }
    }
}

impl Failure {
    /// For `map_err` on file operations: remembers which file it was.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
