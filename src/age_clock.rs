//! The time by which things are old enough to go. docs/OPERATIONS.md "Retention".
//!
//! A machine may boot with its clock a month ahead, and must not drop a month of mail by it. So a clock that went back is
//! believed at once, because less goes by it; one that went ahead is believed once it has stood so for a day. Until then
//! time goes on from the last moment that was believed, by the steady clock. After a start that moment is the one that
//! the store kept: how long the server was down is known by the doubtful clock only.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kez_core::Timestamp;
use kez_serve::clock::Clock;

/// How far ahead the clock may be and still be believed. Longer than between two notes of the time, which a restart falls
/// between, and than any correction of a clock that is kept; nothing is lost by an hour.
const AHEAD_SECONDS_MAX: i64 = 60 * 60;

/// How long a clock has to stand ahead. A day: time for somebody to notice that nobody can call any more, since no
/// signature counts by a clock that is wrong.
const DOUBT: Duration = Duration::from_hours(24);

/// Tells the time by which things are dropped.
#[derive(Debug)]
pub(crate) struct AgeClock {
    hands: Mutex<Hands>,
}

#[derive(Debug, Clone, Copy)]
struct Hands {
    /// The last moment that was believed.
    believed: Reading,
    /// The first one that was not, since then.
    doubted: Option<Reading>,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Timestamp,
    steady: Duration,
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), steady: clock.elapsed() }
    }

    /// What the wall clock shows at another moment if nobody sets it.
    fn wall_at(self, steady: Duration) -> Timestamp {
        let passed = i64::try_from(steady.saturating_sub(self.steady).as_secs());
        passed.ok().and_then(|seconds| self.wall.plus_seconds(seconds)).unwrap_or(self.wall)
    }
}

impl AgeClock {
    /// Goes on from the time that was noted last; from what `clock` shows, where none was.
    pub(crate) fn new(noted: Option<Timestamp>, clock: &dyn Clock) -> Self {
        let shown = Reading::of(clock);
        let believed = Reading { wall: noted.unwrap_or(shown.wall), steady: shown.steady };
        Self { hands: Mutex::new(Hands { believed, doubted: None }) }
    }

    /// The time by which things are dropped now.
    pub(crate) fn now(&self, clock: &dyn Clock) -> Timestamp {
        let shown = Reading::of(clock);
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = hands.believed.wall_at(shown.steady);
        if is_ahead(shown.wall, expected) && !hands.has_stood(shown) {
            return expected;
        }
        *hands = Hands { believed: shown, doubted: None };
        shown.wall
    }
}

impl Hands {
    /// Whether the clock has gone on without a jump ever since it was doubted, and for long enough.
    fn has_stood(&mut self, shown: Reading) -> bool {
        let since = self.doubted.filter(|first| {
            let expected = first.wall_at(shown.steady);
            !is_ahead(shown.wall, expected) && !is_ahead(expected, shown.wall)
        });
        if since.is_none() {
            self.doubted = Some(shown);
            tracing::info!(
                clock = %shown.wall,
                "the clock went ahead, or the server was down: nothing more is dropped for its age until the clock has stood so for a day"
            );
        }
        since.is_some_and(|first| shown.steady.saturating_sub(first.steady) >= DOUBT)
    }
}

fn is_ahead(clock: Timestamp, of: Timestamp) -> bool {
    clock.unix_seconds().saturating_sub(of.unix_seconds()) > AHEAD_SECONDS_MAX
}

#[cfg(test)]
mod tests {
    use kez_serve::clock::ManualClock;

    use super::*;

    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn start() -> Timestamp {
        at("2026-05-25T03:00:00Z")
    }

    /// A clock that stands ahead of what was noted by so many seconds when the server starts.
    fn started(ahead: i64) -> (ManualClock, AgeClock) {
        let clock = ManualClock::new(start().plus_seconds(ahead).unwrap());
        let ages = AgeClock::new(Some(start()), &clock);
        (clock, ages)
    }

    fn pass(clock: &ManualClock, seconds: u64) {
        clock.advance(Duration::from_secs(seconds));
    }

    #[test]
    fn time_goes_on_with_the_clock() {
        let clock = ManualClock::new(start());
        let ages = AgeClock::new(None, &clock);
        for seconds in [0, 1, HOUR, 400 * DAY] {
            pass(&clock, seconds);
            assert_eq!(ages.now(&clock), clock.now(), "however long nobody asked");
        }
    }

    #[test]
    fn an_hour_ahead_is_believed_and_no_more() {
        let (clock, ages) = started(3_600);
        assert_eq!(ages.now(&clock), clock.now());
        let (clock, ages) = started(3_601);
        assert_eq!(ages.now(&clock), start());
        pass(&clock, 90);
        assert_eq!(ages.now(&clock), start().plus_seconds(90).unwrap());
    }

    #[test]
    fn a_clock_that_stands_ahead_for_a_day_is_believed() {
        let (clock, ages) = started(31 * 86_400);
        ages.now(&clock);
        pass(&clock, DAY - 1);
        assert_eq!(ages.now(&clock), start().plus_seconds(86_399).unwrap());
        pass(&clock, 1);
        assert_eq!(ages.now(&clock), clock.now());
        pass(&clock, 1);
        assert_eq!(ages.now(&clock), clock.now());
    }

    #[test]
    fn each_further_jump_begins_the_day_anew() {
        let (clock, ages) = started(31 * 86_400);
        ages.now(&clock);
        pass(&clock, DAY - 1);
        clock.set(at("2030-01-01T00:00:00Z"));
        ages.now(&clock);
        pass(&clock, DAY - 1);
        assert_eq!(ages.now(&clock), start().plus_seconds(2 * 86_400 - 2).unwrap());
        pass(&clock, 1);
        assert_eq!(ages.now(&clock), clock.now());
    }

    #[test]
    fn a_clock_that_goes_back_is_believed_at_once() {
        let (clock, ages) = started(31 * 86_400);
        ages.now(&clock);
        for earlier in ["2026-05-25T03:00:01Z", "2020-01-01T00:00:00Z"] {
            clock.set(at(earlier));
            assert_eq!(ages.now(&clock), at(earlier));
        }
        clock.set(start());
        assert_eq!(ages.now(&clock), at("2020-01-01T00:00:00Z"));
    }
}
