//! `kez register`, against the real server.

use clap::ValueEnum;
use kez_testkit::Net;
use serde_json::json;

use crate::kez::Computer;
use crate::lossy::losing;
use crate::town::{computer_of, server, server_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_taken_and_the_server_remembered() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let registered = alice.register("alice", &net).json();
    assert_eq!(registered["address"], "alice@kez.lat");
    assert_eq!((&registered["already"], &registered["server_url"]), (&json!(false), &json!(net.url())));
    assert_eq!(registered["record"]["primary"], net.actor("alice").key().to_string());
    assert_eq!(alice.kez("--json identity show").json()["address"], "alice@kez.lat");
    assert_eq!(alice.kez("--json whois alice").json()["record"], registered["record"]);

    let registry = net.check_registry().await;
    assert_eq!(registry.accounts.into_keys().collect::<Vec<_>>(), ["alice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_welcomes_by_address() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let text = alice.kez(&format!("register alice --server {}", net.url())).exits(0).out();
    assert!(text.starts_with("Welcome! You are alice@kez.lat.\n"), "{text}");
    let text = alice.kez("register alice").exits(0).out();
    assert!(text.starts_with("You have alice@kez.lat already."), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_ones_own_handle_again_is_no_error() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let first = alice.register("alice", &net).json();
    net.advance_s(60);
    let again = alice.kez("--json register alice").json();
    assert_eq!((&again["already"], &again["record"]), (&json!(true), &first["record"]));
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_and_the_handle_taken_once() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let ran = alice.kez(&format!("--json register alice --server {}", losing(2, net.addr())));
    assert_eq!(ran.err().matches(r#""code":"retry""#).count(), 2, "{}", ran.err());
    assert_eq!(ran.json()["already"], false, "it is new to its owner");
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_lost_answers_are_a_network_error_and_the_next_run_finds_the_handle() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let ran = alice.kez(&format!("--json register alice --server {}", losing(3, net.addr())));
    assert_eq!(ran.refusal(4).0, "unreachable");
    assert_eq!(alice.register("alice", &net).json()["already"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_keep_the_servers_code() {
    let net = server().await;
    let (alice, bob) = (computer_of(&net, "alice"), computer_of(&net, "bob"));
    alice.register("alice", &net).exits(0);
    assert_eq!(bob.register("alice", &net).refusal(1).0, "handle_taken");
    assert_eq!(bob.register("a-lice", &net).refusal(1).0, "handle_confusable");
    assert_eq!(bob.register("admin", &net).refusal(1).0, "reserved_handle");
    let (code, error) = alice.register("alice2", &net).refusal(1);
    assert_eq!((code.as_str(), &error["held"]), ("key_taken", &json!("alice@kez.lat")));
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_told_with_both_times() {
    // This server's clock stands where every test begins, far from this machine's.
    let net = Net::start().await;
    let (code, error) = computer_of(&net, "alice").register("alice", &net).refusal(1);
    assert_eq!((code.as_str(), &error["server_time"]), ("clock_skew", &json!(net.now())));
    assert!(
        error["local_time"].is_string() && error["message"].as_str().unwrap().ends_with("apart"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nobody_says_so_except_to_its_own() {
    let net = server().await;
    let (alice, bob) = (computer_of(&net, "alice"), computer_of(&net, "bob"));
    alice.register("alice", &net).exits(0);
    net.restart_with(|setup| setup.args.registration = ValueEnum::from_str("closed", false).unwrap()).await;
    assert_eq!(bob.register("bob", &net).refusal(1).0, "registration_closed");
    assert_eq!(alice.register("alice", &net).json()["already"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_invite_that_works_nobody_gets_in() {
    let invited = ValueEnum::from_str("invite", false).unwrap();
    let net = server_with(|setup| setup.args.registration = invited).await;
    let alice = computer_of(&net, "alice");
    assert_eq!(alice.register("alice", &net).refusal(1).0, "invite_required");

    let file = alice.path("invite.txt");
    let with_file = format!("--json register alice --server {} --invite-file {}", net.url(), file.display());
    assert_eq!(alice.kez(&with_file).refusal(1).0, "io", "no such file");
    std::fs::write(&file, "two words\n").unwrap();
    assert_eq!(alice.kez(&with_file).refusal(1).0, "bad_invite");
    std::fs::write(&file, "kez-invite-AAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
    let (code, error) = alice.kez(&with_file).refusal(1);
    assert_eq!(code, "invite_required");
    assert!(!error.to_string().contains("AAAA"), "an invite does not belong in errors");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_passphrase_sends_nothing() {
    let net = server().await;
    let alice = Computer::new().with_passphrase("correct horse");
    alice.kez("identity new --passphrase").exits(0);
    let alice = alice.with_passphrase("wrong horse");
    assert_eq!(alice.register("alice", &net).refusal(1).0, "wrong_passphrase");
    assert_eq!(net.check_registry().await.accounts.len(), 0);
    let alice = alice.with_passphrase("correct horse");
    alice.register("alice", &net).exits(0);
}
