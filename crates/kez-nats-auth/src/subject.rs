//! Subjects of SPEC "NATS", built and read in one place.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use kez_core::{DeviceId, PublicKey};

use crate::grant::Device;

/// The longest name of an operation.
pub const OP_CHARS_MAX: usize = 32;

/// What stands for the device where a primary key has logged in.
pub const PRIMARY_DEVICE: &str = "primary";

/// The subject is not that of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not kez.rpc.<account>.<device>.<operation>")]
pub struct BadSubject;

/// `kez.rpc.<A>.<d>.<op>`: who calls, and what. The broker lets nobody publish there but A's device d.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSubject<'a> {
    /// Whose call.
    pub account: PublicKey,
    /// By which device.
    pub device: Device,
    /// What is asked.
    pub op: &'a str,
}

impl<'a> CallSubject<'a> {
    /// Reads a subject.
    pub fn read(subject: &'a str) -> Result<Self, BadSubject> {
        let mut words = subject.split('.');
        let (Some("kez"), Some("rpc"), Some(account), Some(device), Some(op), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BadSubject);
        };
        let is_op = !op.is_empty()
            && op.len() <= OP_CHARS_MAX
            && op.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_op {
            return Err(BadSubject);
        }
        let account = format!("ed25519:{account}").parse().map_err(|_| BadSubject)?;
        let device = match device {
            PRIMARY_DEVICE => Device::Primary,
            id => Device::Enrolled(id.parse::<DeviceId>().map_err(|_| BadSubject)?),
        };
        Ok(Self { account, device, op })
    }
}

/// The secret word of an account's inbox subject: 26 characters. Only the account's devices and the home server know it.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxToken(String);

impl InboxToken {
    /// Of the first 16 bytes of the server's MAC.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// The characters.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `kez.inbox.<A>.<t>`: below it this account's hints come.
    pub fn inbox(&self, account: &PublicKey) -> String {
        format!("kez.inbox.{}.{}", account.to_hex(), self.0)
    }
}

impl fmt::Debug for InboxToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InboxToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_are_read() {
        let (a, d) = ("ab".repeat(32), "0a".repeat(16));
        let call = format!("kez.rpc.{a}.{d}.hello");
        assert_eq!(CallSubject::read(&call).unwrap().op, "hello");
        assert_eq!(CallSubject::read(&format!("kez.rpc.{a}.primary.x")).unwrap().device, Device::Primary);
        let upper = a.to_uppercase();
        for subject in [
            String::new(),
            format!("kez.rpc.{a}.{d}"),
            format!("kez.rpc.{a}.{d}."),
            format!("kez.rpc.{a}.{d}.a.b"),
            format!("kez.rpc.{upper}.{d}.hello"),
            format!("kez.rpc.{a}.secondary.hello"),
            format!("kez.rpc.{a}.*.hello"),
            format!("kez.rpc.{a}.{d}.Hello"),
            format!("kez.rpc.{a}.{d}.{}", "a".repeat(33)),
            format!("kez.inbox.{a}.{d}.hello"),
            format!("x.rpc.{a}.{d}.hello"),
        ] {
            assert_eq!(CallSubject::read(&subject), Err(BadSubject), "{subject}");
        }
    }
}
