//! `GET /v1/contacts`, `DELETE /v1/contacts/{primary}`, `POST /v1/conversations/{cid}/accept`, and what strangers may do.

use data_encoding::BASE64URL_NOPAD;
use insta::assert_snapshot;
use kez_core::ConversationId;
use kez_testkit::framing::FrameDraft;
use kez_testkit::{Answer, Call, DeviceActor, Net};
use serde_json::{Value, json};

use super::conversations::{
    CONVERSATIONS, below, bundle, cid, commit, creation, get, log, mid, post, posting, say,
};
use crate::support::short_or_full;

pub(super) const CONTACTS: &str = "/v1/contacts";
/// How long a request waits.
const REQUEST_S: u64 = 14 * 24 * 60 * 60;

/// A server and the first devices of these people, who do not know each other.
pub(super) async fn strangers<const N: usize>(names: [&str; N]) -> (Net, [DeviceActor; N]) {
    let net = Net::start().await;
    let devices = names.map(|name| net.actor(name).device("phone"));
    for device in &devices {
        device.set_up_as_stranger().await;
    }
    (net, devices)
}

/// The body by which one asks another.
fn request(n: u8, by: &DeviceActor, peer: &DeviceActor) -> Value {
    creation(cid(n), "direct", &bundle(cid(n), &format!("request {n}"), 0, &[by, peer], &[peer]))
}

pub(super) async fn ask(n: u8, by: &DeviceActor, peer: &DeviceActor) -> Answer {
    post(by, CONVERSATIONS, &request(n, by, peer)).await
}

pub(super) fn accepting(device: &DeviceActor, cid: ConversationId) -> Call {
    device.signed(device.owner().net().call("POST", &below(cid, "accept")))
}

pub(super) async fn accept(device: &DeviceActor, cid: ConversationId) -> Answer {
    accepting(device, cid).send().await
}

pub(super) async fn remove(device: &DeviceActor, peer: &DeviceActor) -> Answer {
    let path = format!("{CONTACTS}/{}", peer.owner().key());
    device.signed(device.owner().net().call("DELETE", &path)).send().await
}

/// What the peers of somebody are to it, by the names of their handles.
pub(super) async fn contacts(device: &DeviceActor) -> Vec<(String, String)> {
    let list = get(device, CONTACTS).await.expect_status(200).json();
    let text = |one: &Value, member: &str| one[member].as_str().unwrap_or("-").to_owned();
    list["contacts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (text(one, "handle"), text(one, "state")))
        .collect()
}

/// The state of a conversation as a device is shown it.
async fn state(device: &DeviceActor, cid: ConversationId) -> Value {
    get(device, &format!("{CONVERSATIONS}/{cid}")).await.expect_status(200).json()["state"].clone()
}

/// The types of the events in an inbox, of those about contacts what changed.
pub(super) async fn told(device: &DeviceActor) -> Vec<String> {
    let page = get(device, "/v1/inbox?after=0&limit=500").await.expect_status(200).json();
    page["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["type"] != "device")
        .map(|event| event["change"].as_str().or(event["type"].as_str()).expect("text").to_owned())
        .collect()
}

fn to(handle: &str, state: &str) -> (String, String) {
    (handle.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_stranger_asks_and_is_accepted() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    let created = ask(1, &alice, &bob).await.expect_status(201).json();
    assert_eq!((&created["state"], &created["generation"]), (&json!("pending"), &json!(1)));
    assert_eq!(ask(1, &alice, &bob).await.expect_status(200).json(), created);
    assert_eq!(contacts(&alice).await, [to("bob", "outgoing")]);
    assert_snapshot!(get(&bob, CONTACTS).await, @r#"
    200 application/json
    {
      "contacts": [
        {
          "asked_at": "2026-05-25T03:00:00Z",
          "at": "2026-05-25T03:00:00Z",
          "cid": "01010101010101010101010101010101",
          "expires_at": "2026-06-08T03:00:00Z",
          "generation": 1,
          "handle": "alice",
          "primary": "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
          "registered_at": "2026-05-25T03:00:00Z",
          "state": "incoming"
        }
      ]
    }
    "#);
    let event = get(&bob, "/v1/inbox?after=1&limit=1").await.json()["events"][0].clone();
    assert_snapshot!(serde_json::to_string_pretty(&event).expect("JSON"), @r#"
    {
      "at": "2026-05-25T03:00:00Z",
      "change": "incoming",
      "cid": "01010101010101010101010101010101",
      "handle": "alice",
      "n": 2,
      "primary": "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
      "registered_at": "2026-05-25T03:00:00Z",
      "type": "contact"
    }
    "#);
    net.advance_s(60);
    accept(&alice, cid(1)).await.expect_problem(403, "request_pending");
    for _ in 0..2 {
        let accepted = accept(&bob, cid(1)).await.expect_status(200).json();
        assert_eq!(accepted, json!({"cid": cid(1), "state": "open"}));
    }
    accept(&alice, cid(1)).await.expect_status(200); // nothing is left to be accepted
    assert_eq!(contacts(&alice).await, [to("bob", "accepted")]);
    assert_eq!(contacts(&bob).await, [to("alice", "accepted")]);
    assert_eq!(told(&alice).await, ["frame", "outgoing", "accepted"]);
    assert_eq!(told(&bob).await, ["incoming", "welcome", "accepted"]);
    say(&bob, cid(1), "welcome", 1).await.expect_status(201);
    commit(&alice, cid(1), &bundle(cid(1), "keys", 1, &[&alice, &bob], &[])).await.expect_status(201);
    net.restart().await;
    assert_eq!(contacts(&bob).await, [to("alice", "accepted")]);
    net.check_conversations();
}

#[tokio::test]
async fn a_request_is_one_bundle_and_one_small_frame() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    let keys = bundle(cid(1), "keys", 1, &[&alice, &bob], &[]);
    let padded = |name: &str, bytes: usize| {
        let draft = |content: usize| FrameDraft::app(cid(1), mid(name), 1, &vec![7; content]).bytes();
        let frame = draft(bytes - (draft(1_000).len() - 1_000));
        assert_eq!(frame.len(), bytes);
        json!({"mid": mid(name), "frame": BASE64URL_NOPAD.encode(&frame)})
    };
    let frames = below(cid(1), "frames");
    let before = net.contents();
    commit(&alice, cid(1), &keys).await.expect_problem(403, "request_pending");
    commit(&bob, cid(1), &keys).await.expect_problem(403, "request_pending");
    say(&bob, cid(1), "hello", 1).await.expect_problem(403, "request_pending");
    let large = post(&alice, &frames, &padded("large", 2_049)).await.expect_problem(413, "too_large");
    assert_eq!(large.json()["bytes_max"], 2_048);
    say(&alice, cid(1), "ahead", 2).await.expect_problem(409, "stale_epoch");
    assert_eq!(net.contents(), before);
    let said = padded("hello", 2_048);
    let first = post(&alice, &frames, &said).await.expect_status(201).json();
    assert_eq!(first["seq"], 2);
    let before = net.contents();
    assert_eq!(post(&alice, &frames, &said).await.expect_status(200).json(), first);
    say(&alice, cid(1), "more", 1).await.expect_problem(403, "request_pending");
    let many = json!({"frames": [said, padded("more", 300)]});
    let results = post(&alice, &frames, &many).await.expect_status(200).json();
    assert_eq!(
        (&results["results"][0]["status"], &results["results"][1]["code"]),
        (&json!(200), &json!("request_pending"))
    );
    commit(&alice, cid(1), &keys).await.expect_problem(403, "request_pending");
    assert_eq!(net.contents(), before);
    assert_eq!(told(&bob).await, ["incoming", "welcome", "frame"]);
    accept(&bob, cid(1)).await.expect_status(200);
    say(&alice, cid(1), "more", 1).await.expect_status(201);
    commit(&alice, cid(1), &keys).await.expect_status(201);
    net.check_conversations();
}

/// All of one request to begin with may be sent in one go; what comes after its first frame is refused there as well.
#[tokio::test]
async fn of_many_frames_at_once_one_is_taken() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    let calls = (0..16).map(|n| {
        posting(&alice, &below(cid(1), "frames"), &super::conversations::said(cid(1), &n.to_string(), 1))
    });
    let answers = net.together(calls.collect()).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 201).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status() != 201) {
        answer.expect_problem(403, "request_pending");
    }
    net.check_conversations();
}

#[tokio::test]
async fn a_request_has_a_smaller_bundle() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    let sized = |info: usize| {
        let mut bundle = bundle(cid(1), "b", 0, &[&alice, &bob], &[&bob]);
        bundle.group_info = vec![7; info];
        let bytes = bundle.commit.len() + bundle.welcomes[0].0.len() + info;
        (bytes, creation(cid(1), "direct", &bundle))
    };
    let rest = sized(0).0;
    let (bytes, body) = sized(64 * 1024 - rest + 1);
    assert_eq!(bytes, 64 * 1024 + 1);
    let before = net.contents();
    let refused = post(&alice, CONVERSATIONS, &body).await.expect_problem(413, "too_large");
    assert_eq!(refused.json()["bytes_max"], 64 * 1024);
    assert_eq!(net.contents(), before);
    post(&alice, CONVERSATIONS, &sized(64 * 1024 - rest).1).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn asking_who_asked_accepts() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    let again = ask(2, &alice, &bob).await.expect_problem(409, "conversation_exists");
    assert_eq!((&again.json()["cid"], state(&alice, cid(1)).await), (&json!(cid(1)), json!("pending")));
    for _ in 0..2 {
        let exists = ask(2, &bob, &alice).await.expect_problem(409, "conversation_exists");
        assert_eq!(exists.json()["cid"], json!(cid(1)));
    }
    assert_eq!(state(&bob, cid(1)).await, "open");
    assert_eq!(told(&bob).await, ["incoming", "welcome", "accepted"]);
    net.check_conversations();
}

#[tokio::test]
async fn two_who_ask_at_once_are_contacts() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    let calls = (0..16).map(|n| {
        let (by, peer) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        posting(by, CONVERSATIONS, &request(n, by, peer))
    });
    let answers = net.together(calls.collect()).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 201).count(), 1);
    assert_eq!(contacts(&alice).await, [to("bob", "accepted")]);
    net.check_conversations();
}

#[tokio::test]
async fn who_declines_is_the_only_one_to_know() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    let seen = [
        get(&alice, CONTACTS).await.json(),
        get(&alice, &format!("{CONVERSATIONS}/{}", cid(1))).await.json(),
    ];
    net.advance_s(60);
    remove(&alice, &bob).await.expect_problem(403, "request_pending"); // it cannot be taken back
    for _ in 0..2 {
        let answer = remove(&bob, &alice).await.expect_status(200).json();
        assert_eq!(answer, json!({"primary": alice.owner().key(), "state": "declined"}));
    }
    assert_eq!(contacts(&bob).await, [to("alice", "declined")]);
    assert_eq!(
        [
            get(&alice, CONTACTS).await.json(),
            get(&alice, &format!("{CONVERSATIONS}/{}", cid(1))).await.json()
        ],
        seen
    );
    say(&alice, cid(1), "hello", 1).await.expect_status(201);
    ask(2, &alice, &bob).await.expect_problem(409, "conversation_exists");
    assert_eq!(told(&alice).await, ["frame", "outgoing", "frame"]);
    assert_eq!(told(&bob).await, ["incoming", "welcome", "declined", "frame"]);
    // Who thinks better of it accepts.
    accept(&bob, cid(1)).await.expect_status(200);
    assert_eq!(contacts(&bob).await, [to("alice", "accepted")]);
    net.check_conversations();
}

#[tokio::test]
async fn a_removed_contact_is_a_stranger_again() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    remove(&alice, &bob).await.expect_status(200);
    ask(1, &alice, &bob).await.expect_status(201);
    accept(&bob, cid(1)).await.expect_status(200);
    say(&alice, cid(1), "hello", 1).await.expect_status(201);
    let answer = remove(&bob, &alice).await.expect_status(200).json();
    assert_eq!(answer, json!({"primary": alice.owner().key()}));
    for device in [&alice, &bob] {
        assert_eq!(contacts(device).await, []);
        assert_eq!(state(device, cid(1)).await, "closed");
        assert_eq!(told(device).await.last().map(String::as_str), Some("closed"));
        say(device, cid(1), "more", 1).await.expect_problem(409, "conversation_closed");
        let keys = bundle(cid(1), "keys", 1, &[&alice, &bob], &[]);
        commit(device, cid(1), &keys).await.expect_problem(409, "conversation_closed");
        accept(device, cid(1)).await.expect_problem(409, "conversation_closed");
    }
    say(&alice, cid(1), "hello", 1).await.expect_status(200); // it was accepted before
    assert_eq!(log(&alice, cid(1)).await, [1, 2]);
    ask(2, &alice, &bob).await.expect_status(201);
    assert_eq!(contacts(&bob).await, [to("alice", "incoming")]);
    net.check_conversations();
}

#[tokio::test]
async fn a_request_expires() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    net.advance_s(REQUEST_S - 1);
    assert_eq!(state(&bob, cid(1)).await, "pending");
    net.advance_s(1);
    for device in [&alice, &bob] {
        assert_eq!(contacts(device).await, []);
        assert_eq!(state(device, cid(1)).await, "closed");
        say(device, cid(1), "late", 1).await.expect_problem(409, "conversation_closed");
        accept(device, cid(1)).await.expect_problem(409, "conversation_closed");
    }
    let list = get(&bob, CONVERSATIONS).await.json();
    assert_eq!(list["conversations"][0]["state"], "closed");
    // Either may ask now.
    let asked = ask(2, &bob, &alice).await.expect_status(201).json();
    assert_eq!((&asked["state"], &asked["generation"]), (&json!("pending"), &json!(2)));
    assert_eq!(state(&alice, cid(1)).await, "closed");
    accept(&alice, cid(2)).await.expect_status(200);
    net.check_conversations();
}

#[tokio::test]
async fn only_who_was_asked_accepts() {
    let (net, [alice, bob, mallory]) = strangers(["alice", "bob", "mallory"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    let before = net.contents();
    accept(&mallory, cid(1)).await.expect_problem(403, "not_a_member");
    accept(&bob, cid(9)).await.expect_problem(403, "not_a_member");
    accept(&alice, cid(1)).await.expect_problem(403, "request_pending");
    net.call("POST", &below(cid(1), "accept")).send().await.expect_problem(401, "signature_missing");
    net.call("GET", CONTACTS).send().await.expect_problem(401, "signature_missing");
    let path = format!("{CONTACTS}/{}", alice.owner().key());
    net.call("DELETE", &path).send().await.expect_problem(401, "signature_missing");
    bob.signed(net.call("DELETE", &format!("{CONTACTS}/bob"))).send().await.expect_problem(400, "bad_key");
    remove(&mallory, &alice).await.expect_status(200);
    for wrong in
        ["after=alice", "limit=0", "limit=501", "before=1", &format!("after=ed25519:{}", "0".repeat(64))]
    {
        get(&bob, &format!("{CONTACTS}?{wrong}")).await.expect_problem(400, "bad_cursor");
    }
    let laptop = bob.owner().device("laptop");
    laptop.enrol().await.expect_status(201);
    laptop.revoke().await.expect_status(200);
    accept(&laptop, cid(1)).await.expect_problem(401, "unknown_device");
    assert_eq!(state(&bob, cid(1)).await, "pending");
    assert_eq!(
        before.lines().filter(|line| line.starts_with("contacts")).collect::<Vec<_>>(),
        net.contents().lines().filter(|line| line.starts_with("contacts")).collect::<Vec<_>>()
    );
    net.check_conversations();
}

#[tokio::test]
async fn nobody_is_added_to_a_group_who_has_not_accepted_the_one_who_adds() {
    let (net, [alice, bob, carol]) = strangers(["alice", "bob", "carol"]).await;
    let group = bundle(cid(9), "group", 0, &[&alice, &bob], &[&bob]);
    let required = |answer: Answer, who: &DeviceActor| {
        let refused = answer.expect_problem(403, "contact_required").json();
        assert_eq!(refused["primary"], json!(who.owner().key()));
    };
    required(post(&alice, CONVERSATIONS, &creation(cid(9), "group", &group)).await, &bob);
    ask(1, &alice, &bob).await.expect_status(201);
    required(post(&alice, CONVERSATIONS, &creation(cid(9), "group", &group)).await, &bob);
    required(
        post(
            &bob,
            CONVERSATIONS,
            &creation(cid(9), "group", &bundle(cid(9), "g", 0, &[&alice, &bob], &[&alice])),
        )
        .await,
        &alice,
    );
    accept(&bob, cid(1)).await.expect_status(200);
    post(&alice, CONVERSATIONS, &creation(cid(9), "group", &group)).await.expect_status(201);
    // Bob is Carol's contact; Alice, who is in the same group, is not.
    ask(2, &bob, &carol).await.expect_status(201);
    accept(&carol, cid(2)).await.expect_status(200);
    let add = bundle(cid(9), "add", 1, &[&alice, &bob, &carol], &[&carol]);
    let before = net.contents();
    required(commit(&alice, cid(9), &add).await, &carol);
    assert_eq!(net.contents(), before);
    commit(&bob, cid(9), &add).await.expect_status(201);
    say(&carol, cid(9), "hello", 2).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn who_has_left_leaves_a_closed_conversation() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(1, &alice, &bob).await.expect_status(201);
    accept(&bob, cid(1)).await.expect_status(200);
    say(&alice, cid(1), "good bye", 1).await.expect_status(201);
    let deletion = alice.owner().deletion("alice");
    net.post("/v1/account/delete").json(deletion).send().await.expect_status(200);
    assert_eq!(contacts(&bob).await, []);
    let shown = get(&bob, &format!("{CONVERSATIONS}/{}", cid(1))).await.expect_status(200).json();
    assert_eq!((&shown["state"], &shown["members"]), (&json!("closed"), &json!([bob.owner().key()])));
    say(&bob, cid(1), "are you there?", 1).await.expect_problem(409, "conversation_closed");
    assert_eq!(log(&bob, cid(1)).await, [2]);
    assert_eq!(told(&bob).await, ["incoming", "welcome", "accepted", "frame", "closed"]);
    net.check_conversations();
}

#[tokio::test]
async fn a_sender_has_so_many_requests_waiting() {
    let (net, [alice]) = strangers(["alice"]).await;
    let mut asked = Vec::new();
    for n in 0..51 {
        let peer = net.actor(&format!("peer{n}")).device("phone");
        peer.set_up_as_stranger().await;
        asked.push(peer);
    }
    for (n, peer) in (0..).zip(&asked[..50]) {
        ask(n, &alice, peer).await.expect_status(201);
    }
    let before = net.contents();
    let refused = ask(50, &alice, &asked[50]).await.expect_problem(429, "requests_limited");
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert_eq!(net.contents(), before);
    remove(&asked[0], &alice).await.expect_status(200); // which she does not notice
    ask(50, &alice, &asked[50]).await.expect_problem(429, "requests_limited");
    accept(&asked[1], cid(1)).await.expect_status(200);
    ask(50, &alice, &asked[50]).await.expect_status(201);
    // Time makes room as well.
    net.advance_s(REQUEST_S);
    ask(51, &alice, &asked[2]).await.expect_status(201);
    net.check_conversations();
}

/// A thousand strangers ask one person: a bounded number waits, and whom she has accepted does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_strangers_disturbs_nobody() {
    let (net, [alice, bob]) = strangers(["alice", "bob"]).await;
    ask(255, &bob, &alice).await.expect_status(201);
    accept(&alice, cid(255)).await.expect_status(200);
    let crowd = short_or_full(120, 1_000);
    let mut calls = Vec::new();
    for n in 0..crowd {
        let stranger = net.actor(&format!("stranger{n}")).device("phone");
        stranger.set_up_as_stranger().await;
        let id = ConversationId::from_bytes(
            *format!("stranger {n:07}").as_bytes().first_chunk().expect("16 bytes"),
        );
        let body = creation(id, "direct", &bundle(id, "request", 0, &[&stranger, &alice], &[&alice]));
        calls.push(posting(&stranger, CONVERSATIONS, &body));
        if n % 4 == 0 {
            calls.push(posting(
                &bob,
                &below(cid(255), "frames"),
                &super::conversations::said(cid(255), &n.to_string(), 1),
            ));
        }
    }
    let said = calls.len() - crowd;
    let answers = net.storm(calls, 16).await;
    let count = |status| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(201), count(429)), (100 + said, crowd - 100));
    let list = get(&alice, &format!("{CONTACTS}?limit=500")).await.json();
    let waiting =
        list["contacts"].as_array().expect("a list").iter().filter(|one| one["state"] == "incoming");
    assert_eq!(waiting.count(), 100);
    let told = told(&alice).await;
    assert_eq!(told.iter().filter(|what| *what == "incoming").count(), 100 + 1, "and Bob's own, from before");
    assert_eq!(told.iter().filter(|what| *what == "frame").count(), said, "all that Bob said is there");
    // A place that she makes free is free.
    let stranger = &list["contacts"][1];
    let path = format!("{CONTACTS}/{}", stranger["primary"].as_str().expect("a key"));
    alice.signed(net.call("DELETE", &path)).send().await.expect_status(200);
    let late = net.actor("late").device("phone");
    late.set_up_as_stranger().await;
    ask(254, &late, &alice).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn contacts_come_in_pages() {
    let (net, [alice]) = strangers(["alice"]).await;
    let mut wanted = Vec::new();
    for n in 0..7_u8 {
        let peer = net.actor(&format!("peer{n}")).device("phone");
        peer.set_up_as_stranger().await;
        ask(n, &alice, &peer).await.expect_status(201);
        wanted.push(json!(peer.owner().key()));
    }
    let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = get(&alice, &format!("{CONTACTS}?{query}")).await.expect_status(200).json();
        seen.extend(page["contacts"].as_array().expect("a list").iter().map(|one| one["primary"].clone()));
        let Some(cursor) = page["next"].as_str() else { break };
        query = format!("after={cursor}&limit=3");
    }
    assert_eq!(seen, wanted);
}
