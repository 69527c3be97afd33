//! Time as a dependency: the wall clock that dates things, and the steady clock that spaces them.
//!
//! [`SystemClock`] is the only reader of the machine's clock in the servers; tests move a [`ManualClock`].

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kez_core::Timestamp;

/// What tells a server the time.
pub trait Clock: Send + Sync + Debug {
    /// The wall clock, UTC. An operator may step it in either direction.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this clock; never goes back, whatever happens to the wall clock.
    fn elapsed(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose `elapsed` counts from now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let now = std::time::SystemTime::now();
        let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        wall(since_epoch)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The last whole second a [`Timestamp`] can hold: 9999-12-31T23:59:59Z.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

fn wall(since_epoch: Duration) -> Timestamp {
    let seconds = i64::try_from(since_epoch.as_secs().min(UNIX_SECONDS_MAX)).unwrap_or_default();
    // invariant: 0 ..= UNIX_SECONDS_MAX and a Duration's nanoseconds are within a Timestamp's range.
    Timestamp::from_unix(seconds, since_epoch.subsec_nanos())
        .expect("the machine's time is within 1970..=9999")
}

/// A clock that stands still until it is told otherwise. For tests.
#[derive(Debug)]
pub struct ManualClock {
    hands: Mutex<Hands>,
}

#[derive(Debug, Clone, Copy)]
struct Hands {
    now: Timestamp,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { hands: Mutex::new(Hands { now, elapsed: Duration::ZERO }) }
    }

    /// Steps the wall clock, in either direction, as an operator would. `elapsed` stays.
    pub fn set(&self, now: Timestamp) {
        self.hands().now = now;
    }

    /// Lets time pass: both the wall clock and `elapsed` move on by `by`.
    ///
    /// The wall clock stays where it is when it cannot show the sum.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands();
        hands.now = later(hands.now, by).unwrap_or(hands.now);
        hands.elapsed = hands.elapsed.saturating_add(by);
    }

    fn hands(&self) -> std::sync::MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hands().now
    }

    fn elapsed(&self) -> Duration {
        self.hands().elapsed
    }
}

fn later(now: Timestamp, by: Duration) -> Option<Timestamp> {
    let sum = Duration::new(0, now.subsec_nanos()).checked_add(by)?;
    let seconds = now.unix_seconds().checked_add(i64::try_from(sum.as_secs()).ok()?)?;
    Timestamp::from_unix(seconds, sum.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn advancing_moves_both_hands_and_carries_nanoseconds() {
        let clock = ManualClock::new(at("2026-01-01T00:00:00.9Z"));
        clock.advance(Duration::from_millis(1_200));
        assert_eq!(clock.now(), at("2026-01-01T00:00:02.1Z"));
        assert_eq!(clock.elapsed(), Duration::from_millis(1_200));
    }

    #[test]
    fn a_step_back_leaves_elapsed_alone() {
        let clock = ManualClock::new(at("2026-01-01T00:06:00Z"));
        clock.set(at("2026-01-01T00:00:00Z"));
        assert_eq!(clock.now(), at("2026-01-01T00:00:00Z"));
        assert_eq!(clock.elapsed(), Duration::ZERO);
    }

    #[test]
    fn the_system_clock_saturates_instead_of_panicking() {
        assert_eq!(wall(Duration::MAX).unix_seconds(), 253_402_300_799);
        assert!(SystemClock::new().now() > at("2025-01-01T00:00:00Z"));
    }
}
