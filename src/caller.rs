//! Whose device signed a call. SPEC "Signed calls".

use kez_core::{DeviceId, PublicKey, Timestamp};

use crate::store::{AccountId, DeviceRow};

/// The device that signed a call, enrolled and neither revoked nor expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the first signed call comes next")]
pub(crate) struct Caller {
    /// Its account's row.
    pub account: AccountId,
    /// The key that took it in.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// Its own row.
    pub device: DeviceRow,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}
