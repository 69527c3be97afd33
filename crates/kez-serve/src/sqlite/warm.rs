//! Reads the file once after opening: lookups that wait for the disk are ten times slower.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{Advice, fadvise};

use super::error::OpenError;

/// Bytes asked for at once, while as many before them are on their way: enough to keep a disk busy. The system reads them
/// into its own cache; nothing is copied here, and no buffer counts as memory of the process.
const WINDOW_BYTES: u64 = 4 << 20;

/// The file being read ahead.
///
/// POSIX drops all record locks a process has on a file when it closes *any* descriptor of it. SQLite's locks are such
/// locks, so this descriptor may only be closed after every connection; the writer thread sees to it.
pub(super) struct Warmth {
    file: Mutex<Option<File>>,
}

impl Warmth {
    /// Starts the reading thread, which ends by itself after `bytes_max`, at the end of the file or when closed.
    pub(super) fn start(path: &Path, bytes_max: u64) -> Result<Arc<Self>, OpenError> {
        if bytes_max == 0 {
            return Ok(Arc::new(Self { file: Mutex::new(None) }));
        }
        let file = File::open(path).map_err(OpenError::io(path))?;
        let warmth = Arc::new(Self { file: Mutex::new(Some(file)) });
        let reading = Arc::clone(&warmth);
        let run = move || {
            if let Err(error) = reading.read(bytes_max) {
                tracing::debug!(%error, "the database was not read ahead");
            }
        };
        thread::Builder::new().name("db-warm".into()).spawn(run).map_err(OpenError::io(path))?;
        Ok(warmth)
    }

    /// Ends the reading and closes the file; to be called after the last connection is closed.
    pub(super) fn close(&self) {
        drop(self.file().take());
    }

    fn read(&self, bytes_max: u64) -> io::Result<()> {
        let mut offset = 0;
        while let Some(file) = self.file().as_ref() {
            let end = file.metadata()?.len().min(bytes_max);
            if offset >= end {
                break;
            }
            fadvise(file, offset, NonZeroU64::new(WINDOW_BYTES), Advice::WillNeed)?;
            // Waits for the window before.
            file.read_at(&mut [0], offset.saturating_sub(1))?;
            offset += WINDOW_BYTES;
        }
        Ok(())
    }

    fn file(&self) -> MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
