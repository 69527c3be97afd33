//! The advisory lock that keeps a second server off the same file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::OpenError;

/// Held until dropped; the system gives it back when the process dies. The file `<path>.lock` stays.
pub(super) struct ServerLock {
    _file: File,
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
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(OpenError::io(&path)(error.into())),
        }
    }
}
