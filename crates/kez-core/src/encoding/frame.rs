//! Zstandard (RFC 8878) inside base64url (RFC 4648 section 5).

use data_encoding::BASE64URL_NOPAD;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::find::Damage;

/// The window that every reader of RFC 8878 has to offer (section 3.1.1.1.2), 8 MiB. It costs no memory by itself.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The bit of the frame header descriptor, the byte after the magic number, that must be zero (section 3.1.1.1.1.4).
const RESERVED_BIT: u8 = 0x08;

/// The bytes behind `digits`, at most `bytes_max`. Base64 may be padded.
pub(super) fn open(digits: &str, bytes_max: usize) -> Result<Vec<u8>, Damage> {
    let digits = digits.strip_suffix("==").or_else(|| digits.strip_suffix('=')).unwrap_or(digits);
    let frame = BASE64URL_NOPAD.decode(digits.as_bytes()).map_err(|_| Damage::Base64)?;
    decompress(&frame, bytes_max)
}

/// What one whole frame holds. Unpacking stops within one block (128 KiB) of `bytes_max`.
fn decompress(mut frame: &[u8], bytes_max: usize) -> Result<Vec<u8>, Damage> {
    // The decoder looks past it.
    if frame.get(4).is_some_and(|descriptor| descriptor & RESERVED_BIT != 0) {
        return Err(Damage::Zstandard);
    }
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_BYTES_MAX);
    decoder.init(&mut frame).map_err(|_| Damage::Zstandard)?;
    let enough = BlockDecodingStrategy::UptoBytes(bytes_max.saturating_add(1));
    let is_whole = decoder.decode_blocks(&mut frame, enough).map_err(|_| Damage::Zstandard)?;
    if !is_whole || decoder.can_collect() > bytes_max {
        return Err(Damage::TooLarge { bytes_max });
    }
    let content = decoder.collect().ok_or(Damage::Zstandard)?;
    let announced = decoder.content_size(); // 0: not announced
    if announced != 0 && announced != content.len() as u64 {
        return Err(Damage::Zstandard);
    }
    let checksum = decoder.get_checksum_from_data();
    if checksum.is_some() && checksum != decoder.get_calculated_checksum() {
        return Err(Damage::Zstandard);
    }
    // A second frame, or anything else, is not part of the form.
    if frame.is_empty() { Ok(content) } else { Err(Damage::Zstandard) }
}

/// One frame with `content`, as base64url without padding.
#[cfg(feature = "zstd-write")]
pub(super) fn close(content: &[u8]) -> String {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    BASE64URL_NOPAD.encode(&compress_to_vec(content, CompressionLevel::Fastest))
}
