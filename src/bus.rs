//! Who has to be told that an inbox got something, or that the devices of an account changed.
//!
//! A bus carries hints, never events: who is told reads the store again. So a hint may come twice, come late, or stand
//! for many, and only one that is lost would matter. Nothing here reads or writes anything that lasts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kez_core::PublicKey;
use tokio::sync::watch;

use crate::store::Woken;

/// Carries hints from writes to the streams of the accounts that they are about.
pub(crate) trait Bus: fmt::Debug + Send + Sync {
    /// Tells of inboxes that got something. To be called after the commit: who is told reads at once.
    fn wake(&self, woken: &[Woken]);

    /// Tells that devices of an account were taken in, renewed or revoked. To be called after the commit.
    fn devices_changed(&self, primary: &PublicKey);

    /// Hears of everything about an account from now on. Listen first, then read: so nothing falls between.
    fn listen(&self, primary: PublicKey) -> Listener;

    /// Ends all listeners, also those that are yet to come: the server stops.
    fn close(&self);
}

/// What a listener was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Signal {
    /// The highest number of an event heard of; 0: of none yet.
    pub head: u64,
    /// How often the devices changed meanwhile.
    pub devices: u64,
}

/// The bus has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server stops")]
pub(crate) struct Closed;

/// Hears of one account. Hints that nobody waited for become one.
#[derive(Debug)]
pub(crate) struct Listener {
    signals: watch::Receiver<Signal>,
    /// Dropped after `signals`: then the last listener of an account is not counted any more.
    _entry: Option<Forget>,
}

impl Listener {
    /// What was heard last; the next [`changed`](Self::changed) waits for something later.
    pub(crate) fn heard(&mut self) -> Signal {
        *self.signals.borrow_and_update()
    }

    /// Waits for something that [`heard`](Self::heard) has not given yet. May be given up and asked again.
    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        self.signals.changed().await.map_err(|_| Closed)
    }
}

/// The bus within one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalBus {
    accounts: Arc<Mutex<Accounts>>,
}

#[derive(Debug, Default)]
struct Accounts {
    /// One entry per account that somebody listens to.
    listened_to: HashMap<PublicKey, watch::Sender<Signal>>,
    closed: bool,
}

impl LocalBus {
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, primary: &PublicKey, change: impl FnOnce(&mut Signal)) {
        if let Some(signals) = self.accounts().listened_to.get(primary) {
            signals.send_modify(change);
        }
    }
}

impl Bus for LocalBus {
    fn wake(&self, woken: &[Woken]) {
        for one in woken {
            self.tell(&one.primary, |signal| signal.head = signal.head.max(one.head));
        }
    }

    fn devices_changed(&self, primary: &PublicKey) {
        self.tell(primary, |signal| signal.devices += 1);
    }

    fn listen(&self, primary: PublicKey) -> Listener {
        let mut accounts = self.accounts();
        if accounts.closed {
            return Listener { signals: watch::channel(Signal::default()).1, _entry: None };
        }
        let signals = accounts.listened_to.entry(primary).or_default().subscribe();
        Listener { signals, _entry: Some(Forget { bus: self.clone(), primary }) }
    }

    fn close(&self) {
        let mut accounts = self.accounts();
        accounts.closed = true;
        let ended = std::mem::take(&mut accounts.listened_to);
        drop(accounts); // wakes every listener, each of which may come for the lock
        drop(ended);
    }
}

/// Takes an account out of the bus with its last listener.
#[derive(Debug)]
struct Forget {
    bus: LocalBus,
    primary: PublicKey,
}

impl Drop for Forget {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = self.bus.accounts().listened_to.entry(self.primary)
            && entry.get().receiver_count() == 0
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use kez_core::Seed;

    use super::*;
    use crate::store::AccountId;

    fn key(number: u8) -> PublicKey {
        Seed::from_bytes([number; 32]).public_key()
    }

    /// Whether there is something to be heard, without waiting.
    async fn is_told(listener: &mut Listener) -> bool {
        tokio::select! {
            biased;
            told = listener.changed() => told.is_ok(),
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn only_listeners_of_the_account_are_told_and_hints_become_one() {
        let bus = LocalBus::default();
        let (mut alice, mut bob) = (bus.listen(key(1)), bus.listen(key(2)));
        for _ in 0..3 {
            bus.devices_changed(&key(1));
        }
        assert!(is_told(&mut alice).await);
        assert_eq!(alice.heard(), Signal { head: 0, devices: 3 });
        assert!(!is_told(&mut alice).await);
        assert!(!is_told(&mut bob).await);
    }

    /// Two nodes or two tasks may tell in another order than they wrote.
    #[tokio::test]
    async fn the_head_never_goes_back() {
        let bus = LocalBus::default();
        let mut alice = bus.listen(key(1));
        let account = AccountId::new(1);
        for head in [7, 5] {
            bus.wake(&[Woken { account, primary: key(1), head }]);
        }
        assert_eq!(alice.heard().head, 7);
    }

    #[test]
    fn an_account_is_forgotten_with_its_last_listener() {
        let bus = LocalBus::default();
        let (one, other) = (bus.listen(key(1)), bus.listen(key(1)));
        drop(one);
        assert_eq!(bus.accounts().listened_to.len(), 1);
        drop(other);
        assert!(bus.accounts().listened_to.is_empty());
    }

    #[tokio::test]
    async fn a_closed_bus_ends_its_listeners_and_those_who_come_late() {
        let bus = LocalBus::default();
        let mut early = bus.listen(key(1));
        bus.close();
        assert_eq!(early.changed().await, Err(Closed));
        assert_eq!(bus.listen(key(1)).changed().await, Err(Closed));
    }
}
