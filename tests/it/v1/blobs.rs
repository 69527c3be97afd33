//! `PUT`, `GET` and `DELETE /v1/blobs/{sha256}`.

use std::io::Write as _;

use data_encoding::HEXLOWER;
use kez_core::http_signature::{LIFETIME_S_MAX, Nonce, RequestParts, content_digest, sign};
use kez_serve::rng::{SystemRng, bytes};
use kez_testkit::{Answer, Call, DeviceActor, Net};
use sha2::{Digest as _, Sha256};

const KIB: usize = 1024;
const DAY_S: u64 = 24 * 60 * 60;

/// Bytes like no others of another `name`.
fn blob(name: &str, length: usize) -> Vec<u8> {
    let mut state = Sha256::digest(name);
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        bytes.extend_from_slice(&state);
        state = Sha256::digest(state);
    }
    bytes.truncate(length);
    bytes
}

fn path(blob: &[u8]) -> String {
    format!("/v1/blobs/{}", HEXLOWER.encode(&Sha256::digest(blob)))
}

async fn device(net: &Net, name: &str) -> DeviceActor {
    let device = net.actor(name).device("phone");
    device.set_up().await;
    device
}

async fn start() -> (Net, DeviceActor) {
    let net = Net::start().await;
    let alice = device(&net, "alice").await;
    (net, alice)
}

fn call(device: &DeviceActor, method: &str, blob: &[u8]) -> Call {
    device.owner().net().call(method, &path(blob))
}

/// Sends the bytes `from..to` of a blob.
fn part(device: &DeviceActor, blob: &[u8], from: usize, to: usize) -> Call {
    let range = format!("bytes {from}-{}/{}", to - 1, blob.len());
    device.signed(call(device, "PUT", blob).header("content-range", &range).body(blob[from..to].to_vec()))
}

async fn put(device: &DeviceActor, blob: &[u8]) -> Answer {
    device.signed(call(device, "PUT", blob).body(blob.to_vec())).send().await
}

async fn get(device: &DeviceActor, blob: &[u8]) -> Answer {
    device.signed(call(device, "GET", blob)).send().await
}

async fn get_range(device: &DeviceActor, blob: &[u8], range: &str) -> Answer {
    device.signed(call(device, "GET", blob).header("range", range)).send().await
}

async fn delete(device: &DeviceActor, blob: &[u8]) -> Answer {
    device.signed(call(device, "DELETE", blob)).send().await
}

/// Where an upload goes on.
async fn ask(device: &DeviceActor, blob: &[u8]) -> Answer {
    let range = format!("bytes */{}", blob.len());
    device.signed(call(device, "PUT", blob).header("content-range", &range)).send().await
}

/// Files below the blob folder, those in the spool and those that are whole.
fn files(net: &Net) -> (usize, usize) {
    fn count(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }
    let folder = net.args().blob_folder();
    (count(&folder.join("spool")), count(&folder.join("objects")))
}

#[tokio::test]
async fn a_blob_is_sent_read_and_given_up() {
    let (net, alice) = start().await;
    let photo = blob("photo", 100_000);
    ask(&alice, &photo).await.expect_status(202);
    get(&alice, &photo).await.expect_problem(404, "not_found");
    let answer = put(&alice, &photo).await.expect_status(201).json();
    assert_eq!(answer["bytes"], 100_000);
    assert_eq!(answer["expires_at"], "2026-08-23T03:00:00Z");
    assert_eq!(path(&photo), format!("/v1/blobs/{}", answer["sha256"].as_str().unwrap()));
    put(&alice, &photo).await.expect_status(200);

    let got = get(&alice, &photo).await.expect_status(200);
    assert!(got.body() == &photo);
    assert_eq!(got.header("cache-control"), Some("private, max-age=31536000, immutable"));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    let tag = got.header("etag").unwrap().to_owned();
    let known = call(&alice, "GET", &photo).header("if-none-match", &tag);
    alice.signed(known).send().await.expect_status(304);
    let head = alice.signed(call(&alice, "HEAD", &photo)).send().await.expect_status(200);
    assert_eq!((head.header("content-length"), head.body().len()), (Some("100000"), 0));

    delete(&alice, &photo).await.expect_status(204);
    delete(&alice, &photo).await.expect_problem(404, "not_found");
    get(&alice, &photo).await.expect_problem(404, "not_found");
    assert_eq!(files(&net), (0, 0));
}

#[tokio::test]
async fn one_range_is_served() {
    let (_net, alice) = start().await;
    let photo = blob("photo", 100_000);
    put(&alice, &photo).await.expect_status(201);
    for (range, bytes, told) in [
        ("bytes=0-0", &photo[..1], "bytes 0-0/100000"),
        ("bytes=70000-", &photo[70_000..], "bytes 70000-99999/100000"),
        ("bytes=-5", &photo[99_995..], "bytes 99995-99999/100000"),
        ("bytes=99999-200000", &photo[99_999..], "bytes 99999-99999/100000"),
    ] {
        let answer = get_range(&alice, &photo, range).await.expect_status(206);
        assert!(answer.body() == bytes, "{range}");
        assert_eq!(answer.header("content-range"), Some(told));
        assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
    }
    for range in ["bytes=0-1,3-4", "bytes=5-4", "lines=1-2"] {
        assert!(get_range(&alice, &photo, range).await.expect_status(200).body() == &photo, "{range}");
    }
    for range in ["bytes=100000-", "bytes=-0"] {
        let answer = get_range(&alice, &photo, range).await.expect_problem(416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */100000"));
    }
    let other = call(&alice, "GET", &photo).header("range", "bytes=0-0").header("if-range", "\"other\"");
    alice.signed(other).send().await.expect_status(200);
}

#[tokio::test]
async fn parts_go_in_order_and_survive_a_restart() {
    let (net, alice) = start().await;
    let film = blob("film", 300 * KIB);
    assert_eq!(ask(&alice, &film).await.expect_status(202).json()["offset"], 0);
    let early = part(&alice, &film, 100 * KIB, 200 * KIB).send().await.expect_problem(409, "wrong_offset");
    assert_eq!(early.json()["offset"], 0);
    let first = part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    assert_eq!(first.json()["offset"], 100 * KIB);
    let again = part(&alice, &film, 0, 100 * KIB).send().await.expect_problem(409, "wrong_offset");
    assert_eq!(again.json()["offset"], 100 * KIB);
    get(&alice, &film).await.expect_problem(404, "not_found");
    net.restart().await;
    assert_eq!(ask(&alice, &film).await.expect_status(202).json()["offset"], 100 * KIB);
    part(&alice, &film, 100 * KIB, 200 * KIB).send().await.expect_status(202);
    part(&alice, &film, 200 * KIB, 300 * KIB).send().await.expect_status(201);
    ask(&alice, &film).await.expect_status(200);
    part(&alice, &film, 200 * KIB, 300 * KIB).send().await.expect_status(200);
    assert!(get(&alice, &film).await.expect_status(200).body() == &film);
    assert_eq!(files(&net), (0, 1));
}

#[tokio::test]
async fn a_blob_of_another_hash_is_refused_and_dropped() {
    let (net, alice) = start().await;
    let (film, other) = (blob("film", 200 * KIB), blob("other", 200 * KIB));
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    let range = format!("bytes {}-{}/{}", 100 * KIB, 200 * KIB - 1, film.len());
    let wrong = call(&alice, "PUT", &film).header("content-range", &range).body(other[100 * KIB..].to_vec());
    alice.signed(wrong).send().await.expect_problem(400, "digest_mismatch");
    get(&alice, &film).await.expect_problem(404, "not_found");
    assert_eq!(files(&net), (0, 0));
    assert_eq!(ask(&alice, &film).await.expect_status(202).json()["offset"], 0);
    let wrong = alice.signed(call(&alice, "PUT", &other).body(vec![7; other.len()]));
    wrong.send().await.expect_problem(400, "digest_mismatch");
    get(&alice, &other).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_part_whose_digest_was_not_signed_counts_for_nothing() {
    let (_net, alice) = start().await;
    let film = blob("film", 200 * KIB);
    let changed = part(&alice, &film, 0, 100 * KIB).body(vec![7; 100 * KIB]);
    changed.send().await.expect_problem(400, "digest_mismatch");
    assert_eq!(ask(&alice, &film).await.expect_status(202).json()["offset"], 0);
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    let changed = part(&alice, &film, 100 * KIB, 200 * KIB).body(vec![7; 100 * KIB]);
    changed.send().await.expect_problem(400, "digest_mismatch");
    assert_eq!(ask(&alice, &film).await.expect_status(202).json()["offset"], 100 * KIB);
    part(&alice, &film, 100 * KIB, 200 * KIB).send().await.expect_status(201);
    assert!(get(&alice, &film).await.body() == &film);
}

#[tokio::test]
async fn what_is_no_part_of_a_blob_is_refused() {
    let (net, alice) = start().await;
    let film = blob("film", 200 * KIB);
    let refused = async |range: &str, bytes: usize, status, code: &str| {
        let call = call(&alice, "PUT", &film).header("content-range", range).body(film[..bytes].to_vec());
        alice.signed(call).send().await.expect_problem(status, code);
    };
    refused("bytes 0-9/204800", 10, 400, "bad_range").await;
    refused("bytes 0-9/10", 9, 400, "bad_range").await;
    refused("bytes */204800", 10, 400, "bad_range").await;
    refused("nonsense", 10, 400, "bad_range").await;
    refused("bytes */104857601", 0, 413, "too_large").await;
    let empty = alice.signed(net.call("PUT", &path(b""))).send().await;
    empty.expect_problem(400, "bad_range");
    let long = vec![0; 1024 * KIB + 1];
    put(&alice, &long).await.expect_problem(413, "too_large");
    for name in ["x", &"AB".repeat(32), &"ab".repeat(31), &"ab".repeat(33)] {
        let target = format!("/v1/blobs/{name}");
        for method in ["PUT", "GET", "DELETE"] {
            alice.signed(net.call(method, &target)).send().await.expect_problem(400, "bad_blob");
        }
    }
    let coded = call(&alice, "PUT", &film).header("content-encoding", "gzip").body("x");
    alice.signed(coded).send().await.expect_problem(415, "unsupported_media_type");
    assert_eq!(files(&net), (0, 0));
    ask(&alice, &film).await.expect_status(202);
    let grown = call(&alice, "PUT", &film).header("content-range", "bytes */204801");
    let answer = alice.signed(grown).send().await.expect_problem(409, "wrong_size");
    assert_eq!(answer.json()["bytes"], 200 * KIB);
}

#[tokio::test]
async fn nobody_calls_without_a_device() {
    let (net, alice) = start().await;
    let photo = blob("photo", 1_000);
    put(&alice, &photo).await.expect_status(201);
    for method in ["PUT", "GET", "HEAD", "DELETE"] {
        let answer = call(&alice, method, &photo).send().await.expect_status(401);
        assert!(method == "HEAD" || answer.code() == "signature_missing");
        let stranger = net.actor("mallory").device("phone");
        let answer = stranger.signed(call(&alice, method, &photo)).send().await.expect_status(401);
        assert!(method == "HEAD" || answer.code() == "unknown_device");
    }
    alice.revoke().await.expect_status(200);
    get(&alice, &photo).await.expect_problem(401, "unknown_device");
    put(&alice, &photo).await.expect_problem(401, "unknown_device");
}

#[tokio::test]
async fn whoever_knows_the_name_reads_and_each_gives_up_its_own() {
    let (net, alice) = start().await;
    let (bob, carol) = (device(&net, "bob").await, device(&net, "carol").await);
    let photo = blob("photo", 1_000);
    delete(&bob, &photo).await.expect_problem(404, "not_found");
    put(&alice, &photo).await.expect_status(201);
    assert!(get(&bob, &photo).await.expect_status(200).body() == &photo);
    delete(&bob, &photo).await.expect_problem(404, "not_found");
    ask(&bob, &photo).await.expect_status(201);
    ask(&bob, &photo).await.expect_status(200);
    delete(&alice, &photo).await.expect_status(204);
    assert!(get(&carol, &photo).await.expect_status(200).body() == &photo);
    delete(&bob, &photo).await.expect_status(204);
    get(&carol, &photo).await.expect_problem(404, "not_found");
    assert_eq!(files(&net), (0, 0));
}

#[tokio::test]
async fn uploads_of_the_same_blob_do_not_meet() {
    let (net, alice) = start().await;
    let bob = device(&net, "bob").await;
    let film = blob("film", 200 * KIB);
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    assert_eq!(ask(&bob, &film).await.expect_status(202).json()["offset"], 0, "nobody learns of it");
    delete(&bob, &film).await.expect_status(204);
    assert_eq!(files(&net), (1, 0));
    part(&bob, &film, 0, 100 * KIB).send().await.expect_status(202);
    part(&alice, &film, 100 * KIB, 200 * KIB).send().await.expect_status(201);
    part(&bob, &film, 100 * KIB, 200 * KIB).send().await.expect_status(201);
    delete(&alice, &film).await.expect_status(204);
    assert!(get(&bob, &film).await.body() == &film);
    assert_eq!(files(&net), (0, 1));
}

#[tokio::test]
async fn blobs_go_after_ninety_days_and_uploads_after_one() {
    let (net, alice) = start().await;
    let bob = device(&net, "bob").await;
    let (photo, film) = (blob("photo", 1_000), blob("film", 200 * KIB));
    put(&alice, &photo).await.expect_status(201);
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    net.advance_s(DAY_S - 1);
    net.sweep_blobs().await;
    assert_eq!(ask(&alice, &film).await.json()["offset"], 100 * KIB);
    put(&bob, &photo).await.expect_status(201);
    net.advance_s(1);
    net.sweep_blobs().await;
    assert_eq!(files(&net), (0, 1));
    net.advance_s(89 * DAY_S);
    net.sweep_blobs().await;
    delete(&alice, &photo).await.expect_problem(404, "not_found");
    get(&alice, &photo).await.expect_status(200);
    put(&bob, &photo).await.expect_status(200);
    net.advance_s(90 * DAY_S - 1);
    net.sweep_blobs().await;
    get(&alice, &photo).await.expect_status(200);
    net.advance_s(1);
    net.sweep_blobs().await;
    get(&alice, &photo).await.expect_problem(404, "not_found");
    assert_eq!(files(&net), (0, 0));
}

#[tokio::test]
async fn an_account_and_all_together_are_bounded() {
    let net = Net::with(|setup| setup.args.blob_storage_max = "1200MiB".parse().unwrap()).await;
    let (alice, bob) = (device(&net, "alice").await, device(&net, "bob").await);
    let begin = async |device: &DeviceActor, n: u32, mib: u32| {
        let range = format!("bytes */{}", mib << 20);
        let target = path(&n.to_be_bytes());
        device.signed(net.call("PUT", &target).header("content-range", &range)).send().await
    };
    for n in 0..10 {
        begin(&alice, n, 100).await.expect_status(202);
    }
    begin(&alice, 10, 25).await.expect_problem(413, "quota_exceeded");
    begin(&alice, 10, 24).await.expect_status(202);
    begin(&bob, 0, 100).await.expect_status(202);
    begin(&bob, 1, 77).await.expect_problem(507, "storage_full");
    begin(&bob, 1, 76).await.expect_status(202);
    delete(&bob, &0_u32.to_be_bytes()).await.expect_status(204);
    begin(&bob, 2, 100).await.expect_status(202);
}

#[tokio::test]
async fn what_was_received_and_is_lost_is_asked_for_again() {
    let (net, alice) = start().await;
    let film = blob("film", 200 * KIB);
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    let spool = net.args().blob_folder().join("spool");
    for entry in std::fs::read_dir(spool).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let lost = part(&alice, &film, 100 * KIB, 200 * KIB).send().await.expect_problem(409, "wrong_offset");
    assert_eq!(lost.json()["offset"], 0);
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
    part(&alice, &film, 100 * KIB, 200 * KIB).send().await.expect_status(201);
    assert!(get(&alice, &film).await.body() == &film);
}

/// The bytes of a part on the wire.
fn raw_part(device: &DeviceActor, blob: &[u8], from: usize, to: usize) -> Vec<u8> {
    let net = device.owner().net();
    let (authority, path, body) = (net.addr().to_string(), path(blob), &blob[from..to]);
    let digest = content_digest(body);
    let parts = RequestParts {
        method: "PUT",
        authority: &authority,
        path: &path,
        query: None,
        content_digest: Some(&digest),
    };
    let nonce = Nonce::from_random(bytes(&SystemRng));
    let signed = sign(&device.signer(), &parts, net.now().unix_seconds(), LIFETIME_S_MAX, &nonce).unwrap();
    let mut raw = Vec::new();
    write!(
        raw,
        "PUT {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Digest: {digest}\r\nContent-Range: bytes {from}-{}/{}\r\n\
         Content-Length: {}\r\nSignature-Input: {}\r\nSignature: {}\r\n\r\n",
        to - 1, blob.len(), body.len(), signed.signature_input, signed.signature,
    )
    .unwrap();
    raw.extend_from_slice(body);
    raw
}

#[tokio::test]
async fn an_upload_that_is_cut_fifty_times_goes_on_each_time() {
    use tokio::io::AsyncWriteExt as _;
    const PART: usize = 64 * KIB;
    let (net, alice) = start().await;
    let film = blob("film", 50 * PART);
    for (n, point) in blob("points", 4 * 50).chunks(4).enumerate() {
        let whole = raw_part(&alice, &film, n * PART, (n + 1) * PART);
        let point = u32::from_be_bytes(point.try_into().unwrap()) as usize % whole.len();
        let mut line = tokio::net::TcpStream::connect(net.addr()).await.unwrap();
        line.write_all(&whole[..point]).await.unwrap();
        if n % 2 == 0 {
            line.set_zero_linger().unwrap(); // a reset, not an orderly end
        }
        drop(line);
        assert_eq!(ask(&alice, &film).await.expect_status(202).json()["offset"], n * PART);
        let status = if n == 49 { 201 } else { 202 };
        part(&alice, &film, n * PART, (n + 1) * PART).send().await.expect_status(status);
    }
    assert!(get(&alice, &film).await.expect_status(200).body() == &film);
    assert_eq!(files(&net), (0, 1));
}

#[tokio::test]
async fn a_request_that_hangs_makes_way_for_the_next() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (net, alice) = start().await;
    let film = blob("film", 200 * KIB);
    let hanging = raw_part(&alice, &film, 0, 100 * KIB);
    let mut line = tokio::net::TcpStream::connect(net.addr()).await.unwrap();
    line.write_all(&hanging[..hanging.len() - 1]).await.unwrap();
    // Whoever comes second makes way itself when the first comes late; so until the first was heard.
    let mut answer = String::new();
    let displaced = async {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = line.read(&mut piece).await {
            answer.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    };
    let others = async {
        loop {
            ask(&alice, &film).await.expect_status(202);
        }
    };
    let ended = async {
        tokio::select! {
            () = displaced => {}
            () = others => {}
        }
    };
    tokio::time::timeout(kez_testkit::DEADLINE, ended).await.expect("the first is told to go");
    assert!(answer.contains("\"displaced\""), "{answer}");
    part(&alice, &film, 0, 100 * KIB).send().await.expect_status(202);
}
