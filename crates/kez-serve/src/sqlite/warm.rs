//! Reads the file once after opening: lookups that wait for the disk are ten times slower.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{Advice, fadvise};

use super::error::OpenError;

/// Bytes asked for at once; small, because the buffer counts as memory of the process.
const CHUNK_BYTES: usize = 128 << 10;

/// The warm-up and the file it reads.
///
/// POSIX drops all record locks a process has on a file when it closes *any* descriptor of it. SQLite's locks are such
/// locks, so this descriptor may only be closed after every connection: the writer thread holds this value until then.
pub(super) struct Warmth {
    file: Option<File>,
    stopped: AtomicBool,
}

impl Warmth {
    /// Starts the reading thread, which ends by itself.
    pub(super) fn start(path: &Path, bytes_max: u64) -> Result<Arc<Self>, OpenError> {
        let failed = OpenError::io;
        let file = if bytes_max > 0 { Some(File::open(path).map_err(failed(path))?) } else { None };
        let warmth = Arc::new(Self { file, stopped: AtomicBool::new(false) });
        if warmth.file.is_some() {
            let warmth = Arc::clone(&warmth);
            let run = move || {
                if let Err(error) = warmth.read(bytes_max) {
                    tracing::debug!(%error, "the database was not read ahead");
                }
            };
            thread::Builder::new().name("db-warm".into()).spawn(run).map_err(failed(path))?;
        }
        Ok(warmth)
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn read(&self, bytes_max: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        fadvise(file, 0, None, Advice::Sequential)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < bytes_max && !self.stopped.load(Ordering::Relaxed) {
            match file.read_at(&mut chunk, offset)? {
                0 => break,
                count => offset += count as u64,
            }
        }
        Ok(())
    }
}
