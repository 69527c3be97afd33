//! `kez device`, against the real server.

use std::fs;

use kez_testkit::Net;
use serde_json::{Value, json};

use crate::kez::{Computer, mode};
use crate::town::{computer_of, server_with};

/// A server with a sig-server within, and a registered person at it.
async fn settled() -> (Net, Computer) {
    let net = server_with(|_| {}).await;
    let alice = computer_of(&net, "alice");
    alice.register("alice", &net).exits(0);
    (net, alice)
}

fn devices(listed: &Value) -> Vec<&str> {
    listed["devices"].as_array().unwrap().iter().map(|one| one["device_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_is_enrolled_once_and_listed() {
    let (_net, alice) = settled().await;
    assert_eq!(alice.kez("--json device list").json()["devices"], json!([]));
    let enrolled = alice.kez("--json device enrol").json();
    assert_eq!((&enrolled["done"], &enrolled["encrypted"]), (&json!("enrolled"), &json!(false)));
    let again = alice.kez("--json device enrol").json();
    assert_eq!((&again["done"], &again["device_id"]), (&json!("already"), &enrolled["device_id"]));

    let listed = alice.kez("--json device list").json();
    assert_eq!(devices(&listed), [enrolled["device_id"].as_str().unwrap()]);
    assert_eq!(listed["devices"][0]["this_computer"], true);
    #[cfg(unix)]
    assert_eq!(mode(&alice.file("device/device.json")), 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_handle_nothing_is_enrolled() {
    let net = server_with(|_| {}).await;
    let alice = computer_of(&net, "alice");
    assert_eq!(alice.kez("--json device enrol").refusal(1).0, "no_account");
    assert!(!alice.file("device").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_never_comes_back_and_another_takes_its_place() {
    let (_net, alice) = settled().await;
    let first = alice.kez("--json device enrol").json();
    let id = first["device_id"].as_str().unwrap();
    assert_eq!(alice.kez("--json device revoke 0000").refusal(3).0, "no_such_device");
    assert_eq!(alice.kez("--json device revoke xyz").refusal(2).0, "usage");
    let revoked = alice.kez(&format!("--json device revoke {}", &id[..8])).json();
    assert_eq!((&revoked["device_id"], &revoked["this_computer"]), (&first["device_id"], &json!(true)));
    assert_eq!(alice.kez(&format!("--json device revoke {id}")).refusal(2).0, "device_revoked");

    let second = alice.kez("--json device enrol --new").json();
    assert_ne!(second["device_id"], first["device_id"]);
    let aside = second["former_device"].as_str().unwrap();
    assert!(fs::metadata(aside).unwrap().is_dir(), "what it kept stays");
    let listed = alice.kez("--json device list").json();
    assert_eq!(devices(&listed), [second["device_id"].as_str().unwrap()]);
    assert_eq!(listed["revoked"][0]["device_id"], first["device_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_stated_on_the_sigchain_also_when_that_is_published_later() {
    let (net, alice) = settled().await;
    let ran = alice.kez("--json device enrol").exits(0);
    // The testkit's server names a sig-server that nobody runs.
    assert!(ran.err().contains("not_published"), "{}", ran.err());
    let id = ran.json()["device_id"].as_str().unwrap().to_owned();
    let shown = alice.kez("--json sigchain show").json();
    assert_eq!(shown["sigchain"]["devices"][0]["device_id"], id);
    let ran = alice.kez(&format!("--json device revoke {id}")).exits(0);
    drop(ran);
    let shown = alice.kez("--json sigchain show").json();
    assert!(shown["sigchain"]["devices"][0]["revoked_at"].is_string(), "{shown}");
    assert_eq!(shown["sigchain"]["events"], 2);
    drop(net);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_whose_answer_was_lost_is_finished_with_the_same_keys() {
    let (net, alice) = settled().await;
    let memory = fs::read_to_string(alice.file("config.json")).unwrap();
    let lossy = crate::lossy::losing(3, net.addr());
    fs::write(alice.file("config.json"), memory.replace(&net.url(), &format!("http://{lossy}"))).unwrap();
    assert_eq!(alice.kez("--json device enrol").refusal(4).0, "unreachable");
    let begun: Value = serde_json::from_slice(&fs::read(alice.file("device/device.json")).unwrap()).unwrap();
    fs::write(alice.file("config.json"), memory).unwrap();
    let finished = alice.kez("--json device enrol").json();
    assert_eq!(finished["done"], "enrolled");
    assert_eq!(finished["device_id"], begun["document"]["payload"]["device_id"]);
    assert_eq!(devices(&alice.kez("--json device list").json()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_protected_as_the_identity_is_unless_said_otherwise() {
    let net = server_with(|_| {}).await;
    let alice = Computer::new().with_passphrase("correct horse");
    alice.kez("identity new --passphrase").exits(0);
    alice.register("alice", &net).exits(0);
    assert_eq!(alice.kez("--json device enrol").json()["encrypted"], true);
    let text = fs::read_to_string(alice.file("device/device.json")).unwrap();
    assert!(text.contains("argon2id") && !text.contains("\"secrets\""), "{text}");
    let bot = alice.kez("--json device enrol --new --no-passphrase").json();
    assert_eq!(bot["encrypted"], false);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_can_read_are_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let (_net, alice) = settled().await;
    alice.kez("device enrol").exits(0);
    let path = alice.file("device/device.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, error) = alice.kez("--json device enrol").refusal(1);
    assert_eq!(code, "device_file_open_to_others");
    assert!(error["help"].as_str().unwrap().starts_with("chmod 600"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kez_at_a_time_uses_the_device() {
    let (_net, alice) = settled().await;
    alice.kez("device enrol").exits(0);
    let lock = fs::File::options().read(true).write(true).open(alice.file("device/lock")).unwrap();
    lock.lock().unwrap();
    let (code, error) = alice.kez("--json device enrol").refusal(1);
    assert_eq!(code, "device_in_use");
    assert!(error["pid"].is_number(), "{error}");
}
