//! Instants as they stand in signed documents. SPEC "Timestamps".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time: RFC 3339 in UTC with an upper-case `T` and `Z`, whole seconds with an optional fraction of
/// one to nine digits, years 0001 to 9999.
///
/// Two spellings of one instant (`…:00Z`, `…:00.0Z`) are equal. The signed bytes keep the spelling they came in;
/// [`Display`](fmt::Display) writes the shortest one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// The text is not a timestamp of the form `2026-05-25T03:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time of the form 2026-05-25T03:00:00Z")]
pub struct BadTimestamp;

/// `0001-01-01T00:00:00Z`, in Unix seconds.
const UNIX_SECONDS_MIN: i64 = -62_135_596_800;
/// `9999-12-31T23:59:59Z`, in Unix seconds.
const UNIX_SECONDS_MAX: i64 = 253_402_300_799;

impl Timestamp {
    /// The instant `seconds` and `nanos` (below 1,000,000,000) after the Unix epoch; `None` outside the years
    /// 0001 to 9999.
    pub fn from_unix(seconds: i64, nanos: u32) -> Option<Self> {
        if !(UNIX_SECONDS_MIN..=UNIX_SECONDS_MAX).contains(&seconds) || nanos > 999_999_999 {
            return None;
        }
        let nanos = i32::try_from(nanos).ok()?;
        jiff::Timestamp::new(seconds, nanos).ok().map(Self)
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    pub fn unix_seconds(self) -> i64 {
        let nanos = self.0.as_nanosecond();
        i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(UNIX_SECONDS_MIN)
    }

    /// The part of a second after [`unix_seconds`](Self::unix_seconds), in nanoseconds.
    pub fn subsec_nanos(self) -> u32 {
        u32::try_from(self.0.as_nanosecond().rem_euclid(1_000_000_000)).unwrap_or(0)
    }

    /// How far `self` lies from `other` in either direction, in nanoseconds.
    pub fn distance_nanos(self, other: Self) -> u128 {
        self.0.as_nanosecond().abs_diff(other.0.as_nanosecond())
    }

    /// The instant `seconds` later (earlier when negative); `None` outside the years 0001 to 9999.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Option<Self> {
        Self::from_unix(self.unix_seconds().checked_add(seconds)?, self.subsec_nanos())
    }

    /// The same instant without its fraction of a second.
    #[must_use]
    pub fn truncated(self) -> Self {
        Self::from_unix(self.unix_seconds(), 0).unwrap_or(self)
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        if !has_shape(text.as_bytes()) {
            return Err(BadTimestamp);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| BadTimestamp)?;
        let checked = Self(instant);
        Self::from_unix(checked.unix_seconds(), checked.subsec_nanos()).ok_or(BadTimestamp)
    }
}

/// `dddd-dd-ddTdd:dd:dd[.d{1,9}]Z`, and no leap second: jiff, which then checks the calendar, is more lenient
/// than RFC 3339 in the separators and folds second 60 into 59.
fn has_shape(text: &[u8]) -> bool {
    let Some((&b'Z', rest)) = text.split_last() else { return false };
    let (Some(seconds), Some(fraction)) = (rest.get(..19), rest.get(19..)) else { return false };
    let seconds_fit = seconds.iter().zip(b"dddd-dd-ddTdd:dd:dd").all(|(have, want)| match want {
        b'd' => have.is_ascii_digit(),
        separator => have == separator,
    });
    let fraction_fits = match fraction.split_first() {
        None => true,
        Some((b'.', digits)) => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    seconds_fit && fraction_fits && !seconds.ends_with(b"60")
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
