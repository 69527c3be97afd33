//! The end of a chain, and what may come after it.

use super::event::{Event, EventHash, Op};
use super::rotation::{RotationFault, RotationProof};
use crate::envelope::{Envelope, EnvelopeError, Verified};
use crate::identifier::PrimaryKey;

/// Events in one chain. A reader checks each signature, about 50 µs on one core: half a second for the longest.
pub const EVENTS_MAX: u64 = 10_000;

/// The last event of a chain: all that has to be known to check the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The name of the chain: the key of its event 0, for ever.
    pub chain: PrimaryKey,
    /// The key that has to sign the next event.
    pub primary: PrimaryKey,
    /// The position of the last event.
    pub seq: u64,
    /// The hash of the last event.
    pub hash: EventHash,
}

/// An event that goes on from what was there.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The new end of the chain.
    pub head: Head,
    /// The event.
    pub event: Verified<Event>,
}

/// Why an event is not the next one of a chain, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Not a signed event at all.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It stands at another position than the next one.
    #[error("event {found} stands where event {expected} belongs")]
    BadSequence {
        /// The next position.
        expected: u64,
        /// The event's own.
        found: u64,
    },
    /// The chain is full: it has [`EVENTS_MAX`] events.
    #[error("a chain has at most {max} events")]
    TooLong {
        /// [`EVENTS_MAX`].
        max: u64,
    },
    /// It follows another event than the one before it here.
    #[error("event {seq} follows another event than the one that stands before it")]
    WrongPrev {
        /// The event's position.
        seq: u64,
    },
    /// It is well signed, but not by the key that the chain has here.
    #[error("event {seq} is by another key than the chain's")]
    WrongPrimary {
        /// The event's position.
        seq: u64,
    },
    /// It hands the chain over without the new key's consent.
    #[error("event {seq} does not hand the chain over: {fault}")]
    BadRotation {
        /// The event's position.
        seq: u64,
        /// What is wrong with the consent.
        #[source]
        fault: RotationFault,
    },
}

/// Checks that `envelope` is the next event of the chain named `chain`, whose end is `head` (`None`: it has no event
/// yet).
pub fn append(chain: PrimaryKey, head: Option<&Head>, envelope: Envelope) -> Result<Appended, ChainError> {
    accept(chain, head, envelope.verify::<Event>()?)
}

/// [`append`] of an event whose signature was checked.
pub(super) fn accept(
    chain: PrimaryKey,
    head: Option<&Head>,
    event: Verified<Event>,
) -> Result<Appended, ChainError> {
    let place =
        RotationProof { chain, seq: head.map_or(0, |head| head.seq + 1), prev: head.map(|head| head.hash) };
    let primary = head.map_or(chain, |head| head.primary);
    check_place(&event, &place, primary)?;
    let next = match &event.document().op {
        Op::Rotate { new_primary, proof } => {
            place
                .check(primary, *new_primary, Envelope::clone(proof))
                .map_err(|fault| ChainError::BadRotation { seq: place.seq, fault })?;
            *new_primary
        }
        _ => primary,
    };
    let head = Head { chain, primary: next, seq: place.seq, hash: EventHash::from(&event) };
    Ok(Appended { head, event })
}

fn check_place(
    event: &Verified<Event>,
    place: &RotationProof,
    primary: PrimaryKey,
) -> Result<(), ChainError> {
    let seq = place.seq;
    if event.document().seq != seq {
        return Err(ChainError::BadSequence { expected: seq, found: event.document().seq });
    }
    if seq >= EVENTS_MAX {
        return Err(ChainError::TooLong { max: EVENTS_MAX });
    }
    if event.document().prev != place.prev {
        return Err(ChainError::WrongPrev { seq });
    }
    if event.primary() != primary {
        return Err(ChainError::WrongPrimary { seq });
    }
    Ok(())
}

impl Head {
    /// The event that would come next.
    pub fn next(&self, op: Op) -> Event {
        Event { seq: self.seq + 1, prev: Some(self.hash), op }
    }
}

impl Event {
    /// The event that would begin a chain.
    pub fn first(op: Op) -> Self {
        Self { seq: 0, prev: None, op }
    }
}

impl ChainError {
    /// The stable code of SPEC "Sigchains".
    pub fn code(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.code(),
            Self::BadSequence { .. } => "bad_sequence",
            Self::TooLong { .. } => "chain_full",
            Self::WrongPrev { .. } => "wrong_prev",
            Self::WrongPrimary { .. } => "wrong_primary",
            Self::BadRotation { .. } => "bad_rotation",
        }
    }
}
