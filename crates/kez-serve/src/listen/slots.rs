//! Places for connections: so many in all, so many per network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client_addr::ClientNet;

/// Counts who is connected. One per listener.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    per_network_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_network: HashMap<ClientNet, usize>,
}

/// Which limit stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Every place is taken.
    Server,
    /// This network has its share.
    Network,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    network: Option<ClientNet>,
}

impl Slots {
    pub(super) fn new(max: usize, per_network_max: usize) -> Arc<Self> {
        Arc::new(Self { max, per_network_max, taken: Mutex::default() })
    }

    /// A place for a connection from `network`; `None` for peers that stand for many clients.
    pub(super) fn take(self: &Arc<Self>, network: Option<ClientNet>) -> Result<Slot, Full> {
        let mut taken = self.lock();
        if taken.total >= self.max {
            return Err(Full::Server);
        }
        if let Some(network) = network {
            let count = taken.by_network.entry(network).or_default();
            if *count >= self.per_network_max {
                return Err(Full::Network);
            }
            *count += 1;
        }
        taken.total += 1;
        drop(taken);
        Ok(Slot { slots: Arc::clone(self), network })
    }

    fn give_back(&self, network: Option<ClientNet>) {
        let mut taken = self.lock();
        taken.total = taken.total.saturating_sub(1);
        let Some(network) = network else { return };
        if let Some(count) = taken.by_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_network.remove(&network);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.give_back(self.network);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn net(addr: &str) -> ClientNet {
        addr.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn one_network_cannot_take_every_place() {
        let slots = Slots::new(3, 2);
        let first = slots.take(Some(net("203.0.113.1"))).unwrap();
        let _second = slots.take(Some(net("203.0.113.1"))).unwrap();
        assert_eq!(slots.take(Some(net("203.0.113.1"))).unwrap_err(), Full::Network);
        let _third = slots.take(Some(net("203.0.113.2"))).unwrap();
        assert_eq!(slots.take(Some(net("203.0.113.3"))).unwrap_err(), Full::Server);
        drop(first);
        slots.take(Some(net("203.0.113.1"))).unwrap();
    }

    #[test]
    fn nothing_is_kept_about_those_who_left() {
        let slots = Slots::new(3, 2);
        drop(slots.take(Some(net("203.0.113.1"))).unwrap());
        drop(slots.take(None).unwrap());
        let taken = slots.lock();
        assert_eq!((taken.total, taken.by_network.len()), (0, 0));
    }
}
