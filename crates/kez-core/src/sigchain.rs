//! Sigchains: what a key says about itself, in order. SPEC "Sigchains".
//!
//! [`append`] checks one more event against a stored [`Head`] and is all that a server needs. [`Chain`] is what a
//! reader knows after checking a chain from its first event on. [`compare`] tells a reader who was shown a chain
//! before whether the one shown now goes on from it.

mod chain;
mod compare;
mod event;
mod head;
mod read;
mod rotation;

pub use chain::{Chain, Device, Rotation, Subject};
pub use compare::{Comparison, compare};
pub use event::{BadEventHash, Event, EventHash, Op, Sha256Hex};
pub use head::{Appended, ChainError, EVENTS_MAX, Head, append};
pub use read::{EVENT_BYTES_MAX, ReadError};
pub use rotation::{RotationFault, RotationProof};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, Seed};

    /// The published events 0 and 1 of the example key.
    #[test]
    fn signing_gives_the_published_hashes() {
        let seed = Seed::from_bytes([0x42; 32]);
        let subject: crate::Identifier = "github:jason".parse().unwrap();
        let sign = |event: &Event, at: &str| Envelope::sign(event, &seed, at.parse().unwrap()).unwrap();

        let first = sign(&Event::first(Op::Add { subject: subject.clone() }), "2026-05-25T00:00:00Z");
        let mut chain = Chain::genesis(seed.public_key().into(), first).unwrap();
        assert_eq!(
            chain.head().hash.to_string(),
            "sha256:27d310a28d8af0dc546640e33dd0893300883e11ca1b1656954d9bc2449400dc"
        );
        assert!(chain.subjects().contains_key(&subject));

        let second =
            sign(&chain.head().next(Op::Revoke { subject: subject.clone() }), "2026-05-25T00:01:00Z");
        assert_eq!(
            chain.extend(second).unwrap().hash.to_string(),
            "sha256:c25c98767440e997a0cd8388e6f19eed35fd0c75315f68f90f0125ed1f2f7cf9"
        );
        assert!(chain.subjects().is_empty());
    }
}
