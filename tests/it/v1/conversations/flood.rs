//! One who sends as much as it can, and the others.

use std::collections::BTreeMap;

use kez_sig_server::ByteSize;
use kez_testkit::framing::FrameDraft;
use kez_testkit::{Call, DeviceActor, Net};
use serde_json::json;

use super::{CONVERSATIONS, below, bundle, cid, creation, frame, get, mid, post, posting, say};
use crate::support::{full, short_or_full};

/// Frames in a call, and calls of an account at once, at most.
const AT_ONCE: usize = 16 * 32;

const MIB: u64 = 1024 * 1024;

struct Flood {
    net: Net,
    victim: DeviceActor,
    flooder: DeviceActor,
    contact: DeviceActor,
}

/// Mail of a contact that nobody has read, then a flood, and mail of another contact in the midst of it.
async fn flood(storage_max: u64) -> (Flood, usize) {
    let net = Net::with(|setup| setup.args.message_storage_max = ByteSize(storage_max)).await;
    let [victim, early, contact, flooder] =
        ["alice", "bob", "carol", "mallory"].map(|name| net.actor(name).device("phone"));
    for device in [&victim, &early, &contact, &flooder] {
        device.set_up().await;
    }
    for (n, peer) in [(1, &early), (2, &contact), (3, &flooder)] {
        let first = bundle(cid(n), &format!("creation {n}"), 0, &[&victim, peer], &[peer]);
        post(&victim, CONVERSATIONS, &creation(cid(n), "direct", &first)).await.expect_status(201);
    }
    for n in 0..40 {
        say(&early, cid(1), &format!("early {n}"), 1).await.expect_status(201);
    }
    let count = short_or_full(2_000, 100_000);
    let calls: Vec<Call> = (0..count / 16)
        .map(|call| {
            let frames: Vec<_> = (0..16)
                .map(|n| {
                    let name = mid(&format!("flood {call} {n}"));
                    frame(name, &FrameDraft::app(cid(3), name, 1, &[7; 480]))
                })
                .collect();
            posting(&flooder, &below(cid(3), "frames"), &json!({"frames": frames}))
        })
        .collect();
    let storm = tokio::spawn({
        let net = net.clone();
        async move { net.storm(calls, 48).await }
    });
    let mut said = 0;
    while !storm.is_finished() {
        let before = head(&victim).await;
        say(&contact, cid(2), &format!("contact {said}"), 1).await.expect_status(201);
        let ahead = place(&victim, before).await - before;
        assert!(ahead <= 2 * AT_ONCE as u64 + 1, "{ahead} others came before a contact's message");
        said += 1;
    }
    let mut taken = 0;
    for answer in storm.await.expect("no call fails") {
        match answer.status() {
            200 => {
                let verdicts = answer.json()["results"].clone();
                let verdicts = verdicts.as_array().expect("verdicts");
                taken += verdicts.iter().filter(|one| one["status"] == 201).count();
            }
            _ => drop(answer.expect_problem(429, "too_many_writes")),
        }
    }
    assert!(said > 0, "a contact said something meanwhile");
    let read = read_all(&victim).await;
    assert_eq!(read.get(&cid(1).to_string()), Some(&41), "all of the earlier mail");
    assert_eq!(read.get(&cid(2).to_string()), Some(&(said + 1)), "all of a contact");
    assert_eq!(read.get(&cid(3).to_string()), Some(&(taken + 1)), "and what was taken of the flood");
    if !full() {
        net.check_conversations(); // looks at each event once for each frame
    }
    let flood = Flood { net, victim, flooder, contact };
    let file = std::fs::metadata(&flood.net.args().db).expect("a file").len();
    println!("{taken} of {count} taken, {said} messages of a contact meanwhile, {file} bytes");
    (flood, taken)
}

async fn head(device: &DeviceActor) -> u64 {
    get(device, "/v1/inbox?limit=1").await.expect_status(200).json()["head"].as_u64().expect("a number")
}

/// Where in an inbox, after a number, the next message of the contact stands.
async fn place(device: &DeviceActor, after: u64) -> u64 {
    let mut after = after;
    loop {
        let page = get(device, &format!("/v1/inbox?limit=500&after={after}")).await.expect_status(200).json();
        let events = page["events"].as_array().expect("events");
        let own = events.iter().find(|event| event["cid"] == json!(cid(2)));
        if let Some(n) = own.and_then(|event| event["n"].as_u64()) {
            return n;
        }
        after = events.last().and_then(|event| event["n"].as_u64()).expect("it is there");
    }
}

/// How many frames of each conversation the inbox holds.
async fn read_all(device: &DeviceActor) -> BTreeMap<String, usize> {
    let (mut after, mut counts) = (0, BTreeMap::new());
    loop {
        let page = get(device, &format!("/v1/inbox?limit=500&after={after}")).await.expect_status(200).json();
        let Some(events) = page["events"].as_array().filter(|events| !events.is_empty()) else {
            return counts;
        };
        for event in events {
            after = event["n"].as_u64().expect("a number");
            if event["type"] == "frame" {
                *counts.entry(event["cid"].as_str().expect("a cid").to_owned()).or_default() += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_flood_takes_nothing_from_others() {
    let (_flood, taken) = flood(1 << 40).await;
    assert!(taken > 0);
}

#[tokio::test]
async fn a_flood_leaves_room_for_others_and_stays_below_the_bound() {
    let bound = if full() { 256 * MIB } else { 6 * MIB };
    let (Flood { net, victim, flooder, contact }, taken) = flood(bound).await;
    assert!(taken > 0 && taken < short_or_full(2_000, 100_000));
    let name = mid("one more");
    let one = frame(name, &FrameDraft::app(cid(3), name, 1, b"one more"));
    post(&flooder, &below(cid(3), "frames"), &one).await.expect_problem(507, "storage_full");
    say(&victim, cid(3), "stop it", 1).await.expect_status(201);
    say(&contact, cid(2), "are you there", 1).await.expect_status(201);
    net.restart().await; // the log goes into the file
    let file = std::fs::metadata(&net.args().db).expect("a file").len();
    assert!(file <= bound, "{file} of {bound}");
}
