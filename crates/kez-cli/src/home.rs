//! The user's data directory: the seed file, and what kez remembers.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use kez_client::BaseUrl;
use kez_core::{Fqhn, PublicKey, ServerName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::seed_file::{SeedFile, SeedFileError};

/// The directory that kez keeps its files in. Need not exist yet.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
}

/// What kez remembers between calls. Nothing in it is secret.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The home server that was used last.
    pub(crate) home_server: Option<KnownServer>,
    /// The address that was registered last.
    pub(crate) account: Option<Account>,
}

/// A home server that once answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownServer {
    /// Where it is reached.
    pub(crate) url: BaseUrl,
    /// What it is called.
    pub(crate) server: ServerName,
}

/// An address and the key that it was registered with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    /// `alice@kez.lat`.
    pub(crate) address: Fqhn,
    /// The key it was registered with.
    pub(crate) primary: PublicKey,
}

/// What became of the identity that a new one replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Former {
    /// Where its file is kept.
    pub(crate) path: PathBuf,
}

/// Why the data directory is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HomeError {
    /// None of the environment variables says where it is.
    #[error("kez does not know where to keep its files")]
    NoPlace,
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An identity is there already.
    #[error("there is an identity already, in {path}")]
    IdentityExists {
        /// Its seed file.
        path: PathBuf,
    },
    /// No identity has been made yet.
    #[error("there is no identity on this computer yet (no {path})")]
    NoIdentity {
        /// Where it would be.
        path: PathBuf,
    },
    /// Other users of the machine may read the seed file.
    #[error("other users of this computer can read your identity in {path}")]
    OpenToOthers {
        /// The seed file.
        path: PathBuf,
    },
    /// An identity is to be replaced that is kept elsewhere.
    #[error("{path} is a link to {target}, and only the link would be replaced")]
    SeedFileIsLink {
        /// The link.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// The seed file cannot be understood.
    #[error("{path} cannot be used: {source}")]
    SeedFile {
        /// The seed file.
        path: PathBuf,
        source: SeedFileError,
    },
    /// What was seen of a sigchain cannot be understood.
    #[error("{path} is damaged")]
    Seen {
        /// The file.
        path: PathBuf,
    },
    /// The file of remembered things cannot be understood.
    #[error("{path} is damaged")]
    Memory {
        /// The file.
        path: PathBuf,
    },
}

impl Home {
    /// `KEZ_HOME`, else `$XDG_DATA_HOME/kez`, else `~/.local/share/kez`.
    pub(crate) fn locate(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, HomeError> {
        let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // A relative path in XDG_DATA_HOME is to be ignored (XDG Base Directory Specification, "Basics").
        let xdg = || set("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|path| path.join("kez"));
        let dot_local = || set("HOME").map(|path| path.join(".local/share/kez"));
        let dir = set("KEZ_HOME").or_else(xdg).or_else(dot_local).ok_or(HomeError::NoPlace)?;
        Ok(Self { dir })
    }

    /// Where the seed file is, or will be.
    pub(crate) fn seed_path(&self) -> PathBuf {
        self.dir.join("seed.json")
    }

    /// Whether an identity is there, readable or not.
    pub(crate) fn has_identity(&self) -> bool {
        fs::symlink_metadata(self.seed_path()).is_ok()
    }

    /// The identity, still closed. Refuses a file that other users can read.
    pub(crate) fn identity(&self) -> Result<SeedFile, HomeError> {
        let path = self.seed_path();
        let content = disk::examine(&path)?.ok_or_else(|| HomeError::NoIdentity { path: path.clone() })?;
        if content.is_open_to_others {
            return Err(HomeError::OpenToOthers { path });
        }
        SeedFile::parse(&content.bytes).map_err(|source| HomeError::SeedFile { path, source })
    }

    /// Fails where the seed file is a link: replacing it would leave the old secret where it points to.
    pub(crate) fn refuse_link(&self) -> Result<(), HomeError> {
        let path = self.seed_path();
        // An error means that it is no link, or not there.
        fs::read_link(&path).map_or(Ok(()), |target| Err(HomeError::SeedFileIsLink { path, target }))
    }

    /// Stores a first identity; refuses where one is.
    pub(crate) fn add_identity(&self, identity: &SeedFile) -> Result<(), HomeError> {
        write_seed(self.seed_path(), &identity.to_text())
    }

    /// Stores an identity in place of another, whose file is kept under a name that tells `now`.
    pub(crate) fn replace_identity(
        &self,
        identity: &SeedFile,
        now: Timestamp,
    ) -> Result<Option<Former>, HomeError> {
        self.refuse_link()?;
        let path = self.seed_path();
        let former = disk::read(&path)?.map(|bytes| self.keep(&bytes, now)).transpose()?;
        disk::write(&path, &identity.to_text())?;
        Ok(former)
    }

    /// What is remembered; nothing, when kez is new here.
    pub(crate) fn memory(&self) -> Result<Memory, HomeError> {
        let path = self.memory_path();
        match disk::read(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| HomeError::Memory { path }),
            None => Ok(Memory::default()),
        }
    }

    /// Remembers.
    pub(crate) fn remember(&self, memory: &Memory) -> Result<(), HomeError> {
        let path = self.memory_path();
        let mut text =
            serde_json::to_vec_pretty(memory).map_err(|error| DiskError::written(&path, error.into()))?;
        text.push(b'\n');
        Ok(disk::write(&path, &text)?)
    }

    fn memory_path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    fn keep(&self, seed_file: &[u8], now: Timestamp) -> Result<Former, HomeError> {
        let stamp = now.truncated().to_string().replace(['-', ':'], "");
        let path = self.path(&format!("seed-replaced-{stamp}.json"));
        write_seed(path.clone(), seed_file)?;
        Ok(Former { path })
    }

    /// A file in the directory, or in a directory of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Writes a seed file that must not be there yet.
fn write_seed(path: PathBuf, bytes: &[u8]) -> Result<(), HomeError> {
    if disk::write_new(&path, bytes)? { Ok(()) } else { Err(HomeError::IdentityExists { path }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(vars: &[(&str, &str)]) -> Option<PathBuf> {
        let env = |name: &str| vars.iter().find(|(have, _)| *have == name).map(|(_, value)| value.into());
        Home::locate(env).ok().map(|home| home.dir)
    }

    #[test]
    fn the_first_variable_that_says_something_decides() {
        let home = ("HOME", "/people/alice");
        assert_eq!(located(&[home]), Some("/people/alice/.local/share/kez".into()));
        assert_eq!(located(&[home, ("XDG_DATA_HOME", "/data")]), Some("/data/kez".into()));
        assert_eq!(
            located(&[home, ("XDG_DATA_HOME", "data")]),
            Some("/people/alice/.local/share/kez".into())
        );
        assert_eq!(located(&[home, ("KEZ_HOME", "/kez"), ("XDG_DATA_HOME", "/data")]), Some("/kez".into()));
        assert_eq!(located(&[home, ("KEZ_HOME", "")]), Some("/people/alice/.local/share/kez".into()));
        assert_eq!(located(&[]), None);
    }
}
