//! The advisory lock that keeps a second server off the same file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::OpenError;

/// Held until dropped; the system gives it back when the process dies. The file `<path>.lock` stays.
pub(super) struct ServerLock {
    file: File,
}

impl ServerLock {
    /// The lock, or nothing when somebody else holds it.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, OpenError> {
        let path = path.with_added_extension("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(OpenError::io(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(OpenError::io(&path)(error.into())),
        }
    }
}

impl Drop for ServerLock {
    /// Closing the file would do, were it not for a child that is being started at this very moment: until it runs its
    /// own program it has the same open file, and with it the lock (flock(2)).
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::debug!(%error, "the lock goes with its file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_free_whoever_else_has_the_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.db");
        let lock = ServerLock::take(&path).unwrap().unwrap();
        let inherited = lock.file.try_clone().unwrap();
        assert!(ServerLock::take(&path).unwrap().is_none());
        drop(lock);
        assert!(ServerLock::take(&path).unwrap().is_some());
        drop(inherited);
    }
}
