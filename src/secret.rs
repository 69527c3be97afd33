//! The server's secret file: one random secret from which the keys of its features are derived.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use kez_serve::rng::{self, Rng};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The most a secret file may hold, in bytes: some dozen rotations.
const FILE_BYTES_MAX: u64 = 4096;

/// The secrets of the file, the current one first. Wiped when dropped; prints as `Secrets(..)`.
///
/// The file has a line per secret, `<key id> <64 lower-case hex digits>`; the key id has 8. A new first line rotates
/// the secret, the older lines go on to be accepted.
pub(crate) struct Secrets(Vec<Secret>);

/// The id of a secret, as it stands in what was made with it: the bytes of its 8 hex digits.
pub(crate) type KeyId = [u8; 4];

/// One line of the file.
struct Secret {
    key_id: String,
    bytes: Zeroizing<[u8; 32]>,
}

/// The secret file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Reading or writing failed.
    #[error(
        "--secret-file {path}: {source}; name a file that this user may read, in a folder where it may write"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("--secret-file {path}: other users can read it (mode {mode:o}); run: chmod 600 {path}")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is not a list of secrets.
    #[error(
        "--secret-file {path}: line {line} is not a key id of 8 and a secret of 64 hex digits; restore the file from a backup"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
}

impl Secrets {
    /// Reads the file; makes it, mode 0600, when it is missing.
    pub(crate) fn load_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, SecretError> {
        let io = |source| SecretError::Io { path: path.to_owned(), source };
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path, rng).map_err(io)?;
                Self::read(path, File::open(path).map_err(io)?)
            }
            Err(error) => Err(io(error)),
        }
    }

    /// The keys for one use of each secret, with the secret's id, the current one first: HKDF-SHA256 (RFC 5869) without
    /// salt, `label` as info. No two uses share a label.
    pub(crate) fn derived(&self, label: &'static [u8]) -> impl Iterator<Item = (KeyId, Zeroizing<[u8; 32]>)> {
        self.0.iter().map(move |secret| {
            let mut key = Zeroizing::new([0; 32]);
            // invariant: HKDF-SHA256 makes up to 255 * 32 bytes.
            Hkdf::<Sha256>::new(None, &*secret.bytes)
                .expand(label, &mut *key)
                .expect("32 bytes are not too many");
            (secret.id(), key)
        })
    }

    /// The id of the current secret, for logs.
    pub(crate) fn key_id(&self) -> &str {
        self.0.first().map_or("", |secret| &secret.key_id)
    }

    fn read(path: &Path, file: File) -> Result<Self, SecretError> {
        let io = |source| SecretError::Io { path: path.to_owned(), source };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::TooOpen { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        let content = |line| SecretError::Content { path: path.to_owned(), line };
        let secrets: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(at, line)| parse_line(line).ok_or_else(|| content(at + 1)))
            .collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(content(1)) } else { Ok(Self(secrets)) }
    }
}

impl Secret {
    fn id(&self) -> KeyId {
        // invariant: parse_line takes 8 hex digits only.
        u32::from_str_radix(&self.key_id, 16).expect("8 hex digits").to_be_bytes()
    }
}

fn parse_line(line: &str) -> Option<Secret> {
    let (key_id, secret) = line.split_once(' ')?;
    let is_id = key_id.len() == 8 && HEXLOWER.decode(key_id.as_bytes()).is_ok();
    let decoded = Zeroizing::new(HEXLOWER.decode(secret.as_bytes()).ok()?);
    let bytes = Zeroizing::new(<[u8; 32]>::try_from(decoded.as_slice()).ok()?);
    is_id.then(|| Secret { key_id: key_id.to_owned(), bytes })
}

/// Writes a file with one fresh secret: whole and durable under its name, or not there. Never over another one.
fn create(path: &Path, rng: &dyn Rng) -> io::Result<()> {
    let secret = Zeroizing::new(rng::bytes::<32>(rng));
    let line = Zeroizing::new(format!(
        "{} {}\n",
        HEXLOWER.encode(&rng::bytes::<4>(rng)),
        Zeroizing::new(HEXLOWER.encode(&*secret)).as_str()
    ));
    let draft = path.with_added_extension(HEXLOWER.encode(&rng::bytes::<4>(rng)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked = file
        .write_all(line.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&draft, path)); // unlike a rename, fails where there is a file
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {} // somebody else's is as good
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kez_serve::rng::SystemRng;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kez-chat.secret");
        let first = Secrets::load_or_create(&path, &SystemRng).unwrap();
        let second = Secrets::load_or_create(&path, &SystemRng).unwrap();
        assert_eq!(first.key_id(), second.key_id());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{first:?}"), "Secrets(..)");
    }

    #[test]
    fn each_label_and_each_secret_has_a_key_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kez-chat.secret");
        Secrets::load_or_create(&path, &SystemRng).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("0badf00d {}\n{first}", "42".repeat(32))).unwrap();
        let secrets = Secrets::load_or_create(&path, &SystemRng).unwrap();
        let derived = |label| secrets.derived(label).collect::<Vec<_>>();
        let keys = [derived(b"one"), derived(b"two")].concat();
        assert_eq!((keys[0].0, keys[2].0), ([0x0b, 0xad, 0xf0, 0x0d], [0x0b, 0xad, 0xf0, 0x0d]));
        let different: std::collections::BTreeSet<_> = keys.iter().map(|(_, key)| **key).collect();
        assert_eq!(different.len(), 4);
        assert_eq!(derived(b"one"), keys[..2]);
    }

    #[test]
    fn a_readable_or_damaged_file_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kez-chat.secret");
        Secrets::load_or_create(&path, &SystemRng).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = Secrets::load_or_create(&path, &SystemRng).unwrap_err();
        assert!(open.to_string().contains("chmod 600"), "{open}");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for content in ["", "0badf00d", "0badf00d zz\n"] {
            std::fs::write(&path, content).unwrap();
            let damaged = Secrets::load_or_create(&path, &SystemRng).unwrap_err();
            assert!(matches!(damaged, SecretError::Content { line: 1, .. }), "{content:?}: {damaged}");
        }
    }
}
