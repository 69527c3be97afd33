//! What an account has to read, in one order.

use serde::Serialize;

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChange {
    /// It was taken in.
    Enrolled,
    /// It got a new certificate and another end.
    Renewed,
    /// It was revoked.
    Revoked,
}
