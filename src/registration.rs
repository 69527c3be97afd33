//! Whether a registration is accepted: a pure decision. SPEC "Registration".
//!
//! The stateless checks up to the signature are behind us when a `Verified<Registration>` exists; uniqueness and
//! invite tokens are the store's. What lies between is here.

use kez_core::{BadHandle, Handle, PublicKey, Registration, ServerName, Timestamp, Verified};

use crate::config::RegistrationMode;
use crate::invite::InviteHash;

/// How far `created_at` may lie from the server's clock, in either direction, in seconds. SPEC "Registration".
pub const SKEW_MAX_S: u32 = 300;

/// What this server lets people register.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The name behind the `@`.
    pub server: ServerName,
    /// Who may register.
    pub mode: RegistrationMode,
}

/// A registration that only uniqueness and its invite can still stop.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The handle to be given.
    pub handle: Handle,
    /// The key that will hold it.
    pub primary: PublicKey,
    /// The canonical envelope, kept as proof.
    pub envelope: String,
    /// What makes a repetition the same registration.
    pub payload_sha256: [u8; 32],
    /// The token to be used up with it, where the policy asks for one.
    pub invite: Option<InviteHash>,
    /// The server's time.
    pub at: Timestamp,
}

/// Why a well-signed registration is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It names another server.
    #[error("the registration is for another server than {server}")]
    WrongServer {
        /// This server.
        server: ServerName,
    },
    /// The handle is not one.
    #[error("{0}")]
    BadHandle(#[from] BadHandle),
    /// The handle is a reserved word, or looks like one.
    #[error("the handle is reserved: it is, or looks like, {reason}")]
    Reserved {
        /// From the list of reserved words.
        reason: &'static str,
    },
    /// `created_at` lies too far from the server's clock.
    #[error("created_at is more than {SKEW_MAX_S} seconds away from the server's time {server_time}")]
    ClockSkew {
        /// The server's time, in whole seconds.
        server_time: Timestamp,
    },
    /// Nobody may register.
    #[error("this server takes no new registrations")]
    Closed,
    /// The header with the token is missing, or holds no token.
    #[error("registering here needs an invite token")]
    InviteRequired,
}

/// Decides on a checked envelope at the server's time `now`.
pub fn decide(
    envelope: &Verified<Registration>,
    invite: Option<InviteHash>,
    now: Timestamp,
    policy: &Policy,
) -> Result<Accepted, Refusal> {
    let wanted = envelope.document();
    if wanted.server != policy.server.as_str() {
        return Err(Refusal::WrongServer { server: policy.server.clone() });
    }
    let handle: Handle = wanted.handle.parse()?;
    if let Some(reason) = handle.reserved() {
        return Err(Refusal::Reserved { reason });
    }
    if !is_within_window(envelope.created_at(), now) {
        return Err(Refusal::ClockSkew { server_time: now.truncated() });
    }
    let invite = match policy.mode {
        RegistrationMode::Closed => return Err(Refusal::Closed),
        RegistrationMode::Invite => Some(invite.ok_or(Refusal::InviteRequired)?),
        RegistrationMode::Open => None,
    };
    Ok(Accepted {
        handle,
        primary: envelope.primary(),
        envelope: envelope.canonical().to_owned(),
        payload_sha256: *envelope.payload_sha256(),
        invite,
        at: now.truncated(),
    })
}

/// Whether a document signed at `created_at` is new enough to be taken at the server's time `now`.
pub(crate) fn is_within_window(created_at: Timestamp, now: Timestamp) -> bool {
    created_at.distance_nanos(now) <= u128::from(SKEW_MAX_S) * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use kez_core::{Envelope, Seed};

    const NOW: &str = "2026-05-25T03:00:00Z";

    fn decided(
        handle: &str,
        server: &str,
        created_at: &str,
        mode: RegistrationMode,
    ) -> Result<Accepted, Refusal> {
        let document = Registration { handle: handle.into(), server: server.into() };
        let seed = Seed::from_bytes([0x42; 32]);
        let envelope =
            Envelope::sign(&document, &seed, created_at.parse().unwrap()).unwrap().verify().unwrap();
        let policy = Policy { server: "kez.lat".parse().unwrap(), mode };
        decide(&envelope, None, NOW.parse().unwrap(), &policy)
    }

    #[test]
    fn the_window_is_closed_one_nanosecond_after_five_minutes_on_both_sides() {
        let open = |at| decided("alice", "kez.lat", at, RegistrationMode::Open);
        assert!(open("2026-05-25T03:05:00Z").is_ok());
        assert!(open("2026-05-25T02:55:00Z").is_ok());
        assert!(matches!(open("2026-05-25T03:05:00.000000001Z"), Err(Refusal::ClockSkew { .. })));
        assert!(matches!(open("2026-05-25T02:54:59.999999999Z"), Err(Refusal::ClockSkew { .. })));
    }

    #[test]
    fn the_checks_come_in_the_order_of_the_specification() {
        use RegistrationMode::{Closed, Invite};
        let old = "2020-01-01T00:00:00Z";
        let refusal = |handle, server, at, mode| decided(handle, server, at, mode).unwrap_err();
        assert!(matches!(refusal("-", "example.org", old, Closed), Refusal::WrongServer { .. }));
        assert!(matches!(refusal("-", "kez.lat", old, Closed), Refusal::BadHandle(_)));
        assert!(matches!(refusal("admin", "kez.lat", old, Closed), Refusal::Reserved { .. }));
        assert!(matches!(refusal("alice", "kez.lat", old, Closed), Refusal::ClockSkew { .. }));
        assert!(matches!(refusal("alice", "kez.lat", NOW, Closed), Refusal::Closed));
        assert!(matches!(refusal("alice", "kez.lat", NOW, Invite), Refusal::InviteRequired));
    }
}
