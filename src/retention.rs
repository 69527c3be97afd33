//! The task that drops what inboxes and conversations no longer need. SPEC "Inbox and events".
//!
//! It works in portions with pauses between them, so that everybody else's writes wait some milliseconds at most. Nothing
//! of its progress is kept: a pass that is broken off is begun anew.

use std::sync::Arc;
use std::time::Duration;

use kez_core::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store::{Retention, StoreError, Swept};

/// How long an event stays although everybody acknowledged it, in seconds. Ours: while a frame is there, the same request
/// sent again is known again. A request is good for 60 s, and clients that lost an answer ask again within minutes.
const SETTLED_AFTER_S: i64 = 10 * 60;

/// Between two passes over the inboxes. Each costs some microseconds per account.
const INBOXES_EVERY: Duration = Duration::from_mins(1);

/// Between two passes over the conversations, which find only what others left over.
const CONVERSATIONS_EVERY: Duration = Duration::from_hours(1);

/// How often the clock is asked whether a pass is due. Real time, because the server's clock cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two notes of the time, which a restart goes on from. Well below what the clock may be ahead by then; a write
/// each minute would keep a quiet machine's disk awake.
const NOTE_EVERY: Duration = Duration::from_mins(15);

/// Between two portions.
const PAUSE: Duration = Duration::from_millis(5);

const DAY_S: i64 = 24 * 60 * 60;

/// What may be dropped at `now`, when events are kept for `days`.
fn retention(now: Timestamp, days: u8) -> Retention {
    // Before the year 1 nothing is old.
    let before = |seconds: i64| now.plus_seconds(-seconds).unwrap_or(now);
    Retention { now, settled_at: before(SETTLED_AFTER_S), expired_at: before(i64::from(days) * DAY_S) }
}

/// The running task.
#[derive(Debug)]
pub(crate) struct Sweeper {
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Begins with a pass over everything, and goes on until `shutdown`.
    pub(crate) fn start(app: Arc<App>, shutdown: CancellationToken) -> Self {
        let task = async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sweep_for_ever(&app) => {}
            }
            note_time(&app).await;
        };
        Self { task: tokio::spawn(task) }
    }

    /// Waits for its end, which comes with the shutdown. A portion that the store has begun is finished by the store.
    pub(crate) async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the sweeper broke off");
        }
    }
}

async fn sweep_for_ever(app: &App) {
    let (mut note_at, mut inboxes_at, mut conversations_at) =
        (app.clock.elapsed() + NOTE_EVERY, Duration::ZERO, Duration::ZERO);
    loop {
        if app.clock.elapsed() >= inboxes_at {
            sweep_inboxes(app).await;
            inboxes_at = app.clock.elapsed() + INBOXES_EVERY;
        }
        if app.clock.elapsed() >= conversations_at {
            sweep_conversations(app).await;
            conversations_at = app.clock.elapsed() + CONVERSATIONS_EVERY;
        }
        if app.clock.elapsed() >= note_at {
            note_time(app).await;
            note_at = app.clock.elapsed() + NOTE_EVERY;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// One pass over everything.
pub(crate) async fn sweep(app: &App) {
    sweep_inboxes(app).await;
    sweep_conversations(app).await;
}

async fn sweep_inboxes(app: &App) {
    let mut pass = Pass::default();
    while pass.goes_on(app.store.sweep_inboxes(pass.after, due(app)).await) {
        sleep(PAUSE).await;
    }
}

async fn sweep_conversations(app: &App) {
    let mut pass = Pass::default();
    while pass.goes_on(app.store.sweep_conversations(pass.after, due(app)).await) {
        sleep(PAUSE).await;
    }
}

async fn note_time(app: &App) {
    if let Err(error) = app.store.note_time(app.age_time().truncated()).await {
        tracing::warn!(error = %error, "the time was not noted");
    }
}

fn due(app: &App) -> Retention {
    retention(app.age_time(), app.retention_days)
}

/// Portion after portion, to the end or to the first that fails: the next pass finds what is left.
struct Pass<P> {
    after: Option<P>,
    events: u64,
    frames: u64,
}

impl<P> Default for Pass<P> {
    fn default() -> Self {
        Self { after: None, events: 0, frames: 0 }
    }
}

impl<P> Pass<P> {
    /// Takes in what a portion came to; whether there is another one.
    fn goes_on(&mut self, portion: Result<Swept<P>, StoreError>) -> bool {
        match portion {
            Ok(swept) => {
                self.events += swept.events;
                self.frames += swept.frames;
                self.after = swept.next;
            }
            Err(error) => {
                tracing::warn!(error = %error, "old events could not be dropped; the next pass tries again");
                self.after = None;
            }
        }
        if self.after.is_none() && self.events + self.frames > 0 {
            tracing::debug!(events = self.events, frames = self.frames, "events dropped that nobody needs");
        }
        self.after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_ten_minutes_or_some_days_old() {
        let now = "2026-05-25T03:00:00Z".parse().unwrap();
        let retention = retention(now, 30);
        assert_eq!(retention.now, now);
        assert_eq!(retention.settled_at.to_string(), "2026-05-25T02:50:00Z");
        assert_eq!(retention.expired_at.to_string(), "2026-04-25T03:00:00Z");
    }

    #[test]
    fn a_failure_ends_a_pass() {
        let mut pass = Pass { after: Some(1), events: 0, frames: 0 };
        assert!(pass.goes_on(Ok(Swept { events: 1, frames: 1, next: Some(2) })));
        assert!(!pass.goes_on(Err(StoreError::Busy)));
        assert!(!pass.goes_on(Ok(Swept { events: 1, frames: 1, next: None })));
    }
}
