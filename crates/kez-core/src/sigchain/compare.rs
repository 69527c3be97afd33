//! Whether a chain shown now goes on from one that was seen before.

use super::event::EventHash;

/// How the chain that is shown relates to the one that is known.
///
/// [`Shorter`](Self::Shorter) and [`Forked`](Self::Forked) mean that somebody withholds or rewrites events: a client
/// says so loudly and keeps what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Event for event the same.
    Same,
    /// It has all known events, and more.
    Longer,
    /// It ends before the known one does; what it has is known.
    Shorter,
    /// They part.
    Forked {
        /// The first position with different events.
        seq: u64,
    },
}

/// Compares by the hashes of all events, from event 0 on.
pub fn compare(known: &[EventHash], shown: &[EventHash]) -> Comparison {
    match known.iter().zip(shown).position(|(known, shown)| known != shown) {
        Some(at) => Comparison::Forked { seq: at as u64 },
        None if shown.len() < known.len() => Comparison::Shorter,
        None if shown.len() > known.len() => Comparison::Longer,
        None => Comparison::Same,
    }
}
