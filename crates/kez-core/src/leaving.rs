//! The documents of who leaves a home server. SPEC "Account deletion".

mod receipt;

use crate::envelope::{Document, Tag, text};
use crate::json::{Malformed, Object};
use crate::key::PublicKey;

pub use receipt::{BadReceipt, DeletionReceipt, KEPT_AFTER_DELETION, SignedReceipt};

/// "Delete my account and everything of it from this server."
///
/// Both names are text here, as in a [`Registration`](crate::Registration): what a server makes of another's name, or of
/// a handle that the key does not hold, is its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDeletion {
    /// The name of the home server, not yet checked.
    pub server: String,
    /// The handle that the key holds there, not yet checked: nobody deletes what they did not mean.
    pub handle: String,
}

impl Document for AccountDeletion {
    type Primary = PublicKey;
    const TAG: Tag = "account_deletion";
    const TYPE: &'static str = "kez.chat.account_deletion";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self {
            server: text(payload, "server", "payload.server is not a string")?,
            handle: text(payload, "handle", "payload.handle is not a string")?,
        })
    }

    fn to_payload(&self) -> Object {
        Object::from([
            ("server".into(), self.server.as_str().into()),
            ("handle".into(), self.handle.as_str().into()),
        ])
    }
}
