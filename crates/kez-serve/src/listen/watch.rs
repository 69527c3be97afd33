//! When a connection must go: one clock for waiting heads, idle connections and stalled writes.
//!
//! Nothing here registers a timer: a request only stores deadlines, and the connection's task looks at them when it
//! wakes, which is at least once per shortest limit. A timer per request would cost more than the request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::heads::Flaw;
use super::limits::Limits;

/// What is known about one connection. Written by its stream, its requests and their bodies, read by its task.
///
/// Atomics are relaxed: all but a body that a handler hands to another task run in the connection's own task.
#[derive(Debug)]
pub(crate) struct Watch {
    start: Instant,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_stall: Duration,
    /// Nanoseconds after `start` by which the client must have sent a head; `NONE` while a request is in flight.
    read_by: AtomicU64,
    /// The same for taking in what is written; `NONE` while writing does not wait.
    write_by: AtomicU64,
    idle: AtomicBool,
    head_unfinished: AtomicBool,
    body_unread: AtomicBool,
    flaw: OnceLock<Flaw>,
}

const NONE: u64 = u64::MAX;

/// What the task finds when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is due; look again at this moment.
    Wait(Instant),
    /// A head took too long.
    SlowHead,
    /// Nothing was asked for too long.
    Idle,
    /// The client does not take what it asked for.
    Stalled,
}

impl Watch {
    pub(super) fn new(limits: &Limits, idle_timeout: Duration) -> Self {
        let watch = Self {
            start: Instant::now(),
            header_timeout: limits.header_timeout,
            idle_timeout,
            write_stall: limits.write_stall,
            read_by: AtomicU64::new(NONE),
            write_by: AtomicU64::new(NONE),
            idle: AtomicBool::new(false),
            head_unfinished: AtomicBool::new(false),
            body_unread: AtomicBool::new(false),
            flaw: OnceLock::new(),
        };
        watch.read_by.store(watch.after(watch.header_timeout), Relaxed);
        watch
    }

    /// Bytes came in; `head_unfinished` when a head has begun and not ended with them.
    pub(super) fn received(&self, head_unfinished: bool) {
        self.head_unfinished.store(head_unfinished, Relaxed);
        if self.idle.swap(false, Relaxed) {
            self.read_by.store(self.after(self.header_timeout), Relaxed);
        }
    }

    /// The bytes of a head are not to be trusted. The first flaw stays.
    pub(super) fn found(&self, flaw: Flaw) {
        self.flaw.get_or_init(|| flaw);
    }

    /// A flaw found in anything this connection has sent so far.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw.get().copied()
    }

    /// A head is complete: from here on the server is at work.
    pub(super) fn request_began(&self) {
        self.idle.store(false, Relaxed);
        self.read_by.store(NONE, Relaxed);
    }

    /// The answer is handed over: from here on it is the client's turn.
    pub(super) fn answer_ended(&self) {
        let head_began = self.head_unfinished.load(Relaxed);
        let limit = if head_began { self.header_timeout } else { self.idle_timeout };
        self.idle.store(!head_began, Relaxed);
        self.read_by.store(self.after(limit), Relaxed);
    }

    /// A request body was given up before its end.
    pub(super) fn body_given_up(&self) {
        self.body_unread.store(true, Relaxed);
    }

    /// Whether the client may still be sending something nobody will read.
    pub(super) fn is_unread(&self) -> bool {
        self.body_unread.load(Relaxed) || self.flaw.get().is_some()
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_head_unfinished(&self) -> bool {
        self.head_unfinished.load(Relaxed)
    }

    /// The client's buffers are full. True when they were not before.
    pub(super) fn write_blocked(&self) -> bool {
        let by = self.after(self.write_stall);
        self.write_by.compare_exchange(NONE, by, Relaxed, Relaxed).is_ok()
    }

    /// The client took enough, or all there was.
    pub(super) fn write_moved(&self) {
        self.write_by.store(NONE, Relaxed);
    }

    /// What is due at `now`.
    pub(super) fn look(&self, now: Instant) -> Verdict {
        let write_by = self.write_by.load(Relaxed);
        let read_by = self.read_by.load(Relaxed);
        let at = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(NONE - 1);
        if write_by <= at {
            return Verdict::Stalled;
        }
        // While the client still takes in an answer, its next head is not waited for.
        if write_by == NONE && read_by <= at {
            return if self.idle.load(Relaxed) { Verdict::Idle } else { Verdict::SlowHead };
        }
        let due = if write_by == NONE { read_by } else { write_by };
        // A deadline that is set later is at least this far away.
        let shortest = self.header_timeout.min(self.idle_timeout).min(self.write_stall);
        Verdict::Wait(
            (self.start + Duration::from_nanos(due.min(at.saturating_add(nanos(shortest))))).max(now),
        )
    }

    fn after(&self, limit: Duration) -> u64 {
        nanos(self.start.elapsed()).saturating_add(nanos(limit)).min(NONE - 1)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NONE - 1)
}
