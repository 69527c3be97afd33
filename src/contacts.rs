//! What people may do to each other: pure decisions. SPEC "Contacts" has the same as a table.
//!
//! Two people are strangers, or one asked the other, or they are contacts. Each side has its own view of it; the views
//! change in one transaction. Time is part of no stored view: a request that is too old counts as never made.

use kez_core::{ContactState, ConversationState, Timestamp};

/// How long a request waits for an answer, in seconds: 14 days. Somebody on holiday finds it; its Welcome, and the key
/// package in it, last longer.
pub(crate) const REQUEST_SECONDS: i64 = 14 * 24 * 60 * 60;

/// The longest creating bundle of a request, in bytes of its commit, Welcomes and group info: two people with 16 devices
/// each, twice.
pub(crate) const REQUEST_BUNDLE_BYTES_MAX: usize = 64 * 1024;

/// The longest frame of a request, in bytes: a few sentences, padded to 1 KiB.
pub(crate) const REQUEST_FRAME_BYTES_MAX: usize = 2 * 1024;

/// Requests of one sender that may wait at once. Ours: who knows fifty people here that do not know them is rare.
pub(crate) const REQUESTS_SENT_MAX: u32 = 50;

/// Requests that may wait for one person at once. Ours: as many as a person looks through; 6.6 MiB at their largest.
pub(crate) const REQUESTS_RECEIVED_MAX: u32 = 100;

/// When to ask again where too many requests wait, in seconds. The same for everybody: it tells nothing of who waits.
pub(crate) const REQUESTS_RETRY_S: u64 = 60 * 60;

/// How somebody stands to me at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is nothing between us, or a request that has expired.
    Stranger,
    /// See [`ContactState`].
    Known(ContactState),
}

impl Standing {
    /// The standing at `now` of a view that was stored, with the time of its request.
    pub(crate) fn of(stored: Option<(ContactState, Timestamp)>, now: Timestamp) -> Self {
        match stored {
            None => Self::Stranger,
            Some((state, asked_at)) if state != ContactState::Accepted && has_expired(asked_at, now) => {
                Self::Stranger
            }
            Some((state, _)) => Self::Known(state),
        }
    }
}

/// Whether a request of this time has expired at `now`.
pub(crate) fn has_expired(asked_at: Timestamp, now: Timestamp) -> bool {
    asked_at.unix_millis() <= asked_before(now)
}

/// Requests of this millisecond (Unix time) and before have expired at `now`.
pub(crate) fn asked_before(now: Timestamp) -> i64 {
    now.unix_millis().saturating_sub(REQUEST_SECONDS * 1_000)
}

/// What the creation of a `direct` conversation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It is a request.
    Asks,
    /// The two are contacts: it is open.
    Opens,
    /// It is not created. The other side's request is accepted by it.
    Accepts,
    /// It is not created: the pair has its conversation.
    Exists,
}

/// Decides on the creation of a `direct` conversation.
pub(crate) fn begin(standing: Standing, has_conversation: bool) -> Beginning {
    match standing {
        Standing::Stranger => Beginning::Asks,
        Standing::Known(ContactState::Outgoing) => Beginning::Exists,
        Standing::Known(ContactState::Incoming | ContactState::Declined) => Beginning::Accepts,
        Standing::Known(ContactState::Accepted) if has_conversation => Beginning::Exists,
        Standing::Known(ContactState::Accepted) => Beginning::Opens,
    }
}

/// What may be written to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writable {
    /// Everything.
    Freely,
    /// One frame of at most [`REQUEST_FRAME_BYTES_MAX`] bytes, right after the creating commit.
    OneFrame,
    /// Nothing until the request is accepted.
    Pending,
    /// Nothing any more.
    Closed,
}

/// Decides what I may write to a conversation that is stored as `state`; of a request the other side's standing counts.
pub(crate) fn writable(state: ConversationState, standing: Standing) -> Writable {
    match (state, standing) {
        (ConversationState::Open, _) => Writable::Freely,
        (ConversationState::Closed, _) | (ConversationState::Pending, Standing::Stranger) => Writable::Closed,
        (ConversationState::Pending, Standing::Known(ContactState::Outgoing)) => Writable::OneFrame,
        (ConversationState::Pending, Standing::Known(_)) => Writable::Pending,
    }
}

/// What a stored state is at the moment of that standing: a request that has expired is closed.
pub(crate) fn state(stored: ConversationState, standing: Standing) -> ConversationState {
    match (stored, standing) {
        (ConversationState::Pending, Standing::Stranger) => ConversationState::Closed,
        _ => stored,
    }
}

/// What an acceptance comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// The request is accepted.
    Accepts,
    /// It is open already.
    Nothing,
    /// Who asked cannot accept.
    Pending,
    /// There is nothing to be accepted any more.
    Closed,
}

/// Decides on the acceptance of a conversation that is stored as `stored`.
pub(crate) fn accept(stored: ConversationState, standing: Standing) -> Acceptance {
    match writable(stored, standing) {
        Writable::Freely => Acceptance::Nothing,
        Writable::OneFrame => Acceptance::Pending,
        Writable::Pending => Acceptance::Accepts,
        Writable::Closed => Acceptance::Closed,
    }
}

/// What the removal of a contact comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Their request is declined.
    Declines,
    /// The two are strangers again, and their conversation is closed.
    Parts,
    /// There is nothing to be removed.
    Nothing,
    /// A request cannot be taken back: it could be made again, and again.
    Pending,
}

/// Decides on the removal of a contact.
pub(crate) fn remove(standing: Standing) -> Removal {
    match standing {
        Standing::Stranger | Standing::Known(ContactState::Declined) => Removal::Nothing,
        Standing::Known(ContactState::Outgoing) => Removal::Pending,
        Standing::Known(ContactState::Incoming) => Removal::Declines,
        Standing::Known(ContactState::Accepted) => Removal::Parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContactState::{Accepted, Declined, Incoming, Outgoing};
    use Standing::{Known, Stranger};

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_request_expires_and_a_contact_does_not() {
        for state in [Outgoing, Incoming, Declined] {
            let at = |seconds| Standing::of(Some((state, time(0))), time(seconds));
            assert_eq!(at(REQUEST_SECONDS - 1), Known(state));
            assert_eq!(at(REQUEST_SECONDS), Stranger);
        }
        assert_eq!(Standing::of(Some((Accepted, time(0))), time(REQUEST_SECONDS)), Known(Accepted));
        assert_eq!(Standing::of(None, time(0)), Stranger);
    }

    /// The table of SPEC "Contacts", line by line: what each of the calls comes to.
    #[test]
    fn every_standing_has_its_answers() {
        let pending = ConversationState::Pending;
        for (standing, begins, accepts, removes, writes) in [
            (Stranger, Beginning::Asks, Acceptance::Closed, Removal::Nothing, Writable::Closed),
            (Known(Outgoing), Beginning::Exists, Acceptance::Pending, Removal::Pending, Writable::OneFrame),
            (Known(Incoming), Beginning::Accepts, Acceptance::Accepts, Removal::Declines, Writable::Pending),
            (Known(Declined), Beginning::Accepts, Acceptance::Accepts, Removal::Nothing, Writable::Pending),
        ] {
            assert_eq!(begin(standing, true), begins, "{standing:?}");
            assert_eq!(accept(pending, standing), accepts, "{standing:?}");
            assert_eq!(remove(standing), removes, "{standing:?}");
            assert_eq!(writable(pending, standing), writes, "{standing:?}");
        }
        assert_eq!(begin(Known(Accepted), true), Beginning::Exists);
        assert_eq!(begin(Known(Accepted), false), Beginning::Opens);
        assert_eq!(remove(Known(Accepted)), Removal::Parts);
        assert_eq!(accept(ConversationState::Open, Known(Accepted)), Acceptance::Nothing);
        for standing in [Stranger, Known(Accepted), Known(Outgoing)] {
            assert_eq!(writable(ConversationState::Open, standing), Writable::Freely);
            assert_eq!(writable(ConversationState::Closed, standing), Writable::Closed);
            assert_eq!(accept(ConversationState::Closed, standing), Acceptance::Closed);
        }
        assert_eq!(state(pending, Stranger), ConversationState::Closed);
        assert_eq!(state(pending, Known(Incoming)), pending);
    }
}
