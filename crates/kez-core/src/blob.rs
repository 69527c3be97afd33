//! Blobs: encrypted attachments, named after what they are. SPEC "Blobs".

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::key::decode_hex;
use crate::text::serde_as_text;

/// The longest blob, in bytes: 100 MiB, a minute of good video.
pub const BLOB_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// The longest part of a blob in one request, in bytes: 1 MiB passes within the 15 s of a request body over a line of
/// 0.6 Mbit/s, and no more than that is sent twice when a line breaks.
pub const PART_BYTES_MAX: u64 = 1024 * 1024;

/// The shortest part but the last, in bytes: 64 KiB within 15 s are 35 kbit/s. Each part costs two syncs, so a blob must
/// not come byte by byte.
pub const PART_BYTES_MIN: u64 = 64 * 1024;

/// The name of a blob: SHA-256 of its bytes, as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobHash([u8; 32]);

/// Not the name of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a blob is named by 64 lower-case hex digits")]
pub struct BadBlobHash;

impl BlobHash {
    /// The hash of a blob.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for BlobHash {
    type Err = BadBlobHash;

    fn from_str(text: &str) -> Result<Self, BadBlobHash> {
        decode_hex(text).map(Self).ok_or(BadBlobHash)
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Whoever knows the whole name may read the blob, so logs have its beginning only.
impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(f, "BlobHash({}..)", HEXLOWER.encode(&[first, second, third, fourth]))
    }
}

serde_as_text!(BlobHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_one_name() {
        let name = "0f".repeat(32);
        assert_eq!(name.parse::<BlobHash>().map(|hash| hash.to_string()).as_deref(), Ok(name.as_str()));
        for bad in ["", "0f", &"0F".repeat(32), &"0f".repeat(31), &"0f".repeat(33), &format!("{name} ")] {
            assert_eq!(bad.parse::<BlobHash>(), Err(BadBlobHash), "{bad:?}");
        }
        assert_eq!(format!("{:?}", BlobHash([15; 32])), "BlobHash(0f0f0f0f..)");
    }
}
