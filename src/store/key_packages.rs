//! Key packages of devices, and who was given which.

use async_trait::async_trait;
use kez_core::{ClaimId, DeviceId, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccountId, DeviceRow, StoreError};
use crate::base64url::Base64Url;
use crate::key_packages::Upload;

/// The most one-time key packages that are kept of a device. SPEC "Key package calls": as many newcomers at once as
/// anybody is added to groups by before the device is back; a device refills below 20.
pub const ONE_TIME_MAX: u32 = 100;

/// What must be left of a package's lifetime when it is handed out, in seconds: 31 days. The log of a conversation is
/// kept for 30 days, and who reads the commit on the last of them still checks the lifetime.
pub const CLAIM_LIFETIME_SECONDS_MIN: i64 = 31 * 24 * 60 * 60;

/// How long the same claim is answered alike, in seconds: ten minutes, longer than any client retries one call.
pub const CLAIM_REPEAT_SECONDS: i64 = 10 * 60;

/// The time over which claims are counted, in seconds: an hour. Claims are forgotten after it.
pub const CLAIM_WINDOW_SECONDS: i64 = 60 * 60;

/// Claims of one target by one claimer within [`CLAIM_WINDOW_SECONDS`]. An honest client needs one for each
/// conversation that it takes somebody into; to use up the 100 packages of somebody takes one account five hours.
pub const CLAIMS_PER_TARGET_MAX: u32 = 20;

/// Claims of all targets by one claimer within [`CLAIM_WINDOW_SECONDS`]: 15 groups of 64 people. Bounds what answers
/// are kept for one account.
pub const CLAIMS_PER_CLAIMER_MAX: u32 = 1_000;

/// How many key packages of a device others can still be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KeyPackageCounts {
    /// One-time packages, at most [`ONE_TIME_MAX`].
    pub one_time: u32,
    /// Whether there is one for when these are used up.
    pub last_resort: bool,
}

/// Why the store refuses an upload; nothing of it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadRefusal {
    /// The device has been revoked.
    #[error("the device is not enrolled, or not any more")]
    DeviceRevoked,
    /// The account is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// The server has no room for more.
    #[error("the server has no room for this")]
    StorageFull,
    /// The device has been enrolled again since the packages were checked.
    #[error("the device has another certificate than the key packages")]
    OtherCertificate,
    /// A package with this `init_key` and other bytes was uploaded before.
    #[error("a key package with the same init_key was uploaded before")]
    InitKeyReused,
    /// More than [`ONE_TIME_MAX`] one-time packages would be kept.
    #[error("at most {ONE_TIME_MAX} one-time key packages are kept of a device")]
    TooMany,
}

/// A claim of one key package of each device of somebody.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who asks.
    pub claimer: AccountId,
    /// With which device; its own packages are left out.
    pub device: DeviceRow,
    /// Chosen by the claimer: the same claim sent again gets the same answer.
    pub id: ClaimId,
    /// Whose devices.
    pub target: PublicKey,
    /// The server's time.
    pub at: Timestamp,
}

/// What a claim is answered with, in the order in which the devices were enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// A package of each device that has one.
    pub key_packages: Vec<ClaimedKeyPackage>,
    /// The devices that have none.
    pub missing: Vec<DeviceId>,
}

/// A key package that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedKeyPackage {
    /// The device that it adds.
    pub device_id: DeviceId,
    /// An `MLSMessage` with a `KeyPackage`, as it was uploaded.
    pub key_package: Base64Url,
    /// Whether others are given the same one.
    pub last_resort: bool,
}

/// Why the store refuses a claim, in the order of the checks; nothing was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimRefusal {
    /// The calling device has been revoked.
    #[error("the device is not enrolled, or not any more")]
    DeviceRevoked,
    /// The account is suspended.
    #[error("this account is suspended by the operator of this server")]
    AccountSuspended,
    /// The id was used within the last hour: for somebody else, or more than ten minutes ago.
    #[error("this id was used for another claim, or is too old to be repeated; take a new one")]
    IdReused,
    /// Nobody holds a handle by that key, or none of their devices is active, or the account is suspended.
    #[error("nobody with a device is known here by that key")]
    NotFound,
    /// More than [`CLAIMS_PER_TARGET_MAX`], or [`CLAIMS_PER_CLAIMER_MAX`] in all, within an hour.
    #[error("too many claims within an hour")]
    Limited {
        /// When one more is admitted, in seconds from now; at least 1.
        retry_after_s: u64,
    },
}

/// Key packages: what a device uploads, what others are given.
#[async_trait]
pub trait KeyPackages: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps what is new of an upload, all or nothing, and replaces the last-resort package. A package that was uploaded
    /// before is left as it is, also when it was handed out since.
    async fn add_key_packages(
        &self,
        upload: Upload,
    ) -> Result<Result<KeyPackageCounts, UploadRefusal>, StoreError>;

    /// What can still be handed out at `now`.
    async fn key_package_counts(
        &self,
        device: DeviceRow,
        now: Timestamp,
    ) -> Result<KeyPackageCounts, StoreError>;

    /// Hands out one package of each active device of the target, each one-time package once and for all.
    async fn claim_key_packages(&self, claim: Claim) -> Result<Result<Claimed, ClaimRefusal>, StoreError>;
}
