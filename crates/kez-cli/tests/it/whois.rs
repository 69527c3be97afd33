//! `kez whois`, against the real server.

use kez_testkit::Net;
use serde_json::json;

use crate::kez::Computer;
use crate::town::{computer_of, server};

async fn server_with_alice() -> Net {
    let net = server().await;
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
    assert!(text.ends_with("This is the server's word; its sigchain was not checked by this version.\n"));
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
