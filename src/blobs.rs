//! Blobs: encrypted attachments, named after what they are. SPEC "Blobs".
//!
//! Here is what can be decided without a disk. `depot` has the bytes, the store has who refers to them.

pub(crate) mod depot;
mod spool;
pub(crate) mod sweep;
mod turns;
pub(crate) mod upload;

use std::ops::Range;

pub use kez_core::{BLOB_BYTES_MAX, BadBlobHash, BlobHash, PART_BYTES_MAX, PART_BYTES_MIN};

/// Bytes of blobs that one account refers to or is sending: 1 GiB.
pub const ACCOUNT_BLOB_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Blobs that one account refers to or is sending. With blobs of the size of a photo the bytes run out before.
pub const ACCOUNT_BLOBS_MAX: u32 = 10_000;

/// Blobs that one account is sending at once. A device sends a few at a time; what is left lying is dropped after
/// [`UPLOAD_SECONDS_MAX`].
pub const UPLOADS_MAX: u32 = 64;

/// How long a reference lasts after the last PUT, in seconds: 90 days, three times as long as a message is kept.
pub const REFERENCE_SECONDS: i64 = 90 * 24 * 60 * 60;

/// How long an upload may rest, in seconds: a day. Then the parts are dropped.
pub const UPLOAD_SECONDS_MAX: i64 = 24 * 60 * 60;

/// What a PUT brings: some bytes of a blob, or the question how many are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where its bytes begin; `None`: it asks.
    pub at: Option<u64>,
    /// How many there are in this part; 0 for a question.
    pub bytes: u64,
    /// How many the blob has in all: 1 to [`BLOB_BYTES_MAX`].
    pub size: u64,
}

/// Why a part is refused for its form, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPart {
    /// The length of the body is not told.
    #[error("a part has a Content-Length")]
    NoLength,
    /// `Content-Range` is not of the two forms, or its numbers do not agree with each other or with the body.
    #[error("Content-Range is bytes <first>-<last>/<size> of this body, or bytes */<size> without a body")]
    BadRange,
    /// The blob or the part is too long.
    #[error("a blob has at most {BLOB_BYTES_MAX} bytes, and a part of it at most {PART_BYTES_MAX}")]
    TooLarge {
        /// The bound that is not kept, in bytes.
        bytes_max: u64,
    },
    /// The part is too short and not the last.
    #[error("all parts but the last have at least {PART_BYTES_MIN} bytes")]
    TooSmall,
}

impl Part {
    /// Reads `Content-Range` (RFC 9110 section 14.4) beside the length of the body. Without one the body is the blob.
    pub(crate) fn read(content_range: Option<&str>, length: Option<u64>) -> Result<Self, BadPart> {
        let length = length.ok_or(BadPart::NoLength)?;
        let part = match content_range {
            None => Self { at: Some(0), bytes: length, size: length },
            Some(range) => Self::of_range(range, length)?,
        };
        if part.size > BLOB_BYTES_MAX {
            return Err(BadPart::TooLarge { bytes_max: BLOB_BYTES_MAX });
        }
        if part.bytes > PART_BYTES_MAX {
            return Err(BadPart::TooLarge { bytes_max: PART_BYTES_MAX });
        }
        if part.size == 0 || (part.bytes == 0 && part.at.is_some()) {
            return Err(BadPart::BadRange);
        }
        if part.at.is_some_and(|at| part.bytes < PART_BYTES_MIN && at + part.bytes < part.size) {
            return Err(BadPart::TooSmall);
        }
        Ok(part)
    }

    fn of_range(range: &str, length: u64) -> Result<Self, BadPart> {
        let (place, size) =
            range.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).ok_or(BadPart::BadRange)?;
        let size = number(size).ok_or(BadPart::BadRange)?;
        if place == "*" {
            return if length == 0 { Ok(Self { at: None, bytes: 0, size }) } else { Err(BadPart::BadRange) };
        }
        let (first, last) = place
            .split_once('-')
            .and_then(|(first, last)| Some((number(first)?, number(last)?)))
            .ok_or(BadPart::BadRange)?;
        if first > last || last >= size || last - first + 1 != length {
            return Err(BadPart::BadRange);
        }
        Ok(Self { at: Some(first), bytes: length, size })
    }
}

/// A number in plain digits, far below any overflow.
fn number(text: &str) -> Option<u64> {
    const DIGITS_MAX: usize = 15;
    let is_plain = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// What a GET wants of a blob of `size` bytes by its `Range` (RFC 9110 section 14.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it. Also for several ranges, other units and what cannot be read, which a server may pass over.
    Whole,
    /// These bytes, at least one.
    Some(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

impl Wanted {
    pub(crate) fn read(range: &str, size: u64) -> Self {
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let wanted = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..size.min(last + 1),
            (Some(first), None) if last.is_empty() => first..size,
            (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
            _ => return Self::Whole,
        };
        if wanted.is_empty() { Self::Nothing } else { Self::Some(wanted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_where_it_belongs() {
        let part = |at, bytes, size| Ok(Part { at, bytes, size });
        assert_eq!(Part::read(None, Some(5)), part(Some(0), 5, 5));
        assert_eq!(Part::read(Some("bytes 0-4/5"), Some(5)), part(Some(0), 5, 5));
        assert_eq!(
            Part::read(Some("bytes 65536-131071/200000"), Some(65536)),
            part(Some(65536), 65536, 200_000)
        );
        assert_eq!(Part::read(Some("bytes 199999-199999/200000"), Some(1)), part(Some(199_999), 1, 200_000));
        assert_eq!(Part::read(Some("bytes */104857600"), Some(0)), part(None, 0, BLOB_BYTES_MAX));
        assert_eq!(Part::read(Some("bytes 0-4/5"), None), Err(BadPart::NoLength));
        assert_eq!(Part::read(None, Some(PART_BYTES_MAX)), part(Some(0), PART_BYTES_MAX, PART_BYTES_MAX));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for (range, length) in [
            ("", 5),
            ("bytes 0-4", 5),
            ("bytes 0-4/*", 5),
            ("bytes 0-4/4", 5),
            ("bytes 0-5/6", 5),
            ("bytes 0-3/6", 5),
            ("bytes 4-0/6", 5),
            ("bytes=0-4/5", 5),
            ("bytes  0-4/5", 5),
            ("bytes 0-4/5 ", 5),
            ("bytes +0-4/5", 5),
            ("bytes -4/5", 5),
            ("bytes 0-/5", 5),
            ("bytes */5", 5),
            ("bytes */0", 0),
            ("bytes */", 0),
            ("bytes 0-0/5", 0),
            ("items 0-4/5", 5),
            ("bytes 0-18446744073709551615/18446744073709551616", 5),
        ] {
            assert_eq!(Part::read(Some(range), Some(length)), Err(BadPart::BadRange), "{range:?}");
        }
        assert_eq!(Part::read(None, Some(0)), Err(BadPart::BadRange), "there is no empty blob");
        let too_large = |bytes_max| Err(BadPart::TooLarge { bytes_max });
        assert_eq!(Part::read(Some("bytes */104857601"), Some(0)), too_large(BLOB_BYTES_MAX));
        assert_eq!(Part::read(None, Some(PART_BYTES_MAX + 1)), too_large(PART_BYTES_MAX));
        assert_eq!(Part::read(Some("bytes 0-65534/65536"), Some(65535)), Err(BadPart::TooSmall));
    }

    #[test]
    fn one_range_is_understood_and_others_are_passed_over() {
        for (range, wanted) in [
            ("bytes=0-0", Wanted::Some(0..1)),
            ("bytes=2-", Wanted::Some(2..10)),
            ("bytes=2-99", Wanted::Some(2..10)),
            ("bytes=-3", Wanted::Some(7..10)),
            ("bytes=-99", Wanted::Some(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=10-12", Wanted::Nothing),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(Wanted::read(range, 10), wanted, "{range}");
        }
    }
}
