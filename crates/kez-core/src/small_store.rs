//! Names in the small store, where the devices of an account keep things for each other. SPEC "Small store".

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// The longest name, in characters: what a settings key or the hash of something needs.
pub const ENTRY_NAME_CHARS_MAX: usize = 64;

/// The longest value, in bytes: 64 KiB, as a frame. Larger things are blobs.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// The name of an entry: 1 to [`ENTRY_NAME_CHARS_MAX`] characters of `a-z 0-9 . _ -`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(String);

/// Not the name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters of a-z 0-9 . _ - and begins with a letter or a digit")]
pub struct BadEntryName;

impl EntryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryName {
    type Err = BadEntryName;

    fn from_str(text: &str) -> Result<Self, BadEntryName> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next().is_some_and(is_plain);
        let is_name = first
            && text.len() <= ENTRY_NAME_CHARS_MAX
            && text.bytes().all(|byte| is_plain(byte) || b"._-".contains(&byte));
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadEntryName) }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(EntryName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "a".repeat(ENTRY_NAME_CHARS_MAX);
        for good in ["a", "0", "rooms", "settings.v2", "a-b_c", "a..b", &longest] {
            assert_eq!(good.parse::<EntryName>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        let too_long = "a".repeat(ENTRY_NAME_CHARS_MAX + 1);
        for bad in ["", ".", "..", ".a", "-a", "_a", "A", "a b", "a/b", "a%2e", "ä", "a\0", &too_long] {
            assert_eq!(bad.parse::<EntryName>(), Err(BadEntryName), "{bad:?}");
        }
    }
}
