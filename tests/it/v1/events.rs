//! `GET /v1/events`.

use std::time::Duration;

use kez_chat_server::store::{AcceptedBundle, AcceptedFrame, Author};
use kez_core::{ConversationId, ConversationKind, Members, MessageId};
use kez_testkit::{Answer, Call, DEADLINE, DeviceActor, Events, Net, StreamEnd};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Alice with a phone: one event.
async fn phone_at(net: &Net) -> DeviceActor {
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    phone
}

fn call(net: &Net, device: &DeviceActor, query: &str) -> Call {
    device.signed(net.call("GET", &format!("/v1/events{query}")))
}

async fn open(net: &Net, device: &DeviceActor, query: &str) -> Events {
    call(net, device, query).stream().await.unwrap_or_else(|answer| panic!("{answer}"))
}

async fn refused(net: &Net, device: &DeviceActor, query: &str) -> Answer {
    call(net, device, query).stream().await.expect_err("no stream")
}

/// Another device of the same person: one event.
async fn one_more(device: &DeviceActor, name: &str) {
    device.owner().device(name).enrol().await.expect_status(201);
}

#[tokio::test]
async fn a_stream_tells_what_is_there_and_then_what_comes() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let mut events = open(&net, &phone, "?after=0").await;
    let header = |name: &str| events.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(events.ready().await, 1);
    let first = events.expect("device").await;
    let page = phone.signed(net.call("GET", "/v1/inbox?after=0")).send().await.json();
    assert_eq!(first, page["events"][0], "the same JSON as in a page");
    for n in 2..=9 {
        one_more(&phone, &n.to_string()).await;
        assert_eq!(events.expect("device").await["n"], n);
    }
}

#[tokio::test]
async fn a_stream_without_a_cursor_begins_after_the_acknowledgement() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    one_more(&phone, "laptop").await;
    phone.signed(net.post("/v1/inbox/ack").json("{\"n\":1}")).send().await.expect_status(200);
    let mut events = open(&net, &phone, "").await;
    assert_eq!(events.ready().await, 2);
    assert_eq!(events.expect("device").await["n"], 2);
}

#[tokio::test]
async fn a_stream_goes_on_after_a_restart() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let mut events = open(&net, &phone, "?after=0").await;
    assert_eq!(events.ready().await, 1);
    assert_eq!(events.expect("device").await["n"], 1);
    net.restart().await;
    assert_eq!(events.end().await, StreamEnd::Finished);
    one_more(&phone, "laptop").await;
    let again = call(&net, &phone, "").header("last-event-id", "1");
    let mut events = again.stream().await.expect("a stream");
    assert_eq!(events.ready().await, 2);
    assert_eq!(events.expect("device").await["n"], 2);
    let both = call(&net, &phone, "?after=0").header("last-event-id", "2");
    let mut events = both.stream().await.expect("a stream");
    assert_eq!(events.ready().await, 2);
    assert_eq!(events.expect("device").await["n"], 1, "the query counts");
}

#[tokio::test]
async fn what_is_no_cursor_is_refused() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    for query in
        ["?after=2", "?after=-1", "?after=x", "?after=", "?after=0&after=0", "?after=00", "?limit=1", "?x=1"]
    {
        refused(&net, &phone, query).await.expect_problem(400, "bad_cursor");
    }
    for id in ["2", "x", "", "-1", "1, 1", "01"] {
        let answer = call(&net, &phone, "").header("last-event-id", id).stream().await;
        answer.expect_err("no stream").expect_problem(400, "bad_cursor");
    }
    let call = call(&net, &phone, "?after=0").header("last-event-id", "x");
    call.stream().await.expect_err("no stream").expect_problem(400, "bad_cursor");
}

#[tokio::test]
async fn who_is_no_active_device_gets_no_stream() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    net.get("/v1/events").await.expect_problem(401, "signature_missing");
    let stranger = phone.owner().device("never enrolled");
    refused(&net, &stranger, "").await.expect_problem(401, "unknown_device");
    let head = phone.signed(net.call("HEAD", "/v1/events")).send().await.expect_status(405);
    assert_eq!(head.header("allow"), Some("GET"));
    phone.revoke().await.expect_status(200);
    refused(&net, &phone, "").await.expect_problem(401, "unknown_device");
}

/// All in less than a second, and nothing after it.
#[tokio::test]
async fn a_revocation_ends_the_streams_of_its_device_and_no_others() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let laptop = phone.owner().device("laptop");
    laptop.enrol().await.expect_status(201);
    let mut ended = [open(&net, &laptop, "?after=2").await, open(&net, &laptop, "?after=2").await];
    let mut stays = open(&net, &phone, "?after=2").await;
    for events in ended.iter_mut().chain([&mut stays]) {
        assert_eq!(events.ready().await, 2);
    }
    laptop.revoke().await.expect_status(200);
    for events in &mut ended {
        let end = timeout(Duration::from_secs(1), events.end()).await.expect("within a second");
        assert_eq!(end, StreamEnd::Finished, "not even the revocation is told");
    }
    assert_eq!(stays.expect("device").await["change"], "revoked");
    one_more(&phone, "other").await;
    assert_eq!(stays.expect("device").await["n"], 4);
}

#[tokio::test]
async fn nobody_hears_of_anothers_events() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let bobs = net.actor("bob").device("phone");
    bobs.set_up().await;
    let mut events = open(&net, &bobs, "?after=1").await;
    assert_eq!(events.ready().await, 1);
    one_more(&phone, "laptop").await;
    one_more(&bobs, "laptop").await;
    let event = events.expect("device").await;
    assert_eq!(event["device_id"], json!(bobs.owner().device("laptop").id()));
}

#[tokio::test]
async fn streams_are_counted() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let mut open_ones = Vec::new();
    for name in ["phone", "b", "c", "d"] {
        let device = phone.owner().device(name);
        if name != "phone" {
            device.enrol().await.expect_status(201);
        }
        for _ in 0..4 {
            open_ones.push(open(&net, &device, "").await);
        }
        let answer = refused(&net, &device, "").await.expect_problem(429, "too_many_streams");
        assert_eq!(answer.header("retry-after"), Some("30"));
    }
    let fifth = phone.owner().device("e");
    fifth.enrol().await.expect_status(201);
    refused(&net, &fifth, "").await.expect_problem(429, "too_many_streams");
    drop(open_ones.pop());
    // The server hears of it by the end of the connection.
    let opened = async {
        while let Err(answer) = call(&net, &fifth, "").stream().await {
            answer.expect_problem(429, "too_many_streams");
        }
    };
    timeout(DEADLINE, opened).await.expect("the place is given back");
    let bobs = net.actor("bob").device("phone");
    bobs.set_up().await;
    open(&net, &bobs, "").await;
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive() {
    let net = Net::with(|setup| {
        setup.streams.keep_alive = Duration::from_millis(50);
        setup.limits.idle_timeout = Duration::from_millis(20);
        setup.limits.body_timeout = Duration::from_millis(20);
        setup.limits.header_timeout = Duration::from_millis(20);
        setup.limits.write_stall = Duration::from_millis(20);
    })
    .await;
    let phone = phone_at(&net).await;
    let mut events = open(&net, &phone, "?after=1").await;
    assert_eq!(events.ready().await, 1);
    for _ in 0..5 {
        events.comment().await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_hour_and_with_its_device() {
    let net = Net::with(|setup| setup.streams.lifetime = Duration::from_millis(50)).await;
    let phone = phone_at(&net).await;
    let mut events = open(&net, &phone, "?after=1").await;
    assert_eq!(events.ready().await, 1);
    assert_eq!(events.end().await, StreamEnd::Finished);

    net.restart_with(|setup| {
        setup.streams.lifetime = Duration::from_hours(1);
        setup.streams.keep_alive = Duration::from_millis(20);
    })
    .await;
    let short = phone.owner().device("short");
    net.post("/v1/devices").json(short.enrolment_for(3_600)).send().await.expect_status(201);
    let mut events = open(&net, &short, "?after=2").await;
    assert_eq!(events.ready().await, 2);
    events.comment().await;
    net.advance_s(3_600);
    assert_eq!(events.end().await, StreamEnd::Finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_all_streams_at_once() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut events = open(&net, &phone, "?after=1").await;
        assert_eq!(events.ready().await, 1);
        streams.push(events);
    }
    timeout(Duration::from_secs(5), net.stop()).await.expect("sooner than the drain ends");
    for mut events in streams {
        assert_eq!(events.end().await, StreamEnd::Finished);
    }
}

/// Puts frames of `bytes` bytes into a conversation of the phone with itself, 16 a time, and tells nobody: the streams
/// find them when they look again.
async fn frames(net: &Net, phone: &DeviceActor, count: u32, bytes: usize) {
    let store = net.store();
    let device = store.active_device(&phone.owner().key(), &phone.id()).await.expect("the store works");
    let device = device.expect("an active device");
    let (by, cid) =
        (Author { account: device.account, device: device.device }, ConversationId::from_bytes([7; 16]));
    let id = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        MessageId::from_bytes(id)
    };
    let bundle = AcceptedBundle {
        id: id(u32::MAX),
        epoch: 0,
        commit: b"commit".to_vec(),
        is_external: false,
        welcomes: Vec::new(),
        group_info: Vec::new(),
        members_after: Members::try_from(vec![phone.owner().key()]).expect("members"),
        request_sha256: [0; 32],
        at: net.now(),
    };
    let created = store.create(by, cid, ConversationKind::OwnDevices, bundle).await.expect("the store works");
    created.expect("a conversation");
    for first in (0..count).step_by(16) {
        let frames = (first..count.min(first + 16)).map(|n| AcceptedFrame {
            id: id(n),
            epoch: 1,
            bytes: vec![7; bytes],
        });
        let appended = store.append(by, cid, frames.collect(), net.now(), Box::new(|_| {})).await;
        let appended = appended.expect("the store works").expect("a member");
        assert!(appended.verdicts.iter().all(Result::is_ok));
    }
}

/// 10,000 frames come while nobody reads: the reader is dropped, not the frames, and goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_dropped_and_goes_on() {
    let net = Net::with(|setup| {
        setup.streams.keep_alive = Duration::from_millis(20);
        setup.streams.per_device_max = 1;
        setup.limits.write_stall = Duration::from_millis(100);
    })
    .await;
    let phone = phone_at(&net).await;
    let mut slow = open(&net, &phone, "?after=0").await;
    assert_eq!(slow.ready().await, 1);
    frames(&net, &phone, 10_000, 2_000).await;
    // Its place is free: it was dropped.
    let dropped = async {
        while let Err(answer) = call(&net, &phone, "?after=0").stream().await {
            answer.expect_problem(429, "too_many_streams");
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, dropped).await.expect("a reader that takes nothing is dropped");
    let mut last = 0;
    while let Some(event) = slow.next().await {
        last += 1;
        assert_eq!(event.id, Some(last));
    }
    assert!((1..10_002).contains(&last), "what the client had not taken is not held for it: {last}");
    // A reader that reads, however slowly a busy machine lets it.
    net.restart_with(|setup| setup.limits.write_stall = DEADLINE).await;
    let mut events = open(&net, &phone, &format!("?after={last}")).await;
    assert_eq!(events.ready().await, 10_002);
    for n in last + 1..=10_002 {
        assert_eq!(events.next().await.expect("an event").id, Some(n));
    }
}

/// Hints coalesce; events do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_comes_once_and_in_order() {
    let net = Net::with(|setup| setup.streams.keep_alive = Duration::from_millis(1)).await;
    let phone = phone_at(&net).await;
    let writer = tokio::spawn({
        let (net, phone) = (net.clone(), phone.clone());
        async move { frames(&net, &phone, 500, 100).await }
    });
    let mut streams = Vec::new();
    for after in [0, 1, 0, 1] {
        streams.push((after, open(&net, &phone, &format!("?after={after}")).await));
    }
    for (after, mut events) in streams {
        events.ready().await;
        for n in after + 1..=502 {
            assert_eq!(events.next().await.expect("an event").id, Some(n));
        }
    }
    writer.await.expect("no panic");
}

/// What a stream has not sent yet may be dropped under it, when its device was away for too long.
#[tokio::test]
async fn a_stream_that_was_overtaken_says_so_and_ends() {
    let net = Net::start().await;
    let phone = phone_at(&net).await;
    let mut events = open(&net, &phone, "?after=1").await;
    assert_eq!(events.ready().await, 1);
    let file = rusqlite::Connection::open(net.args().db).expect("the file opens");
    file.execute_batch("DELETE FROM inbox; UPDATE accounts SET inbox_dropped = 5").expect("written");
    one_more(&phone, "laptop").await;
    let gone = events.next().await.expect("an event");
    assert_eq!((gone.kind.as_str(), gone.id, gone.data), ("gone", None, json!({"oldest": 6})));
    assert_eq!(events.end().await, StreamEnd::Finished);
    refused(&net, &phone, "?after=1").await.expect_problem(410, "gone");
}
