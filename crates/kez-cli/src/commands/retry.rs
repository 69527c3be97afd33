//! Waiting before the same bytes are sent again.

use std::time::Duration;

use crate::system;

/// How often the same bytes are sent when no answer comes.
pub(super) const ATTEMPTS_MAX: u32 = 3;
/// The longest wait before the second attempt, in milliseconds; three times as long before each further one.
const WAIT_MS_FIRST_MAX: u64 = 500;

/// Waits after the attempt of this number, from 1.
pub(super) async fn pause(attempt: u32) {
    let chance = system::random().map_or([0], |chance| *chance);
    tokio::time::sleep(wait(attempt, chance)).await;
}

/// Half to all of the attempt's longest wait, so that clients which lost a server together do not return together.
fn wait(attempt: u32, chance: [u8; 1]) -> Duration {
    let wait_ms_max = WAIT_MS_FIRST_MAX * 3_u64.pow(attempt - 1);
    let [chance] = chance;
    Duration::from_millis(wait_ms_max / 2 + wait_ms_max / 2 * u64::from(chance) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        let wait_ms = |attempt, chance| wait(attempt, [chance]).as_millis();
        assert_eq!((wait_ms(1, 0), wait_ms(1, 255)), (250, 500));
        assert_eq!((wait_ms(2, 0), wait_ms(2, 255)), (750, 1500));
    }
}
