//! Uploads on their way: a file each, filled part by part.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::turns::Lease;
use crate::store::StoreError;

/// Reads and writes of blobs that are with the disk at once. More threads would cost memory and win nothing: one disk is
/// busy with fewer.
const JOBS: usize = 8;

/// Bytes that are written or hashed at a time; what an upload holds in memory.
const BUFFER_BYTES: usize = 64 * 1024;

/// A folder of files that are being filled.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: Arc<Path>,
    jobs: Arc<Semaphore>,
}

/// A part as it is written.
#[derive(Debug)]
pub(crate) struct PartWriter {
    spool: Spool,
    file: Arc<File>,
    /// Where the next bytes go.
    at: u64,
    buffer: Vec<u8>,
    hash: Sha256,
    /// Goes with every write: also one that nobody waits for any more is over before the next request writes.
    lease: Lease,
}

impl Spool {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into(), jobs: Arc::new(Semaphore::new(JOBS)) }
    }

    /// Opens a file to go on at `at`; `None`: there are not as many bytes in it.
    pub(super) async fn part(&self, name: String, at: u64, lease: Lease) -> io::Result<Option<PartWriter>> {
        let folder = Arc::clone(&self.folder);
        let file = self.on_disk(move || open(&folder, &name, at)).await?;
        Ok(file.map(|file| PartWriter {
            spool: self.clone(),
            file: Arc::new(file),
            at,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            hash: Sha256::new(),
            lease,
        }))
    }

    /// SHA-256 of the first `bytes` of a file, which ends there from now on.
    pub(super) async fn hash(&self, name: String, bytes: u64) -> io::Result<[u8; 32]> {
        let path = self.folder.join(name);
        self.on_disk(move || hash(&path, bytes)).await
    }

    /// Removes a file, if it is there.
    pub(super) async fn remove(&self, name: String) -> io::Result<()> {
        let path = self.folder.join(name);
        self.on_disk(move || match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    /// The names of all files.
    pub(super) async fn names(&self) -> io::Result<Vec<String>> {
        let folder = Arc::clone(&self.folder);
        let name =
            |entry: io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        self.on_disk(move || std::fs::read_dir(folder)?.map(name).collect()).await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = Arc::clone(&self.jobs).acquire_owned().await.map_err(io::Error::other)?;
        let job = move || {
            let _place = place; // also when nobody waits for the end any more
            job()
        };
        tokio::task::spawn_blocking(job).await.map_err(io::Error::other)?
    }
}

impl PartWriter {
    /// Takes bytes; not durable yet.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER_BYTES {
                self.flush(false).await.map_err(disk_error)?;
            }
        }
        Ok(())
    }

    /// Makes all of the part durable; its SHA-256.
    pub(crate) async fn finish(mut self) -> Result<[u8; 32], StoreError> {
        self.flush(true).await.map_err(disk_error)?;
        Ok(self.hash.finalize().into())
    }

    async fn flush(&mut self, is_last: bool) -> io::Result<()> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let (mut buffer, mut hash) = (std::mem::take(&mut self.buffer), std::mem::take(&mut self.hash));
        let lease = self.lease.clone();
        let job = move || {
            let _lease = lease;
            file.write_all_at(&buffer, at)?;
            if is_last {
                file.sync_data()?;
            }
            hash.update(&buffer);
            let bytes = buffer.len() as u64;
            buffer.clear();
            Ok((buffer, hash, at + bytes))
        };
        (self.buffer, self.hash, self.at) = self.spool.on_disk(job).await?;
        Ok(())
    }
}

/// An error of the file system, as the store would tell it.
pub(super) fn disk_error(error: io::Error) -> StoreError {
    if is_full(&error) { StoreError::Full } else { StoreError::failed(error) }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A new file is known to its folder before anything counts on it.
fn open(folder: &Path, name: &str, at: u64) -> io::Result<Option<File>> {
    let path = folder.join(name);
    match OpenOptions::new().write(true).open(&path) {
        Ok(file) => Ok((file.metadata()?.len() >= at).then_some(file)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) if at > 0 => Ok(None),
        Err(_) => {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
            File::open(folder)?.sync_all()?;
            Ok(Some(file))
        }
    }
}

fn hash(path: &Path, bytes: u64) -> io::Result<[u8; 32]> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?; // a part that broke off may have left bytes behind
        file.sync_all()?;
    }
    let (mut file, mut hash, mut buffer) = (file, Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::turns::Turns;
    use super::*;

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    #[tokio::test]
    async fn parts_make_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let lease = Turns::default().take(&()).await.lease();
        let whole: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (first, second) = whole.split_at(150_000);

        let mut part = spool.part("a".into(), 0, lease.clone()).await.unwrap().unwrap();
        for piece in first.chunks(7_777) {
            part.write(piece).await.unwrap();
        }
        assert_eq!(part.finish().await.unwrap(), sha256(first));
        assert!(spool.part("a".into(), 150_001, lease.clone()).await.unwrap().is_none(), "a gap");
        assert!(
            spool.part("b".into(), 1, lease.clone()).await.unwrap().is_none(),
            "a file that is not there"
        );

        let mut broken_off = spool.part("a".into(), 150_000, lease.clone()).await.unwrap().unwrap();
        broken_off.write(&vec![0; 100_000]).await.unwrap();
        drop(broken_off);
        let mut part = spool.part("a".into(), 150_000, lease.clone()).await.unwrap().unwrap();
        part.write(second).await.unwrap();
        assert_eq!(part.finish().await.unwrap(), sha256(second));
        assert_eq!(spool.hash("a".into(), 200_000).await.unwrap(), sha256(&whole));
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), whole);

        assert_eq!(spool.names().await.unwrap(), ["a"]);
        spool.remove("a".into()).await.unwrap();
        spool.remove("a".into()).await.unwrap();
        assert_eq!(spool.names().await.unwrap(), Vec::<String>::new());
    }
}
