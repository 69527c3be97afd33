//! Files under a key of their own, piece by piece. SPEC "Files".
//!
//! The server stores the sealed file and knows its size and hash; name and key travel in a message. A file is sealed and
//! opened in chunks, so that neither side holds all of it.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::storage::{Chance, random};

/// Plain bytes of each chunk but the last.
pub const FILE_CHUNK_BYTES: usize = 1024 * 1024;
/// Bytes of a sealed chunk above those of the plain one: its tag.
pub const FILE_TAG_BYTES: usize = 16;
/// The largest file, in plain bytes: sealed it has 100 MiB, the most that a server takes.
pub const FILE_BYTES_MAX: u64 = 100 * (FILE_CHUNK_BYTES - FILE_TAG_BYTES) as u64;

/// What is bound to each chunk.
const DOMAIN: &[u8] = b"kez-chat/file/v1\0";
/// The sizes above, where files are counted.
const CHUNK: u64 = FILE_CHUNK_BYTES as u64;
const TAG: u64 = FILE_TAG_BYTES as u64;

/// The key of one file: 32 bytes, in messages as base64url without padding. Prints as `FileKey(..)`.
///
/// Drawn anew for each file: the nonces of its chunks are counted, so a second file under one key would give both away.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Zeroizing<[u8; 32]>);

/// A sealed file, for the message that speaks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// SHA-256 of the sealed bytes: the name of the blob.
    pub sha256: [u8; 32],
    /// Plain bytes.
    pub size: u64,
    /// What opens it.
    pub key: FileKey,
}

/// Why a file is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// More than [`FILE_BYTES_MAX`].
    #[error("a file has at most {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// A chunk that is not of [`FILE_CHUNK_BYTES`] where it has to be, or the file does not end where it says.
    #[error("a chunk of the file has the wrong length")]
    Length,
    /// A chunk does not open: another key, another place, or damaged.
    #[error("the file does not open with this key")]
    NotOpened,
    /// The sealed bytes are not those that the message named.
    #[error("the file is not the one that was sent")]
    WrongHash,
}

impl FileFault {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Length => "length",
            Self::NotOpened => "not_opened",
            Self::WrongHash => "wrong_hash",
        }
    }
}

/// Seals one file, chunk by chunk.
#[derive(Debug)]
pub struct FileSealer {
    key: FileKey,
    progress: Progress,
}

/// Opens one file, chunk by chunk.
#[derive(Debug)]
pub struct FileOpener {
    file: SealedFile,
    progress: Progress,
}

/// How far a file is.
#[derive(Debug, Default)]
struct Progress {
    chunks: u32,
    plain_bytes: u64,
    hash: Sha256,
}

impl FileKey {
    /// A new key.
    pub fn draw(chance: &dyn Chance) -> Self {
        Self(Zeroizing::new(random(chance)))
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key that a message holds; `None` when the text is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        Some(Self::from_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// The key for a message: whoever reads it opens the file.
    pub fn expose_text(&self) -> String {
        BASE64URL_NOPAD.encode(self.0.as_slice())
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(self.0.as_slice()))
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// Sealed bytes of a file with so many plain ones.
pub fn sealed_file_bytes(plain_bytes: u64) -> u64 {
    plain_bytes + plain_bytes.div_ceil(CHUNK).max(1) * TAG
}

impl FileSealer {
    /// Begins a file under a new key.
    pub fn new(chance: &dyn Chance) -> Self {
        Self::with_key(FileKey::draw(chance))
    }

    /// The same with a known key: for vectors. Nobody else may choose one.
    pub(crate) fn with_key(key: FileKey) -> Self {
        Self { key, progress: Progress::default() }
    }

    /// Seals the next chunk, of exactly [`FILE_CHUNK_BYTES`] and not the last.
    pub fn next(&mut self, plain: &[u8]) -> Result<Vec<u8>, FileFault> {
        if plain.len() != FILE_CHUNK_BYTES {
            return Err(FileFault::Length);
        }
        self.seal(plain, false)
    }

    /// Seals the last chunk, of 1 to [`FILE_CHUNK_BYTES`], or 0 where the file is empty.
    pub fn last(mut self, plain: &[u8]) -> Result<(Vec<u8>, SealedFile), FileFault> {
        self.progress.check_last(plain.len())?;
        let sealed = self.seal(plain, true)?;
        let Progress { plain_bytes: size, hash, .. } = self.progress;
        Ok((sealed, SealedFile { sha256: hash.finalize().into(), size, key: self.key }))
    }

    fn seal(&mut self, plain: &[u8], is_last: bool) -> Result<Vec<u8>, FileFault> {
        let nonce = self.progress.advance(plain.len(), is_last)?;
        let payload = Payload { msg: plain, aad: DOMAIN };
        let sealed = self.key.cipher().encrypt(Nonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| FileFault::TooLarge)?;
        self.progress.hash.update(&sealed);
        Ok(sealed)
    }
}

impl FileOpener {
    /// Begins to open the file of a message.
    pub fn new(file: SealedFile) -> Result<Self, FileFault> {
        if file.size > FILE_BYTES_MAX {
            return Err(FileFault::TooLarge);
        }
        Ok(Self { file, progress: Progress::default() })
    }

    /// Bytes of the next sealed chunk; `None` after the last.
    pub fn next_bytes(&self) -> Option<usize> {
        let left = self.file.size.checked_sub(self.progress.plain_bytes)?;
        if left == 0 && self.progress.chunks > 0 {
            return None;
        }
        usize::try_from(left.min(CHUNK) + TAG).ok()
    }

    /// Opens the next chunk, of exactly [`next_bytes`](Self::next_bytes).
    ///
    /// The plain bytes are for nobody before [`finish`](Self::finish) has agreed: who knows the key can make two files of one
    /// name, and only the hash tells them apart.
    pub fn next(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FileFault> {
        let expected = self.next_bytes().ok_or(FileFault::Length)?;
        if sealed.len() != expected {
            return Err(FileFault::Length);
        }
        let plain_bytes = expected - FILE_TAG_BYTES;
        let is_last = self.progress.plain_bytes + plain_bytes as u64 == self.file.size;
        let nonce = self.progress.advance(plain_bytes, is_last)?;
        self.progress.hash.update(sealed);
        let payload = Payload { msg: sealed, aad: DOMAIN };
        let plain = self.file.key.cipher().decrypt(Nonce::from_slice(&nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| FileFault::NotOpened)
    }

    /// Whether all chunks were there and are those of the message. Only then the file may be used.
    pub fn finish(self) -> Result<(), FileFault> {
        if self.next_bytes().is_some() {
            return Err(FileFault::Length);
        }
        let sha256: [u8; 32] = self.progress.hash.finalize().into();
        if sha256 == self.file.sha256 { Ok(()) } else { Err(FileFault::WrongHash) }
    }
}

/// Seals a file that is in memory as a whole.
pub fn seal_file(plain: &[u8], chance: &dyn Chance) -> Result<(Vec<u8>, SealedFile), FileFault> {
    seal_all(FileSealer::new(chance), plain)
}

pub(crate) fn seal_all(mut file: FileSealer, plain: &[u8]) -> Result<(Vec<u8>, SealedFile), FileFault> {
    let mut sealed = Vec::with_capacity(plain.len() + FILE_TAG_BYTES);
    let mut rest = plain;
    while let Some((chunk, more)) =
        rest.split_at_checked(FILE_CHUNK_BYTES).filter(|(_, more)| !more.is_empty())
    {
        sealed.extend(file.next(chunk)?);
        rest = more;
    }
    let (last, file) = file.last(rest)?;
    sealed.extend(last);
    Ok((sealed, file))
}

/// Opens a file that is in memory as a whole.
pub fn open_file(file: SealedFile, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    let mut opener = FileOpener::new(file)?;
    if sealed.len() as u64 != sealed_file_bytes(opener.file.size) {
        return Err(FileFault::Length);
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let mut rest = sealed;
    while let Some(bytes) = opener.next_bytes() {
        let (chunk, more) = rest.split_at_checked(bytes).ok_or(FileFault::Length)?;
        plain.extend_from_slice(&opener.next(chunk)?);
        rest = more;
    }
    opener.finish()?;
    Ok(plain)
}

impl Progress {
    /// The nonce of the next chunk: 7 zeros, its number, and whether it is the last.
    fn advance(&mut self, plain_bytes: usize, is_last: bool) -> Result<[u8; 12], FileFault> {
        let plain_bytes = self.plain_bytes + plain_bytes as u64;
        if plain_bytes > FILE_BYTES_MAX {
            return Err(FileFault::TooLarge);
        }
        let [a, b, c, d] = self.chunks.to_be_bytes();
        self.chunks += 1;
        self.plain_bytes = plain_bytes;
        Ok([0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(is_last)])
    }

    /// One form for each file: no empty chunk after others.
    fn check_last(&self, plain_bytes: usize) -> Result<(), FileFault> {
        let fits = plain_bytes <= FILE_CHUNK_BYTES && (plain_bytes > 0 || self.chunks == 0);
        if fits { Ok(()) } else { Err(FileFault::Length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;

    impl Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn plain(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    #[test]
    fn what_is_sealed_is_opened_whatever_its_size() {
        // One chunk and a byte is among the vectors.
        for bytes in [0, 1, 70_000, FILE_CHUNK_BYTES] {
            let (sealed, file) = seal_file(&plain(bytes), &Sevens).unwrap();
            assert_eq!(sealed.len() as u64, sealed_file_bytes(bytes as u64));
            assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(&sealed)));
            assert_eq!(open_file(file, &sealed).unwrap().as_slice(), plain(bytes));
        }
        assert_eq!(sealed_file_bytes(CHUNK), CHUNK + TAG);
        assert_eq!(sealed_file_bytes(CHUNK + 1), CHUNK + 1 + 2 * TAG);
        assert_eq!(sealed_file_bytes(FILE_BYTES_MAX), 100 * 1024 * 1024);
    }

    #[test]
    fn chunks_neither_move_nor_go() {
        let (sealed, file) = seal_file(&plain(2 * FILE_CHUNK_BYTES + 5), &Sevens).unwrap();
        let chunk = FILE_CHUNK_BYTES + FILE_TAG_BYTES;
        let opener = |size: u64| FileOpener::new(SealedFile { size, ..file.clone() }).unwrap();
        let second = &sealed[chunk..2 * chunk];
        assert_eq!(
            opener(file.size).next(second),
            Err(FileFault::NotOpened),
            "the second in place of the first"
        );
        // Cut after a whole chunk, with a size that fits: that chunk is no last one.
        assert_eq!(opener(CHUNK).next(&sealed[..chunk]), Err(FileFault::NotOpened));
        assert_eq!(opener(file.size).next(&sealed[..chunk - 1]), Err(FileFault::Length));
        assert_eq!(opener(file.size).finish(), Err(FileFault::Length), "chunks are missing");
    }

    #[test]
    fn a_file_of_another_name_is_not_used() {
        let (sealed, file) = seal_file(b"one", &Sevens).unwrap();
        let other = SealedFile { sha256: [9; 32], ..file.clone() };
        assert_eq!(open_file(other, &sealed), Err(FileFault::WrongHash));
        let other = SealedFile { key: FileKey::from_bytes([8; 32]), ..file };
        assert_eq!(open_file(other, &sealed), Err(FileFault::NotOpened));
    }

    #[test]
    fn a_file_has_one_form_and_a_bound() {
        let mut sealer = FileSealer::new(&Sevens);
        assert_eq!(sealer.next(b"short"), Err(FileFault::Length));
        sealer.next(&plain(FILE_CHUNK_BYTES)).unwrap();
        assert_eq!(sealer.last(b"").map(|_| ()), Err(FileFault::Length));
        let file = SealedFile { sha256: [0; 32], size: FILE_BYTES_MAX + 1, key: FileKey::draw(&Sevens) };
        assert_eq!(FileOpener::new(file).map(|_| ()), Err(FileFault::TooLarge));
        let mut progress = Progress { plain_bytes: FILE_BYTES_MAX, ..Progress::default() };
        assert_eq!(progress.advance(1, true), Err(FileFault::TooLarge));
    }

    #[test]
    fn a_key_prints_nothing_and_reads_back() {
        let key = FileKey::from_bytes([5; 32]);
        assert_eq!(format!("{key:?}"), "FileKey(..)");
        assert_eq!(FileKey::from_text(&key.expose_text()), Some(key));
        assert_eq!(FileKey::from_text("BQUF"), None);
    }
}
