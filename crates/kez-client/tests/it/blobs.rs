//! Attachments over lines that break.

use std::io::{self, Cursor};

use kez_client::{BlobReader, BlobSource, CallError, ClientError, Contradiction, UploadStep};
use kez_core::{BlobHash, PART_BYTES_MAX};
use kez_testkit::Chance;
use sha2::{Digest as _, Sha256};

use crate::town::{Phone, Town};

const MIB: usize = 1024 * 1024;

fn blob(seed: u64, length: usize) -> (BlobHash, Vec<u8>) {
    let mut chance = Chance::new(seed);
    let bytes: Vec<u8> = std::iter::repeat_with(|| chance.byte()).take(length).collect();
    (BlobHash::from_bytes(Sha256::digest(&bytes).into()), bytes)
}

async fn start() -> (Town, Phone, Phone) {
    let town = Town::start().await;
    for name in ["alice", "bob"] {
        town.register(name).await;
    }
    let (alice, bob) = (town.phone("alice", "phone").await, town.phone("bob", "phone").await);
    (town, alice, bob)
}

/// A source that notes what was asked of it.
struct Noted<'a> {
    bytes: &'a [u8],
    asked: Vec<(u64, usize)>,
}

impl<'a> Noted<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, asked: Vec::new() }
    }
}

impl BlobSource for Noted<'_> {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.asked.push((offset, bytes.len()));
        let from = usize::try_from(offset).expect("within the blob");
        bytes.copy_from_slice(&self.bytes[from..from + bytes.len()]);
        Ok(())
    }
}

async fn read(mut reader: BlobReader) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend(piece);
    }
    Ok(bytes)
}

fn is_other_blob(fault: &CallError) -> bool {
    matches!(fault, CallError::Client(ClientError::Contradiction { what: Contradiction::OtherBlob, .. }))
}

#[tokio::test]
async fn a_blob_comes_through_lines_that_break() {
    let (town, alice, bob) = start().await;
    let (hash, bytes) = blob(1, 4 * MIB + 5);
    let mut chance = Chance::new(2);
    let mut cuts = || -> Vec<usize> { (0..20).map(|_| 1 + chance.below(600 * 1024)).collect() };
    town.link.cut_after(cuts());
    let mut source = Noted::new(&bytes);
    let stored = alice.client.send_blob(hash, bytes.len() as u64, &mut source).await.expect("all parts");
    assert!(town.link.cuts_left() < 10, "the line broke");
    let largest = source.asked.iter().map(|(_, length)| *length).max();
    assert!(largest.is_some_and(|largest| largest as u64 <= PART_BYTES_MAX), "a part at a time");
    assert!(stored.expires_at > town.net.now());
    town.link.cut_after(cuts());
    assert_eq!(read(bob.client.blob(hash)).await.expect("the blob"), bytes);
    assert!(town.link.cuts_left() < 20, "the line broke again");
}

#[tokio::test]
async fn a_blob_of_one_part_takes_one_call_and_is_sent_once() {
    let (town, alice, bob) = start().await;
    let (hash, bytes) = blob(3, 1000);
    let line = format!("PUT /v1/blobs/{hash} ");
    town.link.lose_answers(1);
    let stored = alice.client.send_blob(hash, 1000, &mut Cursor::new(&bytes)).await.expect("stored");
    assert!(stored.already, "its first answer was lost");
    assert_eq!(town.link.requests(&line), 2);
    // Somebody else's reference needs the bytes no more than the name.
    let stored = bob.client.send_blob(hash, 1000, &mut Cursor::new(&bytes)).await.expect("stored");
    assert!(!stored.already);
    assert_eq!(town.link.requests(&line), 3);
}

#[tokio::test]
async fn an_upload_goes_on_where_another_process_left_it() {
    let (_town, alice, _) = start().await;
    let (hash, bytes) = blob(4, 3 * MIB);
    let mut first = Noted::new(&bytes);
    let mut upload = alice.client.blob_upload(hash, bytes.len() as u64);
    assert!(matches!(upload.next(&mut first).await, Ok(UploadStep::More { offset: 0, .. })));
    let step = upload.next(&mut first).await;
    assert!(matches!(step, Ok(UploadStep::More { offset, .. }) if offset == MIB as u64), "{step:?}");
    assert_eq!(first.asked, [(0, MIB)]);
    drop(upload);
    let mut second = Noted::new(&bytes);
    alice.client.send_blob(hash, bytes.len() as u64, &mut second).await.expect("the rest");
    assert_eq!(second.asked, [(MIB as u64, MIB), (2 * MIB as u64, MIB)]);
    assert_eq!(read(alice.client.blob(hash)).await.expect("the blob"), bytes);
}

#[tokio::test]
async fn what_is_not_the_blob_of_its_name_is_refused() {
    let (_town, alice, bob) = start().await;
    let (hash, bytes) = blob(5, 2 * MIB);
    let mut spoilt = bytes.clone();
    spoilt[MIB + 7] ^= 1;
    let fault = alice.client.send_blob(hash, bytes.len() as u64, &mut Noted::new(&spoilt)).await;
    assert!(matches!(fault, Err(CallError::OtherBlob)), "{fault:?}");
    assert!(matches!(read(bob.client.blob(hash)).await, Err(CallError::NotFound)));
    let mut whole = Noted::new(&bytes);
    alice.client.send_blob(hash, bytes.len() as u64, &mut whole).await.expect("the blob itself");
    assert_eq!(whole.asked.len(), 2, "nothing of the other one was left");
    let (short, _) = blob(6, 10);
    let fault = alice.client.send_blob(short, 10, &mut Cursor::new([0; 9])).await;
    assert!(matches!(fault, Err(CallError::Unreadable { .. })), "{fault:?}");
}

#[tokio::test]
async fn nothing_counts_as_the_blob_that_has_another_hash() {
    let (town, alice, bob) = start().await;
    let (hash, bytes) = blob(7, MIB + 1);
    alice.client.send_blob(hash, bytes.len() as u64, &mut Cursor::new(&bytes)).await.expect("stored");

    // A file goes on where it ended, also when it is whole, and shows at the end that it was another one.
    for had in [0, 1, MIB, MIB + 1] {
        let mut reader = bob.client.blob(hash);
        reader.have(&bytes[..had]);
        assert_eq!(read(reader).await.expect("the rest"), bytes[had..], "after {had}");
    }
    for had in [1, MIB + 2] {
        let mut reader = bob.client.blob(hash);
        reader.have(&vec![0; had]);
        let fault = read(reader).await.expect_err("another blob");
        assert!(is_other_blob(&fault) || fault.code() == Some("range_not_satisfiable"), "{fault:?}");
    }

    // What lies on the server's disk has changed.
    let name = hash.to_string();
    let file = town.net.args().blob_folder().join("objects").join(&name[..2]).join(&name);
    let mut spoilt = bytes;
    spoilt[MIB] ^= 1;
    std::fs::write(file, spoilt).expect("a file");
    let fault = read(bob.client.blob(hash)).await.expect_err("another blob");
    assert!(is_other_blob(&fault), "{fault:?}");
}

#[tokio::test]
async fn each_account_gives_up_its_own_reference() {
    let (town, alice, bob) = start().await;
    let (hash, bytes) = blob(8, 100);
    for phone in [&alice, &bob] {
        phone.client.send_blob(hash, 100, &mut Cursor::new(&bytes)).await.expect("stored");
    }
    town.link.lose_answers(1);
    assert!(!alice.client.delete_blob(hash).await.expect("an answer"), "the first answer was lost");
    assert_eq!(read(alice.client.blob(hash)).await.expect("it is Bob's"), bytes);
    assert!(bob.client.delete_blob(hash).await.expect("an answer"));
    assert!(matches!(read(alice.client.blob(hash)).await, Err(CallError::NotFound)));
}
