//! The stream of the inbox.

use super::*;

fn stream(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n{body}")
}

fn device_event(n: u64) -> String {
    let data = format!(
        r#"{{"n":{n},"type":"device","device_id":"{}","change":"enrolled","at":"{NOW}"}}"#,
        keys().device_id
    );
    format!("id: {n}\nevent: device\ndata: {data}\n\n")
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_it_gave() {
    let ready = "event: ready\ndata: {\"head\":8}\n\n: still here\n\n";
    let scene = Scene::plain(vec![
        stream(&format!("{ready}{}{}id: 8\ndata: {{\"n\":8", device_event(6), device_event(7))),
        refusal(503, "draining"),
        stream(&device_event(8)),
        stream(&device_event(8)),
    ])
    .await;
    let mut events = scene.client.events(5);
    assert_eq!(events.next().await.unwrap(), StreamItem::Ready { head: 8 });
    for n in [6, 7, 8] {
        assert!(matches!(events.next().await.unwrap(), StreamItem::Event(event) if event.n == n));
    }
    let targets = scene.targets();
    assert_eq!(targets[1..4], [5, 7, 7].map(|after| format!("GET /v1/events?after={after}")));
    assert_eq!(scene.waits_ms().len(), 2);
    // The same event again is no event.
    let fault = events.next().await.unwrap_err();
    assert!(matches!(fault, CallError::Client(ClientError::Contradiction { .. })));
    assert_eq!(events.position(), 8);
}

#[tokio::test]
async fn a_stream_says_what_is_gone() {
    let gone = |oldest: u64| format!("event: gone\ndata: {{\"oldest\":{oldest}}}\n\n");
    let scene = Scene::plain(vec![
        stream(&format!("{}{}", device_event(6), gone(9))),
        stream(&gone(7)),
        stream(&device_event(9)),
    ])
    .await;
    let mut events = scene.client.events(5);
    assert!(matches!(events.next().await.unwrap(), StreamItem::Event(event) if event.n == 6));
    assert!(matches!(events.next().await.unwrap_err(), CallError::Gone { oldest: 9 }));
    assert_eq!(events.position(), 6);
    // Nothing is gone where nothing is missing.
    expect_contradiction(&events.next().await.unwrap_err(), Contradiction::OutOfOrder);
    let mut events = scene.client.events(8);
    assert!(matches!(events.next().await.unwrap(), StreamItem::Event(event) if event.n == 9));
    assert!(scene.waits_ms().is_empty());
}

#[tokio::test]
async fn a_stream_passes_over_what_is_newer_than_this_client() {
    let notes = "event: notice\ndata: {\"text\":\"soon\"}\n\nevent: hint\ndata: not JSON\n\n";
    let numbered = "id: 7\nevent: poll\ndata: {\"n\":7,\"type\":\"poll\"}\n\n";
    let nameless = "event: frame\ndata: {\"type\":\"frame\"}\n\n";
    let scene = Scene::plain(vec![stream(&format!("{}{notes}{numbered}{nameless}", device_event(6)))]).await;
    let mut events = scene.client.events(5);
    assert!(matches!(events.next().await.unwrap(), StreamItem::Event(event) if event.n == 6));
    let expected = crate::InboxEvent { n: 7, what: crate::Happening::Unknown };
    assert_eq!(events.next().await.unwrap(), StreamItem::Event(expected));
    let fault = events.next().await.unwrap_err();
    assert!(matches!(fault, CallError::Client(ClientError::NotProtocol { .. })), "{fault:?}");
    assert!(scene.waits_ms().is_empty());
}

/// What is acknowledged behind a gap is given up with it.
#[tokio::test]
async fn a_gap_is_noticed() {
    let page = |numbers: [u64; 2]| {
        let event = |n| {
            let id = keys().device_id;
            format!(r#"{{"n":{n},"type":"device","device_id":"{id}","change":"renewed","at":"{NOW}"}}"#)
        };
        answer(200, &format!(r#"{{"events":[{}],"head":9}}"#, numbers.map(event).join(",")))
    };
    let scene = Scene::plain(vec![
        stream(&format!("{}{}", device_event(6), device_event(8))),
        stream(&device_event(u64::MAX)),
        page([1, 2]),
        page([3, 5]),
        page([4, 5]),
        page([3, 3]),
    ])
    .await;
    let mut events = scene.client.events(5);
    assert!(matches!(events.next().await.unwrap(), StreamItem::Event(event) if event.n == 6));
    for _ in 0..2 {
        expect_contradiction(&events.next().await.unwrap_err(), Contradiction::Gap);
    }
    assert_eq!(events.position(), 6);
    let mut pages = scene.client.inbox(0);
    assert_eq!(pages.next().await.unwrap().unwrap().events.len(), 2);
    for what in [Contradiction::Gap, Contradiction::Gap, Contradiction::OutOfOrder] {
        expect_contradiction(&pages.next().await.unwrap_err(), what);
    }
    assert_eq!(pages.position(), 2);
}

#[tokio::test]
async fn a_stream_gives_up_where_waiting_cannot_help() {
    let scene = Scene::plain(vec![
        answer(410, r#"{"code":"gone","oldest":40}"#),
        answer(200, "{}"),
        stream(&format!("data: {}", "x".repeat(crate::sse::EVENT_BYTES_MAX + 1))),
    ])
    .await;
    let mut events = scene.client.events(5);
    assert!(matches!(events.next().await.unwrap_err(), CallError::Gone { oldest: 40 }));
    for _ in 0..2 {
        let fault = events.next().await.unwrap_err();
        assert!(matches!(fault, CallError::Client(ClientError::NotProtocol { .. })), "{fault:?}");
    }
    assert!(scene.waits_ms().is_empty());
}

#[tokio::test]
async fn a_stream_that_gives_something_each_time_is_not_given_up() {
    let broken = |n| {
        let event = device_event(n);
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n{event}")
    };
    let scene = Scene::plain((1..=8).map(broken).collect()).await;
    let mut events = scene.client.events(0);
    for n in 1..=8 {
        assert!(matches!(events.next().await.unwrap(), StreamItem::Event(event) if event.n == n));
    }
    // Each time the first wait.
    assert!(scene.waits_ms().len() == 7 && scene.waits_ms().iter().all(|wait| *wait <= 200));
    scene.expect_signed_by_device(8);
}
