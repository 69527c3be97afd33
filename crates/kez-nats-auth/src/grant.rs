//! What a connection may publish and subscribe to.

use std::fmt;

use kez_core::{DeviceId, PublicKey};

use crate::subject::{InboxToken, PRIMARY_DEVICE};

/// What acts for an account on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// An enrolled device.
    Enrolled(DeviceId),
    /// The primary key itself.
    Primary,
}

/// The three subjects of one device of one account: its calls, its hints, its answers. Never empty, because an empty list
/// allows everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub account: PublicKey,
    /// By what.
    pub device: Device,
    /// The word in its inbox subject.
    pub token: InboxToken,
}

impl Grant {
    /// The one subject to publish to.
    pub fn publish(&self) -> String {
        format!("kez.rpc.{}.{}.>", self.account.to_hex(), self.device)
    }

    /// The two subjects to subscribe to.
    pub fn subscribe(&self) -> [String; 2] {
        [
            format!("{}.>", self.token.inbox(&self.account)),
            format!("_INBOX_{}_{}.>", self.account.to_hex(), self.device),
        ]
    }

    /// The name of the connection, by which it is counted and found: `<A>:<d>`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.account.to_hex(), self.device)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolled(id) => fmt::Display::fmt(id, f),
            Self::Primary => f.write_str(PRIMARY_DEVICE),
        }
    }
}
