//! The stream of the inbox, over what may happen to it.

use kez_client::{CallError, Happening, StreamItem};
use kez_testkit::DEADLINE;
use tokio::time::timeout;

use crate::town::{CID, Town, next};

#[tokio::test]
async fn a_stream_goes_on_over_a_restart() {
    let (town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let head = bob.inbox(0).await.last().expect("events").n;
    let mut stream = bob.client.events(head);
    alice.say("before").await;
    assert_eq!(next(&mut stream).await.n, head + 1);
    town.net.restart().await;
    alice.say("after").await;
    alice.say("and more").await;
    let mut said = Vec::new();
    for n in [head + 2, head + 3] {
        let event = next(&mut stream).await;
        assert_eq!(event.n, n);
        let Happening::Frame { frame, .. } = event.what else { panic!("{event:?}") };
        said.push(frame);
    }
    assert_eq!(stream.position(), head + 3);
    assert_eq!(bob.read(1).await, ["before", "after", "and more"]);
    let mut pages = bob.client.frames(CID, 2);
    let frames = pages.next().await.expect("a page").expect("frames").frames;
    assert_eq!(said, frames.into_iter().map(|frame| frame.frame).collect::<Vec<_>>());
    assert_eq!(bob.client.acknowledge(head + 3).await.expect("an acknowledgement"), head + 3);
    assert_eq!(bob.client.acknowledge(head).await.expect("an old one"), head + 3);
    let fault = bob.client.acknowledge(head + 9).await.expect_err("beyond the head");
    assert!(matches!(fault, CallError::BadCursor), "{fault:?}");
}

#[tokio::test]
async fn a_stream_that_is_cut_within_an_event_gives_it_once() {
    let (town, mut alice, mut bob) = Town::pair().await;
    bob.join().await;
    let head = bob.inbox(0).await.last().expect("events").n;
    let mut stream = bob.client.events(head);
    alice.say("whole").await;
    assert_eq!(next(&mut stream).await.n, head + 1);
    town.link.cut_behind("event: frame\ndata: {");
    for text in ["cut", "behind it"] {
        alice.say(text).await;
    }
    for n in [head + 2, head + 3] {
        assert_eq!(next(&mut stream).await.n, n);
    }
    let connections = format!("GET /v1/events?after={} ", head + 1);
    assert_eq!(town.link.requests(&connections), 1, "it went on behind the last whole event");
    assert_eq!(bob.read(1).await, ["whole", "cut", "behind it"]);
}

#[tokio::test]
async fn a_stream_ends_with_its_device() {
    let town = Town::start().await;
    town.register("alice").await;
    let phone = town.phone("alice", "phone").await;
    let tablet = town.phone("alice", "tablet").await;
    let mut stream = tablet.client.events(0);
    assert!(matches!(stream.next().await, Ok(StreamItem::Ready { .. })));
    phone.client.revoke(&town.revocation("alice", &tablet)).await.expect("a device to let go");
    let fault = timeout(DEADLINE, async {
        loop {
            if let Err(fault) = stream.next().await {
                return fault;
            }
        }
    });
    let fault = fault.await.expect("an end in time");
    assert!(matches!(fault, CallError::UnknownDevice), "{fault:?}");
}
