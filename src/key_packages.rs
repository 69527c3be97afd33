//! Key packages that were accepted. SPEC "Key package calls".

use kez_core::{DeviceCertificate, Timestamp};

use crate::store::DeviceRow;

/// An upload that only the packages of before can still stop.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Whose packages they are.
    pub device: DeviceRow,
    /// The certificate that they were checked against.
    pub certificate: DeviceCertificate,
    /// Packages for one use each, in the order in which they are to be used; no two with one `init_key`.
    pub one_time: Vec<AcceptedKeyPackage>,
    /// The package for when these are used up.
    pub last_resort: Option<AcceptedKeyPackage>,
    /// The server's time.
    pub at: Timestamp,
}

/// A key package that was checked for its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKeyPackage {
    /// An `MLSMessage` with a `KeyPackage`.
    pub bytes: Vec<u8>,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
    /// SHA-256 of its `init_key`.
    pub init_key_sha256: [u8; 32],
    /// The last second of its lifetime.
    pub not_after: Timestamp,
}
