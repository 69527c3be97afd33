//! Files, written so that a power cut leaves the old or the new content, and read up to a limit.

use std::fs::{self, DirEntry, File, Metadata, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// The most that a file read by [`read`] may have, in bytes. A sealed seed file has under 1 KiB.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// What the name of a draft begins with, before [`DRAFT_CHARS`] random letters and digits.
const DRAFT_PREFIX: &str = ".kez-draft-";
const DRAFT_CHARS: usize = 6;

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

/// What is in a small file.
pub(crate) struct Content {
    /// It may be secret, so it is wiped.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether other users of the machine may do anything with it.
    pub(crate) is_open_to_others: bool,
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

/// A file to be locked, made where there is none.
pub(crate) fn open_lock(path: &Path) -> Result<File, DiskError> {
    let open = || {
        create_parent(path)?;
        File::options().create(true).truncate(false).read(true).write(true).open(path)
    };
    open().map_err(|source| DiskError::written(path, source))
}

/// The content of a small file, or `None` when there is no such file. It may be secret, so it is wiped.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
    Ok(examine(path)?.map(|content| content.bytes))
}

/// The same, and what the mode of that very file allows: it is opened by its name once.
pub(crate) fn examine(path: &Path) -> Result<Option<Content>, DiskError> {
    match open(path).and_then(content) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DiskError::read(path, source)),
    }
}

/// Writes a file for this user only, replacing the one that is there in one step.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let persist = || {
        let _alone = alone_beside(path)?;
        draft(path, bytes)?.persist(path)?;
        sync_parent(path)
    };
    persist().map_err(|source| DiskError::written(path, source))
}

/// Writes a file for this user only; `false`, and nothing is changed, where one is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, DiskError> {
    let persist = || {
        let _alone = alone_beside(path)?;
        match draft(path, bytes)?.persist_noclobber(path) {
            Ok(_) => sync_parent(path).map(|()| true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
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
    let mut file =
        tempfile::Builder::new().prefix(DRAFT_PREFIX).rand_bytes(DRAFT_CHARS).tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Creates the directory of `path` and locks it, since drafts are made under this lock only. So what looks like one now
/// was left behind, perhaps with a seed in it, by a call that was killed: it is removed.
///
/// `None` where a directory cannot be locked (Windows, some network file systems): drafts then stay.
fn alone_beside(path: &Path) -> io::Result<Option<Lock>> {
    create_parent(path)?;
    let Ok(dir) = File::open(parent(path)) else { return Ok(None) };
    if dir.lock().is_err() {
        return Ok(None);
    }
    for entry in fs::read_dir(parent(path))?.flatten().filter(is_draft) {
        // What cannot be removed is no reason not to write.
        let _ = fs::remove_file(entry.path());
    }
    Ok(Some(Lock { _file: dir }))
}

/// Surely one of ours: the directory may be one that people keep other things in.
fn is_draft(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let random = name.to_str().and_then(|name| name.strip_prefix(DRAFT_PREFIX)).unwrap_or_default();
    let has_form = random.len() == DRAFT_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric());
    has_form && entry.file_type().is_ok_and(|kind| kind.is_file())
}

fn content(file: File) -> io::Result<Content> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    // Reserved at once: a vector that grows leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 KiB"));
    }
    Ok(Content { bytes, is_open_to_others: is_open_to_others(&metadata) })
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;
    // In place of a file, a pipe would hold kez up until somebody writes, and a terminal would take it over.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_fits_in_what_was_reserved_and_one_byte_more_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for bytes in [0, 300, FILE_BYTES_MAX] {
            fs::write(&path, vec![7; bytes]).unwrap();
            let read = read(&path).unwrap().unwrap();
            assert_eq!((read.len(), read.capacity()), (bytes, FILE_BYTES_MAX + 1), "it grew");
        }
        fs::write(&path, vec![7; FILE_BYTES_MAX + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().source.kind(), io::ErrorKind::FileTooLarge);
    }

    /// One that is killed never comes to remove its draft, and the system drops its lock.
    #[test]
    fn the_draft_of_a_killed_call_goes_and_that_of_a_running_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.json");
        let names = || fs::read_dir(dir.path()).unwrap().count();
        std::mem::forget(draft(&path, b"secret").unwrap());
        assert_eq!(names(), 1);

        let alone = alone_beside(&path).unwrap();
        assert_eq!(names(), 0, "it was stale");
        let running = draft(&path, b"secret").unwrap();
        let second = std::thread::scope(|scope| {
            let second = scope.spawn(|| write(&path, b"second"));
            running.persist(&path).unwrap();
            drop(alone);
            second.join().unwrap()
        });
        second.unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"second".to_vec(), 1));
    }
}
