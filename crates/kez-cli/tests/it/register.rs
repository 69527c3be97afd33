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
async fn a_server_on_this_machine_is_not_said_to_be_found_from_others() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let text = alice.kez(&format!("register alice --server {}", net.url())).exits(0).out();
    assert!(text.contains(&format!("Only this machine reaches {}", net.url())), "{text}");
    assert!(!text.contains("Others find you") && !text.contains("whois alice@kez.lat"), "{text}");
    assert_eq!(alice.register("alice", &net).json()["server_identity"], "this_machine");
}

/// Who runs a relay could otherwise have people bind their keys on any server it passes them on to.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_for_a_server_that_its_name_does_not_point_to() {
    let (net, at) = elsewhere().await;
    let alice = computer_of(&net, "alice").with_passphrase("nobody is asked for this");
    let register = format!("--json register alice --server {at}");
    let (code, error) = alice.kez(&register).refusal(5);
    assert_eq!((code.as_str(), &error["server"]), ("server_identity", &json!("kez.invalid")));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("{at} says that it is kez.invalid")), "{message}");
    assert!(error["help"].as_str().unwrap().contains("--as kez.invalid"), "{error}");
    assert_eq!(net.check_registry().await.accounts.len(), 0);
    assert!(!alice.file("config.json").exists(), "such a server is not remembered");

    let (code, error) = alice.kez(&format!("{register} --as kez.lat")).refusal(5);
    assert_eq!(code, "server_identity", "the user knows another name: {error}");
    assert_eq!(net.check_registry().await.accounts.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_may_vouch_for_the_name_of_a_server() {
    let (net, at) = elsewhere().await;
    let alice = computer_of(&net, "alice");
    let registered = alice.kez(&format!("--json register alice --server {at} --as kez.invalid")).json();
    assert_eq!(registered["address"], "alice@kez.invalid");
    assert_eq!(registered["server_identity"], "user");
    let text = alice.kez("register alice --as kez.invalid").exits(0).out();
    assert!(text.contains(&format!("kez whois alice --server {at}")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_user_gives_is_the_servers_own_also_on_this_machine() {
    let net = server().await;
    let alice = computer_of(&net, "alice");
    let register = format!("--json register alice --server {}", net.url());
    assert_eq!(alice.kez(&format!("{register} --as example.org")).refusal(5).0, "server_identity");
    assert_eq!(alice.kez(&format!("{register} --as kez.lat")).json()["address"], "alice@kez.lat");
}

/// A server by a name that never resolves (RFC 6761 section 6.4), and a URL of it that is not a loopback address:
/// Linux connects 0.0.0.0 to this machine.
async fn elsewhere() -> (Net, String) {
    let net = server_with(|setup| setup.args.server = "kez.invalid".parse().unwrap()).await;
    let at = format!("http://0.0.0.0:{}", net.addr().port());
    (net, at)
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
