//! How much one chain and all chains together may take: pure decisions, and the flags that set them.

use std::fmt;
use std::str::FromStr;

use kez_serve::rate::RetryAfter;

/// How often one chain may grow, as `10/h,30/d,100/w` or `off`. Revocations are not counted.
///
/// Counted by the times at which the store accepted events, so a restart forgets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLimits(Vec<Window>);

/// At most `events` in any `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    events: usize,
    seconds: i64,
    unit: char,
}

/// The text is not such a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give events per hour, day and week such as 10/h,30/d,100/w, each 1 to 10000 and once, or off")]
pub struct BadChainLimits;

/// A number of bytes, as `500MiB` or `10GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give a size of at least 1MiB such as 500MiB or 10GiB")]
pub struct BadSize;

/// What a store is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// Of each chain.
    pub chain: ChainLimits,
    /// Of all events of all chains, in bytes as they are served.
    pub storage_max: ByteSize,
}

/// The share of the storage that new chains may fill: anybody can make keys, and so chains, for nothing. The rest is
/// kept for the chains that are there.
const NEW_CHAINS_PERCENT: u64 = 75;
/// The share that anything but revocations may fill: what is lost can be revoked to the last byte.
const EVENTS_PERCENT: u64 = 95;

/// The most events that a limit may count: as many as a chain has.
const EVENTS_PER_WINDOW_MAX: usize = 10_000;

/// What an event is to the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first event of a chain.
    First,
    /// A further event.
    Further,
    /// An event that takes something back, in a chain that is there.
    Revocation,
}

impl ChainLimits {
    /// No limits.
    pub fn off() -> Self {
        Self(Vec::new())
    }

    /// Whether a further event may be accepted at `now` (Unix seconds), after those at `accepted_at` (ascending).
    ///
    /// Times after `now` were given by a clock that has been set back since; they are not held against anybody.
    pub(crate) fn admit(&self, accepted_at: &[i64], now: i64) -> Result<(), RetryAfter> {
        let wait = self.0.iter().filter_map(|window| window.wait_s(accepted_at, now)).max();
        wait.map_or(Ok(()), |seconds| Err(RetryAfter { seconds }))
    }

    /// Of the times in `accepted_at`, and `now`, those that may still count later.
    pub(crate) fn remember(&self, accepted_at: &[i64], now: i64) -> Vec<i64> {
        let longest_s = self.0.iter().map(|window| window.seconds).max().unwrap_or(0);
        let most = self.0.iter().map(|window| window.events).max().unwrap_or(0);
        let mut times: Vec<_> =
            accepted_at.iter().copied().filter(|at| within(*at, now, longest_s)).collect();
        times.push(now);
        times.split_off(times.len().saturating_sub(most))
    }
}

impl Window {
    /// Seconds until there is room for one more; `None` when there is now.
    fn wait_s(self, accepted_at: &[i64], now: i64) -> Option<u64> {
        let counted = accepted_at.iter().rev().filter(|at| within(**at, now, self.seconds));
        let blocking = *counted.take(self.events).nth(self.events - 1)?;
        u64::try_from(blocking + self.seconds - now).ok()
    }
}

/// Whether `at` lies in the `seconds` up to `now`.
fn within(at: i64, now: i64, seconds: i64) -> bool {
    at <= now && at > now - seconds
}

impl Quotas {
    /// Whether `more` bytes have room beside `stored` ones.
    pub(crate) fn has_room(&self, kind: Kind, stored: u64, more: u64) -> bool {
        let percent = match kind {
            Kind::First => NEW_CHAINS_PERCENT,
            Kind::Further => EVENTS_PERCENT,
            Kind::Revocation => 100,
        };
        stored.saturating_add(more) <= self.storage_max.0 / 100 * percent
    }
}

impl FromStr for ChainLimits {
    type Err = BadChainLimits;

    fn from_str(text: &str) -> Result<Self, BadChainLimits> {
        if text == "off" {
            return Ok(Self::off());
        }
        let windows: Vec<Window> =
            text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
        let twice =
            |(at, window): (usize, &Window)| windows.iter().skip(at + 1).any(|w| w.unit == window.unit);
        if windows.iter().enumerate().any(twice) { Err(BadChainLimits) } else { Ok(Self(windows)) }
    }
}

impl FromStr for Window {
    type Err = BadChainLimits;

    fn from_str(text: &str) -> Result<Self, BadChainLimits> {
        let (events, unit) = text.split_once('/').ok_or(BadChainLimits)?;
        let (unit, seconds) = match unit {
            "h" => ('h', 3_600),
            "d" => ('d', 86_400),
            "w" => ('w', 604_800),
            _ => return Err(BadChainLimits),
        };
        let plain = events.bytes().all(|byte| byte.is_ascii_digit());
        let events = events.parse().ok().filter(|events| (1..=EVENTS_PER_WINDOW_MAX).contains(events));
        events.filter(|_| plain).map(|events| Self { events, seconds, unit }).ok_or(BadChainLimits)
    }
}

impl fmt::Display for ChainLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("off");
        }
        let windows: Vec<_> =
            self.0.iter().map(|window| format!("{}/{}", window.events, window.unit)).collect();
        f.write_str(&windows.join(","))
    }
}

/// The units of a [`ByteSize`].
const UNITS: [(&str, u64); 3] = [("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl FromStr for ByteSize {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        let split = |(unit, bytes)| text.strip_suffix(unit).map(|number| (number, bytes));
        let (number, unit): (&str, u64) = UNITS.into_iter().find_map(split).ok_or(BadSize)?;
        let plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let size = number.parse::<u64>().ok().filter(|_| plain).and_then(|number| number.checked_mul(unit));
        size.filter(|size| *size > 0).map(Self).ok_or(BadSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.into_iter().rev().find(|(_, bytes)| self.0.is_multiple_of(*bytes));
        match whole {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn limits(text: &str) -> ChainLimits {
        text.parse().unwrap()
    }

    #[test]
    fn each_window_refuses_with_the_time_until_it_has_room() {
        let limits = limits("2/h,3/d");
        let wait = |times: &[i64]| limits.admit(times, NOW).map_err(|refusal| refusal.seconds);
        assert_eq!(wait(&[]), Ok(()));
        assert_eq!(wait(&[NOW - 10]), Ok(()));
        assert_eq!(wait(&[NOW - 20, NOW - 10]), Err(3_580));
        assert_eq!(wait(&[NOW - 3_600, NOW - 10]), Ok(()), "an hour later to the second");
        assert_eq!(wait(&[NOW - 3_599, NOW]), Err(1));
        assert_eq!(wait(&[NOW - 5_000, NOW - 4_000, NOW - 10]), Err(86_400 - 5_000));
        assert_eq!(wait(&[NOW - 5_000, NOW - 20, NOW - 10]), Err(86_400 - 5_000), "the longest wait counts");
        assert_eq!(ChainLimits::off().admit(&[NOW; 500], NOW), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let limits = limits("2/h");
        assert_eq!(limits.admit(&[NOW + 1, NOW + 9_000_000], NOW), Ok(()));
        assert_eq!(limits.remember(&[NOW + 1, NOW - 5], NOW), [NOW - 5, NOW]);
    }

    #[test]
    fn only_what_may_count_later_is_remembered() {
        let limits = limits("2/h,3/d");
        assert_eq!(limits.remember(&[NOW - 86_400, NOW - 86_399], NOW), [NOW - 86_399, NOW]);
        assert_eq!(limits.remember(&[NOW - 3, NOW - 2, NOW - 1], NOW), [NOW - 2, NOW - 1, NOW]);
        assert!(ChainLimits::off().remember(&[NOW], NOW).is_empty());
    }

    #[test]
    fn limits_and_sizes_are_read_strictly_and_shown_as_read() {
        for text in ["10/h,30/d,100/w", "1/w", "off"] {
            assert_eq!(limits(text).to_string(), text);
        }
        for text in ["", "10", "10/m", "0/h", "+1/h", "10/h,10/h", "10001/h", "10/h,", "10/h 30/d", "OFF"] {
            assert_eq!(text.parse::<ChainLimits>(), Err(BadChainLimits), "{text}");
        }
        for text in ["1MiB", "1536MiB", "10GiB", "2TiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        for text in ["", "0MiB", "10", "10GB", "-1GiB", "+1GiB", "1.5GiB", "GiB", "99999999999TiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(BadSize), "{text}");
        }
    }

    #[test]
    fn the_last_of_the_storage_is_kept_for_those_who_are_there() {
        let quotas = Quotas { chain: ChainLimits::off(), storage_max: ByteSize(1_000) };
        let most = |kind| (0..=1_100).rev().find(|stored| quotas.has_room(kind, *stored, 10)).unwrap();
        assert_eq!([Kind::First, Kind::Further, Kind::Revocation].map(most), [740, 940, 990]);
    }
}
