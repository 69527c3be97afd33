//! Who is not in a conversation cannot touch it, and does not learn whether it exists.

use data_encoding::BASE64URL_NOPAD;
use kez_testkit::framing::FrameDraft;
use serde_json::json;

use super::{CONVERSATIONS, below, bundle, cid, commit, get, group, log, mid, post, said, say};

#[tokio::test]
async fn every_call_answers_as_if_there_were_none() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let mallory = net.actor("mallory").device("phone");
    mallory.set_up().await;
    let first = said(cid(1), "hello", 1);
    say(&alice, cid(1), "hello", 1).await.expect_status(201);
    let before = net.contents();
    let mut answers = Vec::new();
    for n in [1, 9] {
        let here = format!("{CONVERSATIONS}/{}", cid(n));
        let frames = below(cid(n), "frames");
        let bad = json!({"mid": mid("1"), "frame": BASE64URL_NOPAD.encode(b"no frame")});
        let mut broken = bundle(cid(n), "1", 1, &[&mallory], &[]);
        broken.commit.push(0);
        for answer in [
            get(&mallory, &here).await,
            get(&mallory, &frames).await,
            get(&mallory, &format!("{frames}?after=1")).await,
            post(&mallory, &frames, &first).await, // a replay of what Alice said
            post(&mallory, &frames, &said(cid(n), "1", 1)).await,
            post(&mallory, &frames, &said(cid(n), "1", 0)).await,
            post(&mallory, &frames, &bad).await,
            post(&mallory, &frames, &json!({"frames": [bad]})).await,
            post(&mallory, &frames, &json!({"frames": [said(cid(n), "1", 1)]})).await,
            commit(&mallory, cid(n), &bundle(cid(n), "1", 1, &[&mallory], &[])).await,
            commit(&mallory, cid(n), &bundle(cid(n), "1", 1, &[&alice, &bob, &mallory], &[&mallory])).await,
            commit(&mallory, cid(n), &bundle(cid(n), "creation", 0, &[&alice, &bob], &[&bob])).await,
            commit(&mallory, cid(n), &broken).await,
            commit(&mallory, cid(n), &bundle(cid(n), "1", u64::MAX, &[&mallory], &[])).await,
        ] {
            answers.push(answer.expect_problem(403, "not_a_member").json());
        }
        let after = get(&mallory, &format!("{CONVERSATIONS}?after={}", cid(n))).await;
        answers.push(after.expect_problem(400, "bad_cursor").json());
    }
    let (known, unknown) = answers.split_at(answers.len() / 2);
    assert_eq!(known, unknown);
    for odd in ["0", "zz", "%00", "AA", &"0".repeat(31)] {
        let answer = get(&mallory, &format!("{CONVERSATIONS}/{odd}")).await;
        assert_eq!(answer.expect_problem(403, "not_a_member").json(), known[0]);
    }
    assert_eq!(net.contents(), before);
    assert_eq!(log(&alice, cid(1)).await, [1, 2]);
    net.check_conversations();
}

#[tokio::test]
async fn without_a_signature_nothing_is_answered() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let frames = below(cid(1), "frames");
    let before = net.contents();
    for target in [CONVERSATIONS, &frames, &format!("{CONVERSATIONS}/{}", cid(1))] {
        net.get(target).await.expect_problem(401, "signature_missing");
    }
    for target in [CONVERSATIONS, &frames, &below(cid(1), "commit")] {
        net.post(target).json("{}").send().await.expect_problem(401, "signature_missing");
    }
    // What Alice signed for one conversation is nothing for another, nor under another body.
    let call = alice.signed(net.post(&frames).json(said(cid(1), "1", 1).to_string()));
    call.body(said(cid(1), "2", 1).to_string()).send().await.expect_problem(400, "digest_mismatch");
    assert_eq!(net.contents(), before);
    assert_eq!(log(&bob, cid(1)).await, [0_u64; 0]);
    net.check_conversations();
}

#[tokio::test]
async fn a_revoked_device_is_out_at_once() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let laptop = alice.owner().device("laptop");
    laptop.enrol().await.expect_status(201);
    say(&laptop, cid(1), "1", 1).await.expect_status(201);
    laptop.revoke().await.expect_status(200);
    let before = net.contents();
    say(&laptop, cid(1), "1", 1).await.expect_problem(401, "unknown_device");
    say(&laptop, cid(1), "2", 1).await.expect_problem(401, "unknown_device");
    let evicting = bundle(cid(1), "3", 1, &[&alice], &[]);
    commit(&laptop, cid(1), &evicting).await.expect_problem(401, "unknown_device");
    get(&laptop, &below(cid(1), "frames")).await.expect_problem(401, "unknown_device");
    let greeting = bundle(cid(1), "4", 1, &[&alice, &bob], &[&laptop]);
    commit(&alice, cid(1), &greeting).await.expect_problem(400, "bad_welcome");
    assert_eq!(net.contents(), before);
    assert_eq!(log(&bob, cid(1)).await, [2]);
    net.check_conversations();
}

/// A frame of one conversation is none in another, also where its sender is in both.
#[tokio::test]
async fn a_frame_belongs_to_its_conversation() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let own = bundle(cid(2), "own", 0, &[&alice], &[]);
    post(&alice, CONVERSATIONS, &super::creation(cid(2), "self", &own)).await.expect_status(201);
    let elsewhere = FrameDraft::app(cid(2), mid("1"), 1, b"1");
    let body = super::frame(mid("1"), &elsewhere);
    post(&alice, &below(cid(1), "frames"), &body).await.expect_problem(400, "bad_frame");
    post(&alice, &below(cid(2), "frames"), &body).await.expect_status(201);
    get(&bob, &below(cid(2), "frames")).await.expect_problem(403, "not_a_member");
    net.check_conversations();
}
