//! Streams of events, opened, read from while everything else goes on, and taken up again.

use kez_testkit::{Event, Events};

use super::play::Play;
use super::state::By;

/// The most streams open at once: fewer than one device may have.
const STREAMS_MAX: usize = 4;

/// An open stream and the number of the last event that came.
#[derive(Debug)]
pub(super) struct Stream {
    by: By,
    cursor: u64,
    events: Events,
}

impl Play {
    /// Opens a stream at any event, sometimes by `Last-Event-ID`, sometimes where the device's acknowledgement ends.
    pub(super) async fn open_stream(&mut self) -> bool {
        if self.streams.len() >= STREAMS_MAX {
            let given_up = self.chance.below(self.streams.len());
            self.streams.swap_remove(given_up);
            return false;
        }
        let by = self.anybody();
        let account = &self.model.accounts[by.account];
        let (surely, head) = (account.dropped.surely, account.head());
        let any = surely + self.chance.below(usize::try_from(head - surely).expect("a place") + 1) as u64;
        let (target, last_event_id, cursor) = match self.chance.below(3) {
            0 => ("/v1/events".to_owned(), None, self.model.device(by).acked),
            1 => ("/v1/events".to_owned(), Some(any), any),
            _ => (format!("/v1/events?after={any}"), None, any),
        };
        self.note(format_args!("{}/{} after {cursor}", by.account, by.device));
        let mut call = self.net.call("GET", &target);
        if let Some(id) = last_event_id {
            call = call.header("last-event-id", &id.to_string());
        }
        match self.actor(by).signed(call).stream().await {
            Ok(mut events) => {
                assert_eq!(events.ready().await, head);
                assert!(cursor >= surely, "a stream of what is gone");
                self.streams.push(Stream { by, cursor, events });
            }
            Err(answer) => self.model.expect_inbox(by.account, cursor, 1, &answer.expect_status(410)),
        }
        true
    }

    /// Reads some events, or all there are, from a stream that is open.
    pub(super) async fn read_stream(&mut self) -> bool {
        if self.streams.is_empty() {
            return false;
        }
        let place = self.chance.below(self.streams.len());
        let mut stream = self.streams.swap_remove(place);
        let left = self.model.accounts[stream.by.account].head() - stream.cursor;
        let count = if self.chance.once_in(2) { left } else { left.min(1 + self.chance.below(20) as u64) };
        self.note(format_args!("{}/{}: {count}", stream.by.account, stream.by.device));
        for _ in 0..count {
            let event = stream.events.next().await.expect("the stream goes on");
            if !self.take(&mut stream, event) {
                return true;
            }
        }
        self.streams.push(stream);
        count > 0
    }

    /// Checks what came; whether the stream goes on.
    fn take(&mut self, stream: &mut Stream, event: Event) -> bool {
        let account = &mut self.model.accounts[stream.by.account];
        if event.kind == "gone" {
            account.dropped.saw(event.data["oldest"].as_u64().expect("a number") - 1);
            assert!(stream.cursor < account.dropped.surely, "gone, and it is not: {event:?}");
            return false;
        }
        let wanted = &account.inbox[usize::try_from(stream.cursor).expect("a place")].json;
        assert_eq!(&event.data, wanted);
        assert_eq!((event.id, &wanted["type"]), (Some(stream.cursor + 1), &event.kind.into()));
        stream.cursor += 1;
        true
    }

    /// These streams have to end by themselves; what came before that was right.
    pub(super) async fn end_streams(&mut self, is_over: impl Fn(By) -> bool) {
        for mut stream in std::mem::take(&mut self.streams) {
            if !is_over(stream.by) {
                self.streams.push(stream);
                continue;
            }
            while let Some(event) = stream.events.next().await {
                if !self.take(&mut stream, event) {
                    break;
                }
            }
        }
    }
}
