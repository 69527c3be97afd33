//! `kez whois`, against the real server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use kez_core::sigchain::Op;
use kez_testkit::{ChainWriter, Net, SigNet};
use serde_json::{Value, json};

use crate::kez::{Computer, Ran};
use crate::publish::older_copy;
use crate::town::{computer_of, server_with};

/// A home server that names a sig-server which is not there.
async fn server_with_alice() -> Net {
    let net = server_with(|setup| setup.args.sig_server_url = "http://localhost:1".parse().unwrap()).await;
    net.actor("alice").register("alice").await.expect_status(201);
    net
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_person_is_found_by_handle_address_and_key() {
    let net = server_with_alice().await;
    let key = net.actor("alice").key();
    let computer = Computer::new();
    let whois = |who: &str| computer.kez(&format!("--json whois {who} --server {}", net.url())).json();

    let record = net.get("/v1/u/alice").await.json();
    for who in ["alice", "@alice", "alice@kez.lat", "@alice@KEZ.lat"] {
        let found = whois(who);
        assert_eq!((&found["record"], &found["checked"]), (&record, &json!(["address_asked"])), "{who}");
    }
    let found = whois(&key.to_string());
    assert_eq!((&found["record"], &found["checked"]), (&record, &json!(["key_asked"])));
    assert_eq!(found["source"], json!({ "via": "home_server", "url": net.url() }));
    assert_eq!(found["not_checked"], json!(["server_identity", "sigchain"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_says_whose_word_it_is() {
    let net = server_with_alice().await;
    let text = Computer::new().kez(&format!("whois alice --server {}", net.url())).exits(0).out();
    assert!(text.starts_with("alice@kez.lat\n"), "{text}");
    assert!(text.contains(&net.actor("alice").key().to_string()));
    assert!(text.contains("the key's own sigchain: "), "{text}");
    assert!(text.ends_with("All of this is the word of kez.lat alone.\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_status_3() {
    let net = server_with_alice().await;
    let computer = Computer::new();
    for who in ["bob".to_owned(), "bob@kez.lat".to_owned(), net.actor("bob").key().to_string()] {
        let (code, error) = computer.kez(&format!("--json whois {who} --server {}", net.url())).refusal(3);
        assert_eq!(code, "not_found");
        assert!(error["who"].as_str().unwrap().starts_with(who.as_str()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remembered_server_is_asked_about_its_own_and_not_about_others() {
    let net = server_with_alice().await;
    let bob = computer_of(&net, "bob");
    bob.register("bob", &net).exits(0);
    assert_eq!(bob.kez("--json whois alice@kez.lat").json()["source"]["url"], net.url());
    let (_, error) = bob.kez("--json whois alice@kez.invalid").refusal(4);
    assert!(error["message"].as_str().unwrap().contains("https://kez.invalid"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_renamed_is_caught() {
    let net = server_with_alice().await;
    let alice = computer_of(&net, "alice");
    alice.register("alice", &net).exits(0);
    let config = std::fs::read_to_string(alice.file("config.json")).unwrap();
    std::fs::write(alice.file("config.json"), config.replace("kez.lat", "kez.example")).unwrap();
    assert_eq!(alice.kez("--json whois alice@kez.example").refusal(5).0, "contradiction");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_a_network_error() {
    let net = server_with_alice().await;
    let url = net.url();
    net.stop().await;
    assert_eq!(
        Computer::new().kez(&format!("--json whois alice --server {url}")).refusal(4).0,
        "unreachable"
    );
}

/// A home server with alice, and the sig-server that it names.
async fn town_with_alice() -> (Net, SigNet) {
    let sig = SigNet::start().await;
    let url = format!("http://{}", sig.addr());
    let net = server_with(|setup| setup.args.sig_server_url = url.parse().unwrap()).await;
    net.actor("alice").register("alice").await.expect_status(201);
    (net, sig)
}

/// Appends these events to alice's chain.
async fn append(sig: &SigNet, events: impl IntoIterator<Item = String>) {
    for event in events {
        sig.append(&ChainWriter::new("alice").path(), event).await.expect_status(201);
    }
}

fn whois(computer: &Computer, net: &Net, flags: &str) -> Ran {
    computer.kez(&format!("--json whois alice --server {} {flags}", net.url()))
}

fn subjects(found: &Value) -> Vec<&str> {
    let held = found["sigchain"]["subjects"].as_array().unwrap();
    held.iter().map(|held| held["subject"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sigchain_is_read_verified_and_remembered() {
    let (net, sig) = town_with_alice().await;
    let (computer, mut alice) = (Computer::new(), sig.writer("alice"));
    let found = whois(&computer, &net, "").json();
    assert_eq!((&found["sigchain"]["state"], &found["not_checked"][1]), (&json!("none"), &json!("sigchain")));

    let device = device(1);
    append(&sig, [alice.add("github:alice"), alice.add("dns:example.org"), alice.next(device)]).await;
    let found = whois(&computer, &net, "").json();
    assert_eq!(subjects(&found), ["github:alice", "dns:example.org"]);
    assert_eq!(found["sigchain"]["key_since"], kez_testkit::START);
    assert_eq!(found["sigchain"]["devices"][0]["device_id"], "01".repeat(16));
    assert_eq!(
        (&found["checked"], &found["sigchain"]["seen_before"]),
        (&json!(["address_asked", "sigchain"]), &Value::Null)
    );
    assert_eq!(found["not_checked"], json!(["server_identity", "never_seen", "subjects"]));

    append(&sig, [alice.revoke("github:alice")]).await;
    let found = whois(&computer, &net, "").json();
    assert_eq!((subjects(&found), &found["sigchain"]["seen_before"]), (vec!["dns:example.org"], &json!(3)));
    assert_eq!(found["checked"], json!(["address_asked", "sigchain", "seen_before"]));

    let text = computer.kez(&format!("whois alice --server {}", net.url())).exits(0).out();
    for part in [
        "key since    2026-05-25 03:00:00 UTC\n",
        "holds        dns:example.org  since 2026-05-25\n",
        "devices      01010101010101010101010101010101  since 2026-05-25\n",
        "the key's own sigchain: 4 entries, whole, in order, signed\n",
        "it has all that this computer has seen of it before (4 entries)\n",
        "The rest is the key's own word.\n",
    ] {
        assert!(text.contains(part), "{part}{text}");
    }
    let verified =
        computer.kez(&format!("--json sigchain verify alice@kez.lat --server {}", net.url())).json();
    assert_eq!((&verified["seen_before"], &verified["sigchain"]["events"]), (&json!(4), &json!(4)));
}

fn device(number: u8) -> Op {
    let device_id = kez_core::DeviceId::from_bytes([number; 16]);
    Op::AddDevice { device_id, certificate_sha256: kez_core::sigchain::Sha256Hex::of(b"certificate") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_chain_than_seen_is_told_loudly() {
    let (net, sig) = town_with_alice().await;
    let (computer, mut alice) = (Computer::new(), sig.writer("alice"));
    append(&sig, [alice.add("github:alice")]).await;
    let old = older_copy(&sig).await;
    append(&sig, [alice.revoke("github:alice")]).await;
    whois(&computer, &net, "").exits(0);

    sig.restart_with(|args| args.db = old).await;
    for _ in 0..2 {
        let (code, error) = whois(&computer, &net, "").refusal(5);
        assert_eq!(
            (code.as_str(), &error["shown"], &error["seen"]),
            ("sigchain_shorter", &json!(1), &json!(2))
        );
        assert!(error["message"].as_str().unwrap().starts_with("DO NOT TRUST THIS."), "{error}");
    }
    let verify = format!("--json sigchain verify alice@kez.lat --server {}", net.url());
    assert_eq!(computer.kez(&verify).refusal(5).0, "sigchain_shorter");
    assert_eq!(
        subjects(&whois(&Computer::new(), &net, "").json()),
        ["github:alice"],
        "who never saw more cannot know"
    );

    // The server gets its entries back, and all is well.
    let mut again = sig.writer("alice");
    again.add("github:alice");
    append(&sig, [again.revoke("github:alice")]).await;
    assert!(subjects(&whois(&computer, &net, "").json()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_vanished_is_told_loudly() {
    let (net, sig) = town_with_alice().await;
    let (computer, mut alice) = (Computer::new(), sig.writer("alice"));
    let empty = older_copy(&sig).await;
    append(&sig, [alice.add("github:alice")]).await;
    whois(&computer, &net, "").exits(0);
    sig.restart_with(|args| args.db = empty).await;
    let (code, error) = whois(&computer, &net, "").refusal(5);
    assert_eq!((code.as_str(), &error["shown"]), ("sigchain_shorter", &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_chain_is_told_loudly() {
    let (net, sig) = town_with_alice().await;
    let (computer, other) = (Computer::new(), SigNet::start().await);
    append(&sig, [sig.writer("alice").add("github:alice")]).await;
    let mut alice = sig.writer("alice");
    append(&other, [alice.add("dns:example.org"), alice.add("github:alice")]).await;
    whois(&computer, &net, "").exits(0);
    let (code, error) = whois(&computer, &net, &format!("--sig-server http://{}", other.addr())).refusal(5);
    assert_eq!((code.as_str(), &error["seq"]), ("sigchain_forked", &json!(0)));
    let exported = other.get(&alice.path()).await.text().to_owned();
    assert_eq!(computer.kez_reading("--json verify file -", &exported).refusal(5).0, "sigchain_forked");
    whois(&computer, &net, "").exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_does_not_verify_is_not_shown() {
    let (net, sig) = town_with_alice().await;
    let mut alice = sig.writer("alice");
    let lines = [alice.add("github:alice"), alice.add("dns:example.org")];
    let changed = format!("{}\n{}\n", lines[0], lines[1].replace("example.org", "example.net"));
    for (body, seq, fault) in [
        (changed, 1, "bad_signature"),
        (format!("{}\n", lines[1]), 0, "bad_sequence"),
        (format!("{}\n{}\n", lines[0], lines[0]), 1, "bad_sequence"),
        (format!("{}\n{{}}\n", lines[0]), 1, "malformed"),
        (format!("{}\n", sig.writer("mallory").add("github:alice")), 0, "wrong_primary"),
    ] {
        let liar = saying("application/jsonl", body);
        let (code, error) = whois(&Computer::new(), &net, &format!("--sig-server http://{liar}")).refusal(5);
        assert_eq!(
            (code.as_str(), &error["seq"], &error["fault"]),
            ("sigchain_broken", &json!(seq), &json!(fault))
        );
    }
}

/// A sig-server that says one and the same to everybody.
fn saying(media_type: &'static str, body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            let len = body.len();
            write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sig_server_that_cannot_be_read_is_said_and_the_record_shown() {
    let (net, sig) = town_with_alice().await;
    let computer = Computer::new();
    let page = saying("text/html", "<html>".into());
    let found = whois(&computer, &net, &format!("--sig-server http://{page}")).json();
    assert_eq!(
        (&found["sigchain"]["state"], &found["sigchain"]["code"]),
        (&json!("unread"), &json!("not_a_sig_server"))
    );
    sig.stop().await;
    let found = whois(&computer, &net, "").json();
    assert_eq!(
        (&found["sigchain"]["state"], &found["sigchain"]["code"]),
        (&json!("unread"), &json!("unreachable"))
    );
    assert_eq!(found["record"]["handle"], "alice");
    let text = computer.kez(&format!("whois alice --server {}", net.url())).exits(0).out();
    assert!(text.contains("the key's own sigchain: http://127.0.0.1:"), "{text}");
    assert!(text.ends_with("All of this is the word of kez.lat alone.\n"), "{text}");
    let verify = format!("--json sigchain verify alice@kez.lat --server {}", net.url());
    assert_eq!(computer.kez(&verify).refusal(4).0, "unreachable", "nothing was verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_a_key_that_was_given_up_is_a_contradiction() {
    let (net, sig) = town_with_alice().await;
    let mut alice = sig.writer("alice");
    append(&sig, [alice.add("github:alice"), alice.rotate("alice anew", false)]).await;
    let (code, error) = whois(&Computer::new(), &net, "").refusal(5);
    assert_eq!(code, "sigchain_other_key");
    assert_eq!(error["record_key"], net.actor("alice").key().to_string());
    assert_eq!(error["sigchain_key"], net.actor("alice anew").key().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_within_is_enough() {
    let net = server_with(|setup| setup.args.sig_bind = "127.0.0.1:0".parse().unwrap()).await;
    let (alice, url) = (computer_of(&net, "alice"), net.url());
    alice.register("alice", &net).exits(0);
    alice.kez(&format!("sigchain add github:alice --publish --sig-server {url}")).exits(0);
    let found = whois(&Computer::new(), &net, &format!("--sig-server {url}")).json();
    assert_eq!(subjects(&found), ["github:alice"]);
    let chain = format!("{url}/v1/sigchains/ed25519/{}", net.actor("alice").key().to_hex());
    assert_eq!(found["sigchain"]["url"], chain);
    let verified = Computer::new().kez(&format!("--json sigchain verify {chain}")).json();
    assert_eq!(
        (&verified["sigchain"]["events"], &verified["not_checked"]),
        (&json!(1), &json!(["never_seen", "subjects"]))
    );
    let nobody = chain.replace(&net.actor("alice").key().to_hex(), &net.actor("bob").key().to_hex());
    assert_eq!(Computer::new().kez(&format!("--json sigchain verify {nobody}")).refusal(3).0, "no_sigchain");
}
