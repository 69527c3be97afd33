//! Files: copied, hashed and made durable.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// How much is read at a time, in bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// Copies a file to a new one (0600), durably but for its name; the SHA-256 of what was copied.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<[u8; 32]> {
    let mut copy = create(to)?;
    let sha256 = each_piece(from, |piece| copy.write_all(piece))?;
    copy.sync_all()?;
    Ok(sha256)
}

/// The SHA-256 of a file.
pub(super) fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    each_piece(path, |_| Ok(()))
}

/// Writes a new file (0600), durably but for its name; its SHA-256.
pub(super) fn write(to: &Path, bytes: &[u8]) -> io::Result<[u8; 32]> {
    let mut file = create(to)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(Sha256::digest(bytes).into())
}

/// Makes a folder (0700) and those above it that are missing.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names in a folder, and in those below it, durable.
pub(super) fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The folder that a file lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads a file once from its beginning; its SHA-256. The pieces may be secret.
fn each_piece(path: &Path, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = Zeroizing::new(vec![0; PIECE_BYTES]);
    loop {
        let piece = match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(piece);
        take(piece)?;
    }
}
