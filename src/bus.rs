//! Who has to be told that an inbox got something, or that the devices of an account changed.
//!
//! A bus carries hints, never events: who is told reads the store again. So a hint may come twice, come late, or stand
//! for many, and only one that is lost would matter. Nothing here reads or writes anything that lasts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kez_core::PublicKey;
use tokio::sync::watch;

use crate::store::Woken;

/// Carries hints from writes to the streams of the accounts that they are about.
pub(crate) trait Bus: fmt::Debug + Send + Sync {
    /// Tells of inboxes that got something. To be called after the commit: who is told reads at once.
    fn wake(&self, woken: &[Woken]);

    /// Tells that devices of an account were taken in, renewed or revoked. To be called after the commit.
    fn devices_changed(&self, primary: &PublicKey);

    /// Ends what other connections than HTTP's an account has: a device was revoked, the account was suspended or
    /// deleted. To be called after the commit: who comes back at once is judged by it.
    fn cut_off(&self, _primary: &PublicKey) {}

    /// Takes in what another node told of devices.
    fn heard_devices(&self, primary: &PublicKey) {
        self.devices_changed(primary);
    }

    /// Takes in what another node told of an inbox.
    fn heard_wake(&self, primary: &PublicKey);

    /// Tells `hear` of every account whose devices change from now on, whoever listens to it. A change that was made here
    /// is heard before [`devices_changed`](Self::devices_changed) returns.
    fn hear_devices(&self, hear: HearDevices);

    /// Hears of everything about an account from now on. Listen first, then read: so nothing falls between.
    fn listen(&self, primary: PublicKey) -> Listener;

    /// Ends all listeners, also those that are yet to come: the server stops.
    fn close(&self);
}

/// Takes the account whose devices changed. Must be quick, and not call the bus.
pub(crate) type HearDevices = Box<dyn Fn(&PublicKey) + Send + Sync>;

/// The bus has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server stops")]
pub(crate) struct Closed;

/// Hears of one account. Hints that nobody waited for become one.
#[derive(Debug)]
pub(crate) struct Listener {
    hints: watch::Receiver<()>,
    /// What the bus keeps for as long. Dropped after `hints`: then the last listener of an account is not counted any more.
    _entry: Option<Box<dyn fmt::Debug + Send + Sync>>,
}

impl Listener {
    /// Waits for a hint that came after the last one this gave. May be given up and asked again.
    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        self.hints.changed().await.map_err(|_| Closed)
    }
}

/// The bus within one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalBus {
    accounts: Arc<Mutex<Accounts>>,
    hearers: Arc<RwLock<Hearers>>,
}

/// Who is told of every account's devices.
#[derive(Default)]
struct Hearers(Vec<HearDevices>);

impl fmt::Debug for Hearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hearers", self.0.len())
    }
}

#[derive(Debug, Default)]
struct Accounts {
    /// One entry per account that somebody listens to.
    listened_to: HashMap<PublicKey, watch::Sender<()>>,
    closed: bool,
}

impl LocalBus {
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, primary: &PublicKey) {
        if let Some(hints) = self.accounts().listened_to.get(primary) {
            hints.send_replace(());
        }
    }
}

impl Bus for LocalBus {
    fn wake(&self, woken: &[Woken]) {
        for one in woken {
            self.tell(&one.primary);
        }
    }

    fn devices_changed(&self, primary: &PublicKey) {
        for hear in &self.hearers.read().unwrap_or_else(PoisonError::into_inner).0 {
            hear(primary);
        }
        self.tell(primary);
    }

    fn heard_wake(&self, primary: &PublicKey) {
        self.tell(primary);
    }

    fn hear_devices(&self, hear: HearDevices) {
        self.hearers.write().unwrap_or_else(PoisonError::into_inner).0.push(hear);
    }

    fn listen(&self, primary: PublicKey) -> Listener {
        let mut accounts = self.accounts();
        if accounts.closed {
            return Listener { hints: watch::channel(()).1, _entry: None };
        }
        let hints = accounts.listened_to.entry(primary).or_default().subscribe();
        Listener { hints, _entry: Some(Box::new(Forget { bus: self.clone(), primary })) }
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
        assert!(!is_told(&mut alice).await);
        assert!(!is_told(&mut bob).await);
    }

    #[tokio::test]
    async fn a_hint_is_kept_for_who_comes_back_to_wait() {
        let bus = LocalBus::default();
        let mut alice = bus.listen(key(1));
        assert!(!is_told(&mut alice).await);
        bus.wake(&[Woken { account: AccountId::new(1), primary: key(1), head: 7 }]);
        assert!(is_told(&mut alice).await);
    }

    #[test]
    fn changes_of_devices_are_heard_of_every_account_also_where_nobody_listens() {
        let bus = LocalBus::default();
        let heard: [Arc<Mutex<Vec<PublicKey>>>; 2] = Default::default();
        for keys in &heard {
            let keys = Arc::clone(keys);
            bus.hear_devices(Box::new(move |primary| keys.lock().unwrap().push(*primary)));
        }
        let _alice = bus.listen(key(1));
        bus.devices_changed(&key(1));
        bus.wake(&[Woken { account: AccountId::new(2), primary: key(2), head: 7 }]);
        bus.close();
        bus.devices_changed(&key(3)); // while the server stops
        for keys in heard {
            assert_eq!(*keys.lock().unwrap(), [key(1), key(3)]);
        }
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
