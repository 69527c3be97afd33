//! How a chain goes over to another key. SPEC "Sigchains", "Rotation".

use super::event::{EventHash, position, position_members};
use super::head::Head;
use crate::envelope::{Document, Envelope, EnvelopeError, Tag, text};
use crate::identifier::PrimaryKey;
use crate::json::{Malformed, Object};

/// "I, the new key, take over this chain at this position": signed by the new key, carried in the `rotate` event.
///
/// It names the chain, the position and, through `prev`, everything before it. It is a kind of document of its own,
/// so it is no event of any chain, and nothing else is a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationProof {
    /// The chain that is taken over.
    pub chain: PrimaryKey,
    /// The position of the `rotate` event.
    pub seq: u64,
    /// `prev` of the `rotate` event.
    pub prev: Option<EventHash>,
}

/// Why a `rotate` event does not hand the chain over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationFault {
    /// The proof is not a consent, or the new key did not sign it.
    #[error("the proof is not believed: {0}")]
    Proof(#[from] EnvelopeError),
    /// The proof is by another key than `new_primary`.
    #[error("the proof is by another key than new_primary")]
    OtherKey,
    /// The proof was given to another chain.
    #[error("the proof was given to another chain")]
    OtherChain,
    /// The proof was given for another position, or after another event.
    #[error("the proof was given for another position of the chain")]
    OtherPosition,
    /// The chain has this key already.
    #[error("the chain has this key already")]
    SameKey,
}

impl RotationProof {
    /// What a new key has to sign so that the event after `head` can hand the chain over to it.
    pub fn after(head: &Head) -> Self {
        Self { chain: head.chain, seq: head.seq + 1, prev: Some(head.hash) }
    }

    /// Checks the consent of `new_primary`, and that it was given to this very event.
    pub(super) fn check(
        &self,
        primary: PrimaryKey,
        new_primary: PrimaryKey,
        proof: Envelope,
    ) -> Result<(), RotationFault> {
        let given = proof.verify::<Self>()?;
        if given.primary() != new_primary {
            return Err(RotationFault::OtherKey);
        }
        if given.document().chain != self.chain {
            return Err(RotationFault::OtherChain);
        }
        if given.document() != self {
            return Err(RotationFault::OtherPosition);
        }
        if new_primary == primary {
            return Err(RotationFault::SameKey);
        }
        Ok(())
    }
}

impl Document for RotationProof {
    type Primary = PrimaryKey;
    const TAG: Tag = "sigchain_rotation";
    const TYPE: &'static str = "kez.sigchain.rotation";

    fn from_payload(payload: &Object) -> Result<Self, Malformed> {
        let chain = text(payload, "chain", "payload.chain is not a string")?
            .parse()
            .map_err(|_| Malformed::Shape("payload.chain is not an ed25519 or nostr key"))?;
        let (seq, prev) = position(payload)?;
        Ok(Self { chain, seq, prev })
    }

    fn to_payload(&self) -> Object {
        let mut payload = position_members(self.seq, self.prev);
        payload.insert("chain".into(), self.chain.to_string().as_str().into());
        payload
    }
}
