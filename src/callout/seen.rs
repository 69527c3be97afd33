//! What was asked before, and how often somebody logs in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kez_core::PublicKey;
use kez_serve::clock::Clock;

/// Requests that are remembered at once: more than come in the ten seconds that each is good for.
const SEEN_MAX: usize = 65_536;
/// Logins of a device in a minute: a client on a bad line comes back every few seconds.
const ATTEMPTS: u32 = 30;
const WINDOW: Duration = Duration::from_mins(1);
/// Devices that are counted at once.
const ATTEMPTS_MAX: usize = 65_536;

/// The requests that are not over yet, by their id.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<String, i64>>);

impl Seen {
    /// Whether `id` is asked for the first time; when too many are remembered, nothing counts as new.
    pub(super) fn is_new(&self, id: &str, expires: i64, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.retain(|_, expires| *expires > now);
        }
        if seen.len() >= SEEN_MAX || seen.contains_key(id) {
            return false;
        }
        seen.insert(id.to_owned(), expires);
        true
    }
}

/// Logins of each device.
#[derive(Debug)]
pub(super) struct Attempts {
    clock: Arc<dyn Clock>,
    counts: Mutex<HashMap<(PublicKey, String), (Duration, u32)>>,
}

impl Attempts {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: Arc::clone(clock), counts: Mutex::default() }
    }

    /// Counts a login of somebody who has proved to be it: nobody else uses the allowance up.
    pub(super) fn may(&self, account: &PublicKey, device: &str) -> bool {
        let now = self.clock.elapsed();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= ATTEMPTS_MAX {
            counts.retain(|_, (since, _)| now.saturating_sub(*since) < WINDOW);
        }
        let (since, count) = counts.entry((*account, device.to_owned())).or_insert((now, 0));
        if now.saturating_sub(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use kez_core::Seed;
    use kez_serve::clock::ManualClock;

    use super::*;

    #[test]
    fn a_request_counts_once_and_the_table_is_bounded() {
        let seen = Seen::default();
        assert!(seen.is_new("a", 10, 0) && !seen.is_new("a", 10, 0));
        for n in 1..SEEN_MAX {
            assert!(seen.is_new(&n.to_string(), 10, 0));
        }
        assert!(!seen.is_new("one more", 10, 5));
        assert!(seen.is_new("one more", 20, 10));
    }

    #[test]
    fn a_device_logs_in_so_often_a_minute() {
        let manual = Arc::new(ManualClock::new("2026-05-25T03:00:00Z".parse().unwrap()));
        let attempts = Attempts::new(&(Arc::clone(&manual) as Arc<dyn Clock>));
        let key = Seed::from_bytes([1; 32]).public_key();
        assert_eq!((0..40).filter(|_| attempts.may(&key, "d")).count(), 30);
        assert!(attempts.may(&key, "e"));
        manual.advance(WINDOW);
        assert!(attempts.may(&key, "d"));
    }
}
