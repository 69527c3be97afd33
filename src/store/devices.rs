//! Devices of the accounts: taken in, renewed, revoked.

use async_trait::async_trait;
use kez_core::{DeviceCertificate, DeviceId, PublicKey, Timestamp};

use super::StoreError;

/// The row of an account: a primary key that ever took a device in. Never on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub(in crate::store) i64);

impl AccountId {
    /// The row with this number, whether there is one or not.
    pub(crate) const fn new(row: i64) -> Self {
        Self(row)
    }

    /// Its number, for names of files.
    pub(crate) const fn row(self) -> i64 {
        self.0
    }
}

/// The row of a device. Never on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRow(pub(in crate::store) i64);

#[cfg(test)]
impl DeviceRow {
    /// The row with this number, whether there is one or not.
    pub(crate) const fn new(row: i64) -> Self {
        Self(row)
    }
}

#[cfg(test)]
impl From<u8> for AccountId {
    fn from(row: u8) -> Self {
        Self(row.into())
    }
}

#[cfg(test)]
impl From<u8> for DeviceRow {
    fn from(row: u8) -> Self {
        Self(row.into())
    }
}

/// The most devices of an account that may be active at once: not revoked, not expired. Ours: each is a leaf in each of
/// the account's groups and gets a copy of each welcome.
pub const ACTIVE_DEVICES_MAX: u32 = 16;

/// The most devices that an account may ever take in. Ours: their rows are kept for ever, and everybody reads the list.
pub const DEVICES_EVER_MAX: u32 = 256;

/// An enrolment that only the stored state can still stop.
#[derive(Debug, Clone)]
pub struct AcceptedDevice {
    /// The key that takes the device in.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// The key of its signed calls.
    pub auth_key: PublicKey,
    /// Its signature key in MLS.
    pub mls_key: PublicKey,
    /// What its MLS credential holds.
    pub certificate: DeviceCertificate,
    /// The canonical envelope, kept as proof.
    pub envelope: String,
    /// What makes a repetition the same enrolment.
    pub payload_sha256: [u8; 32],
    /// `created_at` of the envelope: a renewal is later than what it renews.
    pub signed_at: Timestamp,
    /// When the device ends by itself, in whole seconds.
    pub expires_at: Timestamp,
    /// The server's time, in whole seconds.
    pub at: Timestamp,
}

/// A device as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDevice {
    /// Its account's row.
    pub account: AccountId,
    /// Its own row.
    pub device: DeviceRow,
    /// The key that took it in.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// The key of its signed calls.
    pub auth_key: PublicKey,
    /// Its signature key in MLS.
    pub mls_key: PublicKey,
    /// What its MLS credential holds.
    pub certificate: DeviceCertificate,
    /// The canonical envelope of the last renewal.
    pub envelope: String,
    /// SHA-256 of that envelope's signed bytes.
    pub payload_sha256: [u8; 32],
    /// `created_at` of that envelope.
    pub signed_at: Timestamp,
    /// When the device ends by itself, in whole seconds.
    pub expires_at: Timestamp,
    /// When the store took it in first, in whole seconds.
    pub enrolled_at: Timestamp,
    /// Its cursor: the inbox events up to this number are not for it, or were acknowledged by it.
    pub acked: u64,
    /// When and by which canonical envelope it was revoked.
    pub revoked: Option<(Timestamp, String)>,
}

/// What a signed call of a device is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveDevice {
    /// Its account's row.
    pub account: AccountId,
    /// Its own row.
    pub device: DeviceRow,
    /// The key that took it in.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// The key of its signed calls.
    pub auth_key: PublicKey,
    /// Its signature key in MLS.
    pub mls_key: PublicKey,
    /// What its MLS credential holds.
    pub certificate: DeviceCertificate,
    /// When it ends by itself, in whole seconds: whether it has is for the reader to say.
    pub expires_at: Timestamp,
    /// How many devices its account has revoked so far.
    pub revocations: u64,
    /// Whether its account is suspended: then its calls are refused.
    pub is_suspended: bool,
}

/// How an account stands that holds a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many devices it has revoked so far.
    pub revocations: u64,
    /// Whether it is suspended.
    pub is_suspended: bool,
}

/// What an enrolment came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The device, durable.
    pub device: StoredDevice,
    /// Whether it was there.
    pub outcome: EnrolledHow,
    /// The account's inbox, when something was done.
    pub woken: Vec<Woken>,
}

/// What an enrolment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolledHow {
    /// Took a new device in.
    New,
    /// Gave a device that was there a new certificate and another end.
    Renewed,
    /// Nothing: it was accepted before.
    Before,
}

/// Why the store refuses an enrolment, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolRefusal {
    /// The primary key holds no handle.
    #[error("this key holds no handle here; register first")]
    NotRegistered,
    /// The primary key is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// The account of this key is being deleted.
    #[error("the account that this key had is still being deleted; try again in a minute")]
    Leaving,
    /// The device was revoked, and never comes back.
    #[error("this device was revoked; a device id is never used twice")]
    DeviceRevoked,
    /// The account has another device by this id.
    #[error("this account has a device with this id and other keys")]
    DeviceExists,
    /// Not later than what is stored of the device.
    #[error("a later enrolment of this device is stored")]
    Superseded,
    /// A key belongs to another device, of this or another account.
    #[error("a key of this device belongs to another device")]
    KeyInUse,
    /// [`ACTIVE_DEVICES_MAX`] are active, or [`DEVICES_EVER_MAX`] were taken in.
    #[error(
        "an account has at most {ACTIVE_DEVICES_MAX} active devices, and takes in at most {DEVICES_EVER_MAX} in its life"
    )]
    TooManyDevices,
}

/// A revocation that only the stored state can still stop.
#[derive(Debug, Clone)]
pub struct AcceptedRevocation {
    /// The key that lets the device go.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
    /// The canonical envelope, kept as proof.
    pub envelope: String,
    /// The server's time, in whole seconds.
    pub at: Timestamp,
}

/// What a revocation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// When the device was revoked first, in whole seconds.
    pub revoked_at: Timestamp,
    /// The account's inbox, when something was done.
    pub woken: Vec<Woken>,
}

/// Why the store refuses a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeRefusal {
    /// The account never took such a device in.
    #[error("this account has no such device")]
    UnknownDevice,
}

/// An inbox that got something. Every write that puts events answers these, for the bus, once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Woken {
    /// Whose.
    pub account: AccountId,
    /// Whose, by key.
    pub primary: PublicKey,
    /// The number of the last event.
    pub head: u64,
}

/// Devices of the accounts.
#[async_trait]
pub trait Devices: std::fmt::Debug + Send + Sync + 'static {
    /// Takes a device in or renews it, in one step; says so when it was done before.
    async fn enrol(&self, wanted: AcceptedDevice) -> Result<Result<Enrolled, EnrolRefusal>, StoreError>;

    /// What to check a call of this device against; `None`: never taken in, or revoked.
    async fn active_device(
        &self,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<Option<ActiveDevice>, StoreError>;

    /// How the account of this key stands; `None`: the key holds no handle.
    async fn standing(&self, primary: &PublicKey) -> Result<Option<Standing>, StoreError>;

    /// A device, also a revoked one.
    async fn device(
        &self,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<Option<StoredDevice>, StoreError>;

    /// All devices of an account, also revoked and expired ones, oldest first; none, when it never took one in.
    async fn devices(&self, primary: &PublicKey) -> Result<Vec<StoredDevice>, StoreError>;

    /// Lets a device go for ever, in one step; a repetition answers the time of the first.
    async fn revoke(&self, wanted: AcceptedRevocation) -> Result<Result<Revoked, RevokeRefusal>, StoreError>;

    /// Every stored device in the order of rows, for verification: up to `limit` after the row `after`.
    async fn device_evidence(
        &self,
        after: Option<DeviceRow>,
        limit: u32,
    ) -> Result<Vec<StoredDevice>, StoreError>;
}
