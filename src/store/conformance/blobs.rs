//! Blobs: what is taken, what is counted, what goes.

use super::devices::{device, id, register, revocation};
use super::registry::{now, time};
use crate::blobs::{
    ACCOUNT_BLOB_BYTES_MAX, ACCOUNT_BLOBS_MAX, BLOB_BYTES_MAX, BlobHash, REFERENCE_SECONDS, UPLOADS_MAX,
};
use crate::store::{
    BlobRefusal, BlobUsage, PartReceived, Reference, Store, StoredDevice, Upload, UploadOpened, UploadWanted,
};

type Shared<S> = std::sync::Arc<S>;

/// Room enough.
const STORAGE: u64 = 1 << 40;

async fn settle(store: &impl Store, owner: &str) -> StoredDevice {
    register(store, owner).await;
    store.enrol(device(owner, 1)).await.unwrap().unwrap().device
}

fn hash(n: u32) -> BlobHash {
    let mut bytes = [0xb1; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    BlobHash::from_bytes(bytes)
}

fn wanted(device: &StoredDevice, n: u32, bytes: u64) -> UploadWanted {
    UploadWanted {
        account: device.account,
        device: device.device,
        hash: hash(n),
        bytes,
        storage_bytes_max: STORAGE,
        at: now(),
    }
}

fn part(device: &StoredDevice, n: u32, from: u64, to: u64) -> PartReceived {
    PartReceived { account: device.account, device: device.device, hash: hash(n), from, to, at: time(60) }
}

async fn open(store: &impl Store, wanted: UploadWanted) -> Result<UploadOpened, BlobRefusal> {
    store.open_upload(wanted).await.expect("the store works")
}

async fn finish(store: &impl Store, wanted: UploadWanted) -> Result<Reference, BlobRefusal> {
    store.finish_upload(wanted).await.expect("the store works")
}

/// Makes a blob of the device's account.
async fn put(store: &impl Store, device: &StoredDevice, n: u32, bytes: u64) {
    open(store, wanted(device, n, bytes)).await.expect("room");
    finish(store, wanted(device, n, bytes)).await.expect("an upload");
}

async fn usage(store: &impl Store, device: &StoredDevice) -> (u64, u32, u32) {
    let BlobUsage { bytes, blobs, uploads, .. } = store.blob_usage(device.account).await.unwrap();
    (bytes, blobs, uploads)
}

/// Whether all blobs and uploads together take exactly so much.
async fn is_taken(store: &impl Store, device: &StoredDevice, bytes: u64) -> bool {
    let probe = |max| UploadWanted { storage_bytes_max: max, ..wanted(device, 999, 1) };
    let fits_not = open(store, probe(bytes)).await == Err(BlobRefusal::StorageFull);
    let fits = open(store, probe(bytes + 1)).await.is_ok();
    store.drop_upload(device.account, &hash(999)).await.unwrap();
    fits_not && fits
}

fn receiving(bytes: u64, received: u64) -> UploadOpened {
    UploadOpened::Receiving(Upload { bytes, received })
}

pub(in crate::store) async fn an_upload_goes_on_where_it_is(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    assert_eq!(store.upload(alice.account, &hash(1)).await.unwrap(), None);
    let note = async |from, to| store.note_part(part(alice, 1, from, to)).await.unwrap();
    assert_eq!(note(0, 10).await, Err(BlobRefusal::NoUpload));
    for _ in 0..2 {
        assert_eq!(open(&*store, wanted(alice, 1, 30)).await, Ok(receiving(30, 0)));
    }
    assert_eq!(note(0, 10).await, Ok(()));
    assert_eq!(note(0, 10).await, Err(BlobRefusal::NoUpload), "a part counts once");
    assert_eq!(note(10, 31).await, Err(BlobRefusal::NoUpload), "no more than there will be");
    assert_eq!(open(&*store, wanted(alice, 1, 30)).await, Ok(receiving(30, 10)));
    let other_size = Err(BlobRefusal::OtherSize { bytes: 30 });
    assert_eq!(open(&*store, wanted(alice, 1, 31)).await, other_size);
    assert_eq!(store.blob(&hash(1)).await.unwrap(), None, "nothing half-visible");
    store.restart_upload(alice.account, &hash(1)).await.unwrap();
    assert_eq!(open(&*store, wanted(alice, 1, 30)).await, Ok(receiving(30, 0)));
    let reference = finish(&*store, wanted(alice, 1, 30)).await.unwrap();
    assert_eq!(reference, Reference { bytes: 30, expires_at: time(REFERENCE_SECONDS), is_new: true });
    assert_eq!(finish(&*store, wanted(alice, 1, 30)).await, Err(BlobRefusal::NoUpload));
    assert_eq!(store.upload(alice.account, &hash(1)).await.unwrap(), None);
    assert_eq!(store.blob(&hash(1)).await.unwrap(), Some(30));
    assert_eq!((usage(&*store, alice).await, is_taken(&*store, alice, 30).await), ((30, 1, 0), true));
}

pub(in crate::store) async fn a_blob_that_is_there_is_referred_to_at_once(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    put(&*store, alice, 1, 30).await;
    assert_eq!(open(&*store, wanted(bob, 1, 29)).await, Err(BlobRefusal::OtherSize { bytes: 30 }));
    assert_eq!(usage(&*store, bob).await, (0, 0, 0));
    let stored = |at: i64, is_new| {
        let expires_at = time(at + REFERENCE_SECONDS);
        Ok(UploadOpened::Stored(Reference { bytes: 30, expires_at, is_new }))
    };
    assert_eq!(open(&*store, wanted(bob, 1, 30)).await, stored(0, true));
    let later = UploadWanted { at: time(100), ..wanted(bob, 1, 30) };
    assert_eq!(open(&*store, later).await, stored(100, false), "the end moves with each PUT");
    assert_eq!((usage(&*store, bob).await, is_taken(&*store, bob, 30).await), ((30, 1, 0), true));
}

pub(in crate::store) async fn each_account_gives_up_its_own_reference(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    for owner in [alice, bob] {
        open(&*store, wanted(owner, 1, 30)).await.unwrap();
    }
    for owner in [alice, bob] {
        finish(&*store, wanted(owner, 1, 30)).await.unwrap();
    }
    let mallory = &settle(&*store, "mallory").await;
    assert!(!store.drop_reference(mallory.account, &hash(1)).await.unwrap());
    assert!(store.drop_reference(alice.account, &hash(1)).await.unwrap());
    assert!(!store.drop_reference(alice.account, &hash(1)).await.unwrap());
    assert_eq!(store.blob(&hash(1)).await.unwrap(), Some(30));
    store.forget_blob(&hash(1)).await.unwrap();
    assert_eq!(store.blob(&hash(1)).await.unwrap(), Some(30), "somebody refers to it");
    assert_eq!(store.blobs_of_nobody(10).await.unwrap(), []);
    assert!(store.drop_reference(bob.account, &hash(1)).await.unwrap());
    assert_eq!(store.blob(&hash(1)).await.unwrap(), None);
    assert_eq!(
        open(&*store, wanted(mallory, 1, 30)).await,
        Ok(receiving(30, 0)),
        "nobody's blob is nobody's"
    );
    store.drop_upload(mallory.account, &hash(1)).await.unwrap();
    assert_eq!(store.blobs_of_nobody(10).await.unwrap(), [hash(1)]);
    store.forget_blob(&hash(1)).await.unwrap();
    assert!(!store.is_blob_known(&hash(1)).await.unwrap() && is_taken(&*store, alice, 0).await);
}

pub(in crate::store) async fn room_is_taken_when_an_upload_begins(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    let fit = u32::try_from(ACCOUNT_BLOB_BYTES_MAX / BLOB_BYTES_MAX).unwrap();
    for n in 0..fit {
        open(&*store, wanted(alice, n, BLOB_BYTES_MAX)).await.unwrap();
    }
    let rest = ACCOUNT_BLOB_BYTES_MAX % BLOB_BYTES_MAX;
    let full = Err(BlobRefusal::QuotaExceeded);
    assert_eq!(open(&*store, wanted(alice, 100, rest + 1)).await, full);
    assert_eq!(open(&*store, wanted(alice, 100, rest)).await, Ok(receiving(rest, 0)));
    assert_eq!(open(&*store, wanted(alice, 101, 1)).await, full);
    put(&*store, bob, 200, 1).await;
    assert_eq!(open(&*store, wanted(alice, 200, 1)).await, full, "a reference counts like a blob");
    assert_eq!(finish(&*store, wanted(alice, 0, BLOB_BYTES_MAX)).await.map(|one| one.is_new), Ok(true));
    assert_eq!(usage(&*store, alice).await, (ACCOUNT_BLOB_BYTES_MAX, fit + 1, fit));
    assert!(store.drop_upload(alice.account, &hash(100)).await.unwrap());
    assert_eq!(open(&*store, wanted(alice, 101, 1)).await, Ok(receiving(1, 0)));
}

pub(in crate::store) async fn blobs_and_uploads_are_counted(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    for n in 0..UPLOADS_MAX {
        open(&*store, wanted(alice, n, 1)).await.unwrap();
    }
    assert_eq!(open(&*store, wanted(alice, UPLOADS_MAX, 1)).await, Err(BlobRefusal::TooManyUploads));
    for n in 0..UPLOADS_MAX {
        finish(&*store, wanted(alice, n, 1)).await.unwrap();
    }
    // Many at once share the syncs.
    for first in (UPLOADS_MAX..ACCOUNT_BLOBS_MAX).step_by(50) {
        assert_eq!(usage(&*store, alice).await, (u64::from(first), first, 0));
        let mut tasks = tokio::task::JoinSet::new();
        for n in first..ACCOUNT_BLOBS_MAX.min(first + 50) {
            let (store, alice) = (Shared::clone(&store), alice.clone());
            tasks.spawn(async move { put(&*store, &alice, n, 1).await });
        }
        tasks.join_all().await;
    }
    assert_eq!(open(&*store, wanted(alice, ACCOUNT_BLOBS_MAX, 1)).await, Err(BlobRefusal::QuotaExceeded));
}

pub(in crate::store) async fn all_blobs_together_are_bounded(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    let little = |wanted| UploadWanted { storage_bytes_max: 100, ..wanted };
    open(&*store, little(wanted(alice, 1, 60))).await.unwrap();
    assert_eq!(open(&*store, little(wanted(bob, 2, 41))).await, Err(BlobRefusal::StorageFull));
    open(&*store, little(wanted(bob, 1, 40))).await.unwrap();
    finish(&*store, little(wanted(alice, 1, 60))).await.unwrap();
    store.drop_upload(bob.account, &hash(1)).await.unwrap();
    let shared = open(&*store, UploadWanted { storage_bytes_max: 60, ..wanted(bob, 1, 60) }).await;
    assert!(matches!(shared, Ok(UploadOpened::Stored(_))), "a second reference takes no room: {shared:?}");
    assert!(is_taken(&*store, alice, 60).await);
}

pub(in crate::store) async fn a_revoked_device_sends_nothing(store: Shared<impl Store>) {
    let alice = &settle(&*store, "alice").await;
    open(&*store, wanted(alice, 1, 30)).await.unwrap();
    store.revoke(revocation("alice", id(1))).await.unwrap().unwrap();
    let refused = BlobRefusal::DeviceRevoked;
    assert_eq!(open(&*store, wanted(alice, 2, 30)).await, Err(refused));
    assert_eq!(store.note_part(part(alice, 1, 0, 10)).await.unwrap(), Err(refused));
    assert_eq!(finish(&*store, wanted(alice, 1, 30)).await, Err(refused));
    assert_eq!(store.blob(&hash(1)).await.unwrap(), None);
}

pub(in crate::store) async fn references_and_uploads_end(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    put(&*store, alice, 1, 30).await;
    let later = UploadWanted { at: time(10), ..wanted(bob, 1, 30) };
    open(&*store, later).await.unwrap();
    assert_eq!(store.drop_ended_references(time(REFERENCE_SECONDS - 1), 10).await.unwrap(), 0);
    assert_eq!(store.drop_ended_references(time(REFERENCE_SECONDS), 10).await.unwrap(), 1);
    assert_eq!((usage(&*store, alice).await.1, usage(&*store, bob).await.1), (0, 1));
    assert_eq!(store.blobs_of_nobody(10).await.unwrap(), []);
    assert_eq!(store.drop_ended_references(time(REFERENCE_SECONDS + 10), 10).await.unwrap(), 1);
    assert_eq!(store.blobs_of_nobody(10).await.unwrap(), [hash(1)]);

    open(&*store, wanted(alice, 2, 30)).await.unwrap();
    open(&*store, wanted(alice, 3, 30)).await.unwrap();
    store.note_part(part(alice, 3, 0, 10)).await.unwrap().unwrap();
    assert_eq!(store.resting_uploads(time(-1), 10).await.unwrap(), []);
    assert_eq!(store.resting_uploads(time(0), 10).await.unwrap(), [(alice.account, hash(2))]);
    assert!(!store.drop_resting_upload(alice.account, &hash(3), time(0)).await.unwrap());
    assert!(store.drop_resting_upload(alice.account, &hash(2), time(0)).await.unwrap());
    assert_eq!(store.resting_uploads(time(60), 10).await.unwrap(), [(alice.account, hash(3))]);
}

pub(in crate::store) async fn one_blob_finished_by_many_is_one(store: Shared<impl Store>) {
    let mut devices = Vec::new();
    for n in 0..16 {
        devices.push(settle(&*store, &format!("person{n}")).await);
        open(&*store, wanted(&devices[n], 1, 30)).await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for device in devices.clone() {
        let store = Shared::clone(&store);
        tasks.spawn(async move { finish(&*store, wanted(&device, 1, 30)).await.unwrap().is_new });
    }
    assert!(tasks.join_all().await.into_iter().all(|is_new| is_new));
    assert!(is_taken(&*store, &devices[0], 30).await);
    for device in &devices {
        assert_eq!(store.blob(&hash(1)).await.unwrap(), Some(30));
        assert!(store.drop_reference(device.account, &hash(1)).await.unwrap());
    }
    assert_eq!(store.blob(&hash(1)).await.unwrap(), None);
}

pub(in crate::store) async fn blobs_of_an_account_are_paged(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    for n in [3, 1, 2] {
        put(&*store, alice, n, u64::from(n)).await;
    }
    put(&*store, bob, 9, 9).await;
    let list = async |after: Option<u32>, limit| {
        let page = store.blobs_of(alice.account, after.map(hash), limit).await.unwrap();
        page.iter().map(|blob| (blob.hash, blob.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 2).await, [(hash(3), 3), (hash(1), 1)]);
    assert_eq!(list(Some(1), 2).await, [(hash(2), 2)]);
    assert_eq!(list(Some(2), 2).await, []);
    assert_eq!(store.uploads_of(alice.account).await.unwrap(), []);
    for n in [5, 4] {
        open(&*store, wanted(alice, n, 1)).await.unwrap();
    }
    open(&*store, wanted(bob, 6, 1)).await.unwrap();
    assert_eq!(store.uploads_of(alice.account).await.unwrap(), [hash(4), hash(5)]);
}

pub(in crate::store) async fn blobs_of_all_are_paged_by_name(store: Shared<impl Store>) {
    let (alice, bob) = (&settle(&*store, "alice").await, &settle(&*store, "bob").await);
    for (device, n) in [(alice, 3), (alice, 1), (bob, 2), (bob, 4)] {
        put(&*store, device, n, u64::from(n)).await;
    }
    open(&*store, wanted(bob, 1, 1)).await.unwrap(); // of two, and listed once
    open(&*store, wanted(bob, 9, 1)).await.unwrap();
    store.drop_reference(bob.account, &hash(2)).await.unwrap();
    let page = async |after: Option<u32>| store.blob_evidence(after.map(hash), 2).await.unwrap();
    assert_eq!(page(None).await, [(hash(1), 1), (hash(3), 3)]);
    assert_eq!(page(Some(3)).await, [(hash(4), 4)]);
    assert_eq!(page(Some(4)).await, []);
}
