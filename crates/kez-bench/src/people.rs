//! The people of the bench: the key and the handle of each follow from an index, the same in every run.

use std::{
    ops::Range,
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};

use kez_core::{Envelope, EnvelopeError, Registration, Seed, Timestamp};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Server name of every registration.
pub(crate) const SERVER: &str = "kez.lat";

/// Decimal digits at the end of every handle.
pub(crate) const DIGITS: usize = 7;

/// Handles that can be named with [`DIGITS`] digits.
const HANDLES_MAX: u32 = 10_000_000;

/// The handle of person `index`: `peer` and seven digits.
pub(crate) fn handle(index: u32) -> String {
    format!("peer{:0DIGITS$}", number(index))
}

/// The number in the handle of person `index`. A permutation, so that handles do not arrive sorted.
pub(crate) fn number(index: u32) -> u64 {
    u64::from(index) * 6_180_339 % u64::from(HANDLES_MAX) // no common divisor with a power of ten
}

/// The key of person `index`.
pub(crate) fn seed(index: u32) -> Seed {
    let seed = Sha256::new_with_prefix(b"kez-bench key ").chain_update(index.to_le_bytes()).finalize();
    Seed::from_bytes(seed.into())
}

/// The registration of person `index`, signed now.
pub(crate) fn registration(index: u32) -> Result<Envelope, Error> {
    let registration = Registration { handle: handle(index), server: SERVER.to_owned() };
    let signed = Envelope::sign(&registration, &seed(index), now());
    Ok(signed.map_err(EnvelopeError::from)?)
}

/// Makes something for each of `people`, in their order, on all cores.
pub(crate) fn on_all_cores<T: Send>(
    people: Range<u32>,
    make: impl Fn(u32) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    if people.end > HANDLES_MAX {
        return Err(Error::TooManyHandles(people.end));
    }
    let share = people.len().div_ceil(cores()).max(1);
    let people: Vec<u32> = people.collect();
    let one_share = |share: &[u32]| share.iter().map(|&index| make(index)).collect::<Result<Vec<T>, Error>>();
    let shares: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = people.chunks(share).map(|share| scope.spawn(|| one_share(share))).collect();
        threads.into_iter().map(joined).collect()
    });
    shares.into_iter().try_fold(Vec::with_capacity(people.len()), |mut all, share| {
        all.extend(share?);
        Ok(all)
    })
}

/// The result of a thread, or its panic.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// What a home server answers about a handle; `hex` is the public key.
pub(crate) fn record(handle: &str, hex: &str) -> String {
    format!(
        r#"{{"handle":"{handle}","fqhn":"{handle}@{SERVER}","primary":"ed25519:{hex}","sigchain_url":"http://localhost:7878/v1/sigchains/ed25519/{hex}","registered_at":"2026-01-01T00:00:00Z"}}"#
    )
}

/// The wall clock in whole seconds.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a registration must carry the real time to be accepted")]
    let now = std::time::SystemTime::now();
    let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or_default();
    // invariant: this program does not live to see the year 9999.
    Timestamp::from_unix(seconds, 0).expect("the machine's time is within 1970..=9999")
}

/// Cores this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn handles_and_their_look_alikes_are_distinct() {
        let skeleton = |index| handle(index).parse::<kez_core::Handle>().expect("a handle").skeleton();
        assert_eq!((0..20_000).map(skeleton).collect::<HashSet<_>>().len(), 20_000);
    }

    #[test]
    fn all_cores_keep_the_order() {
        assert_eq!(on_all_cores(3..10, Ok).expect("few enough"), [3, 4, 5, 6, 7, 8, 9]);
        assert!(matches!(on_all_cores(0..HANDLES_MAX + 1, |_| Ok(())), Err(Error::TooManyHandles(_))));
    }
}
