//! The document by which a key says that something is its own. SPEC "Claims".

use crate::envelope::{Document, Tag, text};
use crate::identifier::{Identifier, PrimaryKey};
use crate::json::{Malformed, Object, Value};
use crate::time::Timestamp;

/// "What `subject` names is mine."
///
/// The key's word only: that the subject says the same is shown by finding the claim there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed, in normal form whatever the spelling in the signed bytes.
    pub subject: Identifier,
    /// When the claim ends by itself; never when absent.
    pub expires_at: Option<Timestamp>,
}

impl Claim {
    /// Whether the claim has ended: from the instant `expires_at` on.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl Document for Claim {
    type Primary = PrimaryKey;
    const TAG: Tag = "claim";
    const TYPE: &'static str = "kez.claim";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self { subject: subject(payload)?, expires_at: payload.get("expires_at").map(time).transpose()? })
    }

    fn to_payload(&self) -> Object {
        let mut payload = Object::from([("subject".into(), self.subject.as_str().into())]);
        if let Some(end) = self.expires_at {
            payload.insert("expires_at".into(), end.to_string().as_str().into());
        }
        payload
    }
}

/// The identifier in the member `subject`.
pub(crate) fn subject(members: &Object) -> Result<Identifier, Malformed> {
    text(members, "subject", "subject is not a string")?
        .parse()
        .map_err(|_| Malformed::Shape("subject is not an identifier of the form system:value"))
}

fn time(value: &Value) -> Result<Timestamp, Malformed> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed::Shape("payload.expires_at is not a time like 2026-05-25T03:00:00Z"))
}
