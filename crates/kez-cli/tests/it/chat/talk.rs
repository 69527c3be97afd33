//! Two people.

use std::fs;

use serde_json::json;

use super::{enrolled, people};
use crate::kez::Computer;
use crate::town::server_with;

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_also_when_one_is_away() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "Hello, Bob");
    alice.says("bob", "Are you there?");
    let read = bob.chat(&["read"]).json();
    assert_eq!(super::texts(&read["conversations"][0]), ["alice: Hello, Bob", "alice: Are you there?"]);
    bob.says("alice", "Yes, hello");
    assert_eq!(alice.reads("bob").last().unwrap(), "bob: Yes, hello");
    assert_eq!(alice.reads("bob"), bob.reads("alice"));
    assert_eq!(bob.chat(&["read"]).json()["conversations"], json!([]), "read is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_waits_for_an_answer() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "Hello, Bob");
    let requests = bob.chat(&["requests"]).json();
    assert_eq!(requests["requests"][0]["said"], "Hello, Bob");
    assert_eq!(requests["requests"][0]["from"]["address"], "alice@kez.lat");
    assert_eq!(bob.chat(&["accept", "carol"]).refusal(3).0, "not_found");
    bob.chat(&["accept", "alice"]).exits(0);
    assert_eq!(bob.chat(&["requests"]).json()["requests"], json!([]));
    assert_eq!(bob.chat(&["accept", "alice"]).refusal(3).0, "no_request");
    bob.says("alice", "Hello");
    assert_eq!(alice.reads("bob"), ["alice: Hello, Bob", "bob: Hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_reading_are_told_and_marks_change_what_was_said() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    let first = alice.says("bob", "See you at eight");
    bob.chat(&["accept", "alice"]).exits(0);
    let second = alice.says("bob", "Bring a coat");
    bob.chat(&["read", "alice"]).exits(0);
    let id = |sent: &serde_json::Value| sent["id"].as_str().unwrap()[..8].to_owned();
    bob.chat(&["react", "alice", &id(&second), "👍"]).exits(0);
    assert_eq!(bob.chat(&["edit", "alice", &id(&second), "x"]).refusal(1).0, "not_yours");
    alice.chat(&["edit", "bob", &id(&first), "See you at nine"]).exits(0);
    let read = alice.chat(&["read", "bob"]).json();
    let entries = read["conversations"][0]["entries"].as_array().unwrap().clone();
    let of =
        |sent: &serde_json::Value| entries.iter().find(|entry| entry["id"] == sent["id"]).unwrap().clone();
    assert_eq!((&of(&first)["text"], &of(&first)["edited"]), (&json!("See you at nine"), &json!(true)));
    assert_eq!(of(&second)["reactions"][0]["emoji"], "👍");
    assert_eq!(of(&second)["read_by"][0]["address"], "bob@kez.lat");
    assert_eq!(of(&second)["delivered_to"][0]["address"], "bob@kez.lat");
    alice.chat(&["delete", "bob", &id(&first)]).exits(0);
    assert_eq!(bob.reads("alice"), ["alice: Bring a coat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_whole_and_under_a_name_that_is_free() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    let content: Vec<u8> = (0..2_500_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(alice.path("cat.png"), &content).unwrap();
    let path = alice.path("cat.png");
    alice.chat(&["send", "bob", "Look", "--file", path.to_str().unwrap()]).exits(0);
    let folder = bob.path("downloads");
    fs::create_dir(&folder).unwrap();
    for name in ["cat.png", "cat (2).png"] {
        let saved = bob.chat(&["save", "alice", "--to", folder.to_str().unwrap()]).json();
        assert_eq!(saved["saved"][0]["size"], 2_500_000);
        assert_eq!(fs::read(folder.join(name)).unwrap(), content);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no drafts");
    assert_eq!(alice.chat(&["send", "bob", "--file", "/nowhere"]).refusal(1).0, "io");
    let found = bob.chat(&["search", "CAT"]).json();
    assert_eq!(found["found"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_server_waits_and_is_sent_later() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "Hello, Bob");
    let memory = fs::read_to_string(alice.file("config.json")).unwrap();
    fs::write(alice.file("config.json"), memory.replace(&net.url(), "http://127.0.0.1:1")).unwrap();
    let waits = alice.chat(&["send", "bob", "Later"]).json();
    assert_eq!(waits["sent"], false);
    fs::write(alice.file("config.json"), memory).unwrap();
    alice.catches_up();
    assert_eq!(bob.reads("alice"), ["alice: Hello, Bob", "alice: Later"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safety_number_is_the_same_on_both_sides_and_remembered() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "Hello, Bob");
    bob.says("alice", "Hello");
    alice.catches_up();
    bob.catches_up();
    alice.catches_up();
    let (mine, theirs) = (alice.chat(&["verify", "bob"]).json(), bob.chat(&["verify", "alice"]).json());
    assert_eq!(mine["safety_number"], theirs["safety_number"]);
    assert_eq!(mine["safety_number"].as_str().unwrap().len(), 60);
    assert!(mine["qr"].as_str().unwrap().starts_with("kez-safety:1:") && mine["qr"] != theirs["qr"]);
    assert_eq!(mine["epoch_code"], theirs["epoch_code"]);
    assert_eq!(mine["verified"], false);
    assert_eq!(alice.chat(&["verify", "bob", "--same"]).json()["verified"], true);
    assert_eq!(alice.chat(&["list"]).json()["conversations"][0]["verified"], true);
    let text = alice.kez("chat verify bob").exits(0).out();
    assert!(text.contains('█') && text.contains("bob is verified"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_listens_and_answers() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "ping");
    let mut bot = bob.start("--json chat listen");
    let heard = bot.until(|line| line["event"] == "entry" && line["type"] == "text");
    assert_eq!((&heard["text"], &heard["mine"]), (&json!("ping"), &json!(false)));
    bot.until(|line| line["event"] == "caught_up");
    let conversation = heard["conversation"].as_str().unwrap();
    bot.say(&format!(r#"{{"send":{{"to":"{conversation}","text":"pong"}},"ref":"1"}}"#));
    let done = bot.until(|line| line["event"] == "done");
    assert_eq!(done["ref"], "1");
    bot.until(|line| line["event"] == "sent" && line["id"] == done["ids"][0]);
    bot.say("nonsense");
    assert_eq!(bot.until(|line| line["event"] == "error")["code"], "bad_command");
    assert_eq!(bob.chat(&["send", "alice", "x"]).refusal(1).0, "device_in_use");
    assert_eq!(bob.chat(&["search", "ping"]).json()["found"][0]["text"], "ping", "reading needs no lock");
    alice.says("bob", "live");
    bot.until(|line| line["event"] == "entry" && line["text"] == "live");
    drop(bot);
    assert_eq!(alice.reads("bob"), ["alice: ping", "bob: pong", "alice: live"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_what_to_do() {
    let (net, [alice]) = people(["alice"]).await;
    let cases: [(&[&str], i32, &str); 8] = [
        (&["send", "nobody", "Hi"], 3, "not_found"),
        (&["send", "alice", "Hi"], 2, "to_yourself"),
        (&["send", "bob@example.org", "Hi"], 1, "other_home_server"),
        (&["send", "group:hiking", "Hi"], 3, "no_such_conversation"),
        (&["read", "bob"], 3, "no_such_conversation"),
        (&["send", "alice"], 2, "nothing_to_say"),
        (&["group", "show", "hiking"], 3, "no_such_conversation"),
        (&["group", "create", "hiking", "nobody"], 3, "not_found"),
    ];
    for (args, status, code) in cases {
        let (found, error) = alice.chat(args).refusal(status);
        assert_eq!(found, code, "{args:?}: {error}");
    }
    let bob = crate::town::computer_of(&net, "bob");
    bob.register("bob", &net).exits(0);
    assert_eq!(alice.chat(&["send", "bob", "Hi"]).refusal(1).0, "no_devices");
    assert_eq!(bob.chat(&["list"]).refusal(1).0, "no_device");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_passphrase_nothing_opens_without_it() {
    let net = server_with(|_| {}).await;
    let bob = enrolled(&net, "bob");
    let alice = Computer::new().with_passphrase("correct horse");
    alice.kez("identity new --passphrase").exits(0);
    alice.register("alice", &net).exits(0);
    alice.kez("device enrol").exits(0);
    net.befriend_everybody();
    alice.says("bob", "Hello, Bob");
    assert_eq!(bob.reads("alice"), ["alice: Hello, Bob"]);
    let alice = alice.with_passphrase("wrong horse");
    for args in [&["read", "bob", "--offline"][..], &["search", "Hello"], &["list"]] {
        assert_eq!(alice.chat(args).refusal(1).0, "wrong_passphrase");
    }
}
