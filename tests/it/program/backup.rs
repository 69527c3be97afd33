//! `kez-chat-server backup|restore|verify`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use insta::assert_snapshot;
use kez_chat_server::config::SigBind;
use kez_testkit::{Answer, ChainWriter, DeviceActor, Net};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::invites::redacted;
use super::{Outcome, now, run};

const PHOTO: &[u8] = &[7; 100_000];

/// A home with a bit of everything: handles, a device, an attachment, a sigchain.
async fn home() -> (Net, DeviceActor) {
    let net =
        Net::with(|setup| setup.args.sig_bind = SigBind(Some("127.0.0.1:0".parse().expect("an address"))))
            .await;
    net.clock.set(now());
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    net.actor("bob").register("bob").await.expect_status(201);
    put(&phone, PHOTO).await.expect_status(201);
    let mut chain = ChainWriter::new("alice");
    for _ in 0..2 {
        let event = chain.add("github:alice");
        net.call("POST", &chain.path()).json(event).send().await.expect_status(201);
    }
    (net, phone)
}

async fn put(device: &DeviceActor, blob: &[u8]) -> Answer {
    let path = format!("/v1/blobs/{}", HEXLOWER.encode(&Sha256::digest(blob)));
    device.signed(device.owner().net().call("PUT", &path).body(blob.to_vec())).send().await
}

fn folder(net: &Net) -> PathBuf {
    net.args().db.parent().expect("a folder").to_owned()
}

/// A command beside the server of `net`.
async fn command(net: &Net, args: &[&str]) -> Outcome {
    run(&folder(net), &[], args).await
}

/// A backup of `net`, by this name in its folder.
async fn backup(net: &Net, name: &str) -> PathBuf {
    let outcome = command(net, &["backup", name]).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{}", outcome.stdout);
    folder(net).join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn names(folder: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.strip_prefix(folder).expect("below").display().to_string();
    files(folder).iter().map(name).collect()
}

#[tokio::test]
async fn a_backup_is_a_folder_of_plain_files_for_its_owner_only() {
    let (net, _) = home().await;
    let outcome = command(&net, &["backup", "saved"]).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert_snapshot!(redacted(&outcome.stdout), @r"
    saved holds the home of kez.lat as of [date]
      attachments  1, 97.6 KiB

    Whoever has it can pretend to be this server. Keep it as safe as the server itself.
    To look whether it is whole: kez-chat-server verify saved
    ");
    let saved = folder(&net).join("saved");
    let hash = HEXLOWER.encode(&Sha256::digest(PHOTO));
    let blob = format!("blobs/objects/{}/{hash}", &hash[..2]);
    assert_eq!(
        names(&saved),
        ["SHA256SUMS", "backup.json", blob.as_str(), "kez-chat-sig.db", "kez-chat.db", "kez-chat.secret"]
    );
    for file in files(&saved) {
        assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(saved.metadata().expect("a folder").permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn what_was_restored_serves_everybody_as_before() {
    let (net, phone) = home().await;
    let saved = backup(&net, "saved").await;
    net.actor("carol").register("carol").await.expect_status(201);
    let receipt_key = net.get("/v1/server").await.json()["receipt_key"].clone();
    let place = folder(&net).join("restored");
    std::fs::create_dir(&place).expect("a folder");
    let outcome = run(&place, &[], &["restore", text(&saved)]).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert_snapshot!(redacted(&outcome.stdout), @r"
    kez-chat.db is the home of kez.lat as of [date]
    What was registered, written or deleted after that is not in it: tell your people.
    To serve it: kez-chat-server --server kez.lat --db kez-chat.db
    ");
    net.restart_with(|setup| {
        setup.args.db = place.join("kez-chat.db");
        setup.args.secret_file = None;
        setup.args.blob_store = None;
    })
    .await;
    assert_eq!(net.check_registry().await.accounts.keys().collect::<Vec<_>>(), ["alice", "bob"]);
    net.check_devices().await;
    assert_eq!(net.get("/v1/server").await.json()["receipt_key"], receipt_key);
    let hash = HEXLOWER.encode(&Sha256::digest(PHOTO));
    let call = phone.signed(net.call("GET", &format!("/v1/blobs/{hash}")));
    assert_eq!(call.send().await.expect_status(200).body().as_ref(), PHOTO);
    let chain = net.get(&ChainWriter::new("alice").path()).await.expect_status(200);
    assert_eq!(chain.text().lines().count(), 2);
    let audit = run(&place, &[], &["admin", "audit", "--json"]).await.stdout;
    let actions: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["action"].clone())
        .collect();
    assert_eq!(actions, [json!("restore")]); // the backup was noted after it was made
}

#[tokio::test]
async fn the_server_s_own_audit_tells_of_backups() {
    let (net, _) = home().await;
    backup(&net, "saved").await;
    let audit = command(&net, &["admin", "audit", "--json"]).await.stdout;
    let entry: Value = serde_json::from_str(audit.lines().next().expect("an entry")).expect("JSON");
    assert_eq!((&entry["action"], &entry["detail"]["attachments"]), (&json!("backup"), &json!(1)));
}

#[tokio::test]
async fn a_whole_backup_and_a_whole_server_verify() {
    let (net, _) = home().await;
    let saved = backup(&net, "saved").await;
    let before: Vec<_> = files(&saved).iter().map(|file| std::fs::read(file).expect("a file")).collect();
    let outcome = command(&net, &["verify", text(&saved)]).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{}", outcome.stdout);
    assert_snapshot!(outcome.stdout, @r"
    files                5
    handles              2
    devices              1
    attachments          1
    sigchains            1

    Everything is as it was signed and stored.
    ");
    let after: Vec<_> = files(&saved).iter().map(|file| std::fs::read(file).expect("a file")).collect();
    assert_eq!(before, after, "looking changes nothing");
    let outcome = command(&net, &["verify", "--json"]).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{}", outcome.stdout);
    let found: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let expected = json!({"handles": 2, "devices": 1, "attachments": 1, "sigchains": 1});
    assert_eq!(found, json!({"looked_at": expected, "faults": [], "faults_count": 0}));
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_a_backup_is_found_and_not_restored() {
    let (net, _) = home().await;
    let saved = backup(&net, "saved").await;
    for file in files(&saved) {
        let whole = std::fs::read(&file).expect("a file");
        for at in [0, whole.len() / 3, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&file, &flipped).expect("a file");
            let verified = command(&net, &["verify", text(&saved)]).await;
            assert_eq!(verified.code, 1, "byte {at} of {file:?}: {}", verified.stdout);
            let place = tempfile::tempdir().expect("a folder");
            let restored = run(place.path(), &[], &["restore", text(&saved)]).await;
            assert_eq!((restored.code, restored.stdout.as_str()), (1, ""), "byte {at} of {file:?}");
            assert_eq!(names(place.path()), Vec::<String>::new(), "byte {at} of {file:?}");
        }
        std::fs::write(&file, &whole).expect("a file");
    }
    assert_eq!(command(&net, &["verify", text(&saved)]).await.code, 0);
}

#[tokio::test]
async fn a_missing_file_is_found_and_keeps_the_backup_from_being_restored() {
    let (net, _) = home().await;
    let saved = backup(&net, "saved").await;
    for file in files(&saved) {
        let aside = folder(&net).join("aside");
        std::fs::rename(&file, &aside).expect("moved");
        assert_eq!(command(&net, &["verify", text(&saved)]).await.code, 1, "{file:?}");
        let place = tempfile::tempdir().expect("a folder");
        assert_eq!(run(place.path(), &[], &["restore", text(&saved)]).await.code, 1, "{file:?}");
        assert_eq!(names(place.path()), Vec::<String>::new(), "{file:?}");
        std::fs::rename(&aside, &file).expect("moved");
    }
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let (net, _) = home().await;
    let saved = backup(&net, "saved").await;
    let again = command(&net, &["backup", "saved"]).await;
    assert_eq!(again.code, 1);
    assert_snapshot!(again.stderr, @"error: saved is there already; name a folder that is not, such as one with today's date");
    for taken in ["kez-chat.db", "kez-chat-sig.db", "kez-chat.secret", "kez-chat.db-wal", "kez-chat-blobs/x"]
    {
        let place = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(place.path().join("kez-chat-blobs")).expect("a folder"); // empty: nothing of anybody
        std::fs::write(place.path().join(taken), "somebody's").expect("a file");
        let outcome = run(place.path(), &[], &["restore", text(&saved)]).await;
        assert_eq!(outcome.code, 1, "{taken}");
        assert!(outcome.stderr.contains("nothing is overwritten"), "{taken}: {}", outcome.stderr);
        assert_eq!(names(place.path()), [taken]);
        assert_eq!(std::fs::read(place.path().join(taken)).expect("a file"), b"somebody's");
    }
}

/// Whoever can write a backup could otherwise write anywhere.
#[tokio::test]
async fn a_forged_list_of_files_leads_nowhere() {
    let (net, _) = home().await;
    let saved = backup(&net, "saved").await;
    let sums = saved.join("SHA256SUMS");
    let whole = std::fs::read_to_string(&sums).expect("a file");
    std::fs::write(folder(&net).join("evil"), "evil").expect("a file");
    let hash = HEXLOWER.encode(&Sha256::digest("evil"));
    for path in ["../evil", "blobs/../../evil", "/evil", "blobs//../evil"] {
        std::fs::write(&sums, format!("{whole}{hash}  {path}\n")).expect("a file");
        let place = tempfile::tempdir().expect("a folder");
        let outcome = run(place.path(), &[], &["restore", text(&saved)]).await;
        assert_eq!(outcome.code, 1, "{path}");
        assert!(outcome.stderr.contains("SHA256SUMS: line"), "{path}: {}", outcome.stderr);
        assert_eq!(names(place.path()), Vec::<String>::new(), "{path}");
    }
}

#[tokio::test]
async fn what_no_key_has_signed_is_found() {
    let (net, _) = home().await;
    let db = net.args().db;
    net.stop().await;
    // As somebody would who wants alice's mail: another key in every place that is derived from hers, checksum and all.
    let key = net.actor("mallory").key();
    let file = Connection::open(&db).expect("the file");
    let registered_at: i64 = file
        .query_row("SELECT registered_at FROM handles WHERE handle = 'alice'", [], |row| row.get(0))
        .expect("a row");
    let digest = Sha256::new()
        .chain_update(key.as_bytes())
        .chain_update(registered_at.to_be_bytes())
        .chain_update("alice")
        .finalize();
    let checksum = i64::from_be_bytes(digest[..8].try_into().expect("8 bytes"));
    let forged = "UPDATE handles SET primary_key = ?1, checksum = ?2 WHERE handle = 'alice'";
    assert_eq!(file.execute(forged, rusqlite::params![key.as_bytes(), checksum]), Ok(1));
    file.execute("UPDATE devices SET expires_at = expires_at + 1", []).expect("a row");
    drop(file);
    let blob = files(&net.args().blob_folder()).remove(0);
    std::fs::write(&blob, "another").expect("a file");
    let outcome = command(&net, &["verify"]).await;
    assert_eq!(outcome.code, 1);
    let shown = outcome.stdout.replace(&key.to_hex(), "[mallory]");
    for fault in [
        "fault: the handle alice: its document is by another key",
        "its document does not say what is stored: end",
        "is damaged",
    ] {
        assert!(shown.contains(fault), "{fault}: {shown}");
    }
    assert_snapshot!(outcome.stderr, @"error: 3 faults were found; this is not a home to serve from: restore a backup that verifies");
}

#[tokio::test]
async fn a_damaged_attachment_does_not_keep_the_rest_from_being_saved() {
    let (net, _) = home().await;
    let blob = files(&net.args().blob_folder()).remove(0);
    std::fs::write(&blob, "another").expect("a file");
    let outcome = command(&net, &["backup", "saved"]).await;
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("left out     1"), "{}", outcome.stdout);
    assert_eq!(command(&net, &["verify", "saved"]).await.code, 0);
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let (net, _) = home().await;
    let empty = tempfile::tempdir().expect("a folder");
    let said = async |args: &[&str]| {
        let outcome = run(empty.path(), &[], args).await;
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{args:?}");
        outcome.stderr
    };
    assert_snapshot!(said(&["backup", "saved"]).await, @"error: --db kez-chat.db: there is no such file; name the server's database");
    assert_snapshot!(said(&["verify"]).await, @"error: --db kez-chat.db: there is no such file; name the server's database");
    assert_snapshot!(said(&["verify", "nowhere"]).await, @"error: nowhere is no backup: there is no SHA256SUMS in it");
    assert_snapshot!(said(&["restore", "nowhere"]).await, @"error: nowhere is no backup: there is no SHA256SUMS in it");
    let saved = backup(&net, "saved").await;
    let there = ["restore", text(&saved), "--db", "none/kez-chat.db"];
    assert!(said(&there).await.contains("its folder does not exist; make the folder"));
    assert_eq!(names(empty.path()), Vec::<String>::new());
}
