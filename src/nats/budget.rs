//! How much an account may ask over NATS.
//!
//! Every answer, a refusal too, goes where the caller said, and that may be somebody else's subject: so beyond twice the
//! budget there is none, and the connection ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kez_core::PublicKey;
use kez_serve::clock::Clock;

/// As over HTTP for a client network: a hundred calls a second. Per minute.
const CALLS: u64 = 6_000;
/// The requests of these calls: 512 frames of 64 KiB. Per minute.
const BYTES: u64 = 48 * 1024 * 1024;
const WINDOW: Duration = Duration::from_mins(1);
/// Accounts that are counted at once.
const ACCOUNTS_MAX: usize = 65_536;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done.
    Within,
    /// It is refused, with the seconds to wait.
    Beyond(u64),
    /// There is no answer, and the connection ends.
    FarBeyond,
}

/// Counts by account.
#[derive(Debug)]
pub(super) struct Budget {
    clock: Arc<dyn Clock>,
    spent: Mutex<HashMap<PublicKey, Spent>>,
}

#[derive(Debug, Default)]
struct Spent {
    since: Duration,
    calls: u64,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: Arc::clone(clock), spent: Mutex::default() }
    }

    /// Counts a call of `bytes` bytes.
    pub(super) fn spend(&self, account: &PublicKey, bytes: usize) -> Verdict {
        let now = self.clock.elapsed();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= ACCOUNTS_MAX && !spent.contains_key(account) {
            spent.retain(|_, one| now.saturating_sub(one.since) < WINDOW);
        }
        let one = spent.entry(*account).or_insert_with(|| Spent { since: now, ..Spent::default() });
        if now.saturating_sub(one.since) >= WINDOW {
            *one = Spent { since: now, ..Spent::default() };
        }
        one.calls += 1;
        one.bytes += bytes as u64;
        if one.calls > 2 * CALLS || one.bytes > 2 * BYTES {
            Verdict::FarBeyond
        } else if one.calls > CALLS || one.bytes > BYTES {
            Verdict::Beyond((WINDOW.saturating_sub(now.saturating_sub(one.since))).as_secs().max(1))
        } else {
            Verdict::Within
        }
    }
}

#[cfg(test)]
mod tests {
    use kez_core::Seed;
    use kez_serve::clock::ManualClock;

    use super::*;

    #[test]
    fn a_budget_is_refused_then_silent_and_comes_back() {
        let manual = Arc::new(ManualClock::new("2026-05-25T03:00:00Z".parse().unwrap()));
        let budget = Budget::new(&(Arc::clone(&manual) as Arc<dyn Clock>));
        let [alice, bob] = [1, 2].map(|n| Seed::from_bytes([n; 32]).public_key());
        let verdicts: Vec<_> = (0..=(2 * CALLS)).map(|_| budget.spend(&alice, 1)).collect();
        assert!(verdicts[..6_000].iter().all(|one| *one == Verdict::Within));
        assert!(verdicts[6_000..12_000].iter().all(|one| *one == Verdict::Beyond(60)));
        assert_eq!(verdicts[12_000], Verdict::FarBeyond);
        assert_eq!(budget.spend(&bob, 49 * 1024 * 1024), Verdict::Beyond(60));
        manual.advance(WINDOW);
        assert_eq!(budget.spend(&alice, 1), Verdict::Within);
    }
}
