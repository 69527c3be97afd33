//! Files, written so that a power cut leaves the old or the new content, and read up to a limit.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// The most that [`read`] reads, in bytes. A sealed seed file has under 1 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {done}")]
pub(crate) struct DiskError {
    /// The file or directory.
    pub(crate) path: PathBuf,
    /// `read` or `written`.
    pub(crate) done: &'static str,
    pub(crate) source: io::Error,
}

/// Keeps other calls of kez away while it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl DiskError {
    /// That `path` cannot be read.
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), done: "read", source }
    }

    /// That `path` cannot be written.
    pub(crate) fn written(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), done: "written", source }
    }
}

/// Takes the lock that the file `path` stands for, until it is dropped or the process ends. Where another process holds
/// it, calls `waiting` and waits.
pub(crate) fn lock(path: &Path, waiting: impl FnOnce()) -> Result<Lock, DiskError> {
    let lock = || {
        create_parent(path)?;
        let file = File::options().create(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => waiting(),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.lock().map(|()| file)
    };
    lock().map(|file| Lock { _file: file }).map_err(|source| DiskError::written(path, source))
}

/// The content of a small file, or `None` when there is no such file. It may be secret, so it is wiped.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DiskError::read(path, source)),
    }
}

/// Writes a file for this user only, replacing the one that is there in one step.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let persist = || {
        draft(path, bytes)?.persist(path)?;
        sync_parent(path)
    };
    persist().map_err(|source| DiskError::written(path, source))
}

/// Writes a file for this user only; `false`, and nothing is changed, where one is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, DiskError> {
    let persist = || match draft(path, bytes)?.persist_noclobber(path) {
        Ok(_) => sync_parent(path).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    };
    persist().map_err(|source| DiskError::written(path, source))
}

/// Adds to a file. After an error the file is what it was, unless the machine stopped meanwhile.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let append = || {
        create_parent(path)?;
        let mut file = File::options().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        let added = file.write_all(bytes).and_then(|()| file.sync_all());
        if added.is_err() {
            // Where this fails as well, the next reader finds a torn line.
            let _ = file.set_len(len);
        }
        added?;
        if len == 0 { sync_parent(path) } else { Ok(()) }
    };
    append().map_err(|source| DiskError::written(path, source))
}

/// The bytes on disk beside `path` under a temporary name, mode 0600; removed again unless persisted.
fn draft(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    create_parent(path)?;
    let mut file = tempfile::Builder::new().prefix(".kez-").tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(unix)]
fn create_parent(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent(path))
}

#[cfg(not(unix))]
fn create_parent(path: &Path) -> io::Result<()> {
    fs::create_dir_all(parent(path))
}

/// Makes what was created or renamed beside `path` last through a power cut, with the directory it is in.
#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    let sync = |dir: &Path| File::open(dir)?.sync_all();
    sync(parent(path))?;
    parent(path).parent().map_or(Ok(()), sync)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}
