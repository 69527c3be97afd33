//! Devices that called lately, so that a call need not ask the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kez_core::{DeviceId, PublicKey};

use super::Caller;
use super::recent::Recent;
use crate::store::{ACTIVE_DEVICES_MAX, ActiveDevice, Store, StoreError};

/// Accounts kept at most, with their devices: some 3 MiB when each has one.
const ACCOUNTS_MAX: usize = 16_384;

/// What a call of a device is checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownDevice {
    pub(super) caller: Caller,
    pub(super) auth_key: PublicKey,
    pub(super) is_suspended: bool,
}

/// The devices of accounts as they are stored, as long as nobody says that they changed.
#[derive(Debug)]
pub(crate) struct KnownDevices(Mutex<Known>);

#[derive(Debug)]
struct Known {
    accounts: Recent<PublicKey, Arc<[KnownDevice]>>,
    /// Counts the changes: what was read before one is not kept after it.
    changes: u64,
}

impl KnownDevices {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Known { accounts: Recent::new(ACCOUNTS_MAX / 2), changes: 0 }))
    }

    /// Forgets the devices of an account. What was found before may still be in use: a write looks again.
    pub(crate) fn changed(&self, primary: &PublicKey) {
        let mut known = self.lock();
        known.changes += 1;
        known.accounts.forget(primary);
    }

    /// The device, unless it was never taken in or is revoked.
    pub(super) async fn find(
        &self,
        store: &dyn Store,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<Option<KnownDevice>, StoreError> {
        let changes = match self.lock().look(primary, device_id) {
            Ok(device) => return Ok(Some(device)),
            Err(changes) => changes,
        };
        let Some(device) = store.active_device(primary, device_id).await? else { return Ok(None) };
        let device = KnownDevice::from(device);
        self.keep(device, changes);
        Ok(Some(device))
    }

    /// Keeps what was read after as many `changes`, unless there was another one meanwhile.
    fn keep(&self, device: KnownDevice, changes: u64) {
        let mut known = self.lock();
        if known.changes == changes {
            known.keep(device);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The device, or how many changes there were by now.
    fn look(&mut self, primary: &PublicKey, device_id: &DeviceId) -> Result<KnownDevice, u64> {
        let devices = self.accounts.find(primary);
        let mut devices = devices.iter().flat_map(|devices| devices.iter());
        devices.find(|device| device.caller.device_id == *device_id).copied().ok_or(self.changes)
    }

    /// Keeps as many of an account as may be active: more are there only when some have expired.
    fn keep(&mut self, device: KnownDevice) {
        let primary = device.caller.primary;
        let others = self.accounts.find(&primary);
        let others = others.iter().flat_map(|devices| devices.iter());
        let others = others.filter(|other| other.caller.device_id != device.caller.device_id).copied();
        let devices = std::iter::once(device).chain(others).take(ACTIVE_DEVICES_MAX as usize);
        self.accounts.keep(primary, devices.collect());
    }
}

impl From<ActiveDevice> for KnownDevice {
    fn from(device: ActiveDevice) -> Self {
        let ActiveDevice { account, device: row, primary, device_id, expires_at, revocations, .. } = device;
        Self {
            caller: Caller { account, primary, device_id, device: row, expires_at, revocations },
            auth_key: device.auth_key,
            is_suspended: device.is_suspended,
        }
    }
}

#[cfg(test)]
mod tests {
    use kez_core::Timestamp;

    use super::*;
    use crate::store::{AccountId, DeviceRow};

    fn device(owner: u8, n: u8) -> KnownDevice {
        let (account, row) = (AccountId::from(owner), DeviceRow::from(n));
        KnownDevice {
            caller: Caller {
                account,
                primary: PublicKey::from_bytes([owner; 32]),
                device_id: DeviceId::from_bytes([n; 16]),
                device: row,
                expires_at: Timestamp::from_unix(0, 0).unwrap(),
                revocations: 0,
            },
            auth_key: PublicKey::from_bytes([n; 32]),
            is_suspended: false,
        }
    }

    fn look(known: &KnownDevices, owner: u8, n: u8) -> Result<(), u64> {
        let found = known.lock().look(&PublicKey::from_bytes([owner; 32]), &DeviceId::from_bytes([n; 16]));
        found.map(|device| assert_eq!(device.caller.device_id, DeviceId::from_bytes([n; 16])))
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let known = KnownDevices::new();
        let changes = look(&known, 1, 1).unwrap_err();
        known.changed(&PublicKey::from_bytes([1; 32])); // revoked, while its row is on its way here
        known.keep(device(1, 1), changes);
        let changes = look(&known, 1, 1).unwrap_err();
        known.keep(device(1, 1), changes);
        assert!(look(&known, 1, 1).is_ok());
    }

    #[test]
    fn a_change_forgets_all_devices_of_its_account_and_no_other() {
        let known = KnownDevices::new();
        for (owner, n) in [(1, 1), (1, 2), (2, 1)] {
            known.keep(device(owner, n), 0);
        }
        known.changed(&PublicKey::from_bytes([1; 32]));
        assert!(look(&known, 1, 1).is_err() && look(&known, 1, 2).is_err());
        assert!(look(&known, 2, 1).is_ok());
    }

    #[test]
    fn an_account_has_as_many_places_as_active_devices() {
        let known = KnownDevices::new();
        for n in 0..=16 {
            known.keep(device(1, n), 0);
        }
        let kept = (0..=16).filter(|n| look(&known, 1, *n).is_ok());
        assert_eq!(kept.collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
    }
}
