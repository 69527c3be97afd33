//! Every route as the directory in SPEC says: who may call it, what bounds it, what everybody else learns.

use std::collections::BTreeSet;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use kez_core::http_signature::Signer;
use kez_testkit::{Answer, Call, ChainWriter, DeviceActor, Net};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::v1::conversations::{CONVERSATIONS, bundle, cid, creation, post};

/// A row of the directory.
#[derive(Debug, Clone)]
struct Row {
    method: String,
    path: String,
    who: String,
    body_bytes_max: Option<usize>,
    bounds: Vec<String>,
    others: String,
}

impl Row {
    fn read(line: &str) -> Self {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [route, who, body, bounds, others] = cells[..] else { panic!("five cells: {line}") };
        let (method, path) = route.trim_matches('`').split_once(' ').expect("a method and a path");
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            who: who.to_owned(),
            body_bytes_max: (body != "-").then(|| body.parse().expect("a number of bytes")),
            bounds: bounds.split(", ").filter(|bound| *bound != "-").map(str::to_owned).collect(),
            others: others.to_owned(),
        }
    }

    fn is_signed(&self) -> bool {
        ["device", "member"].contains(&self.who.as_str())
    }

    fn is_json(&self) -> bool {
        self.body_bytes_max.is_some() && !self.path.contains("/blobs/")
    }
}

fn directory() -> Vec<Row> {
    let spec = include_str!("../../SPEC.md");
    let (_, section) = spec.split_once("\n## Directory of routes\n").expect("the directory");
    let (section, _) = section.split_once("\n## ").expect("an end");
    section.lines().filter(|line| line.starts_with("| `")).map(Row::read).collect()
}

/// Alice has something of everything; Mallory has an account of her own.
struct Town {
    net: Net,
    alice: DeviceActor,
    mallory: DeviceActor,
    revoked: DeviceActor,
}

const BLOB: &[u8] = b"of Alice";

fn blob_name() -> String {
    HEXLOWER.encode(&Sha256::digest(BLOB))
}

async fn town() -> Town {
    let net = Net::with(|setup| {
        setup.args.sig_bind = kez_chat_server::config::SigBind(Some(([127, 0, 0, 1], 0).into()));
    })
    .await;
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|name| net.actor(name).device("phone"));
    alice.set_up().await;
    bob.set_up().await;
    // A stranger: whoever is set up knows everybody.
    mallory.owner().register("mallory").await.expect_status(201);
    mallory.enrol().await.expect_status(201);
    let first = bundle(cid(1), "creation", 0, &[&alice, &bob], &[&bob]);
    post(&alice, CONVERSATIONS, &creation(cid(1), "direct", &first)).await.expect_status(201);
    let value = net.call("PUT", "/v1/store/rooms").header("if-none-match", "*").json(r#"{"data":"AAAA"}"#);
    alice.signed(value).send().await.expect_status(200);
    let upload = net.call("PUT", &format!("/v1/blobs/{}", blob_name())).body(BLOB);
    alice.signed(upload).send().await.expect_status(201);
    let mut chain = ChainWriter::new("alice");
    net.post(&chain.path()).json(chain.add("dns:alice.example")).send().await.expect_status(201);
    let revoked = mallory.owner().device("lost");
    revoked.enrol().await.expect_status(201);
    revoked.revoke().await.expect_status(200);
    Town { net, alice, mallory, revoked }
}

impl Town {
    /// The call that names what is Alice's, with a body of the right form.
    fn call(&self, row: &Row) -> Call {
        let alice = self.alice.owner().key().to_string();
        let target = row
            .path
            .replace("{sha256}", &blob_name())
            .replace("{cid}", &cid(1).to_string())
            .replace("{name}", "rooms")
            .replace("{handle}", "alice")
            .replace("{primary}", &alice)
            .replace("{system}/{id}", &alice.replacen(':', "/", 1));
        assert!(!target.contains('{'), "a name for what {target} names");
        let target = match row.path.as_str() {
            "/v1/events" => format!("{target}?after=999999"), // one that ends
            "/.well-known/webfinger" | "/v1/resolve" => format!("{target}?resource=acct:alice@kez.lat"),
            _ => target,
        };
        let call = self.net.call(&row.method, &target);
        let call = match (row.method.as_str(), row.path.as_str()) {
            ("PUT" | "DELETE", "/v1/store/{name}") => call.header("if-match", "\"1\""),
            _ => call,
        };
        match body(row) {
            Some(body) => call.json(body.to_string()),
            None if row.path.contains("/blobs/") && row.method == "PUT" => call.body(BLOB),
            None => call,
        }
    }

    /// What a stranger, who is a person of this server, is answered.
    async fn stranger(&self, row: &Row) -> Answer {
        self.mallory.signed(self.call(row)).send().await
    }

    /// Everything that the server keeps of Alice.
    async fn of_alice(&self) -> Vec<Value> {
        let export = self.alice.signed(self.net.call("GET", "/v1/account/export"));
        let text = export.send().await.expect_status(200).text().to_owned();
        text.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A body of the form that a route takes, about what is Alice's.
fn body(row: &Row) -> Option<Value> {
    if !row.is_json() {
        return None;
    }
    let frame = json!({"mid": "00".repeat(16), "frame": BASE64URL_NOPAD.encode(b"a frame")});
    let nothing = json!({
        "id": "00".repeat(16), "epoch": 1, "commit": "AAAA", "welcomes": [], "group_info": "AAAA",
        "members_after": []
    });
    Some(match row.path.as_str() {
        "/v1/conversations/{cid}/frames" => frame,
        "/v1/conversations/{cid}/commit" => nothing,
        "/v1/conversations" => json!({"cid": cid(1), "kind": "direct", "bundle": nothing}),
        "/v1/inbox/ack" => json!({"n": 0}),
        "/v1/keypackages" => json!({"one_time": []}),
        "/v1/store/{name}" => json!({"data": "AAAA"}),
        _ => json!({}),
    })
}

#[test]
fn every_route_is_in_the_directory_and_every_row_is_a_route() {
    let document: Value =
        serde_json::from_str(&kez_chat_server::router::openapi_json()).expect("the description");
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in ["get", "put", "post", "delete", "patch"] {
            if !methods[method].is_null() {
                described.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let rows = directory();
    let listed: BTreeSet<_> = rows.iter().map(|row| (row.method.clone(), row.path.clone())).collect();
    assert_eq!(listed, described);
    assert_eq!(listed.len(), rows.len(), "each once");
    for row in &rows {
        let operation = &document["paths"][&row.path][row.method.to_lowercase()];
        let said = |status: &str| !operation["responses"][status].is_null();
        let name = format!("{} {}", row.method, row.path);
        assert_eq!(!operation["security"].is_null(), row.is_signed(), "{name}: whether it is signed");
        assert_eq!(said("401"), row.is_signed(), "{name}");
        assert_eq!(said("429"), !row.bounds.is_empty(), "{name}: whether rates bound it");
        assert_eq!(said("413"), row.body_bytes_max.is_some(), "{name}: whether its body has a bound");
        assert_eq!(said("415"), row.body_bytes_max.is_some(), "{name}: whether it has a media type");
        let known = [
            "calls",
            "chains",
            "claims",
            "devices",
            "exports",
            "lookups",
            "quota",
            "registrations",
            "resolutions",
            "sending",
            "streams",
            "uploads",
            "writes",
        ];
        assert!(row.bounds.iter().all(|bound| known.contains(&bound.as_str())), "{name}");
        assert_eq!(row.bounds.iter().any(|bound| bound == "calls"), row.is_signed(), "{name}");
    }
}

#[tokio::test]
async fn nobody_calls_for_a_device() {
    let town = town().await;
    let before = town.net.contents();
    let (alice, mallory) = (&town.alice, &town.mallory);
    // Alice's device by Mallory's key, and Mallory's device as one of Alice's account.
    let forged =
        Signer::Device { primary: alice.owner().key(), device_id: alice.id(), seed: mallory.auth_seed() };
    let borrowed =
        Signer::Device { primary: alice.owner().key(), device_id: mallory.id(), seed: mallory.auth_seed() };
    for row in directory().iter().filter(|row| row.is_signed()) {
        let name = format!("{} {}", row.method, row.path);
        let answers = [
            (town.call(row), "signature_missing"),
            (town.call(row).signed(&forged, town.net.now()), "bad_signature"),
            (town.call(row).signed(&borrowed, town.net.now()), "unknown_device"),
            (town.revoked.signed(town.call(row)), "unknown_device"),
        ];
        for (call, code) in answers {
            let answer = call.send().await;
            assert_eq!((answer.status(), answer.code()), (401, code.to_owned()), "{name}");
            assert!(answer.header("www-authenticate").is_some(), "{name}");
        }
        assert_eq!(town.net.contents(), before, "{name} changed something");
    }
}

#[tokio::test]
async fn a_stranger_reaches_nothing_of_others() {
    let town = town().await;
    let before = town.of_alice().await;
    for row in directory().iter().filter(|row| row.is_signed()) {
        let name = format!("{} {}", row.method, row.path);
        let answer = town.stranger(row).await;
        match row.others.as_str() {
            "own" | "shared" => assert_ne!(answer.status(), 401, "{name}: {answer}"),
            expected => {
                let told = format!("{} `{}`", answer.status(), answer.code());
                assert_eq!(told, expected, "{name}");
                // The same as of what is not there.
                let missing = town.mallory.signed(elsewhere(&town, row)).send().await;
                assert_eq!((missing.status(), missing.json()), (answer.status(), answer.json()), "{name}");
            }
        }
        assert_eq!(town.of_alice().await, before, "{name} changed something of Alice's");
    }
    let text = town.stranger(&row_of("GET", "/v1/account/export")).await.text().to_owned();
    assert!(!text.contains(&town.alice.owner().key().to_string()), "an export of others");
}

/// The same call, of something that does not exist.
fn elsewhere(town: &Town, row: &Row) -> Call {
    let path = row.path.replace("{sha256}", &"0".repeat(64)).replace("{cid}", &cid(99).to_string());
    let call = town.net.call(&row.method, &path);
    match body(row) {
        Some(body) => call.json(body.to_string()),
        None => call,
    }
}

fn row_of(method: &str, path: &str) -> Row {
    let rows = directory();
    rows.into_iter().find(|row| (row.method.as_str(), row.path.as_str()) == (method, path)).expect("a row")
}

#[tokio::test]
async fn a_body_has_its_bound_and_its_media_type() {
    let town = town().await;
    let before = town.net.contents();
    for row in directory() {
        let Some(bytes_max) = row.body_bytes_max else { continue };
        let name = format!("{} {}", row.method, row.path);
        let sign = |call: Call| if row.is_signed() { town.alice.signed(call) } else { call };
        let empty = Row { path: row.path.clone(), body_bytes_max: None, ..row.clone() };
        let bare = || {
            if empty.path.contains("/blobs/") {
                town.net.call("PUT", &format!("/v1/blobs/{}", "0".repeat(64)))
            } else {
                town.call(&empty)
            }
        };
        let long = vec![b' '; bytes_max + 1];
        let call = if row.is_json() { bare().json(long) } else { bare().body(long) };
        let answer = sign(call).send().await;
        assert_eq!((answer.status(), answer.code().as_str()), (413, "too_large"), "{name}: {answer}");
        assert_eq!(answer.json()["bytes_max"], bytes_max, "{name}");
        let call = if row.is_json() {
            bare().header("content-type", "text/plain").body("{}")
        } else {
            bare().header("content-encoding", "gzip").body("{}")
        };
        let answer = sign(call).send().await;
        assert_eq!((answer.status(), answer.code().as_str()), (415, "unsupported_media_type"), "{name}");
        // Of a document nothing but the document counts.
        if row.who == "document" {
            let answer = town.mallory.signed(town.call(&row)).send().await;
            assert_eq!((answer.status(), answer.code().as_str()), (400, "malformed"), "{name}");
        }
        assert_eq!(town.net.contents(), before, "{name} changed something");
    }
}

#[tokio::test]
async fn anybody_is_told_what_is_public_and_signs_nothing() {
    let town = town().await;
    let before = town.net.contents();
    for row in directory().iter().filter(|row| ["anybody", "nobody"].contains(&row.who.as_str())) {
        let name = format!("{} {}", row.method, row.path);
        let answer = town.call(row).send().await;
        let expected = if row.who == "nobody" { 501 } else { 200 };
        assert_eq!(answer.status(), expected, "{name}: {answer}");
        assert_eq!(town.net.contents(), before, "{name} changed something");
    }
}
