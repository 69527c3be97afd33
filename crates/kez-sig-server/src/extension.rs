//! An event that was checked against the end of a chain: the only thing that a store appends.

use kez_core::sigchain::{self, ChainError, Event, Head};
use kez_core::{Envelope, PrimaryKey, Verified};

/// An event that goes on from a head. [`Extension::check`] is the only constructor.
#[derive(Debug, Clone)]
pub struct Extension {
    before: Option<Head>,
    head: Head,
    event: Verified<Event>,
}

impl Extension {
    /// Checks that `envelope` is the event after `before` (`None`: the first) of the chain named `chain`.
    pub fn check(chain: PrimaryKey, before: Option<Head>, envelope: Envelope) -> Result<Self, ChainError> {
        let appended = sigchain::append(chain, before.as_ref(), envelope)?;
        Ok(Self { before, head: appended.head, event: appended.event })
    }

    /// The end of the chain that the event was checked against.
    pub fn before(&self) -> Option<&Head> {
        self.before.as_ref()
    }

    /// The end of the chain with the event.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The canonical envelope: what is stored and served.
    pub fn envelope(&self) -> &str {
        self.event.canonical()
    }

    /// Whether it takes something back. Nobody may be kept from doing so by a rate.
    pub fn is_revocation(&self) -> bool {
        is_revocation(self.event.document())
    }
}

/// Whether the operation takes something back.
fn is_revocation(event: &Event) -> bool {
    matches!(event.op.name(), "revoke" | "revoke_device")
}
