//! When to try again, and when to stop.

use std::time::Duration;

/// How often a call is sent again after an answer that did not come or was "not now", and how long is waited before.
///
/// The waits are exponential with full jitter: each is drawn evenly from zero to a ceiling that doubles, so that clients
/// which lost a server together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// Attempts altogether, the first one included.
    pub attempts_max: u32,
    /// The ceiling of the first wait.
    pub first_wait: Duration,
    /// The highest ceiling.
    pub longest_wait: Duration,
    /// The longest time spent waiting altogether, what a server asks for by `Retry-After` included.
    pub waits_max: Duration,
}

impl Default for Patience {
    /// Six attempts within about half a minute of waiting: longer than a server takes to restart, and short enough for a
    /// person who watches.
    fn default() -> Self {
        Self {
            attempts_max: 6,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(10),
            waits_max: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// One attempt.
    pub fn none() -> Self {
        Self { attempts_max: 1, ..Self::default() }
    }
}

/// What has been spent of a [`Patience`].
#[derive(Debug, Default)]
pub(crate) struct Spent {
    waits: u32,
    time: Duration,
}

impl Spent {
    /// How long to wait before the next attempt, drawn by the random number `chance`; `None`: give up.
    pub(crate) fn next_wait(
        &mut self,
        patience: &Patience,
        chance: u32,
        retry_after: Duration,
    ) -> Option<Duration> {
        self.waits += 1;
        if self.waits >= patience.attempts_max {
            return None;
        }
        let doubled = patience.first_wait.saturating_mul(2_u32.saturating_pow(self.waits - 1));
        let ceiling = doubled.min(patience.longest_wait);
        let drawn = ceiling.mul_f64(f64::from(chance) / f64::from(u32::MAX));
        let wait = retry_after.saturating_add(drawn);
        self.time = self.time.saturating_add(wait);
        (self.time <= patience.waits_max).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(patience: &Patience, chance: u32, retry_after: Duration) -> Vec<u128> {
        let mut spent = Spent::default();
        std::iter::from_fn(|| spent.next_wait(patience, chance, retry_after))
            .map(|wait| wait.as_millis())
            .collect()
    }

    #[test]
    fn waits_double_up_to_a_ceiling_and_end() {
        let patience = Patience::default();
        assert_eq!(waits(&patience, u32::MAX, Duration::ZERO), [200, 400, 800, 1600, 3200]);
        assert_eq!(waits(&patience, 0, Duration::ZERO), [0, 0, 0, 0, 0]);
        assert_eq!(waits(&patience, u32::MAX / 2 + 1, Duration::ZERO), [100, 200, 400, 800, 1600]);
        let low = Patience { longest_wait: Duration::from_millis(500), ..patience };
        assert_eq!(waits(&low, u32::MAX, Duration::ZERO), [200, 400, 500, 500, 500]);
        assert!(waits(&Patience::none(), u32::MAX, Duration::ZERO).is_empty());
    }

    #[test]
    fn what_a_server_asks_for_counts_towards_the_whole() {
        let asked = Duration::from_secs(14);
        assert_eq!(waits(&Patience::default(), 0, asked), [14_000, 14_000]);
        assert!(waits(&Patience::default(), 0, Duration::from_secs(31)).is_empty());
        assert!(waits(&Patience::default(), 0, Duration::MAX).is_empty());
    }
}
