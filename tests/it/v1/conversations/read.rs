//! `GET /v1/conversations`, `GET /v1/conversations/{cid}/frames`.

use insta::assert_snapshot;
use kez_testkit::framing::FrameDraft;
use serde_json::json;

use super::{CONVERSATIONS, below, bundle, cid, creation, frame, get, group, mid, numbers, post, say};

#[tokio::test]
async fn a_log_is_read_in_pages() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    for n in 2..=6 {
        say(&alice, cid(1), &n.to_string(), 1).await.expect_status(201);
    }
    let frames = below(cid(1), "frames");
    assert_snapshot!(get(&bob, &format!("{frames}?limit=2")).await, @r#"
    200 application/json
    {
      "frames": [
        {
          "at": "2026-05-25T03:00:00Z",
          "frame": "AAEAAhABAQEBAQEBAQEBAQEBAQEBAAAAAAAAAAEBM2tlei1jaGF0L2ZyYW1lL3YxAAEBAQEBAQEBAQEBAQEBAQEB1HNeOiZeFu7gP1lxi5tdAxwHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHATI",
          "kind": "app",
          "mid": "d4735e3a265e16eee03f59718b9b5d03",
          "seq": 2
        },
        {
          "at": "2026-05-25T03:00:00Z",
          "frame": "AAEAAhABAQEBAQEBAQEBAQEBAQEBAAAAAAAAAAEBM2tlei1jaGF0L2ZyYW1lL3YxAAEBAQEBAQEBAQEBAQEBAQEBTgdAhWK-24tgzgXB3s_jrRwHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHATM",
          "kind": "app",
          "mid": "4e07408562bedb8b60ce05c1decfe3ad",
          "seq": 3
        }
      ],
      "oldest": 2,
      "seq": 6
    }
    "#);
    let page = async |query: &str| numbers(&get(&bob, &format!("{frames}{query}")).await.json());
    assert_eq!(page("?after=3&limit=2").await, [4, 5]);
    assert_eq!(page("?after=5").await, [6]);
    assert_eq!(page("?after=6").await, [0_u64; 0]);
    assert_eq!(page("?after=600").await, [0_u64; 0]);
    for query in
        ["?after=-1", "?after=x", "?limit=0", "?limit=501", "?after=1&after=1", "?before=2", "?after=%31"]
    {
        get(&bob, &format!("{frames}{query}")).await.expect_problem(400, "bad_cursor");
    }
    net.check_conversations();
}

#[tokio::test]
async fn a_page_has_a_mebibyte_of_frames() {
    let (net, [alice]) = group(["alice"]).await;
    for n in 2..=20_u8 {
        let id = mid(&n.to_string());
        let draft = FrameDraft::app(cid(1), id, 1, &vec![n; 65_000]);
        post(&alice, &below(cid(1), "frames"), &frame(id, &draft)).await.expect_status(201);
    }
    let frames = below(cid(1), "frames");
    let page = get(&alice, &format!("{frames}?after=1")).await.expect_status(200);
    assert_eq!(numbers(&page.json()), (2..=17).collect::<Vec<_>>());
    let rest = get(&alice, &format!("{frames}?after=17")).await.expect_status(200);
    assert_eq!(numbers(&rest.json()), [18, 19, 20]);
    net.check_conversations();
}

#[tokio::test]
async fn what_was_dropped_is_gone() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    for n in 2..=6 {
        say(&alice, cid(1), &n.to_string(), 1).await.expect_status(201);
    }
    net.stop().await;
    let file = rusqlite::Connection::open(net.args().db).expect("the file");
    file.execute_batch("DELETE FROM frames WHERE seq < 4; UPDATE conversations SET oldest = 4")
        .expect("dropped");
    drop(file);
    net.start_again().await;
    let frames = below(cid(1), "frames");
    for query in ["", "?after=2"] {
        let gone = get(&bob, &format!("{frames}{query}")).await.expect_problem(410, "gone");
        assert_eq!(gone.json()["oldest"], 4);
    }
    let page = get(&bob, &format!("{frames}?after=3")).await.expect_status(200).json();
    assert_eq!((numbers(&page), &page["oldest"]), (vec![4, 5, 6], &json!(4)));
    // Who came later misses nothing.
    let carol = net.actor("carol").device("phone");
    carol.set_up().await;
    let adding = bundle(cid(1), "add", 1, &[&alice, &bob, &carol], &[&carol]);
    super::commit(&alice, cid(1), &adding).await.expect_status(201);
    let page = get(&carol, &frames).await.expect_status(200).json();
    assert_eq!((numbers(&page), &page["oldest"]), (vec![], &json!(8)));
}

/// How far the log has been dropped since would tell how much was said since.
#[tokio::test]
async fn who_left_does_not_learn_what_came_later() {
    let (net, [alice, bob]) = group(["alice", "bob"]).await;
    super::commit(&alice, cid(1), &bundle(cid(1), "remove", 1, &[&alice], &[])).await.expect_status(201);
    for n in 3..=6 {
        say(&alice, cid(1), &n.to_string(), 2).await.expect_status(201);
    }
    net.stop().await;
    let file = rusqlite::Connection::open(net.args().db).expect("the file");
    file.execute_batch("DELETE FROM frames WHERE seq < 5; UPDATE conversations SET oldest = 5")
        .expect("dropped");
    drop(file);
    net.start_again().await;
    let frames = below(cid(1), "frames");
    let gone = get(&bob, &format!("{frames}?after=1")).await.expect_problem(410, "gone");
    assert_eq!(gone.json()["oldest"], 3);
    for after in [2, 3, 6] {
        let page = get(&bob, &format!("{frames}?after={after}")).await.expect_status(200);
        assert_eq!(page.json(), json!({"frames": [], "seq": 2, "oldest": 3}));
    }
}

#[tokio::test]
async fn a_list_has_pages() {
    let (net, [alice]) = group(["alice"]).await;
    for n in [9, 2, 5] {
        let bundle = bundle(cid(n), "b", 0, &[&alice], &[]);
        post(&alice, CONVERSATIONS, &creation(cid(n), "group", &bundle)).await.expect_status(201);
    }
    assert_snapshot!(get(&alice, &format!("{CONVERSATIONS}?limit=2")).await, @r#"
    200 application/json
    {
      "conversations": [
        {
          "cid": "01010101010101010101010101010101",
          "epoch": 1,
          "kind": "group",
          "seq": 1,
          "state": "open"
        },
        {
          "cid": "09090909090909090909090909090909",
          "epoch": 1,
          "kind": "group",
          "seq": 1,
          "state": "open"
        }
      ],
      "next": "09090909090909090909090909090909"
    }
    "#);
    let rest = get(&alice, &format!("{CONVERSATIONS}?limit=2&after={}", cid(9))).await.json();
    assert_eq!(rest["conversations"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest.get("next"), None);
    for query in ["?after=1", "?limit=0", "?limit=x"] {
        get(&alice, &format!("{CONVERSATIONS}{query}")).await.expect_problem(400, "bad_cursor");
    }
    net.check_conversations();
}
