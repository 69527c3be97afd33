//! Instants as they stand in signed documents. SPEC "Timestamps".

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::text::serde_as_text;

/// A point in time: RFC 3339 in UTC with an upper-case `T` and `Z`, whole seconds with an optional fraction of
/// one to nine digits, years 0001 to 9999.
///
/// Two spellings of one instant (`…:00Z`, `…:00.0Z`) are equal. The signed bytes keep the spelling they came in;
/// [`Display`](fmt::Display) writes the shortest one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Since the Unix epoch, rounded towards the past.
    seconds: i64,
    /// Below 1,000,000,000.
    nanos: u32,
}

/// The text is not a timestamp of the form `2026-05-25T03:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time of the form 2026-05-25T03:00:00Z")]
pub struct BadTimestamp;

/// `0001-01-01T00:00:00Z`, in Unix seconds.
const UNIX_SECONDS_MIN: i64 = -62_135_596_800;
/// `9999-12-31T23:59:59Z`, in Unix seconds.
const UNIX_SECONDS_MAX: i64 = 253_402_300_799;
/// `1970-01-01T00:00:00`. The calendar is jiff's civil one: its `Timestamp` ends a day earlier than the year 9999.
const UNIX_EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Timestamp {
    /// The instant `seconds` and `nanos` (below 1,000,000,000) after the Unix epoch; `None` outside the years
    /// 0001 to 9999.
    pub fn from_unix(seconds: i64, nanos: u32) -> Option<Self> {
        let is_valid = (UNIX_SECONDS_MIN..=UNIX_SECONDS_MAX).contains(&seconds) && nanos < 1_000_000_000;
        is_valid.then_some(Self { seconds, nanos })
    }

    /// The instant `millis` after the Unix epoch; `None` outside the years 0001 to 9999.
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        let nanos = u32::try_from(millis.rem_euclid(1_000)).ok()? * 1_000_000;
        Self::from_unix(millis.div_euclid(1_000), nanos)
    }

    /// Milliseconds since the Unix epoch, rounded towards the past.
    pub fn unix_millis(self) -> i64 {
        // No overflow: the years 0001 to 9999 are 3e14 milliseconds.
        self.seconds * 1_000 + i64::from(self.nanos / 1_000_000)
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    pub fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// The part of a second after [`unix_seconds`](Self::unix_seconds), in nanoseconds.
    pub fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// How far `self` lies from `other` in either direction, in nanoseconds.
    pub fn distance_nanos(self, other: Self) -> u128 {
        let nanos = |time: Self| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        nanos(self).abs_diff(nanos(other))
    }

    /// The instant `seconds` later (earlier when negative); `None` outside the years 0001 to 9999.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Option<Self> {
        Self::from_unix(self.seconds.checked_add(seconds)?, self.nanos)
    }

    /// The same instant without its fraction of a second.
    #[must_use]
    pub fn truncated(self) -> Self {
        Self { nanos: 0, ..self }
    }

    /// The same instant in whole milliseconds, rounded towards the past.
    #[must_use]
    pub fn truncated_to_millis(self) -> Self {
        Self { nanos: self.nanos - self.nanos % 1_000_000, ..self }
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        if !has_shape(text.as_bytes()) {
            return Err(BadTimestamp);
        }
        let civil: DateTime = text.trim_end_matches('Z').parse().map_err(|_| BadTimestamp)?;
        let since_epoch = civil.duration_since(UNIX_EPOCH).as_nanos();
        let seconds = i64::try_from(since_epoch.div_euclid(1_000_000_000)).map_err(|_| BadTimestamp)?;
        let nanos = u32::try_from(since_epoch.rem_euclid(1_000_000_000)).map_err(|_| BadTimestamp)?;
        Self::from_unix(seconds, nanos).ok_or(BadTimestamp)
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
        let since_epoch =
            SignedDuration::from_secs(self.seconds) + SignedDuration::from_nanos(self.nanos.into());
        let civil = UNIX_EPOCH.checked_add(since_epoch).map_err(|_| fmt::Error)?;
        if self.nanos > 0 {
            return write!(f, "{civil}Z");
        }
        f.write_str(str::from_utf8(&whole_seconds(civil)).map_err(|_| fmt::Error)?)
    }
}

/// `2026-05-25T03:00:00Z`. Every record has such a time; jiff's printer takes ten times as long.
fn whole_seconds(civil: DateTime) -> [u8; 20] {
    let digit = |value: i16, place: i16| b'0' + u8::try_from(value / place % 10).unwrap_or(0);
    let tens = |value: i8| digit(value.into(), 10);
    let ones = |value: i8| digit(value.into(), 1);
    let (year, month, day) = (civil.year(), civil.month(), civil.day());
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    [
        digit(year, 1000),
        digit(year, 100),
        digit(year, 10),
        digit(year, 1),
        b'-',
        tens(month),
        ones(month),
        b'-',
        tens(day),
        ones(day),
        b'T',
        tens(hour),
        ones(hour),
        b':',
        tens(minute),
        ones(minute),
        b':',
        tens(second),
        ones(second),
        b'Z',
    ]
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_instant_keep_their_text() {
        for text in [
            "0001-01-01T00:00:00Z",
            "1987-06-30T12:34:56Z",
            "1969-12-31T23:59:59.999999999Z",
            "2026-05-25T03:00:00.5Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn milliseconds_are_rounded_towards_the_past() {
        for (text, millis, rounded) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00.0019Z", 1, "1970-01-01T00:00:00.001Z"),
            ("1969-12-31T23:59:59.9991Z", -1, "1969-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.unix_millis(), millis);
            assert_eq!(Timestamp::from_unix_millis(millis).unwrap().to_string(), rounded);
            assert_eq!(time.truncated_to_millis().to_string(), rounded);
        }
        assert_eq!(Timestamp::from_unix_millis(i64::MAX), None);
        assert_eq!(Timestamp::from_unix_millis(i64::MIN), None);
    }
}
