//! One process per device at a time: two that advance the same secrets would both be lost.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::DeviceError;
use crate::disk::{self, DiskError};

/// The lock of a device, held until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DeviceLock {
    file: File,
}

impl DeviceLock {
    /// Takes the lock that the file `path` stands for; fails at once where another process holds it.
    pub(super) fn take(path: &Path) -> Result<Self, DeviceError> {
        let failed = |source| DiskError::written(path, source);
        let mut file = disk::open_lock(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DeviceError::InUse { pid: holder(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
        // Only for the words of an error: nothing depends on it.
        let _ = note_holder(&mut file);
        Ok(Self { file })
    }
}

impl Drop for DeviceLock {
    fn drop(&mut self) {
        // A child that is being started holds the descriptor for a moment, so closing it is not enough.
        let _ = self.file.unlock();
    }
}

fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
