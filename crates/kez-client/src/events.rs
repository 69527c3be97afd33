//! The events of a chain as they come over the wire: one envelope a line, bounded, each given out as soon as it is
//! there. Nothing is believed here; [`SigServer::chain`](crate::SigServer::chain) does that.

use kez_core::Envelope;
use kez_core::json::Malformed;
use kez_core::sigchain::EVENTS_MAX;

use crate::error::{AnswerFault, ClientError};
use crate::transport::Pieces;

/// The longest line of a chain, in bytes. Sig-servers take events of up to 16 KiB.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The largest chain read, in bytes: [`EVENTS_MAX`] events of 16 KiB. It is never held in memory at once.
pub const CHAIN_BYTES_MAX: u64 = EVENTS_MAX * 16 * 1024;

/// What the media type of a chain is.
pub(crate) const JSONL: &str = "application/jsonl";

/// A chain, or its end, on its way here.
#[derive(Debug)]
pub struct Events {
    pieces: Pieces,
    /// What has come and is not yet a whole line.
    rest: Lines,
    bytes: u64,
    lines: u64,
    has_ended: bool,
}

/// A line that was read, not yet believed.
pub type Line = Result<Envelope, Malformed>;

impl Events {
    pub(crate) fn new(pieces: Pieces) -> Result<Self, ClientError> {
        if pieces.media_type() != JSONL {
            return Err(pieces.head().not_protocol(AnswerFault::NotJsonl));
        }
        Ok(Self { pieces, rest: Lines::default(), bytes: 0, lines: 0, has_ended: false })
    }

    /// The next line; `None` at the end. A line that is no envelope is a value, since the caller knows what it means.
    pub async fn next(&mut self) -> Result<Option<Line>, ClientError> {
        while !self.has_ended {
            if let Some(line) = self.rest.take() {
                return self.read(&line).map(Some);
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(self.fault(AnswerFault::LineTooLong));
            }
            match self.pieces.next().await? {
                Some(piece) => self.push(&piece)?,
                None => self.has_ended = true,
            }
        }
        // The line end after the last line may be missing.
        let last = self.rest.take_rest();
        if last.is_empty() { Ok(None) } else { self.read(&last).map(Some) }
    }

    /// The hash that the server gives as the chain's end, as text; empty when it gives none.
    pub(crate) fn etag(&self) -> &str {
        self.pieces.etag()
    }

    pub(crate) fn contradiction(&self, what: crate::Contradiction) -> ClientError {
        self.pieces.head().contradiction(what)
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), ClientError> {
        self.bytes += piece.len() as u64;
        if self.bytes > CHAIN_BYTES_MAX {
            return Err(self.fault(AnswerFault::ChainTooLarge));
        }
        self.rest.push(piece);
        Ok(())
    }

    fn read(&mut self, line: &[u8]) -> Result<Line, ClientError> {
        self.lines += 1;
        if self.lines > EVENTS_MAX {
            return Err(self.fault(AnswerFault::ChainTooLarge));
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(self.fault(AnswerFault::LineTooLong));
        }
        Ok(Envelope::parse(line))
    }

    fn fault(&self, what: AnswerFault) -> ClientError {
        self.pieces.head().not_protocol(what)
    }
}

/// Bytes that are taken out line by line.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    at: usize,
}

impl Lines {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// Bytes that have not been taken.
    fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next whole line, without its end.
    fn take(&mut self) -> Option<Vec<u8>> {
        let open = self.bytes.get(self.at..)?;
        let len = open.iter().position(|byte| *byte == b'\n')?;
        let line = open.get(..len)?.to_vec();
        self.at += len + 1;
        Some(line)
    }

    fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes).split_off(std::mem::take(&mut self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_the_pieces_were_cut() {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for piece in ["ab", "c\nd", "\n\ne", "f"] {
            lines.push(piece.as_bytes());
            taken.extend(std::iter::from_fn(|| lines.take()));
        }
        assert_eq!(taken, [b"abc".to_vec(), b"d".to_vec(), Vec::new()]);
        assert_eq!((lines.len(), lines.take_rest(), lines.len()), (2, b"ef".to_vec(), 0));
    }
}
