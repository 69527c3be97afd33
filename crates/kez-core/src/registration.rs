//! The document by which a key takes a handle. SPEC "Registration".

use crate::envelope::{Document, Tag, text};
use crate::json::{Malformed, Object};
use crate::key::PublicKey;

/// "I, the primary key, take this handle on this server."
///
/// Both names are text here: what a server makes of a well-signed registration for a malformed handle, or for
/// another server, is its policy and has codes of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The wanted handle, not yet checked.
    pub handle: String,
    /// The name of the home server it is wanted on, not yet checked.
    pub server: String,
}

impl Document for Registration {
    type Primary = PublicKey;
    const TAG: Tag = "handle_registration";
    const TYPE: &'static str = "kez.chat.handle_registration";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        Ok(Self {
            handle: text(payload, "handle", "payload.handle is not a string")?,
            server: text(payload, "server", "payload.server is not a string")?,
        })
    }

    fn to_payload(&self) -> Object {
        Object::from([
            ("handle".into(), self.handle.as_str().into()),
            ("server".into(), self.server.as_str().into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, EnvelopeError, Seed};

    fn signed() -> String {
        let registration = Registration { handle: "tudisco".into(), server: "kez.lat".into() };
        let at = "2026-05-25T03:00:00Z".parse().unwrap();
        Envelope::sign(&registration, &Seed::from_bytes([0x42; 32]), at).unwrap().canonical().to_owned()
    }

    #[test]
    fn signing_gives_the_published_signature() {
        assert!(signed().contains(
            "fe510f5cfe2e137cf49fb48a86335c335f35029cec2796052bd36b225703f225\
             ef3d9a0fcdfaaa6c1789bdb737e67c79bdbd2755704aeb5fcdbd1a20c3693907"
        ));
    }

    #[test]
    fn what_was_signed_verifies_and_what_was_changed_does_not() {
        let verify = |text: &str| Envelope::parse(text.as_bytes()).unwrap().verify::<Registration>();
        assert_eq!(verify(&signed()).unwrap().document().handle, "tudisco");
        assert_eq!(verify(&signed().replace("tudisco", "mallory")).unwrap_err(), EnvelopeError::BadSignature);
    }
}
