//! Several devices of one person.

use std::fs;

use super::{enrolled, notices, people};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_comes_in_by_itself_and_reads_what_follows() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "before");
    bob.says("alice", "before too");
    alice.catches_up();
    let laptop = enrolled(&net, "alice");
    laptop.catches_up();
    bob.says("alice", "after");
    laptop.says("bob", "from the laptop");
    assert_eq!(laptop.reads("bob"), ["bob: after", "alice: from the laptop"]);
    let all = ["alice: before", "bob: before too", "bob: after", "alice: from the laptop"];
    assert_eq!(
        (alice.reads("bob"), bob.reads("alice")),
        (all.map(Into::into).to_vec(), all.map(Into::into).to_vec())
    );
    let read = bob.chat(&["read", "alice"]).json();
    assert!(notices(&read["conversations"][0]).contains(&"device_added"), "{read}");
}

/// The seed is all that is left: the phrase on paper.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_phrase_joins_everything_again_when_every_other_device_is_dead() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    alice.says("bob", "before");
    bob.says("alice", "hello");
    alice.says("carol", "before");
    carol.says("alice", "hello");
    alice.chat(&["group", "create", "hiking", "bob", "carol"]).exits(0);
    bob.catches_up();
    drop(alice);
    let again = enrolled(&net, "alice");
    again.catches_up();
    let listed = again.chat(&["list"]).json();
    assert_eq!(listed["conversations"].as_array().unwrap().len(), 3, "{listed}");
    bob.says("alice", "are you back?");
    assert_eq!(again.reads("bob"), ["bob: are you back?"]);
    again.says("bob", "yes");
    assert_eq!(bob.reads("alice").last().unwrap(), "alice: yes");
    carol.says("group:hiking", "where to?");
    let group = again.chat(&["list"]).json();
    let of = |kind: &str| {
        group["conversations"].as_array().unwrap().iter().find(|chat| chat["kind"] == kind).cloned()
    };
    let id = of("group").unwrap()["conversation"].as_str().unwrap()[..8].to_owned();
    assert_eq!(again.reads(&format!("group:{id}")), ["carol: where to?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_removed_and_reads_nothing_more() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "before");
    bob.says("alice", "hello");
    alice.catches_up();
    let stolen = enrolled(&net, "alice");
    stolen.catches_up();
    bob.catches_up();
    let listed = alice.kez("--json device list").json();
    let devices = listed["devices"].as_array().unwrap();
    let other = devices.iter().find(|device| device["this_computer"] == false).unwrap();
    alice.kez(&format!("device revoke {}", other["device_id"].as_str().unwrap())).exits(0);
    bob.catches_up();
    bob.says("alice", "a secret");
    assert_eq!(stolen.chat(&["read", "bob"]).refusal(1).0, "unknown_device");
    let read = bob.chat(&["read", "alice"]).json();
    assert!(notices(&read["conversations"][0]).contains(&"device_removed"), "{read}");
    assert_eq!(alice.reads("bob").last().unwrap(), "bob: a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_records_are_of_an_older_backup_goes_on() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "one");
    bob.says("alice", "two");
    alice.catches_up();
    let backup = fs::read(alice.file("device/store.db")).unwrap();
    alice.says("bob", "three");
    bob.says("alice", "four");
    alice.catches_up();
    for name in ["device/store.db-wal", "device/store.db-shm"] {
        let _ = fs::remove_file(alice.file(name));
    }
    fs::write(alice.file("device/store.db"), backup).unwrap();
    alice.catches_up();
    bob.says("alice", "five");
    alice.catches_up();
    alice.says("bob", "six");
    assert_eq!(bob.reads("alice").last().unwrap(), "alice: six");
    assert_eq!(alice.reads("bob").last().unwrap(), "alice: six");
}
