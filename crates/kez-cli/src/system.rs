//! This machine's clock and randomness. Everything else takes `now` and random bytes as arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kez_client::{Machine, Sleep};
use kez_core::Timestamp;
use zeroize::Zeroizing;

use crate::error::CliError;

/// The time by this machine's clock, in whole seconds. A clock before 1970 counts as 1970: the server then says by
/// how much it is wrong.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock; the rest takes `now`")]
pub(crate) fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = i64::try_from(seconds).unwrap_or(0);
    Timestamp::from_unix(seconds, 0).unwrap_or_else(unix_epoch)
}

fn unix_epoch() -> Timestamp {
    // invariant: 1970 lies between the years 0001 and 9999.
    Timestamp::from_unix(0, 0).expect("the epoch is a timestamp")
}

/// `N` bytes that nobody can guess, from the operating system.
#[expect(clippy::disallowed_methods, reason = "the one place that draws random bytes; the rest takes them")]
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CliError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(CliError::NoRandomness)?;
    Ok(bytes)
}

/// The same where there is no way back. Ends the program where the system gives none.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills `bytes` so that nobody can guess them. Ends the program where the system cannot.
#[expect(clippy::disallowed_methods, reason = "see `random`")]
pub(crate) fn fill(bytes: &mut [u8]) {
    // invariant: a system that has started gives random bytes (getrandom(2)); one that does not must sign and seal
    // nothing.
    getrandom::fill(bytes).expect("random bytes");
}

/// This machine, as the client of a device needs it.
#[derive(Debug)]
pub(crate) struct ThisMachine;

impl Machine for ThisMachine {
    fn now(&self) -> Timestamp {
        now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that draws random bytes; the rest takes them"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        // invariant: the first random bytes of a run come through `random`, which reports an error; a system that
        // gave some goes on giving.
        getrandom::fill(bytes).expect("random bytes");
    }

    fn sleep(&self, time: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(time))
    }
}
