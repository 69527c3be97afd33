//! How much an account may send: pure decisions, and the rates of a running server. SPEC "Sending".
//!
//! What counts is the sender's own doing and the room of the whole server. Nothing here looks at what became of a message,
//! so no answer says whether anybody reads, or keeps, what was sent to them. ADR 0026.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kez_core::{ConversationId, Timestamp};
use kez_serve::clock::Clock;
use kez_serve::rate::{Allowances, Quota, RetryAfter};

use crate::store::AccountId;

/// Bytes that an account may send within the time that messages are kept: 512 MiB, which are 17 MiB a day, some thousands of
/// messages. Attachments are blobs.
pub const MESSAGE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What a message counts at least, in bytes: 2 KiB, what its rows, indices and the pointers of some inboxes take. So a bound
/// in bytes is one in number as well: 262,144 messages in [`MESSAGE_BYTES_MAX`].
pub const WEIGHT_MIN: u64 = 2 * 1024;

/// Which part of the free room an account's messages may have at most: a quarter. So one account takes a fifth of an empty
/// store, a second one a fifth of what that left, and so on: there is always something for who has sent little (the idea of
/// Choudhury and Hahne, "Dynamic queue length thresholds", 1998).
pub const SHARE_OF_FREE: u64 = 4;

/// Bytes of one account within an hour: a large bundle, or thousands of messages at once.
const HOURLY: NonZeroU32 = NonZeroU32::new(32 * 1024 * 1024).unwrap();

/// Bytes of one account to one conversation within an hour, and so to each of its members: half of [`HOURLY`].
const HOURLY_TO_ONE: NonZeroU32 = NonZeroU32::new(16 * 1024 * 1024).unwrap();

const HOUR: Duration = Duration::from_hours(1);

/// Accounts, and pairs of account and conversation, remembered at most: some MiB. Whoever finds no place shares one allowance
/// with others who find none.
const SENDERS_MAX: usize = 65_536;

/// What a frame, or a bundle with all its parts, counts for these bytes.
pub(crate) fn weight(bytes: usize) -> u64 {
    (bytes as u64).max(WEIGHT_MIN)
}

/// What an account has sent, as far as it still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Bytes, as they counted at that time.
    pub bytes: u64,
    /// Unix milliseconds: the last message.
    pub at: i64,
}

/// What is held against a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that the account may have sent.
    pub bytes_max: u64,
    /// The time over which they flow back.
    pub period: Duration,
    /// Bytes that the server has left for messages of all.
    pub free: u64,
}

/// Why an account may not send this now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoom {
    /// It has sent as much as it may.
    #[error("this account has sent as much as it may for now")]
    Quota {
        /// Whole seconds until this very message fits, at least 1; `None`: it never will.
        retry_after_s: Option<u64>,
    },
    /// The server has no room for more of this account.
    #[error("the server has no room for this")]
    Storage,
}

impl Sent {
    /// What of it still counts at `now`: all of [`Bounds::bytes_max`] flows back evenly over the period.
    pub fn counts(self, bounds: &Bounds, now: Timestamp) -> u64 {
        let elapsed_ms = now.unix_millis().saturating_sub(self.at).max(0).unsigned_abs();
        let back = u128::from(elapsed_ms) * u128::from(bounds.bytes_max) / bounds.period.as_millis().max(1);
        self.bytes.saturating_sub(u64::try_from(back).unwrap_or(u64::MAX))
    }

    /// What it is after a message of this [`weight`].
    pub(crate) fn and(self, weight: u64, bounds: &Bounds, now: Timestamp) -> Result<Self, NoRoom> {
        let bytes = self.counts(bounds, now).saturating_add(weight);
        if let Some(over @ 1..) = bytes.checked_sub(bounds.bytes_max) {
            return Err(NoRoom::Quota { retry_after_s: flows_back_within(over, weight, bounds) });
        }
        if bytes > bounds.free / SHARE_OF_FREE {
            return Err(NoRoom::Storage);
        }
        // A clock that was set back gives nothing back twice.
        Ok(Self { bytes, at: now.unix_millis().max(self.at) })
    }
}

fn flows_back_within(over: u64, weight: u64, bounds: &Bounds) -> Option<u64> {
    if weight > bounds.bytes_max {
        return None;
    }
    let wait_ms =
        (u128::from(over) * bounds.period.as_millis()).div_ceil(u128::from(bounds.bytes_max.max(1)));
    u64::try_from(wait_ms.div_ceil(1000)).ok()
}

/// What accounts send within an hour, and what of it to one conversation. In memory: a restart makes all of it whole.
#[derive(Debug)]
pub(crate) struct SendingRates {
    tables: Mutex<Tables>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Tables {
    senders: Allowances<AccountId>,
    pairs: Allowances<(AccountId, ConversationId)>,
}

impl SendingRates {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let of = |burst| Quota { burst, per: HOUR };
        let tables = Tables {
            senders: Allowances::new(of(HOURLY), SENDERS_MAX),
            pairs: Allowances::new(of(HOURLY_TO_ONE), SENDERS_MAX),
        };
        Self { tables: Mutex::new(tables), clock }
    }

    /// Counts what `account` sends to a conversation, for both bounds or, when either refuses, for none.
    pub(crate) fn check(
        &self,
        account: AccountId,
        cid: ConversationId,
        weight: u64,
    ) -> Result<(), RetryAfter> {
        let now = self.clock.elapsed();
        let Some(weight) = NonZeroU32::new(u32::try_from(weight).unwrap_or(u32::MAX)) else { return Ok(()) };
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let Tables { senders, pairs } = &mut *tables;
        senders.sweep_if_full(now);
        pairs.sweep_if_full(now);
        let of_sender = senders.look(account, weight, now);
        let of_pair = pairs.look((account, cid), weight, now);
        match (of_sender, of_pair) {
            (Ok(sender), Ok(pair)) => {
                senders.set(account, sender);
                pairs.set((account, cid), pair);
                Ok(())
            }
            (Err(one), Err(other)) => Err(one.max(other).into()),
            (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => Err(wait.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kez_serve::clock::ManualClock;

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 100_000, period: Duration::from_secs(1_000), free: u64::MAX };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + seconds, 0).unwrap()
    }

    fn quota(seconds: u64) -> Result<Sent, NoRoom> {
        Err(NoRoom::Quota { retry_after_s: Some(seconds) })
    }

    #[test]
    fn a_small_message_counts_as_much_as_its_rows_take() {
        assert_eq!([weight(0), weight(2_048), weight(2_049)], [2_048, 2_048, 2_049]);
    }

    #[test]
    fn what_was_sent_flows_back_evenly() {
        let full = Sent::default().and(100_000, &BOUNDS, at(0)).unwrap();
        assert_eq!(full.and(2_048, &BOUNDS, at(0)), quota(21));
        assert_eq!(full.and(2_048, &BOUNDS, at(20)), quota(1), "48 bytes are missing");
        let next = full.and(2_048, &BOUNDS, at(21)).unwrap();
        assert_eq!(next.bytes, 100_000 - 2_100 + 2_048);
        assert_eq!(next.counts(&BOUNDS, at(2_000)), 0);
        assert_eq!(next.and(100_001, &BOUNDS, at(2_000)), Err(NoRoom::Quota { retry_after_s: None }));
    }

    #[test]
    fn who_waits_as_long_as_was_said_may_send() {
        for weight in [2_048, 2_049, 33_333, 99_999, 100_000] {
            let full = Sent::default().and(100_000, &BOUNDS, at(0)).unwrap();
            let Err(NoRoom::Quota { retry_after_s: Some(wait) }) = full.and(weight, &BOUNDS, at(0)) else {
                panic!("it is full")
            };
            assert!(full.and(weight, &BOUNDS, at(wait.cast_signed())).is_ok(), "{weight} after {wait} s");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_back_twice() {
        let half = Sent::default().and(50_000, &BOUNDS, at(100)).unwrap();
        let back = half.and(10_000, &BOUNDS, at(0)).unwrap();
        assert_eq!(back, Sent { bytes: 60_000, at: at(100).unix_millis() });
    }

    #[test]
    fn a_quota_that_is_raised_or_lowered_counts_at_once() {
        let sent = Sent::default().and(100_000, &BOUNDS, at(0)).unwrap();
        let raised = Bounds { bytes_max: 200_000, ..BOUNDS };
        assert_eq!(sent.and(100_000, &raised, at(0)).unwrap().bytes, 200_000);
        let none = Bounds { bytes_max: 0, ..BOUNDS };
        assert_eq!(sent.and(2_048, &none, at(9_999)), Err(NoRoom::Quota { retry_after_s: None }));
    }

    #[test]
    fn nobody_fills_more_than_a_quarter_of_what_is_free() {
        let scarce = Bounds { free: 40_000, ..BOUNDS };
        let sent = Sent::default().and(10_000, &scarce, at(0)).unwrap();
        assert_eq!(sent.and(2_048, &scarce, at(0)), Err(NoRoom::Storage));
        assert!(Sent::default().and(2_048, &scarce, at(0)).is_ok(), "another account goes on");
        let full = Bounds { free: 0, ..BOUNDS };
        assert_eq!(Sent::default().and(2_048, &full, at(0)), Err(NoRoom::Storage));
    }

    /// The least is left when they send one after the other.
    #[test]
    fn many_that_send_all_they_can_leave_room_for_others() {
        const ROOM: u64 = 100_000_000;
        let mut free = ROOM;
        for accounts in 1..=20 {
            let mut sent = Sent::default();
            while let Ok(after) = sent.and(2_048, &Bounds { bytes_max: u64::MAX, period: HOUR, free }, at(0))
            {
                (sent, free) = (after, free - 2_048);
            }
            let least = (0..accounts).fold(ROOM, |room, _| room / 5 * 4);
            assert!(free >= least, "{accounts} accounts left {free}");
            assert!(Sent::default().and(2_048, &Bounds { free, ..BOUNDS }, at(0)).is_ok());
        }
    }

    #[test]
    fn an_hour_bounds_a_sender_and_what_goes_to_one_conversation() {
        let clock = Arc::new(ManualClock::new(at(0)));
        let rates = SendingRates::new(clock.clone());
        let (alice, bob) = (AccountId::new(1), AccountId::new(2));
        let [first, second, third] = [1, 2, 3].map(|id| ConversationId::from_bytes([id; 16]));
        let all = u64::from(HOURLY_TO_ONE.get());
        rates.check(alice, first, all).unwrap();
        let wait = rates.check(alice, first, WEIGHT_MIN).unwrap_err();
        rates.check(alice, second, all).unwrap();
        assert!(rates.check(alice, third, WEIGHT_MIN).is_err(), "it was all of the hour");
        rates.check(bob, first, all).unwrap();
        rates.check(alice, first, 0).unwrap();
        clock.advance(Duration::from_secs(wait.seconds));
        rates.check(alice, first, WEIGHT_MIN).unwrap();
        clock.advance(HOUR);
        rates.check(alice, third, all).unwrap();
    }
}
