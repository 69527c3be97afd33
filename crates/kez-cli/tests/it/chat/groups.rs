//! Groups.

use serde_json::json;

use super::{notices, people};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_changed_and_left() {
    let (_net, [alice, bob, carol, dave]) = people(["alice", "bob", "carol", "dave"]).await;
    let made = alice.chat(&["group", "create", "hiking", "bob", "carol"]).json();
    assert_eq!((&made["name"], made["members"].as_array().unwrap().len()), (&json!("hiking"), 3));
    alice.says("hiking", "hello");
    bob.says("hiking", "hi");
    assert_eq!(carol.reads("hiking"), ["alice: hello", "bob: hi"]);
    assert_eq!(bob.chat(&["group", "add", "hiking", "dave"]).refusal(1).0, "not_an_admin");
    assert_eq!(bob.chat(&["group", "rename", "hiking", "x"]).refusal(1).0, "not_an_admin");

    alice.chat(&["group", "add", "hiking", "dave"]).exits(0);
    alice.chat(&["group", "rename", "hiking", "Hiking club"]).exits(0);
    dave.says("Hiking club", "thanks");
    assert_eq!(dave.reads("Hiking club"), ["dave: thanks"], "not what was said before");

    alice.chat(&["group", "remove", "Hiking club", "bob"]).exits(0);
    alice.says("Hiking club", "without bob");
    bob.catches_up();
    assert_eq!(bob.chat(&["send", "Hiking club", "x"]).refusal(1).0, "left");
    assert!(!bob.reads("Hiking club").contains(&"alice: without bob".to_owned()));

    carol.chat(&["group", "leave", "Hiking club"]).exits(0);
    alice.catches_up();
    let shown = dave.chat(&["group", "show", "Hiking club"]).json();
    assert_eq!(shown["members"].as_array().unwrap().len(), 2, "{shown}");
    let read = dave.chat(&["read", "Hiking club"]).json();
    assert!(notices(&read["conversations"][0]).contains(&"leaving"), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_hands_the_group_on() {
    let (_net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    alice.chat(&["group", "create", "hiking", "bob", "carol"]).exits(0);
    bob.catches_up();
    carol.catches_up();
    alice.chat(&["group", "leave", "hiking"]).exits(0);
    bob.catches_up();
    let shown = bob.chat(&["group", "show", "hiking"]).json();
    assert_eq!(
        (shown["members"].as_array().unwrap().len(), shown["admins"].as_array().unwrap().len()),
        (2, 2)
    );
    bob.says("hiking", "still here");
    assert_eq!(carol.reads("hiking"), ["bob: still here"]);
}
