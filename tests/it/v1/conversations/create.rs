//! `POST /v1/conversations`.

use data_encoding::BASE64URL_NOPAD;
use insta::assert_snapshot;
use kez_testkit::framing::{FrameDraft, Wire, welcome};
use serde_json::{Value, json};

use super::{
    CONVERSATIONS, bundle, cid, commit, creation, get, group, leaf, log, members, mid, people, post,
};

#[tokio::test]
async fn created() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    let body = creation(cid(1), "direct", &bundle(cid(1), "b", 0, &[&alice, &bob], &[&bob]));
    let answer = post(&alice, CONVERSATIONS, &body).await;
    assert_snapshot!(answer, @r#"
    201 application/json
    {
      "at": "2026-05-25T03:00:00Z",
      "cid": "01010101010101010101010101010101",
      "epoch": 1,
      "generation": 1,
      "kind": "direct",
      "members": [
        "ed25519:4a76af5a1110a0fa914c7256d7b3bba071bdced346f63c05d2a1993f23ba5c43",
        "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610"
      ],
      "seq": 1,
      "state": "open"
    }
    "#);
    // The same again is the same, whatever has happened since.
    commit(&alice, cid(1), &bundle(cid(1), "c", 1, &[&alice, &bob], &[])).await.expect_status(201);
    net.advance_s(7);
    let again = post(&alice, CONVERSATIONS, &body).await.expect_status(200);
    assert_eq!(again.json(), answer.json());
    assert_snapshot!(get(&bob, &format!("{CONVERSATIONS}/{}", cid(1))).await, @r#"
    200 application/json
    {
      "cid": "01010101010101010101010101010101",
      "epoch": 2,
      "generation": 1,
      "group_info": "Yw",
      "kind": "direct",
      "members": [
        "ed25519:4a76af5a1110a0fa914c7256d7b3bba071bdced346f63c05d2a1993f23ba5c43",
        "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610"
      ],
      "oldest": 2,
      "seq": 2,
      "state": "open"
    }
    "#);
    net.check_conversations();
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    let same = bundle(cid(1), "creation", 0, &[&alice, &bob], &[&bob]);
    post(&alice, CONVERSATIONS, &creation(cid(1), "group", &same)).await.expect_status(200);
    post(&bob, CONVERSATIONS, &creation(cid(1), "group", &same)).await.expect_problem(409, "cid_taken");
    post(&alice, CONVERSATIONS, &creation(cid(1), "direct", &same)).await.expect_problem(409, "cid_taken");
    let other = bundle(cid(1), "other", 0, &[&alice, &bob], &[&bob]);
    post(&alice, CONVERSATIONS, &creation(cid(1), "group", &other)).await.expect_problem(409, "cid_taken");
    let mut info = same.clone();
    info.group_info = b"other".to_vec();
    post(&alice, CONVERSATIONS, &creation(cid(1), "group", &info)).await.expect_problem(409, "cid_taken");
    net.check_conversations();
}

#[tokio::test]
async fn two_people_have_one_and_each_has_one_of_its_own() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    let direct = |n, by, peer| creation(cid(n), "direct", &bundle(cid(n), "d", 0, &[by, peer], &[peer]));
    let own = |n, by| creation(cid(n), "self", &bundle(cid(n), "s", 0, &[by], &[]));
    post(&alice, CONVERSATIONS, &direct(1, &alice, &bob)).await.expect_status(201);
    for (by, body) in [(&bob, direct(2, &bob, &alice)), (&alice, direct(2, &alice, &bob))] {
        let exists = post(by, CONVERSATIONS, &body).await.expect_problem(409, "conversation_exists");
        assert_eq!(exists.json()["cid"], cid(1).to_string());
    }
    post(&alice, CONVERSATIONS, &own(3, &alice)).await.expect_status(201);
    let exists =
        post(&alice, CONVERSATIONS, &own(4, &alice)).await.expect_problem(409, "conversation_exists");
    assert_eq!(exists.json()["cid"], cid(3).to_string());
    post(&bob, CONVERSATIONS, &own(4, &bob)).await.expect_status(201);
    net.check_conversations();
}

/// Bodies that are wrong by themselves; each is refused and leaves nothing.
#[tokio::test]
async fn refused() {
    let (net, [alice, bob, carol]) = people(["alice", "bob", "carol"]).await;
    let laptop = bob.owner().device("laptop");
    laptop.enrol().await.expect_status(201);
    laptop.revoke().await.expect_status(200);
    let brief = bob.owner().device("brief");
    net.post("/v1/devices").json(brief.enrolment_for(60)).send().await.expect_status(201);
    net.advance_s(61);
    let nobody = net.actor("nobody").device("phone");
    let cid = cid(1);
    let good = bundle(cid, "b", 0, &[&alice, &bob], &[&bob]);
    let body = |kind, bundle: &kez_testkit::mls::Bundle| creation(cid, kind, bundle);
    let to = |devices: &[_]| {
        let mut bundle = good.clone();
        bundle.welcomes = vec![(welcome(b"w"), devices.to_vec())];
        body("group", &bundle)
    };
    let with = |change: &dyn Fn(&mut kez_testkit::mls::Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        body("group", &bundle)
    };
    let both = members(&[&alice, &bob]);
    let draft = FrameDraft::commit(cid, mid("b"), &both, 0, b"b");
    let epoch_1 = FrameDraft { epoch: 1, ..draft.clone() };
    let public = |wire| draft.clone().framed(wire).bytes();
    let wrong: Vec<(&str, Value)> = vec![
        ("bad_members", body("direct", &bundle(cid, "b", 0, &[&alice], &[]))),
        ("bad_members", body("direct", &bundle(cid, "b", 0, &[&alice, &bob, &carol], &[&bob, &carol]))),
        ("bad_members", body("self", &good)),
        ("bad_members", body("self", &bundle(cid, "b", 0, &[&bob], &[]))),
        ("bad_members", body("group", &bundle(cid, "b", 0, &[&bob, &carol], &[&bob, &carol]))),
        ("bad_members", body("group", &bundle(cid, "b", 0, &[&alice, &bob], &[]))), // nobody greets Bob
        ("bad_members", body("group", &bundle(cid, "b", 0, &[&alice, &bob, &carol], &[&bob]))),
        ("bad_members", body("direct", &bundle(cid, "b", 0, &[&alice, &nobody], &[]))),
        ("bad_welcome", to(&[leaf(&bob), leaf(&nobody)])),
        ("bad_welcome", to(&[leaf(&bob), leaf(&carol)])), // no member
        ("bad_welcome", to(&[leaf(&bob), leaf(&laptop)])), // revoked
        ("bad_welcome", to(&[leaf(&brief)])),             // expired
        ("bad_welcome", to(&[leaf(&bob), leaf(&bob)])),
        ("bad_welcome", to(&[])),
        ("bad_welcome", to(&vec![leaf(&bob); 257])),
        ("bad_welcome", with(&|bundle| bundle.welcomes[0].0 = bundle.commit.clone())),
        ("bad_welcome", with(&|bundle| bundle.welcomes[0].0.push(0))),
        ("bad_frame", with(&|bundle| bundle.commit = epoch_1.bytes())),
        ("bad_frame", with(&|bundle| bundle.epoch = 1)),
        ("bad_frame", with(&|bundle| (bundle.commit, bundle.epoch) = (epoch_1.bytes(), 1))),
        ("bad_frame", with(&|bundle| bundle.id = mid("other"))),
        ("bad_frame", with(&|bundle| bundle.members_after = members(&[&alice, &carol]))),
        ("bad_frame", with(&|bundle| bundle.commit.push(0))),
        ("bad_frame", with(&|bundle| bundle.commit = public(Wire::PublicMember))),
        (
            "bad_frame",
            with(&|bundle| (bundle.commit, bundle.welcomes) = (public(Wire::PublicNewMember), vec![])),
        ),
        ("bad_frame", with(&|bundle| bundle.commit = welcome(b"w"))),
    ];
    for (n, (code, body)) in wrong.iter().enumerate() {
        let answer = post(&alice, CONVERSATIONS, body).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, *code), "{n}: {answer}");
    }
    let list = get(&alice, CONVERSATIONS).await.expect_status(200).json();
    assert_eq!(list, json!({"conversations": []}));
    post(&alice, CONVERSATIONS, &body("direct", &good)).await.expect_status(201);
    assert_eq!(log(&alice, cid).await, [1]);
    net.check_conversations();
}

#[tokio::test]
async fn misshapen_bodies_are_refused() {
    let (_net, [alice, bob]) = people(["alice", "bob"]).await;
    let good = creation(cid(1), "direct", &bundle(cid(1), "b", 0, &[&alice, &bob], &[&bob]));
    let with = |path: &str, value: Value| {
        let mut body = good.clone();
        let (parent, name) = path.rsplit_once('/').expect("a path");
        body.pointer_mut(parent).expect("a parent")[name] = value;
        body
    };
    let key = alice.owner().key().to_string();
    for (n, body) in [
        json!(null),
        json!({}),
        with("/more", json!(1)),
        with("/cid", json!("AA".repeat(16))),
        with("/cid", json!([0, 0])),
        with("/kind", json!("channel")),
        with("/kind", json!("own_devices")),
        with("/bundle", json!(null)),
        with("/bundle/more", json!(1)),
        with("/bundle/epoch", json!("0")),
        with("/bundle/epoch", json!(-1)),
        with("/bundle/epoch", json!(0.0)),
        with("/bundle/welcomes", json!(null)),
        with("/bundle/welcomes", json!([{"welcome": "AA"}])),
        with("/bundle/group_info", json!("AA==")),
        with("/bundle/commit", json!("A")),
        with("/bundle/members_after", json!([key.to_uppercase()])),
        with("/bundle/members_after", json!("")),
    ]
    .iter()
    .enumerate()
    {
        let answer = post(&alice, CONVERSATIONS, body).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "malformed"), "{n}: {answer}");
    }
    for members_after in [json!([]), json!([key, key])] {
        let body = with("/bundle/members_after", members_after);
        post(&alice, CONVERSATIONS, &body).await.expect_problem(400, "bad_members");
    }
    let text = good.to_string();
    let twice = text.replacen("{\"bundle\"", "{\"kind\":\"direct\",\"bundle\"", 1);
    assert_ne!(twice, text);
    for wrong in
        [twice, format!("{text}{text}"), text[..text.len() - 1].to_owned(), format!("\u{feff}{text}")]
    {
        let call = alice.owner().net().post(CONVERSATIONS).json(wrong);
        alice.signed(call).send().await.expect_problem(400, "malformed");
    }
}

#[tokio::test]
async fn a_bundle_has_bounds() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    let cid = cid(1);
    let sized = |commit: usize, info: usize| {
        let mut bundle = bundle(cid, "b", 0, &[&alice, &bob], &[&bob]);
        let headers =
            FrameDraft::commit(cid, mid("b"), &bundle.members_after, 0, &vec![7; 20_000]).bytes().len();
        let content = vec![7; commit - (headers - 20_000)];
        bundle.commit = FrameDraft::commit(cid, mid("b"), &bundle.members_after, 0, &content).bytes();
        assert_eq!(bundle.commit.len(), commit);
        bundle.group_info = vec![7; info];
        bundle
    };
    let greeting = bundle(cid, "b", 0, &[&alice, &bob], &[&bob]).welcomes[0].0.len();
    let (half, whole) = (256 * 1024, 512 * 1024);
    for (bundle, max) in [(sized(100_000, half + 1), half), (sized(whole - half - greeting + 1, half), whole)]
    {
        let answer = post(&alice, CONVERSATIONS, &creation(cid, "direct", &bundle)).await;
        assert_eq!(answer.expect_problem(413, "too_large").json()["bytes_max"], max);
    }
    let largest = sized(whole - half - greeting, half);
    post(&alice, CONVERSATIONS, &creation(cid, "direct", &largest)).await.expect_status(201);
    let seen = get(&bob, &format!("{CONVERSATIONS}/{cid}")).await.expect_status(200).json();
    assert_eq!(seen["group_info"], BASE64URL_NOPAD.encode(&largest.group_info));
    net.check_conversations();
}

/// Whoever is in ten thousand conversations that somebody else made still makes her own; who made them makes no more.
#[tokio::test]
async fn nobody_uses_up_anothers_room() {
    let (net, [alice, mallory]) = people(["alice", "mallory"]).await;
    let first = bundle(cid(1), "1", 0, &[&mallory, &alice], &[&alice]);
    post(&mallory, CONVERSATIONS, &creation(cid(1), "group", &first)).await.expect_status(201);
    let file = rusqlite::Connection::open(net.args().db).expect("the file");
    file.execute_batch(
        "BEGIN;
         WITH RECURSIVE number(n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM number WHERE n < 10000)
         INSERT INTO conversations (id, cid, kind, generation, epoch, seq, created_at, creator, request_sha256)
             SELECT n, randomblob(16), 1, 1, 1, 1, 0, creator, randomblob(32) FROM number, conversations WHERE id = 1;
         INSERT INTO members (conversation, account, since, delivered)
             SELECT c.id, m.account, 0, 0 FROM conversations c, members m WHERE c.id > 1 AND m.conversation = 1;
         COMMIT",
    )
    .expect("written");
    let hers = bundle(cid(2), "2", 0, &[&alice], &[]);
    post(&alice, CONVERSATIONS, &creation(cid(2), "group", &hers)).await.expect_status(201);
    let one_more = bundle(cid(3), "3", 0, &[&mallory], &[]);
    let answer = post(&mallory, CONVERSATIONS, &creation(cid(3), "group", &one_more)).await;
    answer.expect_problem(403, "too_many_conversations");
    post(&mallory, CONVERSATIONS, &creation(cid(1), "group", &first)).await.expect_status(200);
}
