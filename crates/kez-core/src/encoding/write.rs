//! Writing the forms.

use crate::envelope::Envelope;

/// The label below which a domain holds its documents as TXT records: `_kez.example.org`.
pub const DNS_LABEL: &str = "_kez";

/// A character string of a TXT record, in bytes (RFC 1035 section 3.3).
pub const DNS_SEGMENT_BYTES_MAX: usize = 255;

/// A fenced block that a Markdown page can hold.
pub fn markdown(envelope: &Envelope) -> String {
    // The canonical text is one line that begins with a brace, so it cannot end the fence.
    format!("```kez\n{}\n```\n", envelope.canonical())
}

#[cfg(feature = "zstd-write")]
pub use zstd::{TooLarge, bundle, compact, dns_txt};

#[cfg(feature = "zstd-write")]
mod zstd {
    use super::DNS_SEGMENT_BYTES_MAX;
    use crate::encoding::frame::close;
    use crate::encoding::{BUNDLE_BYTES_MAX, BUNDLE_PREFIX, COMPACT_BYTES_MAX, COMPACT_PREFIX};
    use crate::envelope::Envelope;

    /// The document is larger than a reader of the form takes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    #[error("more than {bytes_max} bytes")]
    pub struct TooLarge {
        /// [`COMPACT_BYTES_MAX`] or [`BUNDLE_BYTES_MAX`].
        pub bytes_max: usize,
    }

    /// `kez:z1:…`: one line without white space.
    pub fn compact(envelope: &Envelope) -> Result<String, TooLarge> {
        write(COMPACT_PREFIX, envelope.canonical(), COMPACT_BYTES_MAX)
    }

    /// `kez:zc1:…`: a whole chain, from its JSON lines. One line without white space.
    pub fn bundle(jsonl: &str) -> Result<String, TooLarge> {
        write(BUNDLE_PREFIX, jsonl, BUNDLE_BYTES_MAX)
    }

    /// The compact form as the character strings of one TXT record.
    pub fn dns_txt(envelope: &Envelope) -> Result<Vec<String>, TooLarge> {
        compact(envelope).map(segments)
    }

    fn segments(mut rest: String) -> Vec<String> {
        let mut segments = Vec::new();
        while rest.len() > DNS_SEGMENT_BYTES_MAX {
            let tail = rest.split_off(DNS_SEGMENT_BYTES_MAX);
            segments.push(std::mem::replace(&mut rest, tail));
        }
        segments.push(rest);
        segments
    }

    fn write(prefix: &str, content: &str, bytes_max: usize) -> Result<String, TooLarge> {
        if content.len() > bytes_max {
            return Err(TooLarge { bytes_max });
        }
        Ok(format!("{prefix}{}", close(content.as_bytes())))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn strings_are_filled_before_the_next_one_begins() {
            let lengths = |length| segments("a".repeat(length)).iter().map(String::len).collect::<Vec<_>>();
            assert_eq!(lengths(1), [1]);
            assert_eq!(lengths(255), [255]);
            assert_eq!(lengths(256), [255, 1]);
            assert_eq!(lengths(510), [255, 255]);
            assert_eq!(lengths(511), [255, 255, 1]);
        }
    }
}
