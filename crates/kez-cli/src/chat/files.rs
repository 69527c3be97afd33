//! Attachments: files as encrypted blobs. SPEC "Files".
//!
//! A file is sealed in chunks, so that neither side ever holds all of it: chunk `n` of 1 MiB (the last one may have less)
//! under AES-256-GCM with a key of its own, the nonce being the chunk's number and whether it is the last.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use data_encoding::BASE64URL_NOPAD;
use kez_client::{BlobSource, CallError, DeviceClient};
use kez_core::{BLOB_BYTES_MAX, BlobHash};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::model::FileRef;
use crate::system;

/// Bytes of plaintext in a chunk.
const CHUNK_BYTES: usize = 1024 * 1024;
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// What is bound to each chunk.
const LABEL: &[u8] = b"kez-chat/file/v1\0";
/// The largest file, in bytes: sealed it is as large as a blob may be.
pub(crate) const FILE_BYTES_MAX: u64 = BLOB_BYTES_MAX / CHUNK_BYTES as u64 * (CHUNK_BYTES - TAG_BYTES) as u64;
/// The longest name of a file that is shown or saved, in characters.
const NAME_CHARS_MAX: usize = 120;

/// Why a file is not sent or not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FileError {
    /// The system refuses.
    #[error("{path} cannot be {done}")]
    Io {
        path: PathBuf,
        /// `read` or `written`.
        done: &'static str,
        source: io::Error,
    },
    /// Not a file, such as a folder.
    #[error("{path} is not a file")]
    NotAFile { path: PathBuf },
    /// Larger than one may be.
    #[error("{path} has {}, and a file may have {}", super::words::bytes(*.bytes), super::words::bytes(FILE_BYTES_MAX))]
    TooLarge { path: PathBuf, bytes: u64 },
    /// It changed while it was read.
    #[error("{path} was changed while it was being sent")]
    Changed { path: PathBuf },
    /// What the message says of the file does not fit what the server has.
    #[error("the file is not what its message says: it is damaged, or somebody changed it")]
    Damaged,
    /// The server has it no longer.
    #[error("the file is no longer on the server")]
    Gone,
    /// Anything else that a server says.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A file that is to be sent: what its message will say, and where its bytes are.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) file: FileRef,
    path: PathBuf,
    sealed_bytes: u64,
    hash: BlobHash,
}

/// Seals one file's chunks.
struct Chunks(Box<Aes256Gcm>);

impl Chunks {
    fn new(key: &[u8; 32]) -> Self {
        Self(Box::new(Aes256Gcm::new(key.into())))
    }

    /// Seals the chunk in place and adds its tag.
    fn seal(&self, number: u32, is_last: bool, chunk: &mut Vec<u8>) {
        // invariant: AES-GCM takes 64 GiB, and a chunk has 1 MiB.
        let tag =
            self.0.encrypt_in_place_detached(&nonce(number, is_last).into(), LABEL, chunk).expect("a chunk");
        chunk.extend_from_slice(&tag);
    }

    /// Opens the chunk in place and takes its tag off; `None` when it is not that chunk.
    fn open(&self, number: u32, is_last: bool, chunk: &mut Vec<u8>) -> Option<()> {
        let text_bytes = chunk.len().checked_sub(TAG_BYTES)?;
        let tag = chunk.split_off(text_bytes);
        let nonce = nonce(number, is_last).into();
        self.0.decrypt_in_place_detached(&nonce, LABEL, chunk, Tag::from_slice(&tag)).ok()
    }
}

/// Seven zero bytes, the chunk's number, and 1 for the last chunk.
fn nonce(number: u32, is_last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    nonce
}

/// How many chunks a file of so many bytes has: one at least.
fn chunk_count(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

impl Outgoing {
    /// Reads the file at `path` once, to know what it will be called.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { path: path.to_owned(), done: "read", source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(FileError::NotAFile { path: path.to_owned() });
        }
        let size = metadata.len();
        if size > FILE_BYTES_MAX {
            return Err(FileError::TooLarge { path: path.to_owned(), bytes: size });
        }
        let key: [u8; 32] = system::random_bytes();
        let sealed_bytes = size + chunk_count(size) * TAG_BYTES as u64;
        let mut source = Sealing { file, size, chunks: Chunks::new(&key) };
        let mut digest = Sha256::new();
        for number in 0..chunk_count(size) {
            digest.update(source.chunk(number).map_err(failed)?);
        }
        let hash = BlobHash::from_bytes(digest.finalize().into());
        let name = path.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy().into_owned());
        let mime = mime_of(&name).to_owned();
        let file = FileRef {
            blob: hash.to_string(),
            key: BASE64URL_NOPAD.encode(&key),
            size,
            name: name.chars().take(NAME_CHARS_MAX).collect(),
            mime,
        };
        Ok(Self { file, path: path.to_owned(), sealed_bytes, hash })
    }

    /// Sends it. Doing so again is safe.
    pub(crate) async fn send(&self, client: &DeviceClient) -> Result<(), FileError> {
        let failed = |source| FileError::Io { path: self.path.clone(), done: "read", source };
        let file = File::open(&self.path).map_err(failed)?;
        let key = key_of(&self.file).ok_or(FileError::Damaged)?;
        let mut source = Sealing { file, size: self.file.size, chunks: Chunks::new(&key) };
        match client.send_blob(self.hash, self.sealed_bytes, &mut source).await {
            Ok(_) => Ok(()),
            Err(CallError::OtherBlob) => Err(FileError::Changed { path: self.path.clone() }),
            Err(CallError::Unreadable { source }) => Err(failed(source)),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file, sealed as it is read.
struct Sealing {
    file: File,
    size: u64,
    chunks: Chunks,
}

impl Sealing {
    /// One sealed chunk.
    fn chunk(&mut self, number: u64) -> io::Result<Vec<u8>> {
        let offset = number * CHUNK_BYTES as u64;
        let bytes = self.size.saturating_sub(offset).min(CHUNK_BYTES as u64);
        let is_last = number + 1 == chunk_count(self.size);
        // invariant: 1 MiB at most.
        let mut chunk = Vec::with_capacity(SEALED_BYTES);
        chunk.resize(usize::try_from(bytes).expect("a chunk"), 0);
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut chunk)?;
        let number = u32::try_from(number).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.chunks.seal(number, is_last, &mut chunk);
        Ok(chunk)
    }
}

impl BlobSource for Sealing {
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (mut number, mut skip) = (offset / SEALED_BYTES as u64, offset % SEALED_BYTES as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let chunk = self.chunk(number)?;
            let from = chunk.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
            if from.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = from.len().min(rest.len());
            rest[..count].copy_from_slice(&from[..count]);
            rest = &mut rest[count..];
            (number, skip) = (number + 1, 0);
        }
        Ok(())
    }
}

/// Fetches a file, checks it, and puts it into `folder`; where it is then.
pub(crate) async fn save(file: &FileRef, folder: &Path, client: &DeviceClient) -> Result<PathBuf, FileError> {
    let failed = |source| FileError::Io { path: folder.to_owned(), done: "written", source };
    let key = key_of(file).ok_or(FileError::Damaged)?;
    let hash: BlobHash = file.blob.parse().map_err(|_| FileError::Damaged)?;
    let mut sealed = tempfile::tempfile_in(folder).map_err(failed)?;
    let mut reader = client.blob(hash);
    loop {
        match reader.next().await {
            Ok(Some(piece)) => sealed.write_all(&piece).map_err(failed)?,
            // Only now its hash was found to be right.
            Ok(None) => break,
            Err(CallError::NotFound) => return Err(FileError::Gone),
            Err(error) => return Err(error.into()),
        }
    }
    let sealed_bytes = reader.received();
    if sealed_bytes != file.size + chunk_count(file.size) * TAG_BYTES as u64 {
        return Err(FileError::Damaged);
    }
    let mut draft = tempfile::Builder::new().prefix(".kez-draft-").tempfile_in(folder).map_err(failed)?;
    open_into(&mut sealed, file.size, &Chunks::new(&key), draft.as_file_mut()).map_err(
        |error| match error {
            Some(source) => failed(source),
            None => FileError::Damaged,
        },
    )?;
    draft.as_file().sync_all().map_err(failed)?;
    put(draft, folder, &file.name).map_err(failed)
}

/// `None`: a chunk is not what it should be.
fn open_into(sealed: &mut File, size: u64, chunks: &Chunks, out: &mut File) -> Result<(), Option<io::Error>> {
    sealed.rewind().map_err(Some)?;
    let count = chunk_count(size);
    for number in 0..count {
        let mut chunk = Vec::with_capacity(SEALED_BYTES);
        Read::by_ref(sealed).take(SEALED_BYTES as u64).read_to_end(&mut chunk).map_err(Some)?;
        let of_file = u32::try_from(number).map_err(|_| None)?;
        chunks.open(of_file, number + 1 == count, &mut chunk).ok_or(None)?;
        out.write_all(&chunk).map_err(Some)?;
    }
    Ok(())
}

/// Gives a finished file its name, or that name with a number where something has it.
fn put(mut draft: tempfile::NamedTempFile, folder: &Path, name: &str) -> io::Result<PathBuf> {
    let name = safe_name(name);
    let (stem, end) = match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() => (stem.to_owned(), format!(".{end}")),
        _ => (name.clone(), String::new()),
    };
    let mut number = 1;
    loop {
        let name = if number == 1 { name.clone() } else { format!("{stem} ({number}){end}") };
        let path = folder.join(name);
        match draft.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                draft = error.file;
                number += 1;
            }
            Err(error) => return Err(error.error),
        }
    }
}

/// A name that stays in its folder, is not hidden, and says what it seems to say.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = |c: &char| !c.is_control() && super::words::safe(&c.to_string()) == c.to_string();
    let plain: String = last.chars().filter(is_plain).take(NAME_CHARS_MAX).collect();
    let plain = plain.trim_start_matches(['.', ' ', '-']).trim_end().to_owned();
    if plain.is_empty() { "file".into() } else { plain }
}

fn key_of(file: &FileRef) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(file.key.as_bytes()).ok()?);
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}

/// A hint for programs that show the file: by the end of its name, since its content is not looked at.
fn mime_of(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
    match end.as_str() {
        "txt" | "log" | "md" => "text/plain",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "zip" => "application/zip",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(content: &[u8]) -> (tempfile::TempDir, Outgoing, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cat.png");
        std::fs::write(&path, content).unwrap();
        let outgoing = Outgoing::read(&path).unwrap();
        let key = key_of(&outgoing.file).unwrap();
        let file = File::open(&path).unwrap();
        let mut source = Sealing { file, size: content.len() as u64, chunks: Chunks::new(&key) };
        let mut bytes = vec![0; usize::try_from(outgoing.sealed_bytes).unwrap()];
        source.read_at(0, &mut bytes).unwrap();
        (dir, outgoing, bytes)
    }

    fn opened(outgoing: &Outgoing, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        let key = key_of(&outgoing.file).unwrap();
        open_into(&mut file, outgoing.file.size, &Chunks::new(&key), &mut out).ok()?;
        out.rewind().unwrap();
        let mut content = Vec::new();
        out.read_to_end(&mut content).unwrap();
        Some(content)
    }

    #[test]
    fn a_file_of_any_length_comes_back_and_no_part_of_it_alone() {
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 7] {
            let content: Vec<u8> = (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let (_dir, outgoing, sealed) = sealed(&content);
            assert_eq!(BlobHash::from_bytes(Sha256::digest(&sealed).into()), outgoing.hash);
            assert_eq!(opened(&outgoing, &sealed).as_deref(), Some(content.as_slice()), "{bytes}");
            let mut spoilt = sealed.clone();
            *spoilt.last_mut().unwrap() ^= 1;
            assert_eq!(opened(&outgoing, &spoilt), None, "{bytes}");
        }
    }

    #[test]
    fn chunks_cannot_be_cut_off_or_exchanged() {
        let content = vec![7; 3 * CHUNK_BYTES];
        let (_dir, outgoing, sealed) = sealed(&content);
        let shorter = FileRef { size: 2 * CHUNK_BYTES as u64, ..outgoing.file.clone() };
        let cut = Outgoing { file: shorter, path: outgoing.path.clone(), ..outgoing };
        assert_eq!(opened(&cut, &sealed[..2 * SEALED_BYTES]), None, "the last one says that it is the last");
        let mut exchanged = sealed[SEALED_BYTES..2 * SEALED_BYTES].to_vec();
        exchanged.extend_from_slice(&sealed[..SEALED_BYTES]);
        exchanged.extend_from_slice(&sealed[2 * SEALED_BYTES..]);
        let whole = Outgoing { file: FileRef { size: content.len() as u64, ..cut.file.clone() }, ..cut };
        assert_eq!(opened(&whole, &exchanged), None);
    }

    #[test]
    fn a_source_is_read_from_anywhere() {
        let content: Vec<u8> = (0..2 * CHUNK_BYTES + 100).map(|at| u8::try_from(at % 250).unwrap()).collect();
        let (dir, outgoing, sealed) = sealed(&content);
        let key = key_of(&outgoing.file).unwrap();
        let file = File::open(dir.path().join("cat.png")).unwrap();
        let mut source = Sealing { file, size: content.len() as u64, chunks: Chunks::new(&key) };
        for (from, bytes) in
            [(5, 10), (SEALED_BYTES - 3, 9), (SEALED_BYTES, SEALED_BYTES), (2 * SEALED_BYTES + 100, 16)]
        {
            let mut part = vec![0; bytes];
            source.read_at(from as u64, &mut part).unwrap();
            assert_eq!(part, sealed[from..from + bytes]);
        }
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        let names = [
            "../../etc/passwd",
            "C:\\x\\cat.png",
            ".bashrc",
            "-rf",
            "a\u{202e}gpj.exe",
            "",
            "..",
            "Bär 1.txt",
        ];
        let safe: Vec<_> = names.iter().map(|name| safe_name(name)).collect();
        assert_eq!(safe, ["passwd", "cat.png", "bashrc", "rf", "agpj.exe", "file", "file", "Bär 1.txt"]);
    }

    #[test]
    fn nothing_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3)
            .map(|_| {
                let draft = tempfile::NamedTempFile::new_in(dir.path()).unwrap();
                put(draft, dir.path(), "cat.png").unwrap().file_name().unwrap().to_owned()
            })
            .collect();
        assert_eq!(names, ["cat.png", "cat (2).png", "cat (3).png"]);
    }
}
