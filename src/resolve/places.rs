//! How many look-ups may be under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kez_serve::client_addr::ClientNet;

/// Look-ups under way at once. Each may hold two answers of 64 KiB.
const PLACES_MAX: usize = 64;
/// Look-ups of one client network under way at once, so that one cannot take all places.
const PLACES_PER_NET_MAX: usize = 4;

/// The places for look-ups, with who has how many.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<ClientNet, usize>>>);

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    net: ClientNet,
}

impl Places {
    /// A place for `net`, if there is one.
    pub(super) fn take(&self, net: ClientNet) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.get(&net).copied().unwrap_or(0);
        if own >= PLACES_PER_NET_MAX || taken.values().sum::<usize>() >= PLACES_MAX {
            return None;
        }
        taken.insert(net, own + 1);
        Some(Place { places: self.clone(), net })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientNet, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.net) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.net);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn net(number: u8) -> ClientNet {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    #[test]
    fn one_network_cannot_take_all_places() {
        let places = Places::default();
        let own: Vec<_> = (0..PLACES_PER_NET_MAX).map(|_| places.take(net(0)).unwrap()).collect();
        assert!(places.take(net(0)).is_none());
        assert!(places.take(net(1)).is_some());
        drop(own);
        assert!(places.take(net(0)).is_some());
        assert!(places.lock().is_empty());
    }

    #[test]
    fn all_networks_together_have_a_bound() {
        let places = Places::default();
        let taken: Vec<_> = (0..).map_while(|number| places.take(net(number))).collect();
        assert_eq!(taken.len(), PLACES_MAX);
    }
}
