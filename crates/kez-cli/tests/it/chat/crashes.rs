//! Programs that are killed, and servers that are: nothing is lost, nothing comes twice.

use kez_testkit::process::Program;
use serde_json::json;

use super::people;
use crate::kez::Computer;
use crate::server_binary::server_binary;

/// Rounds of being killed; many under `KEZ_FULL`.
fn rounds() -> usize {
    if std::env::var_os("KEZ_FULL").is_some() { 200 } else { 8 }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_sending_loses_and_doubles_nothing() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    alice.says("bob", "0");
    bob.says("alice", "hello");
    let mut promised = Vec::new();
    for round in 1..=rounds() {
        let mut sender = alice.start("--json chat listen");
        sender.until(|line| line["event"] == "caught_up");
        for number in 0..5 {
            sender.say(&json!({ "send": { "to": "bob", "text": format!("{round}.{number}") } }).to_string());
        }
        // Killed at another place each time: `done` says that a message is kept, and that is the promise.
        for _ in 0..round % 6 {
            let done = sender.until(|line| line["event"] == "done");
            promised.push(done["ids"][0].as_str().unwrap().to_owned());
        }
        sender.kill_9();
    }
    alice.catches_up();
    let read = bob.chat(&["read", "alice", "--last", "10000"]).json();
    let entries = read["conversations"][0]["entries"].as_array().unwrap();
    let mut ids: Vec<&str> = entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    for id in &promised {
        assert!(ids.contains(&id.as_str()), "{id} was promised and is lost");
    }
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "a message came twice");
    let mut texts = bob.reads("alice");
    texts.sort_unstable();
    let said = texts.len();
    texts.dedup();
    assert_eq!(texts.len(), said, "a text came twice");
    assert_eq!(alice.reads("bob"), bob.reads("alice"));
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_nothing_but_a_pause() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bind = format!("127.0.0.1:{port}");
    let program = Program::new(server_binary(), dir.path()).bind(&bind).flags(["--server", "kez.lat"]);
    let server = program.start().unwrap();
    let [alice, bob] = ["alice", "bob"].map(|handle| {
        let computer = Computer::new();
        computer.kez("identity new").exits(0);
        computer.kez(&format!("register {handle} --server http://{bind}")).exits(0);
        computer.kez("device enrol").exits(0);
        computer
    });
    kez_testkit::befriend_everybody(&dir.path().join("kez-chat.db"));
    alice.says("bob", "before");
    bob.says("alice", "hello");
    let mut listening = bob.start("--json chat listen");
    listening.until(|line| line["event"] == "caught_up");
    server.kill_9();
    let waits = alice.chat(&["send", "bob", "meanwhile"]).json();
    assert_eq!(waits["sent"], false);
    let _server = program.start().unwrap();
    alice.says("bob", "after");
    listening.until(|line| line["event"] == "entry" && line["text"] == "meanwhile");
    listening.until(|line| line["event"] == "entry" && line["text"] == "after");
    listening.say(&json!({ "send": { "to": "alice", "text": "here" } }).to_string());
    let done = listening.until(|line| line["event"] == "done");
    listening.until(|line| line["event"] == "sent" && line["id"] == done["ids"][0]);
    drop(listening);
    let all = ["alice: before", "bob: hello", "alice: meanwhile", "alice: after", "bob: here"];
    assert_eq!(
        (alice.reads("bob"), bob.reads("alice")),
        (all.map(Into::into).to_vec(), all.map(Into::into).to_vec())
    );
}
