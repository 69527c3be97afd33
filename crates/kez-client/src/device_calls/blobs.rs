//! Encrypted attachments: sent and read part by part, over lines that break. SPEC "Blobs".

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use kez_core::{BLOB_BYTES_MAX, BlobHash, PART_BYTES_MAX, PART_BYTES_MIN, Timestamp};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::call_error::CallError;
use crate::device_client::{DeviceClient, Request};
use crate::error::{AnswerFault, ClientError, Contradiction};
use crate::home_server::STREAM_S_MAX;
use crate::patience::Spent;
use crate::transport::{Answer, Pieces};

const MEDIA_TYPE: &str = "application/octet-stream";

/// Where the bytes of a blob come from: a file, or whatever makes the same ones each time.
pub trait BlobSource: Send {
    /// Fills `bytes`, at most 1 MiB, with those that begin at `offset`. It may block while it does. Parts are asked for in
    /// order, but for one whose answer was lost.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl<T: Read + Seek + Send> BlobSource for T {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.read_exact(bytes)
    }
}

/// A blob on its way to the server.
///
/// It goes on where the server has got to, also when another process began it. Each part is sent again within the client's
/// [`Patience`](crate::Patience) where its answer is lost; on a slow line parts get shorter.
#[derive(Debug)]
#[must_use = "nothing is sent before next()"]
pub struct BlobUpload {
    client: DeviceClient,
    hash: BlobHash,
    bytes: u64,
    /// Where to go on; `None`: the server is to be asked.
    offset: Option<u64>,
    part_bytes: u64,
    /// On failures since the last part that arrived.
    spent: Spent,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadStep {
    /// So much is there, durably; more is to be sent.
    More {
        /// Bytes.
        offset: u64,
    },
    /// All of it is there, durably.
    Stored(StoredBlob),
}

/// A blob that the server has, and the account's reference to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredBlob {
    /// When the reference ends, unless the blob is sent again.
    pub expires_at: Timestamp,
    /// Whether the account had referred to it before, or its answer was lost.
    pub already: bool,
}

#[derive(Deserialize)]
struct Offset {
    offset: u64,
}

#[derive(Deserialize)]
struct Whole {
    sha256: BlobHash,
    bytes: u64,
    expires_at: Timestamp,
}

/// A blob as it comes in, whose bytes are not to be used before its end: only there it shows whether they are the blob.
///
/// A connection that breaks off is made anew where it broke, within the client's [`Patience`](crate::Patience).
#[derive(Debug)]
#[must_use = "nothing is asked for before next()"]
pub struct BlobReader {
    client: DeviceClient,
    hash: BlobHash,
    open: Option<Pieces>,
    received: u64,
    bytes: Option<u64>,
    digest: Sha256,
    /// On failures since the last bytes.
    spent: Spent,
}

impl DeviceClient {
    /// Sends a blob of `bytes` bytes (1 byte to 100 MiB), or what the server lacks of it.
    pub async fn send_blob(
        &self,
        hash: BlobHash,
        bytes: u64,
        source: &mut dyn BlobSource,
    ) -> Result<StoredBlob, CallError> {
        let mut upload = self.blob_upload(hash, bytes);
        loop {
            if let UploadStep::Stored(stored) = upload.next(source).await? {
                return Ok(stored);
            }
        }
    }

    /// The same step by step, for who shows how far it is.
    pub fn blob_upload(&self, hash: BlobHash, bytes: u64) -> BlobUpload {
        BlobUpload {
            client: self.clone(),
            hash,
            bytes,
            // What fits into one part is sent without asking.
            offset: (bytes <= PART_BYTES_MAX).then_some(0),
            part_bytes: PART_BYTES_MAX,
            spent: Spent::default(),
        }
    }

    /// The blob of that name, of whichever account.
    pub fn blob(&self, hash: BlobHash) -> BlobReader {
        BlobReader {
            client: self.clone(),
            hash,
            open: None,
            received: 0,
            bytes: None,
            digest: Sha256::new(),
            spent: Spent::default(),
        }
    }

    /// Gives up the account's reference to a blob, and what it was sending of it; whether there was either. After a lost
    /// answer there is none.
    pub async fn delete_blob(&self, hash: BlobHash) -> Result<bool, CallError> {
        match self.call(&self.request(Method::DELETE, &["blobs", &hash.to_string()])).await {
            Ok(_) => Ok(true),
            Err(CallError::NotFound) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

impl BlobUpload {
    /// Sends the next part, or asks where to go on.
    pub async fn next(&mut self, source: &mut dyn BlobSource) -> Result<UploadStep, CallError> {
        let mut was_told = false;
        loop {
            match self.attempt(source).await {
                Ok(step) => {
                    self.spent = Spent::default();
                    return Ok(step);
                }
                Err(CallError::WrongOffset { offset }) if !was_told && offset < self.bytes => {
                    was_told = true;
                    self.offset = Some(offset);
                }
                Err(fault) if is_slow(&fault) && self.part_bytes > PART_BYTES_MIN => {
                    self.offset = None;
                    self.part_bytes /= 2;
                }
                Err(fault) => {
                    self.offset = None;
                    self.client.wait(fault, &mut self.spent).await?;
                }
            }
        }
    }

    async fn attempt(&mut self, source: &mut dyn BlobSource) -> Result<UploadStep, CallError> {
        let Some(offset) = self.offset else {
            let ask = self.put(&format!("bytes */{}", self.bytes));
            return self.read(&self.client.call_once(&ask).await?, None);
        };
        let length = self.part_bytes.min(self.bytes.saturating_sub(offset));
        let end = offset + length;
        let request = self.put(&format!("bytes {offset}-{}/{}", end.saturating_sub(1), self.bytes));
        let part = read(source, offset, length)?;
        match self.client.call_once(&request.bytes(part)).await {
            Ok(answer) => self.read(&answer, Some(end)),
            Err(fault) if end == self.bytes && fault.code() == Some("digest_mismatch") => {
                Err(CallError::OtherBlob)
            }
            Err(fault) => Err(fault),
        }
    }

    fn put(&self, range: &str) -> Request {
        self.client.request(Method::PUT, &["blobs", &self.hash.to_string()]).header(CONTENT_RANGE, range)
    }

    /// What a success says; `end` is that of the part, unless the server was asked.
    fn read(&mut self, answer: &Answer, end: Option<u64>) -> Result<UploadStep, CallError> {
        if answer.status() != StatusCode::ACCEPTED {
            let Whole { sha256, bytes, expires_at } = answer.json()?;
            if (sha256, bytes) != (self.hash, self.bytes) {
                return Err(answer.contradiction(Contradiction::OtherBlob).into());
            }
            return Ok(UploadStep::Stored(StoredBlob { expires_at, already: !super::is_new(answer) }));
        }
        let Offset { offset } = answer.json()?;
        if offset >= self.bytes || end.is_some_and(|end| end != offset) {
            return Err(answer.contradiction(Contradiction::OutOfOrder).into());
        }
        self.offset = Some(offset);
        Ok(UploadStep::More { offset })
    }
}

fn read(source: &mut dyn BlobSource, offset: u64, length: u64) -> Result<Vec<u8>, CallError> {
    // invariant: a part has PART_BYTES_MAX at most.
    let mut part = vec![0; usize::try_from(length).expect("1 MiB at most")];
    source.read_at(offset, &mut part).map_err(|source| CallError::Unreadable { source })?;
    Ok(part)
}

/// The line did not carry a part in time.
fn is_slow(fault: &CallError) -> bool {
    match fault {
        CallError::Client(ClientError::TimedOut { .. }) => true,
        CallError::Client(ClientError::Refused(problem)) => problem.status == 408,
        _ => false,
    }
}

impl BlobReader {
    /// Counts bytes that an earlier reader gave out. To be called, in order, before the first [`next`](Self::next), which
    /// then goes on behind them.
    pub fn have(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.received += bytes.len() as u64;
    }

    /// The next bytes; `None`: those that were given out, all together, are the blob. Until then nothing says so.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        loop {
            match self.attempt().await {
                Ok(Some(piece)) => {
                    self.spent = Spent::default();
                    self.have(&piece);
                    return Ok(Some(piece));
                }
                Ok(None) => return Ok(None),
                Err(fault) => {
                    self.open = None;
                    self.client.wait(fault, &mut self.spent).await?;
                }
            }
        }
    }

    /// How many bytes the blob has, by the server's word; `None` before the first of them.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// How many bytes have come, those that were there before included.
    pub fn received(&self) -> u64 {
        self.received
    }

    async fn attempt(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        if self.open.is_none() {
            let pieces = match self.connect().await {
                // There are no more than were received: their hash decides.
                Err(fault) if fault.code() == Some("range_not_satisfiable") && self.is_whole() => {
                    return Ok(None);
                }
                pieces => pieces?,
            };
            self.bytes = pieces.length().map(|rest| self.received + rest);
            self.open = Some(pieces);
        }
        let Some(pieces) = &mut self.open else { return Ok(None) };
        match pieces.next().await? {
            Some(piece) if self.received + piece.len() as u64 > BLOB_BYTES_MAX => {
                Err(pieces.head().not_protocol(AnswerFault::TooLarge).into())
            }
            Some(piece) => Ok(Some(piece)),
            None if is(&self.digest, &self.hash) => Ok(None),
            None => Err(pieces.head().contradiction(Contradiction::OtherBlob).into()),
        }
    }

    /// The blob from where it broke off.
    async fn connect(&self) -> Result<Pieces, CallError> {
        let mut request = self.client.request(Method::GET, &["blobs", &self.hash.to_string()]);
        if self.received > 0 {
            request = request.header(RANGE, &format!("bytes={}-", self.received));
        }
        let pieces = self.client.open(&request, MEDIA_TYPE, Duration::from_secs(STREAM_S_MAX)).await?;
        if pieces.begins_at().unwrap_or_default() != self.received {
            return Err(pieces.head().contradiction(Contradiction::OutOfOrder).into());
        }
        Ok(pieces)
    }

    fn is_whole(&self) -> bool {
        is(&self.digest, &self.hash)
    }
}

fn is(digest: &Sha256, hash: &BlobHash) -> bool {
    digest.clone().finalize()[..] == hash.as_bytes()[..]
}
