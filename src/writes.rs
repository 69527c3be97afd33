//! How many writes an account has under way.
//!
//! All writes wait in one line. Whoever sends as fast as it can, from as many networks as it likes, has this many places
//! in it at most: the others wait for those few, and the line never fills with one account's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::AccountId;

/// Writes of one account at once: twice its devices, each of which sends and acknowledges. At their largest (16 frames to
/// 64 members each) they take the writer some 0.2 s.
pub(crate) const WRITES_MAX: u32 = 32;

/// An account has as many writes under way as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{WRITES_MAX} calls of this account that change something are under way; wait for their answers")]
pub(crate) struct TooManyWrites;

type UnderWay = Mutex<HashMap<AccountId, u32>>;

/// Counts the writes under way.
#[derive(Debug, Default)]
pub(crate) struct Writes(Arc<UnderWay>);

/// The right to one write, until it is dropped.
#[derive(Debug)]
pub(crate) struct WriteTurn {
    under_way: Arc<UnderWay>,
    account: AccountId,
}

impl Writes {
    /// Begins a write.
    pub(crate) fn begin(&self, account: AccountId) -> Result<WriteTurn, TooManyWrites> {
        let mut under_way = lock(&self.0);
        let count = under_way.entry(account).or_default();
        if *count >= WRITES_MAX {
            return Err(TooManyWrites);
        }
        *count += 1;
        Ok(WriteTurn { under_way: Arc::clone(&self.0), account })
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.under_way).entry(self.account) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock(under_way: &UnderWay) -> MutexGuard<'_, HashMap<AccountId, u32>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_has_so_many_and_gets_them_back() {
        let writes = Writes::default();
        let (alice, bob) = (AccountId::new(1), AccountId::new(2));
        let mut turns: Vec<_> = (0..WRITES_MAX).map(|_| writes.begin(alice).unwrap()).collect();
        assert_eq!(writes.begin(alice).unwrap_err(), TooManyWrites);
        let others = writes.begin(bob).unwrap();
        turns.pop();
        turns.push(writes.begin(alice).unwrap());
        assert_eq!(writes.begin(alice).unwrap_err(), TooManyWrites);
        drop((turns, others));
        assert!(lock(&writes.0).is_empty(), "an account without writes is forgotten");
    }
}
