//! Whether a device is taken in or let go: pure decisions. SPEC "Device calls".
//!
//! The checks of the document alone are behind us when a [`Verified`] or an [`Enrolment`] exists; what is stored of the
//! account is the store's. What lies between is here.

use kez_core::{DeviceRevocation, Enrolment, ServerName, Timestamp, Verified};

use crate::registration::{SKEW_MAX_S, is_within_window};
use crate::store::{AcceptedDevice, AcceptedRevocation};

/// Why a well-signed document about a device is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceRefusal {
    /// It names another server.
    #[error("the document is for another server than {server}")]
    WrongServer {
        /// This server.
        server: ServerName,
    },
    /// `created_at` lies too far from the server's clock.
    #[error("created_at is more than {SKEW_MAX_S} seconds away from the server's time {server_time}")]
    ClockSkew {
        /// The server's time, in whole seconds.
        server_time: Timestamp,
    },
    /// The device is over before it is taken in.
    #[error("the device expired at {expires_at}")]
    Expired {
        /// `expires_at` of the document.
        expires_at: Timestamp,
    },
}

/// Decides on an enrolment at the server's time `now`.
pub fn decide_enrolment(
    enrolment: &Enrolment,
    now: Timestamp,
    server: &ServerName,
) -> Result<AcceptedDevice, DeviceRefusal> {
    let (device, envelope) = (enrolment.device(), enrolment.envelope());
    check(&device.server, envelope.created_at(), now, server)?;
    if device.expires_at <= now {
        return Err(DeviceRefusal::Expired { expires_at: device.expires_at });
    }
    Ok(AcceptedDevice {
        primary: enrolment.primary(),
        device_id: device.device_id,
        auth_key: device.auth_key,
        mls_key: device.mls_key,
        certificate: device.mls_certificate,
        envelope: envelope.canonical().to_owned(),
        payload_sha256: *envelope.payload_sha256(),
        signed_at: envelope.created_at(),
        expires_at: device.expires_at,
        at: now.truncated(),
    })
}

/// Decides on a revocation at the server's time `now`.
pub fn decide_revocation(
    envelope: &Verified<DeviceRevocation>,
    now: Timestamp,
    server: &ServerName,
) -> Result<AcceptedRevocation, DeviceRefusal> {
    check(&envelope.document().server, envelope.created_at(), now, server)?;
    Ok(AcceptedRevocation {
        primary: envelope.primary(),
        device_id: envelope.document().device_id,
        envelope: envelope.canonical().to_owned(),
        at: now.truncated(),
    })
}

fn check(
    signed_for: &str,
    created_at: Timestamp,
    now: Timestamp,
    server: &ServerName,
) -> Result<(), DeviceRefusal> {
    if signed_for != server.as_str() {
        return Err(DeviceRefusal::WrongServer { server: server.clone() });
    }
    if !is_within_window(created_at, now) {
        return Err(DeviceRefusal::ClockSkew { server_time: now.truncated() });
    }
    Ok(())
}
