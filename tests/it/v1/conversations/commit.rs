//! `POST /v1/conversations/{cid}/commit`.

use insta::assert_snapshot;
use kez_testkit::framing::{FrameDraft, Wire, welcome};
use kez_testkit::mls::Bundle;
use serde_json::json;

use super::{
    CONVERSATIONS, bundle, cid, commit, creation, get, group, leaf, log, members, mid, people, post, say,
};

#[tokio::test]
async fn accepted() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let first = bundle(cid(1), "1", 1, &[&alice, &bob], &[]);
    let answer = commit(&bob, cid(1), &first).await;
    assert_snapshot!(answer, @r#"
    201 application/json
    {
      "at": "2026-05-25T03:00:00Z",
      "epoch": 2,
      "seq": 2
    }
    "#);
    commit(&alice, cid(1), &bundle(cid(1), "2", 2, &[&alice, &bob], &[])).await.expect_status(201);
    net.advance_s(7);
    let again = commit(&bob, cid(1), &first).await.expect_status(200);
    assert_eq!(again.json(), answer.json());
    commit(&alice, cid(1), &first).await.expect_problem(409, "mid_reused");
    let mut other = first.clone();
    other.group_info = b"other".to_vec();
    commit(&bob, cid(1), &other).await.expect_problem(409, "mid_reused");
    assert_snapshot!(commit(&bob, cid(1), &bundle(cid(1), "3", 1, &[&alice, &bob], &[])).await, @r#"
    409 application/problem+json
    {
      "code": "stale_epoch",
      "detail": "the conversation is in another epoch",
      "epoch": 3,
      "seq": 3,
      "status": 409,
      "title": "Conversation is in another epoch",
      "type": "urn:kez:problem:stale_epoch"
    }
    "#);
    net.check_conversations();
}

#[tokio::test]
async fn people_come_and_go() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let carol = net.actor("carol").device("phone");
    carol.set_up().await;
    let swap = bundle(cid(1), "swap", 1, &[&alice, &carol], &[&carol]);
    commit(&alice, cid(1), &swap).await.expect_status(201);
    say(&carol, cid(1), "1", 2).await.expect_status(201);
    // Bob reads up to the commit that removed him, Carol after the one that added her.
    assert_eq!(log(&alice, cid(1)).await, [1, 2, 3]);
    assert_eq!(log(&bob, cid(1)).await, [2]);
    assert_eq!(log(&carol, cid(1)).await, [3]);
    let here = format!("{CONVERSATIONS}/{}", cid(1));
    for answer in [
        say(&bob, cid(1), "2", 2).await,
        commit(&bob, cid(1), &bundle(cid(1), "3", 2, &[&alice, &bob], &[])).await,
        get(&bob, &here).await,
    ] {
        answer.expect_problem(403, "not_a_member");
    }
    assert_eq!(get(&bob, CONVERSATIONS).await.json(), json!({"conversations": []}));
    assert_eq!(get(&carol, &here).await.json()["oldest"], 3);
    let back = bundle(cid(1), "back", 2, &[&alice, &bob, &carol], &[&bob]);
    commit(&carol, cid(1), &back).await.expect_status(201);
    say(&bob, cid(1), "4", 3).await.expect_status(201);
    assert_eq!(log(&bob, cid(1)).await, [5]);
    net.check_conversations();
}

/// Bundles that are refused, by what they are or by what they would do; none changes anything.
#[tokio::test]
async fn refused() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let carol = net.actor("carol").device("phone");
    carol.set_up().await;
    let nobody = net.actor("nobody").device("phone");
    let both: [&_; 2] = [&alice, &bob];
    let all: [&_; 3] = [&alice, &bob, &carol];
    let good = bundle(cid(1), "b", 1, &both, &[]);
    let adding = bundle(cid(1), "b", 1, &all, &[&carol]);
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        bundle
    };
    let draft = FrameDraft::commit(cid(1), mid("b"), &members(&both), 1, b"b");
    let external = |after: &[&_], welcomed: &[&_]| {
        let mut bundle = bundle(cid(1), "b", 1, after, welcomed);
        let draft = FrameDraft::commit(cid(1), mid("b"), &bundle.members_after, 1, b"b");
        bundle.commit = draft.framed(Wire::PublicNewMember).bytes();
        bundle
    };
    let wrong = [
        ("bad_members", bundle(cid(1), "b", 1, &[&bob], &[])), // without the sender
        ("bad_members", bundle(cid(1), "b", 1, &all, &[])),    // without a Welcome
        ("bad_members", bundle(cid(1), "b", 1, &[&alice, &nobody], &[])),
        ("bad_members", external(&all, &[])),
        ("bad_members", external(&[&alice], &[])),
        ("bad_welcome", external(&all, &[&carol])),
        ("bad_welcome", bundle(cid(1), "b", 1, &both, &[&carol])),
        ("bad_welcome", bundle(cid(1), "b", 1, &all, &[&carol, &nobody])),
        ("bad_frame", bundle(cid(2), "b", 1, &both, &[])),
        ("bad_frame", with(&|bundle| bundle.epoch = 2)),
        ("bad_frame", with(&|bundle| bundle.id = mid("other"))),
        ("bad_frame", with(&|bundle| bundle.members_after = members(&all))),
        ("bad_frame", with(&|bundle| bundle.commit = draft.clone().framed(Wire::PublicMember).bytes())),
        (
            "bad_frame",
            with(&|bundle| bundle.commit = FrameDraft { content_type: 1, ..draft.clone() }.bytes()),
        ),
        (
            "bad_frame",
            with(&|bundle| bundle.commit = FrameDraft { content_type: 2, ..draft.clone() }.bytes()),
        ),
        ("bad_frame", with(&|bundle| bundle.commit = FrameDraft::app(cid(1), mid("b"), 1, b"b").bytes())),
        ("bad_frame", with(&|bundle| bundle.commit = bundle.commit.repeat(2))),
        ("bad_frame", with(&|bundle| bundle.commit.clear())),
    ];
    for (n, (code, bundle)) in wrong.iter().enumerate() {
        let answer = commit(&alice, cid(1), bundle).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, *code), "{n}: {answer}");
    }
    // Whoever is late learns that, whatever else is wrong with the members.
    for epoch in [0, 2, u64::MAX >> 1, u64::MAX] {
        let late = bundle(cid(1), "late", epoch, &[&alice, &nobody], &[]);
        let stale = commit(&alice, cid(1), &late).await.expect_problem(409, "stale_epoch").json();
        assert_eq!((&stale["epoch"], &stale["seq"]), (&json!(1), &json!(1)));
    }
    assert_eq!(log(&alice, cid(1)).await, [1]);
    commit(&alice, cid(1), &adding).await.expect_status(201);
    net.check_conversations();
}

#[tokio::test]
async fn a_direct_conversation_keeps_its_two() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    let first = bundle(cid(1), "1", 0, &[&alice, &bob], &[&bob]);
    post(&alice, CONVERSATIONS, &creation(cid(1), "direct", &first)).await.expect_status(201);
    let own = bundle(cid(2), "1", 0, &[&alice], &[]);
    post(&alice, CONVERSATIONS, &creation(cid(2), "self", &own)).await.expect_status(201);
    for (n, after, welcomed) in [
        (1, vec![&alice, &bob, &carol], vec![&carol]),
        (1, vec![&alice, &carol], vec![&carol]),
        (1, vec![&alice], vec![]),
        (2, vec![&alice, &bob], vec![&bob]),
    ] {
        let wrong = bundle(cid(n), "2", 1, &after, &welcomed);
        commit(&alice, cid(n), &wrong).await.expect_problem(400, "bad_members");
    }
    // A second device is welcome in both.
    let laptop = alice.owner().device("laptop");
    laptop.enrol().await.expect_status(201);
    let mut adding = bundle(cid(1), "2", 1, &[&alice, &bob], &[]);
    adding.welcomes = vec![(welcome(b"w"), vec![leaf(&laptop)])];
    commit(&bob, cid(1), &adding).await.expect_status(201);
    commit(&alice, cid(2), &bundle(cid(2), "2", 1, &[&alice], &[&laptop])).await.expect_status(201);
    net.check_conversations();
}
