//! A second look at request heads, for what hyper does not show or forgives.
//!
//! hyper drops `Content-Length` when `Transfer-Encoding` is there too, merges equal lengths, and takes a bare LF as a
//! line end. Each of these is harmless to hyper alone, and each lets a proxy in front of us see other message borders
//! than we do (request smuggling; RFC 9112 sections 2.2, 6.1, 6.3, 11.2). So they are looked for in the bytes.

use memchr::memchr;

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Both `Content-Length` and `Transfer-Encoding`.
    TwoFramings,
    /// `Content-Length` twice, or no plain number of 1 to 19 digits.
    BadLength,
    /// A line that ends in LF without CR.
    BareLf,
    /// A `Content-Length` or `Transfer-Encoding` line of more than [`KEPT`] bytes.
    LongFraming,
}

impl Flaw {
    /// The flaw in words for the client.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::TwoFramings => "A request has a Content-Length or a Transfer-Encoding, not both.",
            Self::BadLength => "Content-Length is one plain number, given once, without leading zeros.",
            Self::BareLf => "Header lines end in CR LF.",
            Self::LongFraming => "A Content-Length or Transfer-Encoding has a short line.",
        }
    }
}

/// The start of a line that is remembered when it comes in pieces, and the most that a line which decides about borders
/// may have, its CR included: `Content-Length: ` and 19 digits are 36.
const KEPT: usize = 64;

/// Most digits of a `Content-Length`: each such number fits 64 bits, signed ones too, so nobody reads another.
const DIGITS_MAX: usize = 19;

/// Follows the borders of the messages on one connection.
///
/// After a head with `Transfer-Encoding` it stops: the connection serves no further request then (`edge` sees to it).
#[derive(Debug)]
pub(super) struct Heads {
    place: Place,
    /// The start of a line whose end has not come yet; `kept` bytes of it.
    start: [u8; KEPT],
    kept: usize,
    /// Whether the line has more than that.
    cut: bool,
    /// The last byte before the line's end, when the line came in pieces.
    last: u8,
    in_head: bool,
    length: Option<u64>,
    encoded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Body(u64),
    Over,
}

impl Heads {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Head,
            start: [0; KEPT],
            kept: 0,
            cut: false,
            last: 0,
            in_head: false,
            length: None,
            encoded: false,
        }
    }

    /// Whether a head has begun and not ended.
    pub(super) fn unfinished(&self) -> bool {
        self.in_head || self.kept > 0
    }

    /// Takes the next bytes of the connection. After a flaw nothing more is looked at.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Over => return Ok(()),
                Place::Body(left) => self.skip(left, bytes),
                Place::Head => self.line(bytes).inspect_err(|_| self.place = Place::Over)?,
            };
        }
        Ok(())
    }

    fn skip<'a>(&mut self, left: u64, bytes: &'a [u8]) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.place = if left == 0 { Place::Head } else { Place::Body(left) };
        &bytes[here..]
    }

    /// Reads up to the end of a line, and gives what is after it.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Flaw> {
        let Some(end) = memchr(b'\n', bytes) else {
            self.keep(bytes);
            return Ok(&[]);
        };
        let (piece, rest) = (&bytes[..end], &bytes[end + 1..]);
        if self.kept == 0 {
            self.ended(piece.strip_suffix(b"\r").ok_or(Flaw::BareLf)?, piece.len() > KEPT)?;
        } else {
            self.keep(piece);
            if self.last != b'\r' {
                return Err(Flaw::BareLf);
            }
            let (start, kept) = (self.start, std::mem::take(&mut self.kept));
            let cut = std::mem::take(&mut self.cut);
            self.ended(start[..kept].strip_suffix(b"\r").unwrap_or(&start[..kept]), cut)?;
        }
        Ok(rest)
    }

    fn keep(&mut self, piece: &[u8]) {
        let more = piece.len().min(KEPT - self.kept);
        self.start[self.kept..self.kept + more].copy_from_slice(&piece[..more]);
        self.kept += more;
        self.cut |= more < piece.len();
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    /// Takes a line without its end; of a `long` one the start at least, which is enough to know its name.
    fn ended(&mut self, line: &[u8], long: bool) -> Result<(), Flaw> {
        if line.is_empty() {
            return if self.in_head { self.head_over() } else { Ok(()) };
        }
        self.in_head = true;
        let (length, encoding) = (field(line, b"content-length:"), field(line, b"transfer-encoding:"));
        if long && (length.is_some() || encoding.is_some()) {
            return Err(Flaw::LongFraming);
        }
        if let Some(value) = length {
            let length = number(value).ok_or(Flaw::BadLength)?;
            if self.length.replace(length).is_some() {
                return Err(Flaw::BadLength);
            }
        }
        self.encoded |= encoding.is_some();
        Ok(())
    }

    fn head_over(&mut self) -> Result<(), Flaw> {
        self.in_head = false;
        let length = self.length.take();
        self.place = match (length, self.encoded) {
            (Some(_), true) => return Err(Flaw::TwoFramings),
            (None, true) => Place::Over,
            (None | Some(0), false) => Place::Head,
            (Some(length), false) => Place::Body(length),
        };
        Ok(())
    }
}

/// The value of `line` if it is the field `name` (lower case, with its colon).
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// A number in its shortest spelling: others may read one with leading zeros as octal, or cut it off.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let short = (1..=DIGITS_MAX).contains(&digits.len()) && (digits == b"0" || !digits.starts_with(b"0"));
    if !short || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` whole, and again cut at every place: the verdict must not depend on it.
    fn verdict(text: &str) -> Result<(), Flaw> {
        let whole = Heads::new().feed(text.as_bytes());
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            let mut heads = Heads::new();
            assert_eq!(heads.feed(a).and_then(|()| heads.feed(b)), whole, "{text:?} cut at {cut}");
        }
        let mut heads = Heads::new();
        let bytewise = text.as_bytes().chunks(1).try_for_each(|byte| heads.feed(byte));
        assert_eq!(bytewise, whole, "{text:?} byte by byte");
        whole
    }

    #[test]
    fn ordinary_heads_pass() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 27\r\n\r\nx\nContent-Length: 5\n\nhallo!!GET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\t9999999999999999999 \r\n\r\nx\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\nContent-Length: 1\nContent-Length: 1",
            "GET / HTTP/1.1\r\nX-Content-Length: x\r\nA: Content-Length: 1\r\n\r\n",
        ] {
            assert_eq!(verdict(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn each_flaw_is_found_wherever_the_bytes_are_cut() {
        let table = [
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", Flaw::TwoFramings),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nCONTENT-LENGTH: 4\r\n\r\n", Flaw::TwoFramings),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 10000000000000000000\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 04\r\n\r\n", Flaw::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 00\r\n\r\n", Flaw::BadLength),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Flaw::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Flaw::BareLf),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", Flaw::BareLf),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\n\r\n", Flaw::BareLf),
        ];
        for (text, flaw) in table {
            assert_eq!(verdict(text), Err(flaw), "{text:?}");
        }
    }

    /// A long line is known by its start only when it came in pieces: nothing after the start may decide.
    #[test]
    fn a_framing_line_is_judged_alike_however_it_comes() {
        let head = |line: &str| verdict(&format!("POST / HTTP/1.1\r\n{line}\r\n\r\n"));
        let padded = |name: &str, value: &str, bytes: usize| {
            format!("{name}:{}{value}", " ".repeat(bytes - name.len() - 1 - value.len()))
        };
        for bytes in 60..=66 {
            let expected = if bytes < KEPT { Ok(()) } else { Err(Flaw::LongFraming) };
            assert_eq!(head(&padded("Content-Length", "0", bytes)), expected, "{bytes}");
            assert_eq!(head(&padded("content-length", "41", bytes)), expected, "{bytes}");
            assert_eq!(head(&padded("TRANSFER-ENCODING", "chunked", bytes)), expected, "{bytes}");
            assert_eq!(head(&padded("X-Long", "41", bytes)), Ok(()), "{bytes}");
        }
        assert_eq!(head(&format!("Content-Length: {}41", "0".repeat(60))), Err(Flaw::LongFraming));
        assert_eq!(head(&format!("Content-Length: {}41", "0".repeat(20))), Err(Flaw::BadLength));
        assert_eq!(head(&padded("X-Long", "Content-Length: 1", 300)), Ok(()));
        assert_eq!(verdict(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(300))), Ok(()));
    }

    #[test]
    fn a_begun_head_is_unfinished() {
        let mut heads = Heads::new();
        assert!(!heads.unfinished());
        heads.feed(b"G").unwrap();
        assert!(heads.unfinished());
        heads.feed(b"ET / HTTP/1.1\r\n").unwrap();
        assert!(heads.unfinished());
        heads.feed(b"\r\n").unwrap();
        assert!(!heads.unfinished());
    }
}
