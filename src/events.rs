//! The stream of an inbox: what is there, and what comes, until something ends it.
//!
//! A stream is pulled. It reads a page from the store only when its connection takes more, so that a slow reader holds
//! one page, and a quiet stream holds nothing but its cursor, a place and a timer. What wakes it is a hint; the store
//! says what there is. So hints that are lost or come twice neither lose an event nor double one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use crate::app::App;
use crate::bus::Listener;
use crate::caller::Caller;
use crate::http::inbox::EventBody;
use crate::store::{AccountId, CursorRefusal, DeviceRow, Event, InboxLimits, Mailbox, StoreError};

/// How much a stream reads at once. Its connection holds that much for a slow reader, who gets 200 small events or one
/// large frame and something.
const PAGE: InboxLimits = InboxLimits { events: 500, bytes: 64 * 1024 };

/// How long streams are quiet and how long they last, and how many there may be. Tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// A comment is sent after this much silence. 25 s: proxies take a connection for dead after 30 s at the earliest
    /// (60 s by most defaults), and as soon the client knows that its own side is.
    pub keep_alive: Duration,
    /// A stream ends after this time. 1 h: clients come back at once, to another node where there are several.
    pub lifetime: Duration,
    /// Streams of one device at once. 4: the old ones of a client that lost its network are noticed within two minutes,
    /// and it comes back meanwhile.
    pub per_device_max: usize,
    /// Streams of one account at once. 16: one for each device that may be active.
    pub per_account_max: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(25),
            lifetime: Duration::from_hours(1),
            per_device_max: 4,
            per_account_max: 16,
        }
    }
}

/// A device, or an account, has as many streams as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many streams of events are open at once; end one")]
pub(crate) struct TooManyStreams;

/// The device of each open stream, by account.
type Open = Mutex<HashMap<AccountId, Vec<DeviceRow>>>;

/// Who has streams open.
#[derive(Debug)]
pub(crate) struct Streams {
    limits: StreamLimits,
    open: Arc<Open>,
}

/// The right to one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    open: Arc<Open>,
    account: AccountId,
    device: DeviceRow,
}

impl Streams {
    /// None open.
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self { limits, open: Arc::default() }
    }

    /// Takes a place for a stream of this device.
    pub(crate) fn take(&self, account: AccountId, device: DeviceRow) -> Result<Place, TooManyStreams> {
        let mut open = lock(&self.open);
        let devices = open.entry(account).or_default();
        let of_device = devices.iter().filter(|other| **other == device).count();
        if of_device >= self.limits.per_device_max || devices.len() >= self.limits.per_account_max {
            return Err(TooManyStreams);
        }
        devices.push(device);
        Ok(Place { open: Arc::clone(&self.open), account, device })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        let Some(devices) = open.get_mut(&self.account) else { return };
        if let Some(place) = devices.iter().position(|device| *device == self.device) {
            devices.swap_remove(place);
        }
        if devices.is_empty() {
            open.remove(&self.account);
        }
    }
}

fn lock(open: &Open) -> MutexGuard<'_, HashMap<AccountId, Vec<DeviceRow>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    app: Arc<App>,
    account: AccountId,
    device: DeviceRow,
    hints: Listener,
    /// The number of the last event that was sent.
    cursor: u64,
    state: State,
    /// Nothing was put in since the last look, as far as is known: hints that come meanwhile are kept.
    is_at_head: bool,
    /// When a comment is due.
    quiet_until: Instant,
    ends_at: Instant,
    _place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent yet.
    New,
    /// `ready` was sent.
    Ready,
    /// Nothing more is sent.
    Over,
}

/// Why there is no more.
enum End {
    /// The device is revoked or has expired, or its account is suspended.
    NotActive,
    /// The store cannot answer.
    Store(StoreError),
}

impl EventStream {
    /// A stream of what comes after `cursor`, which is in the inbox. `hints` were listened to before that was looked at.
    pub(crate) fn new(app: Arc<App>, caller: Caller, hints: Listener, cursor: u64, place: Place) -> Self {
        let (now, limits) = (Instant::now(), app.streams.limits);
        Self {
            app,
            account: caller.account,
            device: caller.device,
            hints,
            cursor,
            state: State::New,
            is_at_head: false,
            quiet_until: now + limits.keep_alive,
            ends_at: now + limits.lifetime,
            _place: place,
        }
    }

    /// The body of the answer.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, async |mut stream| {
            let piece = stream.piece().await?;
            stream.quiet_until = Instant::now() + stream.app.streams.limits.keep_alive;
            Some((Ok::<_, Infallible>(piece), stream))
        }))
    }

    /// What is sent next; `None`: the stream ends.
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            if self.state == State::Over || Instant::now() >= self.ends_at {
                return None;
            }
            if !self.is_at_head {
                match self.there_is().await {
                    Ok(Some(piece)) => return Some(piece),
                    Ok(None) => {}
                    Err(End::NotActive) => return None,
                    Err(End::Store(error)) => {
                        tracing::warn!(error = %error, "a stream of events ends: the store does not answer");
                        return None;
                    }
                }
            }
            self.is_at_head = false; // whatever ends the wait is a reason to look
            tokio::select! {
                hint = self.hints.changed() => hint.ok()?, // closed: the server stops
                () = sleep_until(self.quiet_until.min(self.ends_at)) => {
                    if Instant::now() < self.ends_at {
                        return Some(Bytes::from_static(b":\n\n"));
                    }
                }
            }
        }
    }

    /// What there is to be sent now.
    async fn there_is(&mut self) -> Result<Option<Bytes>, End> {
        let mailbox = self.mailbox().await?;
        if self.state == State::New {
            self.state = State::Ready;
            return Ok(Some(format!("event: ready\ndata: {{\"head\":{}}}\n\n", mailbox.head).into()));
        }
        if mailbox.head <= self.cursor {
            return Ok(None);
        }
        match self.app.store.events(self.account, self.cursor, PAGE).await.map_err(End::Store)? {
            Ok(page) => {
                let text = self.text(page.events);
                self.is_at_head = self.cursor == page.head;
                Ok(text)
            }
            Err(CursorRefusal::Gone { oldest }) => {
                self.state = State::Over;
                Ok(Some(format!("event: gone\ndata: {{\"oldest\":{oldest}}}\n\n").into()))
            }
            Err(CursorRefusal::BeyondHead { .. }) => Ok(None),
        }
    }

    /// The inbox, as long as the device may read it: looked at before each page, so that nothing follows a revocation or
    /// a suspension.
    async fn mailbox(&self) -> Result<Mailbox, End> {
        let mailbox = self.app.store.mailbox(self.device).await.map_err(End::Store)?;
        mailbox.ok().filter(|mailbox| mailbox.expires_at > self.app.clock.now()).ok_or(End::NotActive)
    }

    /// The events as they are sent. WHATWG HTML section 9.2.
    fn text(&mut self, events: Vec<Event>) -> Option<Bytes> {
        let mut text = Vec::new();
        for event in events {
            self.cursor = event.n;
            let body = EventBody::from(event);
            let head = format!("id: {}\nevent: {}\ndata: ", self.cursor, body.kind());
            text.extend_from_slice(head.as_bytes());
            // invariant: plain data with string keys is JSON, and a Vec takes all of it.
            serde_json::to_writer(&mut text, &body).expect("an event is JSON");
            text.extend_from_slice(b"\n\n");
        }
        (!text.is_empty()).then(|| text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Streams {
        Streams::new(StreamLimits { per_device_max: 2, per_account_max: 3, ..StreamLimits::default() })
    }

    #[test]
    fn places_are_counted_by_device_and_by_account() {
        let streams = streams();
        let (alice, bob) = (AccountId::new(1), AccountId::new(2));
        let [one, two, bobs] = [1, 2, 3].map(DeviceRow::new);
        let first = streams.take(alice, one).unwrap();
        let _second = streams.take(alice, one).unwrap();
        assert_eq!(streams.take(alice, one).unwrap_err(), TooManyStreams);
        let _third = streams.take(alice, two).unwrap();
        assert_eq!(streams.take(alice, two).unwrap_err(), TooManyStreams);
        let _others = streams.take(bob, bobs).unwrap();
        drop(first);
        let _again = streams.take(alice, two).unwrap();
        assert_eq!(streams.take(alice, one).unwrap_err(), TooManyStreams);
    }

    #[test]
    fn an_account_without_streams_is_forgotten() {
        let streams = streams();
        drop(streams.take(AccountId::new(1), DeviceRow::new(1)).unwrap());
        assert!(lock(&streams.open).is_empty());
    }
}
