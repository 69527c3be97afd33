//! How much an account may send. SPEC "Sending".

use kez_chat_server::config::Switch;
use kez_chat_server::store::QuotaChange;
use kez_sig_server::ByteSize;
use kez_testkit::framing::FrameDraft;
use kez_testkit::{Answer, DeviceActor, Net};
use serde_json::{Value, json};

use super::{CONVERSATIONS, below, bundle, cid, commit, creation, frame, get, mid, post, posting, said, say};

const KIB: u64 = 1024;

/// People with one device each, in direct conversations of the first with each other, 1, 2, ….
async fn contacts<const N: usize>(
    names: [&str; N],
    change: impl FnOnce(&mut kez_testkit::Setup),
) -> (Net, [DeviceActor; N]) {
    let net = Net::with(change).await;
    let devices = names.map(|name| net.actor(name).device("phone"));
    for device in &devices {
        device.set_up().await;
    }
    for (n, peer) in (1..).zip(devices.iter().skip(1)) {
        let first = bundle(cid(n), &format!("creation {n}"), 0, &[&devices[0], peer], &[peer]);
        let body = creation(cid(n), "direct", &first);
        post(&devices[0], CONVERSATIONS, &body).await.expect_status(201);
    }
    (net, devices)
}

async fn set_quota(net: &Net, who: &str, change: QuotaChange) {
    let handle = who.parse().expect("a handle");
    net.store().set_quota(&handle, change, net.now()).await.expect("the store works").expect("a holder");
}

fn messages(bytes: u64) -> QuotaChange {
    QuotaChange { messages: Some(Some(bytes)), ..QuotaChange::default() }
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").and_then(|text| text.parse().ok()).expect("a time")
}

/// A frame of so many bytes and a little more.
fn large(n: u8, name: &str, bytes: usize) -> Value {
    frame(mid(name), &FrameDraft::app(cid(n), mid(name), 1, &vec![7; bytes]))
}

#[tokio::test]
async fn what_is_sent_counts_and_flows_back() {
    let (net, [alice, bob]) = contacts(["alice", "bob"], |_| ()).await;
    // The creation counts as well: nine more of the smallest.
    set_quota(&net, "alice", messages(20 * KIB)).await;
    for n in 0..9 {
        say(&alice, cid(1), &n.to_string(), 1).await.expect_status(201);
    }
    let before = net.contents();
    let refused = say(&alice, cid(1), "more", 1).await.expect_problem(413, "quota_exceeded");
    let wait = retry_after(&refused);
    assert_eq!(refused.json()["retry_after_s"], wait);
    // 30 days for 20 KiB.
    assert_eq!(wait, 30 * 24 * 60 * 60 / 10);
    let taken = bundle(cid(1), "c", 1, &[&alice, &bob], &[]);
    commit(&alice, cid(1), &taken).await.expect_problem(413, "quota_exceeded");
    let own = creation(cid(9), "self", &bundle(cid(9), "self", 0, &[&alice], &[]));
    post(&alice, CONVERSATIONS, &own).await.expect_problem(413, "quota_exceeded");
    let several =
        json!({"frames": [said(cid(1), "3", 1), said(cid(1), "more", 1), said(cid(1), "stale", 7)]});
    let verdicts = post(&alice, &below(cid(1), "frames"), &several).await.expect_status(200).json();
    let codes: Vec<_> =
        verdicts["results"].as_array().expect("verdicts").iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, [&Value::Null, &json!("quota_exceeded"), &json!("stale_epoch")]);
    assert_eq!(verdicts["results"][1]["retry_after_s"], wait);
    assert_eq!(net.contents(), before, "nothing was changed");
    // What was accepted before is so still, and others write.
    say(&alice, cid(1), "8", 1).await.expect_status(200);
    let again = creation(cid(1), "direct", &bundle(cid(1), "creation 1", 0, &[&alice, &bob], &[&bob]));
    post(&alice, CONVERSATIONS, &again).await.expect_status(200);
    say(&bob, cid(1), "from Bob", 1).await.expect_status(201);

    net.advance_s(wait - 1);
    say(&alice, cid(1), "more", 1).await.expect_problem(413, "quota_exceeded");
    net.advance_s(1);
    say(&alice, cid(1), "more", 1).await.expect_status(201);
    say(&alice, cid(1), "and more", 1).await.expect_problem(413, "quota_exceeded");
    net.restart().await;
    say(&alice, cid(1), "and more", 1).await.expect_problem(413, "quota_exceeded");
    set_quota(&net, "alice", messages(22 * KIB)).await;
    say(&alice, cid(1), "and more", 1).await.expect_status(201);
    set_quota(&net, "alice", messages(0)).await;
    net.advance_s(30 * 24 * 60 * 60);
    let never = say(&alice, cid(1), "nothing", 1).await.expect_problem(413, "quota_exceeded");
    assert_eq!(never.header("retry-after"), None);
    set_quota(&net, "alice", QuotaChange { messages: Some(None), ..QuotaChange::default() }).await;
    say(&alice, cid(1), "nothing", 1).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn bytes_count_where_they_are_more() {
    let (net, [alice, _]) = contacts(["alice", "bob"], |_| ()).await;
    set_quota(&net, "alice", messages(100 * KIB)).await;
    for n in 0..3 {
        post(&alice, &below(cid(1), "frames"), &large(1, &n.to_string(), 30 * 1024)).await.expect_status(201);
    }
    post(&alice, &below(cid(1), "frames"), &large(1, "3", 30 * 1024))
        .await
        .expect_problem(413, "quota_exceeded");
    say(&alice, cid(1), "small", 1).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn a_quota_holds_before_the_first_device_and_is_of_its_key() {
    let net = Net::start().await;
    let (alice, bob) = (net.actor("alice").device("phone"), net.actor("bob").device("phone"));
    alice.owner().register("alice").await.expect_status(201);
    set_quota(&net, "alice", messages(KIB)).await;
    alice.enrol().await.expect_status(201);
    bob.set_up().await;
    net.befriend_everybody();
    let first = creation(cid(1), "direct", &bundle(cid(1), "b", 0, &[&alice, &bob], &[&bob]));
    post(&alice, CONVERSATIONS, &first).await.expect_problem(413, "quota_exceeded");
    let other = creation(cid(1), "direct", &bundle(cid(1), "b", 0, &[&alice, &bob], &[&alice]));
    post(&bob, CONVERSATIONS, &other).await.expect_status(201);
}

/// What somebody who is written to may be about meanwhile.
#[derive(Debug, Clone, Copy)]
enum About {
    Reading,
    Nothing,
    Suspended,
    WithoutDevice,
}

/// What Alice is answered while she writes to Bob for nine days, more than she may.
async fn told(about: About) -> Vec<String> {
    let (net, [alice, bob]) = contacts(["alice", "bob"], |_| ()).await;
    set_quota(&net, "alice", messages(40 * KIB)).await;
    match about {
        About::Suspended => {
            let bob = "bob".parse().expect("a handle");
            net.store().suspend(&bob, None, net.now()).await.expect("the store works").expect("suspended");
        }
        About::WithoutDevice => drop(bob.revoke().await.expect_status(200)),
        About::Reading | About::Nothing => {}
    }
    let mut answers = Vec::new();
    for round in 0..30 {
        let answer = say(&alice, cid(1), &round.to_string(), 1).await;
        let headers = answer.headers().iter().filter(|(name, _)| *name != "x-request-id" && *name != "date");
        answers.push(format!("{} {:?} {}", answer.status(), headers.collect::<Vec<_>>(), answer.json()));
        net.advance_s(7 * 60 * 60);
        if matches!(about, About::Reading) {
            let head = get(&bob, "/v1/inbox?limit=1").await.json()["head"].clone();
            posting(&bob, "/v1/inbox/ack", &json!({"n": head})).send().await.expect_status(200);
        }
        net.sweep_events().await;
    }
    net.check_conversations();
    answers
}

#[tokio::test]
async fn a_quota_says_nothing_about_who_is_written_to() {
    let expected = told(About::Reading).await;
    let refused = expected.iter().filter(|answer| answer.starts_with("413")).count();
    assert!((5..20).contains(&refused), "{refused} refused");
    for about in [About::Nothing, About::Suspended, About::WithoutDevice] {
        assert_eq!(told(about).await, expected, "{about:?}");
    }
}

#[tokio::test]
async fn who_sends_too_much_within_an_hour_waits() {
    let limited = |setup: &mut kez_testkit::Setup| setup.args.rate_limit = Switch::On;
    let (net, [alice, bob, carol]) = contacts(["alice", "bob", "carol"], limited).await;
    let sixteen = |n: u8, round: usize| {
        let frames: Vec<_> = (0..8).map(|one| large(n, &format!("{n} {round} {one}"), 61_000)).collect();
        json!({"frames": frames})
    };
    let flood = async |n: u8| {
        for round in 0.. {
            let answer = post(&alice, &below(cid(n), "frames"), &sixteen(n, round)).await;
            if answer.status() != 200 {
                return (round, answer.expect_problem(429, "sending_limited"));
            }
        }
        unreachable!("an end")
    };
    let (rounds, refused) = flood(1).await;
    assert_eq!(rounds, 34, "16 MiB to one conversation");
    let wait = retry_after(&refused);
    assert!((1..120).contains(&wait), "{wait}");
    // Others are none of its concern, nor is the other conversation.
    say(&bob, cid(1), "Bob's", 1).await.expect_status(201);
    say(&alice, cid(2), "to Carol", 1).await.expect_status(201);
    say(&carol, cid(2), "Carol's", 1).await.expect_status(201);
    net.advance_s(wait);
    post(&alice, &below(cid(1), "frames"), &sixteen(1, rounds)).await.expect_status(200);
    net.check_conversations();
}

#[tokio::test]
async fn a_full_store_takes_no_more_and_goes_on_reading_and_letting_go() {
    let small = |setup: &mut kez_testkit::Setup| setup.args.message_storage_max = ByteSize(2 * 1024 * 1024);
    let (net, [alice, bob]) = contacts(["alice", "bob"], small).await;
    let mut taken = 0;
    let refused = loop {
        let answer = post(&alice, &below(cid(1), "frames"), &large(1, &taken.to_string(), 30_000)).await;
        if answer.status() != 201 {
            break answer;
        }
        taken += 1;
    };
    refused.expect_problem(507, "storage_full");
    assert!((5..40).contains(&taken), "a fifth of 2 MiB: {taken}");
    // Who has sent little goes on, with what there is.
    say(&bob, cid(1), "Bob's", 1).await.expect_status(201);
    let value = |bytes: usize| {
        let body = json!({"data": data_encoding::BASE64URL_NOPAD.encode(&vec![7; bytes])}).to_string();
        bob.signed(net.call("PUT", "/v1/store/rooms").header("if-none-match", "*").json(body))
    };
    value(1000).send().await.expect_status(200);
    let put = |n: usize| {
        let body = json!({"data": data_encoding::BASE64URL_NOPAD.encode(&vec![7; 60_000])}).to_string();
        bob.signed(net.call("PUT", &format!("/v1/store/v{n}")).header("if-none-match", "*").json(body))
    };
    let mut values = 0;
    while put(values).send().await.status() == 200 {
        values += 1;
    }
    put(values).send().await.expect_problem(507, "storage_full");
    let file = std::fs::metadata(&net.args().db).expect("a file").len();
    assert!(file < 2 * 1024 * 1024 + 256 * 1024, "{file}");
    // What goes makes room.
    for n in 0..values {
        let delete = net.call("DELETE", &format!("/v1/store/v{n}")).header("if-match", "\"1\"");
        bob.signed(delete).send().await.expect_status(200);
    }
    put(99).send().await.expect_status(200);
    for device in [&alice, &bob] {
        let head = get(device, "/v1/inbox?limit=1").await.expect_status(200).json()["head"].clone();
        posting(device, "/v1/inbox/ack", &json!({"n": head})).send().await.expect_status(200);
    }
    net.advance_s(11 * 60);
    net.sweep_events().await;
    // It is old in a month only: what counts is what was sent, not what is left of it.
    say(&bob, cid(1), "Bob's again", 1).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn the_operator_bounds_the_attachments_of_an_account() {
    let (net, [alice, bob]) = contacts(["alice", "bob"], |_| ()).await;
    set_quota(&net, "alice", QuotaChange { blobs: Some(Some(1000)), ..QuotaChange::default() }).await;
    let send = async |device: &DeviceActor, bytes: Vec<u8>| {
        use sha2::Digest as _;
        let name = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(&bytes));
        device.signed(net.call("PUT", &format!("/v1/blobs/{name}")).body(bytes)).send().await
    };
    send(&alice, vec![1; 600]).await.expect_status(201);
    send(&alice, vec![2; 401]).await.expect_problem(413, "quota_exceeded");
    send(&alice, vec![3; 400]).await.expect_status(201);
    send(&bob, vec![2; 401]).await.expect_status(201);
    // A reference counts like the bytes.
    send(&alice, vec![2; 401]).await.expect_problem(413, "quota_exceeded");
    set_quota(&net, "alice", QuotaChange { blobs: Some(None), ..QuotaChange::default() }).await;
    send(&alice, vec![2; 401]).await.expect_status(201);
}
