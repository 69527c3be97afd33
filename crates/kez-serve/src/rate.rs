//! Rate limits that are kept per key, in bounded memory. GCRA, by governor.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Reference as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{RateLimiter, clock};

use crate::client_addr::ClientNet;
use crate::clock::Clock;

/// Keys remembered at most: about 4 MiB of table. Calls by keys beyond it share one allowance.
pub const KEYS_MAX: usize = 65_536;

/// How often a full table is swept at most: a sweep looks at every key.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much one key may do: `burst` calls at once, and as many again spread over each `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Calls at once, after a pause.
    pub burst: NonZeroU32,
    /// The time over which a spent burst comes back.
    pub per: Duration,
}

/// The call came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls; try again in {seconds} s")]
pub struct RetryAfter {
    /// Whole seconds until the next call is allowed, at least 1.
    pub seconds: u64,
}

/// Counts calls per key and refuses those above the quota.
///
/// Memory is bounded: when [`KEYS_MAX`] keys are in use, those whose allowance is whole again are forgotten, which
/// changes nothing for them. If that frees nothing, new keys share one common allowance until it does: known keys
/// keep theirs, and a flood of addresses neither grows the table nor resets anybody's count.
#[derive(Debug)]
pub struct RateLimit<K: Clone + Eq + Hash = ClientNet> {
    limiter: RateLimiter<K, Store<K>, Steady, NoOpMiddleware<Duration>>,
    store: Store<K>,
    clock: Steady,
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    /// A limit by `clock`'s steady hand, so that a step of the wall clock changes nothing.
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        Self::with_keys_max(quota, clock, KEYS_MAX)
    }

    fn with_keys_max(quota: Quota, clock: Arc<dyn Clock>, keys_max: usize) -> Self {
        let clock = Steady(clock);
        let store = Store { table: Arc::new(Mutex::new(Table::new(keys_max))) };
        // governor counts from its clock's reading at this moment.
        store.lock().start = clock::Clock::now(&clock);
        let limiter = RateLimiter::new(gcra(quota), store.clone(), clock.clone());
        Self { limiter, store, clock }
    }

    /// Counts one call by `key`, or says when the next one is allowed.
    pub fn check(&self, key: &K) -> Result<(), RetryAfter> {
        let now = clock::Clock::now(&self.clock);
        self.store.lock().sweep_if_full(now);
        self.limiter.check_key(key).map_err(|refusal| {
            let wait = refusal.wait_time_from(now);
            RetryAfter { seconds: wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1) }
        })
    }
}

fn gcra(quota: Quota) -> governor::Quota {
    let interval = (quota.per / quota.burst.get()).max(Duration::from_nanos(1));
    // `with_period` gives None for a zero period only, which `max` rules out.
    governor::Quota::with_period(interval)
        .unwrap_or(governor::Quota::per_second(quota.burst))
        .allow_burst(quota.burst)
}

/// The steady hand of a [`Clock`], as governor wants to read it.
#[derive(Debug, Clone)]
struct Steady(Arc<dyn Clock>);

impl clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[derive(Debug)]
struct Store<K> {
    table: Arc<Mutex<Table<K>>>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<K> Store<K> {
    fn lock(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each key the moment, since `start`, at which its allowance is whole again.
#[derive(Debug)]
struct Table<K> {
    whole_at: HashMap<K, Nanos>,
    shared: Option<Nanos>,
    keys_max: usize,
    start: Duration,
    swept: Duration,
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn sweep_if_full(&mut self, now: Duration) {
        if self.whole_at.len() >= self.keys_max && now.saturating_sub(self.swept) >= SWEEP_EVERY {
            let since_start = now.duration_since(self.start);
            self.whole_at.retain(|_, whole_at| *whole_at > since_start);
            self.swept = now;
        }
    }
}

impl<K> Table<K> {
    fn new(keys_max: usize) -> Self {
        Self {
            whole_at: HashMap::new(),
            shared: None,
            keys_max,
            start: Duration::ZERO,
            swept: Duration::ZERO,
        }
    }
}

impl<K: Clone + Eq + Hash> StateStore for Store<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = self.lock();
        let known = table.whole_at.get(key).copied();
        let room = known.is_some() || table.whole_at.len() < table.keys_max;
        let (verdict, whole_at) = decide(if room { known } else { table.shared })?;
        if room {
            table.whole_at.insert(key.clone(), whole_at);
        } else {
            table.shared = Some(whole_at);
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn limit(burst: u32, per_s: u64, keys_max: usize) -> (Arc<ManualClock>, RateLimit<u32>) {
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        clock.advance(Duration::from_secs(1_000));
        let quota = Quota { burst: NonZeroU32::new(burst).unwrap(), per: Duration::from_secs(per_s) };
        (clock.clone(), RateLimit::with_keys_max(quota, clock, keys_max))
    }

    #[test]
    fn a_burst_passes_and_comes_back_over_the_period() {
        let (clock, limit) = limit(3, 30, 10);
        for _ in 0..3 {
            limit.check(&1).unwrap();
        }
        assert_eq!(limit.check(&1), Err(RetryAfter { seconds: 10 }));
        limit.check(&2).unwrap();
        clock.advance(Duration::from_millis(9_500));
        assert_eq!(limit.check(&1), Err(RetryAfter { seconds: 1 }));
        clock.advance(Duration::from_millis(500));
        limit.check(&1).unwrap();
        assert!(limit.check(&1).is_err());
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing() {
        let (clock, limit) = limit(1, 10, 10);
        limit.check(&1).unwrap();
        clock.set("2030-01-01T00:00:00Z".parse().unwrap());
        assert!(limit.check(&1).is_err());
        clock.set("2020-01-01T00:00:00Z".parse().unwrap());
        clock.advance(Duration::from_secs(10));
        limit.check(&1).unwrap();
    }

    #[test]
    fn a_full_table_forgets_the_rested_and_keeps_the_busy() {
        let (clock, limit) = limit(1, 10, 2);
        limit.check(&1).unwrap();
        clock.advance(Duration::from_secs(9));
        limit.check(&2).unwrap();
        limit.check(&3).unwrap(); // full: takes the shared allowance
        assert!(limit.check(&4).is_err(), "shared with 3");
        clock.advance(Duration::from_secs(1)); // 1 has rested
        limit.check(&4).unwrap();
        assert!(limit.check(&2).is_err());
        assert!(limit.store.lock().whole_at.len() <= 2);
    }
}
