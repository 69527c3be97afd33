//! Where the bytes of blobs lie: whole ones as objects, those on their way in a spool. ADR 0015.
//!
//! Files are named by hash and, in the spool, by the row of the account. Nothing here knows who may read or write.

use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _};
use tokio::sync::{Mutex, MutexGuard};

use super::BlobHash;
use super::spool::{PartWriter, Spool, disk_error, is_full};
use super::turns::{Turn, Turns};
use crate::store::{AccountId, StoreError};

/// Locks for what must not be put and removed at once, picked by hash: enough that few blobs share one.
const LOCKS: usize = 64;

const SPOOL: &str = "spool";
const OBJECTS: &str = "objects";

/// The blob folder of a server, which is the only one to use it.
#[derive(Debug)]
pub(crate) struct Depot {
    spool: Spool,
    objects: Arc<dyn ObjectStore>,
    turns: Turns<(AccountId, BlobHash)>,
    locks: Vec<Mutex<()>>,
}

impl Depot {
    /// Opens or makes the folder; its parent exists. Blocks for a moment.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let spool = folder.join(SPOOL);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&spool)?;
        for made in [folder.parent().filter(|parent| !parent.as_os_str().is_empty()), Some(folder)] {
            std::fs::File::open(made.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let objects = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::from)?.with_fsync(true);
        Ok(Self {
            spool: Spool::new(spool),
            objects: Arc::new(objects),
            turns: Turns::default(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        })
    }

    /// Waits for the turn of a request in an upload; whoever has it is asked to go.
    pub(crate) async fn turn(&self, account: AccountId, hash: &BlobHash) -> Turn {
        self.turns.take(&(account, *hash)).await
    }

    /// Keeps others from putting or removing this blob meanwhile.
    pub(crate) async fn hold(&self, hash: &BlobHash) -> MutexGuard<'_, ()> {
        let [first, ..] = *hash.as_bytes();
        // invariant: there are LOCKS locks, and a remainder of it is below.
        #[expect(clippy::indexing_slicing, reason = "a remainder is below what it was divided by")]
        self.locks[usize::from(first) % LOCKS].lock().await
    }

    /// Goes on with an upload at `at`; `None`: what is said to be there is not.
    pub(crate) async fn part(
        &self,
        account: AccountId,
        hash: &BlobHash,
        at: u64,
        turn: &Turn,
    ) -> Result<Option<PartWriter>, StoreError> {
        self.spool.part(spool_name(account, hash), at, turn.lease()).await.map_err(disk_error)
    }

    /// Whether what was uploaded, `bytes` long, is what its name says.
    pub(crate) async fn is_whole(
        &self,
        account: AccountId,
        hash: &BlobHash,
        bytes: u64,
    ) -> Result<bool, StoreError> {
        let found = self.spool.hash(spool_name(account, hash), bytes).await.map_err(disk_error)?;
        Ok(found == *hash.as_bytes())
    }

    /// Makes a blob of an upload, durably. To be held meanwhile.
    pub(crate) async fn publish(&self, account: AccountId, hash: &BlobHash) -> Result<(), StoreError> {
        let from = ObjectPath::from(format!("{SPOOL}/{}", spool_name(account, hash)));
        self.objects.rename(&from, &object(hash)).await.map_err(object_error)
    }

    /// Whether a blob is there with this length.
    pub(crate) async fn has(&self, hash: &BlobHash, bytes: u64) -> Result<bool, StoreError> {
        match self.objects.head(&object(hash)).await {
            Ok(found) => Ok(found.size == bytes),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(object_error(error)),
        }
    }

    /// Bytes of a blob, as they are asked for.
    pub(crate) async fn read(
        &self,
        hash: &BlobHash,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>, StoreError> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let found = self.objects.get_opts(&object(hash), options).await.map_err(object_error)?;
        Ok(found.into_stream())
    }

    /// Removes a blob, if it is there. To be held meanwhile.
    pub(crate) async fn remove(&self, hash: &BlobHash) -> Result<(), StoreError> {
        match self.objects.delete(&object(hash)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(object_error(error)),
        }
    }

    /// Removes what was received of an upload.
    pub(crate) async fn drop_spool(&self, account: AccountId, hash: &BlobHash) -> Result<(), StoreError> {
        self.spool.remove(spool_name(account, hash)).await.map_err(disk_error)
    }

    /// All uploads that have received something. What else lies in the folder is passed over.
    pub(crate) async fn spools(&self) -> Result<Vec<(AccountId, BlobHash)>, StoreError> {
        let names = self.spool.names().await.map_err(disk_error)?;
        Ok(names.iter().filter_map(|name| read_spool_name(name)).collect())
    }
}

fn spool_name(account: AccountId, hash: &BlobHash) -> String {
    format!("{}-{hash}", account.row())
}

fn read_spool_name(name: &str) -> Option<(AccountId, BlobHash)> {
    let (account, hash) = name.split_once('-')?;
    Some((AccountId::new(account.parse().ok()?), hash.parse().ok()?))
}

fn object(hash: &BlobHash) -> ObjectPath {
    ObjectPath::from(object_path(hash))
}

/// Where a blob lies in the folder. 256 folders, so that none gets too large for a file system to list.
pub(crate) fn object_path(hash: &BlobHash) -> String {
    let name = hash.to_string();
    format!("{OBJECTS}/{}/{name}", name.get(..2).unwrap_or_default())
}

fn object_error(error: object_store::Error) -> StoreError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if cause.downcast_ref().is_some_and(is_full) {
            return StoreError::Full;
        }
        source = cause.source();
    }
    StoreError::failed(error)
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    const ACCOUNT: AccountId = AccountId::new(7);

    async fn begin(depot: &Depot, hash: &BlobHash) -> PartWriter {
        let turn = depot.turn(ACCOUNT, hash).await;
        depot.part(ACCOUNT, hash, 0, &turn).await.unwrap().unwrap()
    }

    async fn put(depot: &Depot, hash: &BlobHash, bytes: &[u8]) {
        let mut part = begin(depot, hash).await;
        part.write(bytes).await.unwrap();
        part.finish().await.unwrap();
        depot.publish(ACCOUNT, hash).await.unwrap();
    }

    async fn read(depot: &Depot, hash: &BlobHash, range: Range<u64>) -> Vec<u8> {
        let pieces: Vec<_> = depot.read(hash, range).await.unwrap().try_collect().await.unwrap();
        pieces.concat()
    }

    #[tokio::test]
    async fn what_is_put_is_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let depot = Depot::open(&dir.path().join("blobs")).unwrap();
        let hash = BlobHash::from_bytes([0xab; 32]);
        assert!(!depot.has(&hash, 6).await.unwrap());
        for _ in 0..2 {
            put(&depot, &hash, b"abcdef").await;
        }
        assert!(depot.has(&hash, 6).await.unwrap() && !depot.has(&hash, 5).await.unwrap());
        assert_eq!(read(&depot, &hash, 0..6).await, b"abcdef");
        assert_eq!(read(&depot, &hash, 2..4).await, b"cd");
        assert_eq!(depot.spools().await.unwrap(), []);
        for _ in 0..2 {
            depot.remove(&hash).await.unwrap();
        }
        assert!(!depot.has(&hash, 6).await.unwrap());
    }

    #[tokio::test]
    async fn what_was_received_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("blobs");
        let depot = Depot::open(&folder).unwrap();
        let hash = BlobHash::from_bytes([1; 32]);
        let part = begin(&depot, &hash).await;
        part.finish().await.unwrap();
        std::fs::write(folder.join("spool").join("something else"), "").unwrap();
        drop(depot);
        let depot = Depot::open(&folder).unwrap();
        assert_eq!(depot.spools().await.unwrap(), [(ACCOUNT, hash)]);
        depot.drop_spool(ACCOUNT, &hash).await.unwrap();
        assert_eq!(depot.spools().await.unwrap(), []);
    }
}
