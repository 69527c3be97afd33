//! The user's data directory: the seed file, and what kez remembers.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kez_client::BaseUrl;
use kez_core::{Fqhn, PublicKey, ServerName, Timestamp};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::seed_file::{SeedFile, SeedFileError};

/// The most that is read of a file in the directory, in bytes. A sealed seed file has under 1 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

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
    /// The operating system refused.
    #[error("{path} cannot be {done}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// `read` or `written`.
        done: &'static str,
        source: io::Error,
    },
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
    /// The seed file cannot be understood.
    #[error("{path} cannot be used: {source}")]
    SeedFile {
        /// The seed file.
        path: PathBuf,
        source: SeedFileError,
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
        let bytes = read(&path)?.ok_or_else(|| HomeError::NoIdentity { path: path.clone() })?;
        if is_open_to_others(&path)? {
            return Err(HomeError::OpenToOthers { path });
        }
        SeedFile::parse(&bytes).map_err(|source| HomeError::SeedFile { path, source })
    }

    /// Stores a first identity; refuses where one is.
    pub(crate) fn add_identity(&self, identity: &SeedFile) -> Result<(), HomeError> {
        self.write_new(self.seed_path(), identity.to_text().as_bytes())
    }

    /// Stores an identity in place of another, whose file is kept under a name that tells `now`.
    pub(crate) fn replace_identity(
        &self,
        identity: &SeedFile,
        now: Timestamp,
    ) -> Result<Option<Former>, HomeError> {
        let path = self.seed_path();
        let former = read(&path)?.map(|bytes| self.keep(&bytes, now)).transpose()?;
        self.write(&path, identity.to_text().as_bytes())?;
        Ok(former)
    }

    /// What is remembered; nothing, when kez is new here.
    pub(crate) fn memory(&self) -> Result<Memory, HomeError> {
        let path = self.memory_path();
        match read(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| HomeError::Memory { path }),
            None => Ok(Memory::default()),
        }
    }

    /// Remembers.
    pub(crate) fn remember(&self, memory: &Memory) -> Result<(), HomeError> {
        let path = self.memory_path();
        let mut text = serde_json::to_vec_pretty(memory).map_err(|error| written(&path, error.into()))?;
        text.push(b'\n');
        self.write(&path, &text)
    }

    fn memory_path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    fn keep(&self, seed_file: &[u8], now: Timestamp) -> Result<Former, HomeError> {
        let stamp = now.truncated().to_string().replace(['-', ':'], "");
        let path = self.dir.join(format!("seed-replaced-{stamp}.json"));
        self.write_new(path.clone(), seed_file)?;
        Ok(Former { path })
    }

    /// Writes a seed file that must not be there yet: all of it or nothing, durably, for this user only.
    fn write_new(&self, path: PathBuf, bytes: &[u8]) -> Result<(), HomeError> {
        let draft = self.draft(bytes).map_err(|source| written(&path, source))?;
        match draft.persist_noclobber(&path) {
            Ok(_) => sync_directory(&self.dir).map_err(|source| written(&path, source)),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(HomeError::IdentityExists { path })
            }
            Err(error) => Err(written(&path, error.error)),
        }
    }

    /// Writes a file, replacing the one that is there in one step.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
        let persist = || {
            self.draft(bytes)?.persist(path)?;
            sync_directory(&self.dir)
        };
        persist().map_err(|source| written(path, source))
    }

    /// The bytes on disk under a temporary name, mode 0600; removed again unless persisted.
    fn draft(&self, bytes: &[u8]) -> io::Result<NamedTempFile> {
        create_directory(&self.dir)?;
        let mut file = tempfile::Builder::new().prefix(".kez-").tempfile_in(&self.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

fn written(path: &Path, source: io::Error) -> HomeError {
    HomeError::Io { path: path.to_owned(), done: "written", source }
}

/// The content of a file, or `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HomeError::Io { path: path.to_owned(), done: "read", source }),
    }
}

#[cfg(unix)]
fn create_directory(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn create_directory(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

/// Makes a rename in `dir` last through a power cut.
#[cfg(unix)]
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> Result<bool, HomeError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata =
        fs::metadata(path).map_err(|source| HomeError::Io { path: path.to_owned(), done: "read", source })?;
    Ok(metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
fn is_open_to_others(_: &Path) -> Result<bool, HomeError> {
    Ok(false)
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
