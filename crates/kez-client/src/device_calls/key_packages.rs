//! Key packages: how others add this device, and how it adds theirs.

use kez_core::{ClaimId, DeviceId, PublicKey};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::LARGE_BYTES_MAX;
use crate::call_error::CallError;
use crate::device_client::DeviceClient;

/// What the server has of this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct KeyPackageCounts {
    /// One-time packages that nobody has claimed.
    pub one_time: u32,
    /// Whether there is one of last resort.
    pub last_resort: bool,
}

/// What a claim gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Claimed {
    /// One for each device that has any. Nothing about them has been checked.
    pub key_packages: Vec<ClaimedKeyPackage>,
    /// Active devices that have none.
    pub missing: Vec<DeviceId>,
}

/// A key package of another device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ClaimedKeyPackage {
    /// Whose.
    pub device_id: DeviceId,
    /// An `MLSMessage`.
    #[serde(with = "crate::base64url")]
    pub key_package: Vec<u8>,
    /// Whether others get the same one.
    pub last_resort: bool,
}

#[derive(Serialize)]
struct Upload<'a> {
    one_time: Vec<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_resort: Option<Bytes<'a>>,
}

#[derive(Serialize)]
struct Claim {
    primary: PublicKey,
    id: ClaimId,
}

#[derive(Serialize)]
struct Bytes<'a>(#[serde(serialize_with = "crate::base64url::serialize")] &'a [u8]);

impl DeviceClient {
    /// Adds key packages of this device; one of last resort takes the place of the one before. The same bytes again have
    /// no effect.
    pub async fn add_key_packages(
        &self,
        one_time: &[Vec<u8>],
        last_resort: Option<&[u8]>,
    ) -> Result<KeyPackageCounts, CallError> {
        let upload = Upload {
            one_time: one_time.iter().map(|package| Bytes(package)).collect(),
            last_resort: last_resort.map(Bytes),
        };
        let request = self.request(Method::PUT, &["keypackages"]).json(&upload);
        Ok(self.call(&request).await?.json()?)
    }

    /// What the server has of this device.
    pub async fn key_package_counts(&self) -> Result<KeyPackageCounts, CallError> {
        Ok(self.call(&self.request(Method::GET, &["keypackages", "count"])).await?.json()?)
    }

    /// Takes one key package of each active device of `primary`; of the own account, of each other device. The same `id`
    /// gets the same answer for ten minutes.
    pub async fn claim_key_packages(&self, primary: PublicKey, id: ClaimId) -> Result<Claimed, CallError> {
        let request = self.request(Method::POST, &["keypackages", "claim"]).json(&Claim { primary, id });
        Ok(self.call(&request.bytes_max(LARGE_BYTES_MAX)).await?.json()?)
    }
}
