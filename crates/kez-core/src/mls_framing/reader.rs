//! The TLS presentation of RFC 9420 section 2.1, read without copying.

use super::BadMessage;

/// The rest of an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Result<u8, BadMessage> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, BadMessage> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadMessage> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, BadMessage> {
        self.array().map(u64::from_be_bytes)
    }

    /// `opaque value<V>`: a variable-length vector, RFC 9420 section 2.1.2.
    pub(super) fn vector(&mut self) -> Result<&'a [u8], BadMessage> {
        let length = usize::try_from(self.length()?).map_err(|_| BadMessage::Truncated)?;
        let (vector, rest) = self.0.split_at_checked(length).ok_or(BadMessage::Truncated)?;
        self.0 = rest;
        Ok(vector)
    }

    /// A vector of 16-bit numbers.
    pub(super) fn numbers(&mut self) -> Result<Numbers<'a>, BadMessage> {
        match self.vector()?.as_chunks() {
            (numbers, []) => Ok(Numbers(numbers)),
            _ => Err(BadMessage::Truncated),
        }
    }

    /// `optional<T>`: whether a T follows.
    pub(super) fn is_present(&mut self) -> Result<bool, BadMessage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadMessage::UnknownValue),
        }
    }

    /// What `read` reads, and the bytes that it took.
    pub(super) fn spanned<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, BadMessage>,
    ) -> Result<(T, &'a [u8]), BadMessage> {
        let before = self.0;
        let value = read(self)?;
        let taken = before.len().saturating_sub(self.0.len());
        Ok((value, before.get(..taken).ok_or(BadMessage::Truncated)?))
    }

    /// Nothing may follow.
    pub(super) fn finish(self) -> Result<(), BadMessage> {
        if self.is_empty() { Ok(()) } else { Err(BadMessage::TrailingBytes) }
    }

    /// The two highest bits of the first byte say how many bytes the length has: 1, 2 or 4. Each length has one
    /// encoding, the shortest.
    fn length(&mut self) -> Result<u32, BadMessage> {
        let first = *self.0.first().ok_or(BadMessage::Truncated)?;
        let (length, least) = match first >> 6 {
            0 => (u32::from(self.u8()?), 0),
            1 => (u32::from(self.u16()? & 0x3fff), 1 << 6),
            2 => (self.u32()? & 0x3fff_ffff, 1 << 14),
            _ => return Err(BadMessage::LengthPrefix),
        };
        if length < least { Err(BadMessage::LengthPrefix) } else { Ok(length) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadMessage> {
        let (array, rest) = self.0.split_first_chunk().ok_or(BadMessage::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// A list of 16-bit numbers as it stands in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers<'a>(&'a [[u8; 2]]);

impl Numbers<'_> {
    /// Whether `number` is in the list.
    pub fn contains(&self, number: u16) -> bool {
        self.0.contains(&number.to_be_bytes())
    }
}

/// `bytes` as `opaque value<V>`.
pub(super) fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let [_, _, high, low] = length.to_be_bytes();
    let prefix = match length {
        0..0x40 => vec![low],
        0x40..0x4000 => vec![high | 0x40, low],
        _ => (length | 0x8000_0000).to_be_bytes().to_vec(),
    };
    [&prefix, bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_has_one_encoding() {
        for length in [0, 1, 63, 64, 16_383, 16_384, 100_000] {
            let written = vector(&vec![7; length]);
            let mut reader = Reader::new(&written);
            assert_eq!(reader.vector().unwrap().len(), length);
            assert!(reader.is_empty());
        }
        for prefix in [&[0x40, 63][..], &[0x80, 0, 0x3f, 0xff], &[0xc0, 0, 0, 0, 0, 0, 0, 0]] {
            let padded = [prefix, &vec![0; 20_000]].concat();
            assert_eq!(Reader::new(&padded).vector(), Err(BadMessage::LengthPrefix));
        }
    }

    #[test]
    fn no_length_reaches_beyond_the_input() {
        for bytes in [&[][..], &[1], &[0x40], &[0x7f, 0xff, 1], &[0xbf, 0xff, 0xff, 0xff, 1]] {
            assert_eq!(Reader::new(bytes).vector(), Err(BadMessage::Truncated));
        }
    }
}
