//! `GET /v1/inbox`, `POST /v1/inbox/ack`, and what the server drops.

use std::time::Duration;

use insta::assert_snapshot;
use kez_testkit::{Answer, DEADLINE, DeviceActor, Net};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Alice with a phone: one event.
async fn phone() -> (Net, DeviceActor) {
    let net = Net::start().await;
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    (net, phone)
}

async fn read(net: &Net, device: &DeviceActor, query: &str) -> Answer {
    device.signed(net.call("GET", &format!("/v1/inbox{query}"))).send().await
}

async fn ack(net: &Net, device: &DeviceActor, body: &Value) -> Answer {
    device.signed(net.post("/v1/inbox/ack").json(body.to_string())).send().await
}

/// The numbers on a page.
fn numbers(page: &Answer) -> Vec<u64> {
    let page = page.json();
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| event["n"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn an_inbox_tells_what_happens_to_devices() {
    let (net, phone) = phone().await;
    net.advance_s(1);
    let laptop = net.actor("alice").device("laptop");
    laptop.enrol().await.expect_status(201);
    net.advance_s(1);
    laptop.revoke().await.expect_status(200);
    let page = read(&net, &phone, "?after=0").await;
    let shown = page.to_string().replace(&phone.id().to_string(), "[phone]");
    assert_snapshot!(shown.replace(&laptop.id().to_string(), "[laptop]"), @r#"
    200 application/json
    {
      "events": [
        {
          "at": "2026-05-25T03:00:00Z",
          "change": "enrolled",
          "device_id": "[phone]",
          "n": 1,
          "type": "device"
        },
        {
          "at": "2026-05-25T03:00:01Z",
          "change": "enrolled",
          "device_id": "[laptop]",
          "n": 2,
          "type": "device"
        },
        {
          "at": "2026-05-25T03:00:02Z",
          "change": "revoked",
          "device_id": "[laptop]",
          "n": 3,
          "type": "device"
        }
      ],
      "head": 3
    }
    "#);
    assert_eq!(page.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn pages_begin_where_they_are_told_to() {
    let (net, phone) = phone().await;
    for name in ["b", "c", "d"] {
        net.actor("alice").device(name).enrol().await.expect_status(201);
    }
    for (query, wanted) in [
        ("", [1, 2, 3, 4].as_slice()),
        ("?limit=2", &[1, 2]),
        ("?after=2", &[3, 4]),
        ("?limit=1&after=2", &[3]),
        ("?after=4", &[]),
    ] {
        let page = read(&net, &phone, query).await.expect_status(200);
        assert_eq!((numbers(&page).as_slice(), page.json()["head"].as_u64()), (wanted, Some(4)), "{query}");
    }
    ack(&net, &phone, &json!({"n": 3})).await.expect_status(200);
    assert_eq!(numbers(&read(&net, &phone, "").await), [4]);
    // Another device of the account has a cursor of its own: what came before its enrolment is not for it.
    assert_eq!(numbers(&read(&net, &net.actor("alice").device("c"), "").await), [3, 4]);
}

#[tokio::test]
async fn what_is_no_cursor_is_refused() {
    let (net, phone) = phone().await;
    for query in [
        "?after=2",
        "?after=9007199254740991",
        "?after=",
        "?after=-1",
        "?after=one",
        "?after=18446744073709551616",
        "?after=0&after=1",
        "?after=00",
        "?after=0&x=1",
        "?primary=x",
        "?limit=0",
        "?limit=501",
        "?limit=x",
    ] {
        read(&net, &phone, query).await.expect_problem(400, "bad_cursor");
    }
    for n in [2_u64, 1 << 53, u64::MAX] {
        ack(&net, &phone, &json!({"n": n})).await.expect_problem(400, "bad_cursor");
    }
    for body in [
        json!({}),
        json!({"n": -1}),
        json!({"n": "1"}),
        json!({"n": 1.5}),
        json!({"n": 1, "x": 1}),
        json!([1]),
    ] {
        ack(&net, &phone, &body).await.expect_problem(400, "malformed");
    }
    ack(&net, &phone, &json!({"n": 0, "x": "y".repeat(300)})).await.expect_problem(413, "too_large");
    assert_eq!(numbers(&read(&net, &phone, "").await), [1], "nothing was acknowledged");
}

#[tokio::test]
async fn an_acknowledgement_never_goes_back() {
    let (net, phone) = phone().await;
    net.actor("alice").device("laptop").enrol().await.expect_status(201);
    for (n, acked) in [(0, 0), (2, 2), (1, 2), (2, 2)] {
        assert_eq!(
            ack(&net, &phone, &json!({"n": n})).await.expect_status(200).json(),
            json!({"acked": acked})
        );
    }
}

/// Whose inbox it is comes from the signature, so there is no way to name another one.
#[tokio::test]
async fn nobody_reads_or_moves_anothers_inbox() {
    let (net, phone) = phone().await;
    let mallory = net.actor("mallory").device("phone");
    mallory.set_up().await;
    mallory.owner().device("second").enrol().await.expect_status(201);
    let before = read(&net, &phone, "?after=0").await.json();
    for query in [
        format!("?after=0&primary={}", phone.owner().key()),
        format!("?after=0&account=1&device_id={}", phone.id()),
    ] {
        let answer = read(&net, &mallory, &query).await.expect_problem(400, "bad_cursor");
        assert!(!answer.text().contains(&phone.id().to_string()));
    }
    assert_eq!(numbers(&read(&net, &mallory, "").await), [1, 2], "the caller's own");
    ack(&net, &mallory, &json!({"n": 2})).await.expect_status(200);
    let body = json!({"n": 1, "device_id": phone.id()});
    ack(&net, &mallory, &body).await.expect_problem(400, "malformed");
    // With a signature that was made for another call.
    let call = net.call("GET", "/v1/inbox?after=0").signed(&mallory.signer(), net.now());
    call.send().await.expect_status(200);
    assert_eq!(read(&net, &phone, "?after=0").await.json(), before);
    assert_eq!(numbers(&read(&net, &phone, "").await), [1], "her cursor did not move");
}

#[tokio::test]
async fn who_is_no_active_device_gets_nothing() {
    let (net, phone) = phone().await;
    net.get("/v1/inbox").await.expect_problem(401, "signature_missing");
    net.post("/v1/inbox/ack").json("{\"n\":0}").send().await.expect_problem(401, "signature_missing");
    let stranger = net.actor("alice").device("never enrolled");
    read(&net, &stranger, "").await.expect_problem(401, "unknown_device");
    phone.revoke().await.expect_status(200);
    read(&net, &phone, "").await.expect_problem(401, "unknown_device");
    ack(&net, &phone, &json!({"n": 1})).await.expect_problem(401, "unknown_device");
}

/// Waits until the server has dropped the events up to `dropped`.
async fn until_dropped(net: &Net, device: &DeviceActor, dropped: u64) -> Answer {
    let gone = async {
        loop {
            let answer = read(net, device, &format!("?after={}", dropped - 1)).await;
            if answer.status() == 410 {
                return answer;
            }
            sleep(Duration::from_millis(20)).await; // the sweeper looks at the clock once a second
        }
    };
    timeout(DEADLINE, gone).await.expect("events are dropped in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_goes_after_a_while() {
    let (net, phone) = phone().await;
    let laptop = net.actor("alice").device("laptop");
    laptop.enrol().await.expect_status(201);
    ack(&net, &phone, &json!({"n": 2})).await.expect_status(200);
    net.advance_s(10 * 60);
    let gone = until_dropped(&net, &phone, 1).await.expect_problem(410, "gone");
    assert_eq!(gone.json()["oldest"], 2);
    assert_eq!(numbers(&read(&net, &phone, "?after=1").await), [2], "the laptop has not seen this one");
    ack(&net, &laptop, &json!({"n": 2})).await.expect_status(200);
    net.advance_s(60);
    assert_eq!(until_dropped(&net, &phone, 2).await.json()["oldest"], 3);
    assert_eq!(read(&net, &phone, "").await.expect_status(200).json(), json!({"events": [], "head": 2}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_acknowledges_goes_after_the_days_of_retention() {
    let net = Net::with(|setup| setup.args.retention_days = 2).await;
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    net.advance_s(2 * 24 * 60 * 60 - 1);
    net.restart().await; // begins with a pass
    phone.owner().device("laptop").enrol().await.expect_status(201);
    assert_eq!(numbers(&read(&net, &phone, "").await), [1, 2]);
    net.advance_s(60);
    assert_eq!(until_dropped(&net, &phone, 1).await.json()["oldest"], 2);
    assert_eq!(numbers(&read(&net, &phone, "?after=1").await), [2]);
    read(&net, &phone, "").await.expect_problem(410, "gone");
}

/// Somebody's only event, as long as it is there.
async fn is_there(net: &Net, phone: &DeviceActor) -> bool {
    net.sweep_events().await;
    read(net, phone, "?after=0").await.status() == 200
}

#[tokio::test]
async fn a_clock_that_is_ahead_at_the_start_drops_nothing_for_a_day() {
    let (net, phone) = phone().await;
    net.stop().await;
    net.clock.set(net.now().plus_seconds(31 * 24 * 60 * 60).expect("a time"));
    net.start_again().await;
    assert!(is_there(&net, &phone).await);
    net.advance_s(24 * 60 * 60 - 1);
    assert!(is_there(&net, &phone).await);
    // It was no mistake: the server was down for as long.
    net.advance_s(1);
    assert!(!is_there(&net, &phone).await);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_and_back_drops_nothing() {
    let (net, phone) = phone().await;
    let right = net.now();
    for days in [31, 300] {
        net.clock.set(right.plus_seconds(days * 24 * 60 * 60).expect("a time"));
        assert!(is_there(&net, &phone).await, "{days}");
    }
    net.clock.set(right);
    net.advance_s(30 * 24 * 60 * 60 - 1);
    assert!(is_there(&net, &phone).await);
    net.advance_s(1);
    assert!(!is_there(&net, &phone).await);
}

/// A file that lost a row is damaged; its owner goes on behind it.
#[tokio::test]
async fn an_event_that_points_to_nothing_is_gone() {
    let (net, phone) = phone().await;
    for name in ["b", "c"] {
        phone.owner().device(name).enrol().await.expect_status(201);
    }
    let file = rusqlite::Connection::open(net.args().db).expect("the file opens");
    file.execute_batch("UPDATE inbox SET kind = 1, subject = 999, change = NULL, at = NULL WHERE n = 2")
        .expect("written");
    assert_eq!(numbers(&read(&net, &phone, "?after=0").await), [1]);
    let gone = read(&net, &phone, "?after=1").await.expect_problem(410, "gone");
    assert_eq!(gone.json()["oldest"], 3);
    assert_eq!(numbers(&read(&net, &phone, "?after=2").await), [3]);
}
