//! `backup`, `restore` and `verify`: a home as a folder of plain files that can be checked. OPERATIONS "Backup".
//!
//! | in the folder | what it is |
//! | --- | --- |
//! | `SHA256SUMS` | a line for every other file, as `sha256sum -c` reads it |
//! | `backup.json` | whose home it is, and of when |
//! | `kez-chat.db`, `kez-chat-sig.db` | the databases, each of one moment |
//! | `kez-chat.secret` | the server's secrets |
//! | `blobs/` | the attachments that the first database names |
//!
//! A folder under its own name is complete: it is written under another one, made durable, and renamed.

mod evidence;
mod files;
mod make;
mod restore;
mod sums;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use kez_core::{ServerName, Timestamp};
use kez_serve::sqlite::{CopyError, OpenError};
use serde::{Deserialize, Serialize};

use crate::config::ServeArgs;
use crate::store::StoreError;

pub use make::backup;
pub use restore::restore;
pub use verify::verify;

/// The form of what is described here; another one gets another number.
const FORM: u32 = 1;

const SUMS: &str = "SHA256SUMS";
const ABOUT: &str = "backup.json";
const CHATS: &str = "kez-chat.db";
const CHAINS: &str = "kez-chat-sig.db";
const SECRET: &str = "kez-chat.secret";
const BLOBS: &str = "blobs";

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    /// [`FORM`].
    form: u32,
    /// Whose home it is.
    server: ServerName,
    /// When the copy of the database was begun: what was acknowledged before is in it.
    at: Timestamp,
    /// The version of the program that made it.
    program: String,
}

/// Why a command on backups did not do all of its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is no database.
    #[error("--db {}: there is no such file; name the server's database", .0.display())]
    NoDatabase(PathBuf),
    /// A database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A database cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A database cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading or writing a file failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The result cannot be printed.
    #[error("it cannot be printed: {0}")]
    Print(#[source] io::Error),
    /// The backup would take the place of something.
    #[error("{} is there already; name a folder that is not, such as one with today's date", .0.display())]
    Exists(PathBuf),
    /// The folder is not a backup.
    #[error("{} is no backup: there is no {SUMS} in it", .0.display())]
    NoBackup(PathBuf),
    /// A line of `SHA256SUMS` is not one that `backup` writes.
    #[error("{}: line {line} is damaged, or was not written by backup; take another backup", .path.display())]
    Sums {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// `backup.json` cannot be read.
    #[error("{}: it is damaged, or of a newer version of this program", .0.display())]
    About(PathBuf),
    /// A file of a backup is missing.
    #[error("{} is missing; take another backup", .0.display())]
    Missing(PathBuf),
    /// A file of a backup is not what it was.
    #[error("{} is damaged: its SHA-256 is not the one of when it was made; take another backup", .0.display())]
    Damaged(PathBuf),
    /// Something lies where the restored home would.
    #[error("{flag} {}: something is there already, and nothing is overwritten; move it away, or name another place", .path.display())]
    Occupied {
        /// The flag that names the place.
        flag: &'static str,
        /// The place.
        path: PathBuf,
    },
    /// The folder for what is restored is missing.
    #[error("{flag} {}: its folder does not exist; make the folder", .path.display())]
    NoFolder {
        /// The flag that names the place.
        flag: &'static str,
        /// The place.
        path: PathBuf,
    },
    /// `verify` found something.
    #[error("{0} faults were found; this is not a home to serve from: restore a backup that verifies")]
    Faults(u64),
}

impl BackupError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Where the parts of a home lie: that of a server, or a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    chats: PathBuf,
    chains: PathBuf,
    secret: PathBuf,
    blobs: PathBuf,
}

impl Places {
    fn of_server(args: &ServeArgs) -> Self {
        Self {
            chats: args.db.clone(),
            chains: args.sig_db(),
            secret: args.secret_file(),
            blobs: args.blob_folder(),
        }
    }

    fn of_backup(folder: &Path) -> Self {
        Self {
            chats: folder.join(CHATS),
            chains: folder.join(CHAINS),
            secret: folder.join(SECRET),
            blobs: folder.join(BLOBS),
        }
    }
}
