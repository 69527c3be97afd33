//! `POST /v1/account/delete`, `GET /v1/account/export`.

use std::time::Instant;

use data_encoding::BASE64URL_NOPAD;
use kez_core::{AccountDeletion, Envelope, KEPT_AFTER_DELETION, PublicKey, SignedReceipt, Verified};
use kez_testkit::{Answer, DEADLINE, DeviceActor, Net};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::conversations::{CONVERSATIONS, bundle, cid, commit, creation, get, log, post, say};

const DELETE: &str = "/v1/account/delete";
/// The shortest part of a blob.
const PART: usize = 64 * 1024;

const EXPORT: &str = "/v1/account/export";

/// People with a device each, at a server whose clock is the machine's.
async fn people<const N: usize>(names: [&str; N]) -> (Net, [DeviceActor; N]) {
    let net = Net::today().await;
    let devices = names.map(|name| net.actor(name).device("phone"));
    for device in &devices {
        device.set_up().await;
    }
    (net, devices)
}

async fn delete(net: &Net, envelope: String) -> Answer {
    net.post(DELETE).json(envelope).send().await
}

async fn receipt_key(net: &Net) -> PublicKey {
    let info = net.get("/v1/server").await.expect_status(200).json();
    info["receipt_key"].as_str().expect("text").parse().expect("a key")
}

/// Creates a conversation of the first with the others.
async fn talk(n: u8, kind: &str, all: &[&DeviceActor]) {
    let made = bundle(cid(n), &format!("creation {n}"), 0, all, &all[1..]);
    post(all[0], CONVERSATIONS, &creation(cid(n), kind, &made)).await.expect_status(201);
}

/// Puts a blob; the path it has.
async fn put_blob(device: &DeviceActor, bytes: &[u8]) -> String {
    let path = format!("/v1/blobs/{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)));
    let call = device.owner().net().call("PUT", &path).body(bytes.to_vec());
    device.signed(call).send().await.expect_status(201);
    path
}

/// Something in each area: conversations of each kind, frames, a small value, a blob and half a blob, key packages.
async fn furnish(alice: &DeviceActor, bob: &DeviceActor, carol: &DeviceActor) {
    let net = alice.owner().net();
    talk(1, "self", &[alice]).await;
    talk(2, "direct", &[alice, bob]).await;
    talk(3, "group", &[bob, alice, carol]).await;
    talk(4, "group", &[alice]).await;
    talk(5, "group", &[alice, bob]).await;
    commit(bob, cid(5), &bundle(cid(5), "without alice", 1, &[bob], &[])).await.expect_status(201);
    for n in 0..40 {
        say(alice, cid(2), &format!("alice {n}"), 1).await.expect_status(201);
    }
    say(bob, cid(2), "bob", 1).await.expect_status(201);
    say(alice, cid(3), "hello", 1).await.expect_status(201);
    say(alice, cid(4), "to myself", 1).await.expect_status(201);
    let entry = json!({"data": BASE64URL_NOPAD.encode(b"settings")}).to_string();
    let entry = net.call("PUT", "/v1/store/settings").json(entry).header("if-none-match", "*");
    alice.signed(entry).send().await.expect_status(200);
    put_blob(alice, b"a photo").await;
    let half = format!("/v1/blobs/{}", data_encoding::HEXLOWER.encode(&Sha256::digest(vec![0; 2 * PART])));
    let half = net.call("PUT", &half).header("content-range", &format!("bytes 0-{}/{}", PART - 1, 2 * PART));
    alice.signed(half.body(vec![0; PART])).send().await.expect_status(202);
    let mls = alice.owner().mls_device("phone");
    let packages: Vec<_> =
        mls.key_packages(3, net.now()).iter().map(|one| BASE64URL_NOPAD.encode(one)).collect();
    let last_resort = BASE64URL_NOPAD.encode(&mls.last_resort(net.now()));
    let packages = json!({"one_time": packages, "last_resort": last_resort}).to_string();
    alice.signed(net.call("PUT", "/v1/keypackages").json(packages)).send().await.expect_status(200);
    for (by, target, n) in [(bob, alice, 1), (alice, bob, 2)] {
        let claim = json!({"primary": target.owner().key(), "id": format!("{n:032x}")});
        by.signed(net.post("/v1/keypackages/claim").json(claim.to_string())).send().await.expect_status(200);
    }
    alice.owner().device("lost").enrol().await.expect_status(201);
    alice.owner().device("lost").revoke().await.expect_status(200);
}

fn open(net: &Net) -> Connection {
    Connection::open_with_flags(net.args().db, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens")
}

/// The tables in which anything says one of these things: in bytes, in text as hex or base64, or anywhere as a word.
fn traces(net: &Net, of: &[Vec<u8>]) -> Vec<String> {
    let words: Vec<String> = of
        .iter()
        .flat_map(|bytes| {
            [data_encoding::HEXLOWER.encode(bytes), BASE64URL_NOPAD.encode(bytes), format!("{bytes:?}")]
        })
        .collect();
    let contents = net.contents();
    let found = contents.lines().filter(|line| {
        let line = line.replace("Blob(", "").replace(')', "");
        words.iter().any(|word| line.contains(word.trim_matches(['[', ']'])))
    });
    let mut tables: Vec<_> = found.map(|line| line.split(' ').next().expect("a table").to_owned()).collect();
    tables.dedup();
    tables
}

/// Everything that tells who a device and its owner are.
fn marks(device: &DeviceActor) -> Vec<Vec<u8>> {
    let mut marks = vec![device.owner().key().as_bytes().to_vec()];
    for device in [device, &device.owner().device("lost")] {
        marks.push(device.id().as_bytes().to_vec());
        marks.push(device.auth_seed().public_key().as_bytes().to_vec());
        marks.push(device.mls_seed().public_key().as_bytes().to_vec());
    }
    marks
}

/// The number of the row of an account.
fn account_row(net: &Net, device: &DeviceActor) -> i64 {
    open(net)
        .query_row(
            "SELECT id FROM accounts WHERE primary_key = ?1",
            [device.owner().key().as_bytes()],
            |row| row.get(0),
        )
        .expect("an account")
}

/// Columns, as `table.column`, that refer to an account and hold this number.
fn references(net: &Net, account: i64) -> Vec<String> {
    let db = open(net);
    let mut tables =
        db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").expect("tables");
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut found = Vec::new();
    for table in tables {
        let mut columns = db
            .prepare(&format!(
                "SELECT \"from\" FROM pragma_foreign_key_list('{table}') WHERE \"table\" = 'accounts'
                 UNION SELECT name FROM pragma_table_info('{table}') WHERE name IN ('account', 'sender')"
            ))
            .expect("columns");
        let columns: Vec<String> =
            columns.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        for column in columns {
            let count = format!("SELECT count(*) FROM \"{table}\" WHERE \"{column}\" = {account}");
            let count: i64 = db.query_row(&count, [], |row| row.get(0)).expect("a count");
            if count > 0 {
                found.push(format!("{table}.{column}"));
            }
        }
    }
    found
}

fn files(folder: &std::path::Path) -> usize {
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn nothing_is_left_but_what_the_receipt_names() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    furnish(&alice, &bob, &carol).await;
    let row = account_row(&net, &alice);
    let key = receipt_key(&net).await;
    let mut events = alice.signed(net.call("GET", "/v1/events?after=0")).stream().await.expect("a stream");
    events.ready().await;
    let session = alice.open_session().await;
    let envelope = alice.owner().deletion("alice");

    let answer = delete(&net, envelope.clone()).await.expect_status(200);
    let signed = SignedReceipt::parse(answer.body()).expect("a receipt");
    let receipt = signed.verify(&key).expect("by this server");
    let deletion: Verified<AccountDeletion> = Envelope::parse(envelope.as_bytes()).unwrap().verify().unwrap();
    assert_eq!(receipt.server.as_str(), "kez.lat");
    assert_eq!((receipt.handle.as_str(), receipt.primary), ("alice", alice.owner().key()));
    assert_eq!(receipt.deletion_sha256, *deletion.payload_sha256());
    assert_eq!(receipt.deleted_at, net.now().truncated());
    assert_eq!(receipt.kept, KEPT_AFTER_DELETION);

    while events.next().await.is_some() {}
    get(&alice, "/v1/inbox").await.expect_problem(401, "unknown_device");
    let by_session = net.call("GET", "/v1/inbox").signed(&session, net.now());
    assert_eq!(by_session.send().await.status(), 401);
    net.get("/v1/u/alice").await.expect_problem(404, "not_found");
    net.get("/v1/u/alice/devices").await.expect_problem(404, "not_found");
    net.get(&format!("/v1/by-primary/{}", alice.owner().key())).await.expect_problem(404, "not_found");

    // The key's place in a group that has not removed it.
    assert_eq!(traces(&net, &marks(&alice)), ["accounts"]);
    assert_eq!(references(&net, row), ["deletions.account", "members.account"]);
    assert_eq!(files(&net.args().blob_folder()), 0);
    // The self conversation and the group of alice alone are gone.
    let talks = net.check_conversations();
    assert_eq!(talks.keys().copied().collect::<Vec<_>>(), [cid(2), cid(3), cid(5)]);
    // Bob reads what was said.
    assert_eq!(log(&bob, cid(2)).await.len(), 41, "from what comes after the creation on");
    say(&bob, cid(2), "anybody?", 1).await.expect_problem(409, "conversation_closed");

    let without = bundle(cid(3), "without alice", 1, &[&bob, &carol], &[]);
    commit(&bob, cid(3), &without).await.expect_status(201);
    assert_eq!(traces(&net, &marks(&alice)), [""; 0]);
    assert_eq!(references(&net, row), ["deletions.account"]);
    net.check_conversations();
}

#[tokio::test]
async fn a_group_goes_on_with_the_place_of_who_left() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    talk(1, "group", &[&bob, &alice, &carol]).await;
    alice.owner().delete("alice").await.expect_status(200);
    let shown = get(&bob, &format!("{CONVERSATIONS}/{}", cid(1))).await.expect_status(200).json();
    assert_eq!(shown["members"].as_array().expect("members").len(), 3);
    say(&bob, cid(1), "hello", 1).await.expect_status(201);
    let all = [&alice, &bob, &carol];
    commit(&carol, cid(1), &bundle(cid(1), "an update", 1, &all, &[])).await.expect_status(201);
    let inbox: i64 = open(&net)
        .query_row("SELECT count(*) FROM inbox WHERE account = ?1", [account_row(&net, &alice)], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(inbox, 0, "nobody reads it");
    commit(&bob, cid(1), &bundle(cid(1), "without", 2, &[&bob, &carol], &[])).await.expect_status(201);
    // Once removed, it is a stranger: it cannot come in without a device.
    let again = bundle(cid(1), "again", 3, &all, &[]);
    commit(&bob, cid(1), &again).await.expect_problem(400, "bad_members");
    net.check_conversations();
}

#[tokio::test]
async fn what_is_not_believed_deletes_nothing() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    net.actor("carol").register("carol").await.expect_status(201);
    let draft = || alice.owner().deletion_draft("alice");
    let later = |seconds: i64| net.now().plus_seconds(seconds).expect("a time").to_string();
    let by_device = {
        let document = AccountDeletion { server: "kez.lat".into(), handle: "alice".into() };
        let envelope = Envelope::sign(&document, &alice.auth_seed(), net.now()).expect("text");
        envelope.canonical().to_owned()
    };
    let device_key = alice.auth_seed().public_key().to_string();
    let mls_key = Envelope::sign(
        &AccountDeletion { server: "kez.lat".into(), handle: "alice".into() },
        &alice.mls_seed(),
        net.now(),
    );
    let cases = vec![
        ("no JSON", "{".into(), 400, "malformed"),
        ("a registration", alice.owner().registration("alice"), 400, "wrong_type"),
        ("a revocation", alice.revocation(), 400, "wrong_type"),
        ("no handle", draft().without("handle").sign().text(), 400, "malformed"),
        ("changed after signing", draft().payload("handle", "bob").text(), 400, "bad_signature"),
        ("named as a device's", draft().signature("key", device_key).text(), 400, "key_mismatch"),
        ("signed by a device", by_device, 404, "not_found"),
        ("signed by its MLS key", mls_key.expect("text").canonical().to_owned(), 404, "not_found"),
        ("another's handle", alice.owner().deletion("bob"), 404, "not_found"),
        ("another's account", bob.owner().deletion("alice"), 404, "not_found"),
        ("nobody's handle", alice.owner().deletion("nobody"), 404, "not_found"),
        ("no handle at all", alice.owner().deletion("No Handle"), 404, "not_found"),
        ("another server", draft().payload("server", "example.org").sign().text(), 400, "wrong_server"),
        ("too early", draft().payload("created_at", later(301)).sign().text(), 400, "clock_skew"),
        ("too late", draft().payload("created_at", later(-301)).sign().text(), 400, "clock_skew"),
    ];
    let before = net.contents();
    for (name, envelope, status, code) in cases {
        let answer = delete(&net, envelope).await;
        assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{name}: {answer}");
        assert_eq!(net.contents(), before, "{name} changed something");
    }
    // A signature of the call says nothing: the envelope counts.
    let call = alice.signed(net.post(DELETE).json("{}"));
    call.send().await.expect_problem(400, "malformed");
    assert_eq!(net.contents(), before);
    get(&alice, "/v1/inbox").await.expect_status(200);
}

#[tokio::test]
async fn a_deletion_is_answered_alike_for_ever() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    talk(1, "direct", &[&alice, &bob]).await;
    let envelope = alice.owner().deletion("alice");
    let calls = (0..4).map(|_| net.post(DELETE).json(envelope.clone())).collect();
    let answers = net.storm(calls, 4).await;
    let first = answers[0].text().to_owned();
    for answer in answers {
        assert_eq!((answer.status(), answer.text()), (200, first.as_str()));
    }
    net.advance_s(40 * 24 * 60 * 60);
    assert_eq!(delete(&net, envelope.clone()).await.text(), first);
    net.restart().await;
    assert_eq!(delete(&net, envelope.clone()).await.expect_status(200).text(), first);
    // Also when the server's secret was rotated since.
    let file = net.args().secret_file();
    let secrets = std::fs::read_to_string(&file).expect("the secret file");
    std::fs::write(&file, format!("0badf00d {}\n{secrets}", "42".repeat(32))).expect("the secret file");
    net.restart().await;
    assert_eq!(delete(&net, envelope).await.expect_status(200).text(), first);
    // Another one for an account that is gone.
    alice.owner().delete("alice").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_key_that_comes_back_is_not_deleted_by_its_old_deletion() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    talk(1, "group", &[&bob, &alice]).await;
    talk(2, "direct", &[&alice, &bob]).await;
    let (row, envelope, registration) =
        (account_row(&net, &alice), alice.owner().deletion("alice"), alice.owner().registration("alice"));
    let receipt = delete(&net, envelope.clone()).await.expect_status(200).text().to_owned();
    net.register(registration).await.expect_problem(409, "envelope_used");
    net.advance_s(1);
    alice.owner().register("alice").await.expect_problem(409, "handle_taken");
    alice.owner().device("new").enrol().await.expect_problem(403, "not_registered");

    alice.owner().register("alice2").await.expect_status(201);
    let new = alice.owner().device("new");
    new.enrol().await.expect_status(201);
    assert_eq!(delete(&net, envelope).await.expect_status(200).text(), receipt);
    get(&new, "/v1/inbox").await.expect_status(200);
    net.get("/v1/u/alice2").await.expect_status(200);
    // It has its place in the group back, and reads from now on; what it had with bob is over, and can begin anew.
    assert_eq!(account_row(&net, &alice), row);
    say(&bob, cid(1), "welcome back", 1).await.expect_status(201);
    assert_eq!(log(&new, cid(1)).await, [2]);
    post(
        &new,
        CONVERSATIONS,
        &creation(cid(3), "direct", &bundle(cid(3), "anew", 0, &[&new, &bob], &[&bob])),
    )
    .await
    .expect_status(201);
    net.check_conversations();
    alice.owner().delete("alice2").await.expect_status(200);
    assert_eq!(traces(&net, &marks(&new)), ["accounts"]);
}

#[tokio::test]
async fn rows_of_who_left_are_nobody_elses() {
    let (net, [alice]) = people(["alice"]).await;
    let row = account_row(&net, &alice);
    alice.owner().delete("alice").await.expect_status(200);
    let bob = net.actor("bob").device("phone");
    bob.set_up().await;
    assert!(account_row(&net, &bob) > row);
    let device: i64 =
        open(&net).query_row("SELECT id FROM devices", [], |row| row.get(0)).expect("one device");
    assert_eq!(device, 2);
}

#[tokio::test]
async fn who_never_took_a_device_in_leaves_as_well() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    alice.register("alice").await.expect_status(201);
    let answer = alice.delete("alice").await.expect_status(200);
    let key = receipt_key(&net).await;
    SignedReceipt::parse(answer.body()).expect("a receipt").verify(&key).expect("by this server");
    assert_eq!(traces(&net, &[alice.key().as_bytes().to_vec()]), [""; 0]);
    assert!(!net.contents().contains(&alice.key().to_string()));
    alice.register("alicia").await.expect_status(201);
}

/// Begins a deletion, and lets nobody carry it out.
async fn begin(net: &Net, device: &DeviceActor, handle: &str) -> String {
    let envelope = device.owner().deletion(handle);
    let verified: Verified<AccountDeletion> = Envelope::parse(envelope.as_bytes()).unwrap().verify().unwrap();
    let wanted = kez_chat_server::store::AcceptedDeletion {
        primary: device.owner().key(),
        handle: handle.parse().expect("a handle"),
        payload_sha256: *verified.payload_sha256(),
        receipt_key: [0; 4],
        at: net.now().truncated(),
    };
    net.store().begin_deletion(wanted).await.expect("the store works").expect("it is held");
    envelope
}

#[tokio::test]
async fn a_deletion_that_was_broken_off_is_finished_after_a_restart() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    furnish(&alice, &bob, &carol).await;
    let row = account_row(&net, &alice);
    let envelope = begin(&net, &alice, "alice").await;
    // The account has ended; the rest is on its way, and nobody comes between.
    get(&alice, "/v1/keypackages/count").await.expect_problem(401, "unknown_device");
    say(&alice, cid(3), "too late", 1).await.expect_problem(401, "unknown_device");
    alice.owner().register("alice2").await.expect_status(201);
    alice.owner().device("new").enrol().await.expect_problem(409, "account_leaving");
    net.restart().await;
    let begun = Instant::now();
    while references(&net, row) != ["deletions.account", "members.account"] {
        assert!(begun.elapsed() < DEADLINE, "it is not finished: {:?}", references(&net, row));
        net.get("/v1/healthz").await;
    }
    let key = receipt_key(&net).await;
    let answer = delete(&net, envelope).await.expect_status(200);
    SignedReceipt::parse(answer.body()).expect("a receipt").verify(&key).expect("by this server");
    assert_eq!(files(&net.args().blob_folder()), 0);
    alice.owner().device("new").enrol().await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn a_deletion_is_carried_out_portion_by_portion_whoever_writes_meanwhile() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    furnish(&alice, &bob, &carol).await;
    let row = account_row(&net, &alice);
    let envelope = begin(&net, &alice, "alice").await;
    for n in 0..3 {
        // A portion, then a stop in the middle of it all.
        let deletion = net.store().unfinished_deletions().await.expect("the store works")[0];
        assert_eq!(net.store().delete_portion(deletion, net.now()).await.expect("the store works"), None);
        say(&bob, cid(3), &format!("meanwhile {n}"), 1).await.expect_status(201);
    }
    delete(&net, envelope).await.expect_status(200);
    assert_eq!(references(&net, row), ["deletions.account", "members.account"]);
    assert_eq!(traces(&net, &marks(&alice)), ["accounts"]);
    assert_eq!(log(&carol, cid(3)).await.len(), 4);
    net.check_conversations();
}

/// The lines of an export, which is whole.
async fn export(device: &DeviceActor) -> Vec<Value> {
    let answer = get(device, EXPORT).await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/jsonl"));
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let end = lines.last().expect("a line");
    assert_eq!((&end["type"], &end["lines"]), (&json!("end"), &json!(lines.len() - 1)));
    assert_eq!(lines[0]["type"], "export");
    lines
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[tokio::test]
async fn an_export_holds_everything_of_the_caller_and_of_nobody_else() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    furnish(&alice, &bob, &carol).await;
    talk(9, "direct", &[&bob, &carol]).await;
    let lines = export(&alice).await;
    let one = |kind: &str| {
        let found = of_type(&lines, kind);
        assert_eq!(found.len(), 1, "{kind}");
        found[0].clone()
    };
    let account = one("account");
    assert_eq!((&account["handle"], &account["primary"]), (&json!("alice"), &json!(alice.owner().key())));
    assert_eq!(account["registration"]["payload"]["handle"], "alice");
    let devices = of_type(&lines, "device");
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[1]["revocation"]["kez"], "device_revocation");
    assert_eq!(of_type(&lines, "key_packages")[0]["one_time"], 2);
    assert_eq!(one("key_package_claim")["target"], json!(bob.owner().key()));
    assert_eq!(one("store_entry")["data"], BASE64URL_NOPAD.encode(b"settings"));
    assert_eq!(one("blob")["bytes"], 7);
    assert_eq!(one("blob_upload")["received"], PART);
    let cids: Vec<_> = of_type(&lines, "conversation").iter().map(|one| one["cid"].clone()).collect();
    assert_eq!(cids, [1, 2, 3, 4, 5].map(|n| json!(cid(n))));
    // The inbox is as it is read.
    let inbox = get(&alice, "/v1/inbox?after=0&limit=500").await.expect_status(200).json();
    let events: Vec<_> = of_type(&lines, "event").iter().map(|line| line["event"].clone()).collect();
    assert_eq!(json!(events), inbox["events"]);
    assert!(of_type(&lines, "stored_frame").is_empty(), "every frame is still in the inbox");
    assert!(
        !lines.iter().any(|line| line.to_string().contains(&cid(9).to_string())),
        "a conversation of others"
    );
    // What has left the inbox, and is kept for others, comes from the conversations.
    let head = inbox["head"].clone();
    alice
        .signed(net.post("/v1/inbox/ack").json(json!({"n": head}).to_string()))
        .send()
        .await
        .expect_status(200);
    net.advance_s(11 * 60);
    let begun = Instant::now();
    while !of_type(&export(&alice).await, "event").is_empty() {
        assert!(begun.elapsed() < DEADLINE * 4, "the inbox is swept");
    }
    // The export before may have begun before the sweep, and then lacks what moved meanwhile.
    let lines = export(&alice).await;
    let frames = of_type(&lines, "stored_frame");
    assert_eq!(frames.iter().filter(|frame| frame["cid"] == json!(cid(2))).count(), 41);
    let own = frames.iter().filter(|frame| frame["is_own"] == true);
    assert_eq!(own.count(), 40 + 1, "in the conversation of two, and in the group");
}

#[tokio::test]
async fn an_export_is_for_active_devices_only() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    net.get(EXPORT).await.expect_problem(401, "signature_missing");
    let lost = alice.owner().device("lost");
    get(&lost, EXPORT).await.expect_problem(401, "unknown_device");
    lost.enrol().await.expect_status(201);
    export(&lost).await;
    lost.revoke().await.expect_status(200);
    get(&lost, EXPORT).await.expect_problem(401, "unknown_device");
    alice.owner().delete("alice").await.expect_status(200);
    get(&alice, EXPORT).await.expect_problem(401, "unknown_device");
    assert_eq!(of_type(&export(&bob).await, "account")[0]["handle"], "bob");
}

#[tokio::test]
async fn a_long_export_comes_whole() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    talk(1, "direct", &[&alice, &bob]).await;
    for n in 0..700 {
        say(&bob, cid(1), &format!("line {n} {}", "x".repeat(1000)), 1).await.expect_status(201);
    }
    let lines = export(&alice).await;
    let seqs: Vec<_> =
        of_type(&lines, "event").iter().filter_map(|line| line["event"]["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=701).collect::<Vec<_>>());
}
