//! `POST /v1/conversations/{cid}/frames`.

use data_encoding::BASE64URL_NOPAD;
use insta::assert_snapshot;
use kez_testkit::framing::{FrameDraft, Wire};
use serde_json::{Value, json};

use super::{below, bundle, cid, commit, frame, group, log, members, mid, post, said, say};

#[tokio::test]
async fn accepted() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    net.clock.advance(std::time::Duration::from_micros(1_234_567));
    let answer = say(&alice, cid(1), "hello", 1).await;
    assert_snapshot!(answer, @r#"
    201 application/json
    {
      "at": "2026-05-25T03:00:01.234Z",
      "seq": 2
    }
    "#);
    net.advance_s(7);
    let again = say(&alice, cid(1), "hello", 1).await.expect_status(200);
    assert_eq!(again.json(), answer.json());
    // Also when the head has moved on.
    commit(&bob, cid(1), &bundle(cid(1), "c", 1, &[&alice, &bob], &[])).await.expect_status(201);
    assert_eq!(say(&alice, cid(1), "hello", 1).await.expect_status(200).json(), answer.json());
    assert_snapshot!(say(&alice, cid(1), "late", 1).await, @r#"
    409 application/problem+json
    {
      "code": "stale_epoch",
      "detail": "the conversation is in another epoch",
      "epoch": 2,
      "seq": 3,
      "status": 409,
      "title": "Conversation is in another epoch",
      "type": "urn:kez:problem:stale_epoch"
    }
    "#);
    say(&bob, cid(1), "ahead", 3).await.expect_problem(409, "stale_epoch");
    net.check_conversations();
}

#[tokio::test]
async fn an_id_is_one_message() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let frames = below(cid(1), "frames");
    say(&alice, cid(1), "hello", 1).await.expect_status(201);
    say(&bob, cid(1), "hello", 1).await.expect_problem(409, "mid_reused");
    let other = frame(mid("hello"), &FrameDraft::app(cid(1), mid("hello"), 1, b"other"));
    post(&alice, &frames, &other).await.expect_problem(409, "mid_reused");
    say(&alice, cid(1), "creation", 1).await.expect_problem(409, "mid_reused");
    let taken = bundle(cid(1), "hello", 1, &[&alice, &bob], &[]);
    commit(&alice, cid(1), &taken).await.expect_problem(409, "mid_reused");
    assert_eq!(log(&alice, cid(1)).await, [1, 2]);
    net.check_conversations();
}

#[tokio::test]
async fn what_is_no_application_message_here_is_refused() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let good = FrameDraft::app(cid(1), mid("1"), 1, b"1");
    let with = |change: &dyn Fn(&mut FrameDraft)| {
        let mut draft = good.clone();
        change(&mut draft);
        draft.bytes()
    };
    let both = members(&[&alice, &bob]);
    let mut shortened = good.bytes();
    shortened.pop();
    let wrong = [
        Vec::new(),
        vec![0; 100],
        shortened,
        [good.bytes(), vec![0]].concat(),
        good.bytes().repeat(2),
        with(&|draft| draft.group_id = cid(2).as_bytes().to_vec()),
        with(&|draft| draft.group_id.push(0)),
        with(&|draft| draft.content_type = 2),
        with(&|draft| draft.content_type = 3),
        with(&|draft| draft.wire = Wire::PublicMember),
        with(&|draft| draft.wire = Wire::PublicNewMember),
        with(&|draft| draft.authenticated_data.clear()),
        with(&|draft| draft.authenticated_data.push(0)),
        FrameDraft::app(cid(1), mid("2"), 1, b"1").bytes(), // bound to another message id
        FrameDraft::commit(cid(1), mid("1"), &both, 1, b"1").bytes(),
        kez_testkit::framing::welcome(b"1"),
    ];
    for (n, bytes) in wrong.iter().enumerate() {
        let body = json!({"mid": mid("1"), "frame": BASE64URL_NOPAD.encode(bytes)});
        let answer = post(&alice, &below(cid(1), "frames"), &body).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "bad_frame"), "{n}: {answer}");
    }
    assert_eq!(log(&alice, cid(1)).await, [1]);
    say(&alice, cid(1), "1", 1).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn misshapen_bodies_are_refused() {
    let (net, [alice]) = group(["alice"]).await;
    let good = said(cid(1), "1", 1);
    let (id, bytes) = (&good["mid"], good["frame"].as_str().expect("text"));
    let many = |count: usize| json!({"frames": (0..count).map(|n| said(cid(1), &n.to_string(), 1)).collect::<Vec<_>>()});
    for (n, body) in [
        json!({}),
        json!([good]),
        json!({"mid": id}),
        json!({"frame": bytes}),
        json!({"mid": id, "frame": bytes, "seq": 1}),
        json!({"mid": id, "frame": bytes, "frames": [good]}),
        json!({"mid": id, "frame": bytes, "frames": null}),
        json!({"mid": null, "frame": null, "frames": [good]}),
        json!({"mid": id, "frame": format!("{bytes}=")}),
        json!({"mid": id, "frame": format!("{bytes}\n")}),
        json!({"mid": id, "frame": format!("+{bytes}")}),
        json!({"mid": id, "frame": [1, 2]}),
        json!({"mid": id.as_str().expect("text").to_uppercase(), "frame": bytes}),
        json!({"frames": {}}),
        json!({"frames": [{"mid": id, "frame": bytes, "seq": 1}]}),
        json!({"frames": [good, {"mid": id}]}),
        many(0),
        many(17),
    ]
    .iter()
    .enumerate()
    {
        let answer = post(&alice, &below(cid(1), "frames"), body).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "malformed"), "{n}: {answer}");
    }
    let twice = good.to_string().replacen('{', &format!("{{\"mid\":{id},"), 1);
    let call = net.post(&below(cid(1), "frames")).json(twice);
    alice.signed(call).send().await.expect_problem(400, "malformed");
    assert_eq!(log(&alice, cid(1)).await, [1]);
    post(&alice, &below(cid(1), "frames"), &many(16)).await.expect_status(200);
    net.check_conversations();
}

#[tokio::test]
async fn a_frame_has_a_bound() {
    let (net, [alice]) = group(["alice"]).await;
    let sized = |bytes: usize| {
        let headers = FrameDraft::app(cid(1), mid("1"), 1, &vec![7; 20_000]).bytes().len() - 20_000;
        let draft = FrameDraft::app(cid(1), mid("1"), 1, &vec![7; bytes - headers]);
        assert_eq!(draft.bytes().len(), bytes);
        frame(mid("1"), &draft)
    };
    let frames = below(cid(1), "frames");
    let answer = post(&alice, &frames, &sized(65_537)).await.expect_problem(413, "too_large");
    assert_eq!(answer.json()["bytes_max"], 65_536);
    post(&alice, &frames, &sized(65_536)).await.expect_status(201);
    let bomb = json!({"mid": mid("1"), "frame": "A".repeat(1 << 20)});
    post(&alice, &frames, &bomb).await.expect_problem(413, "too_large");
    net.check_conversations();
}

#[tokio::test]
async fn several_have_each_a_verdict() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    say(&bob, cid(1), "bob", 1).await.expect_status(201);
    let large = json!({"mid": mid("l"), "frame": BASE64URL_NOPAD.encode(&vec![0; 65_537])});
    let bad = json!({"mid": mid("b"), "frame": "AAAA"});
    let all = [
        said(cid(1), "1", 1),
        bad.clone(),
        said(cid(1), "late", 0),
        said(cid(1), "bob", 1),
        large.clone(),
        said(cid(1), "2", 1),
        said(cid(1), "1", 1),
    ];
    let body = json!({"frames": all});
    let answer = post(&alice, &below(cid(1), "frames"), &body).await.expect_status(200);
    let brief = |answer: &Value| -> Vec<Value> {
        let results = answer["results"].as_array().expect("results");
        results.iter().map(|one| json!([one["status"], one["code"], one["seq"], one["epoch"]])).collect()
    };
    let first = [
        json!([201, null, 3, null]),
        json!([400, "bad_frame", null, null]),
        json!([409, "stale_epoch", 3, 1]),
        json!([409, "mid_reused", null, null]),
        json!([413, "too_large", null, null]),
        json!([201, null, 4, null]),
        json!([200, null, 3, null]),
    ];
    assert_eq!(brief(&answer.json()), first);
    let again = brief(&post(&alice, &below(cid(1), "frames"), &body).await.expect_status(200).json());
    assert_eq!((&again[0], &again[5]), (&json!([200, null, 3, null]), &json!([200, null, 4, null])));
    let none = post(&alice, &below(cid(1), "frames"), &json!({"frames": [bad, large]})).await;
    assert_eq!(brief(&none.expect_status(200).json()), [first[1].clone(), first[4].clone()]);
    assert_eq!(log(&bob, cid(1)).await, [2, 3, 4]);
    net.check_conversations();
}

/// Somebody who sends without waiting for answers waits for herself, and others for a few of hers only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_32_writes_under_way() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let target = below(cid(1), "frames");
    let file = rusqlite::Connection::open(net.args().db).expect("the file");
    file.execute_batch("BEGIN IMMEDIATE").expect("no write goes on");
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40 {
        let call = super::posting(&alice, &target, &said(cid(1), &n.to_string(), 1));
        calls.spawn(call.send());
    }
    for _ in 0..8 {
        let refused = calls.join_next().await.expect("a call").expect("no panic");
        let refused = refused.expect_problem(429, "too_many_writes");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let bobs = tokio::spawn(super::posting(&bob, &target, &said(cid(1), "bob", 1)).send());
    file.execute_batch("ROLLBACK").expect("writes go on");
    assert_eq!(bobs.await.expect("no panic").status(), 201);
    while let Some(answer) = calls.join_next().await {
        answer.expect("no panic").expect_status(201);
    }
    say(&alice, cid(1), "again", 1).await.expect_status(201);
    assert_eq!(log(&bob, cid(1)).await.len(), 34);
    net.check_conversations();
}

/// Frames that are none are refused beside the writer: also by a stranger, and while no write goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_frame_does_not_wait_for_writes() {
    let (net, [alice]) = group(["alice"]).await;
    let mallory = net.actor("mallory").device("phone");
    mallory.set_up().await;
    let target = below(cid(1), "frames");
    let file = rusqlite::Connection::open(net.args().db).expect("the file");
    file.execute_batch("BEGIN IMMEDIATE").expect("no write goes on");
    let bad = json!({"frames": [{"mid": mid("1"), "frame": "AAAA"}, {"mid": mid("2"), "frame": "AAAA"}]});
    let answer = post(&alice, &target, &bad).await.expect_status(200).json();
    assert_eq!(answer["results"][1]["code"], "bad_frame");
    post(&mallory, &target, &bad).await.expect_problem(403, "not_a_member");
    file.execute_batch("ROLLBACK").expect("writes go on");
}
