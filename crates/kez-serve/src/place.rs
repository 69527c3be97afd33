//! Where a server keeps what it keeps: a file of its own, or a database that it may share.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::postgres::{BadLocation, Location};

/// The value of a `--db`. Printed without a password.
#[derive(Debug, Clone)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(Location),
}

/// The text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPlace {
    /// It is empty.
    #[error("name a file, such as {0}, or a PostgreSQL database: postgres://user@host/database")]
    Empty(&'static str),
    /// It is a URL, but not of PostgreSQL.
    #[error("name a file, such as {0}, or a PostgreSQL database: postgres://user@host/database")]
    OtherUrl(&'static str),
    /// It is a URL of PostgreSQL that cannot be used.
    #[error(transparent)]
    Location(#[from] BadLocation),
}

impl Place {
    /// Reads a flag, of which `example` is a good value.
    pub fn parse(text: &str, example: &'static str) -> Result<Self, BadPlace> {
        if text.is_empty() {
            return Err(BadPlace::Empty(example));
        }
        if Location::is_meant(text) {
            return Ok(Self::Postgres(text.parse::<Location>()?.with_password_of_environment()));
        }
        if text.contains("://") {
            return Err(BadPlace::OtherUrl(example));
        }
        Ok(Self::File(text.into()))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// A file of this name that belongs to it: beside it, or in the folder that the server was started in.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        match self {
            Self::File(path) => path.with_file_name(name),
            Self::Postgres(_) => name.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(location) => location.fmt(f),
        }
    }
}
