//! One request at a time for each upload, the newest first.
//!
//! A client whose line broke tries again while its first request still waits for bytes that will not come. So a newcomer
//! does not wait for the one before it to run into its time: that one is told to go.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};

/// Who works on what.
#[derive(Debug)]
pub(super) struct Turns<K> {
    places: Mutex<HashMap<K, Arc<Place>>>,
}

#[derive(Debug, Default)]
struct Place {
    /// Counts those who came.
    newest: watch::Sender<u64>,
    busy: Arc<tokio::sync::Mutex<()>>,
}

/// The right to work on something, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    newest: watch::Receiver<u64>,
    own: u64,
    lease: Lease,
}

/// Keeps a turn from ending: work on a thread of its own cannot be broken off.
#[derive(Debug, Clone)]
pub(super) struct Lease(#[expect(dead_code, reason = "held until it is dropped")] Arc<OwnedMutexGuard<()>>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { places: Mutex::default() }
    }
}

impl<K: Hash + Eq + Clone> Turns<K> {
    /// Asks whoever works on `key` to go, and waits until it has.
    pub(super) async fn take(&self, key: &K) -> Turn {
        let (place, newest, own) = self.announce(key);
        let busy = Arc::clone(&place.busy).lock_owned().await;
        Turn { newest, own, lease: Lease(Arc::new(busy)) }
    }

    fn announce(&self, key: &K) -> (Arc<Place>, watch::Receiver<u64>, u64) {
        let mut places = self.places();
        places.retain(|_, place| place.is_used());
        let place = Arc::clone(places.entry(key.clone()).or_default());
        let newest = place.newest.subscribe();
        place.newest.send_modify(|count| *count += 1);
        let own = *place.newest.borrow();
        (place, newest, own)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<K, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whoever waits or works has a receiver; what it left to a thread has the lock.
    fn is_used(&self) -> bool {
        self.newest.receiver_count() > 0 || Arc::strong_count(&self.busy) > 1
    }
}

impl Turn {
    /// The turn does not end while there is one of these.
    pub(super) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Resolves when somebody else waits for this turn.
    pub(crate) async fn is_wanted(&mut self) {
        let own = self.own;
        if self.newest.wait_for(|newest| *newest > own).await.is_err() {
            std::future::pending::<()>().await; // nobody can come any more
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_newcomer_is_announced_and_waits_for_the_end() {
        let turns = Turns::default();
        let mut first = turns.take(&1).await;
        assert!(first.is_wanted().now_or_never().is_none());
        let mut second = Box::pin(turns.take(&1));
        assert!(second.as_mut().now_or_never().is_none(), "one at a time");
        assert!(first.is_wanted().now_or_never().is_some());
        let other = turns.take(&2).now_or_never();
        assert!(other.is_some(), "others do not wait");
        let lease = first.lease();
        drop(first);
        assert!(second.as_mut().now_or_never().is_none(), "some of its work goes on");
        drop(lease);
        let mut second = second.now_or_never().expect("it is free");
        assert!(second.is_wanted().now_or_never().is_none());
        drop((second, other));
        let lease = turns.take(&4).await.lease();
        assert!(turns.take(&4).now_or_never().is_none(), "a lease alone keeps others out");
        drop(lease);
        drop(turns.take(&3).await);
        assert_eq!(turns.places().len(), 1, "what is over is forgotten");
    }
}
