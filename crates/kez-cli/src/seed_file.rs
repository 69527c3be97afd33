//! The file that an identity is kept in. SPEC "Seed file".
//!
//! Holds the entropy behind the recovery phrase, plainly or [sealed](crate::sealing) under a passphrase. Pure: salt and nonce are arguments, and the disk is [`crate::home`]'s business.

use std::fmt;

use data_encoding::HEXLOWER;
use kez_core::{Phrase, PublicKey, Seed};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::sealing::{NONCE_BYTES, Passphrase, SALT_BYTES, Sealed, SealingError, WireSealed};

/// The member `kez` of the file.
const TAG: &str = "seed_file";
/// The only version there is.
const VERSION: u32 = 1;
/// What is authenticated along with the entropy, before the primary key.
const SEAL_LABEL: &[u8] = b"kez-seed-file-v1\0";
/// Reserved for the text of a file, so that it does not grow: growing leaves unwiped copies behind. A sealed one of 24
/// words has under 600 bytes.
const TEXT_BYTES: usize = 1024;

/// An identity as it lies on disk, in the right form. Whether a passphrase opens it is not yet known.
#[derive(Debug)]
pub(crate) struct SeedFile {
    primary: PublicKey,
    content: Content,
}

enum Content {
    Plain(Zeroizing<Vec<u8>>),
    Sealed(Sealed),
}

/// Why a seed file gives no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SeedFileError {
    /// Not a seed file, or a member is missing or of the wrong form.
    #[error("the file is damaged")]
    Damaged,
    /// A version that this program does not know.
    #[error("the file was written by a newer kez")]
    Newer,
    /// Opening it would cost more memory or time than is allowed.
    #[error("the file asks for too much memory or time")]
    TooCostly,
    /// Sealed, and no passphrase was given.
    #[error("the file is protected by a passphrase")]
    NeedsPassphrase,
    /// The passphrase is wrong, or the file was changed.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
}

/// The file as JSON: exactly one of `entropy` and `sealed`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    kez: String,
    version: u32,
    primary: PublicKey,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    entropy: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sealed: Option<WireSealed>,
}

/// What is read first, so that a newer file is told from a damaged one.
#[derive(Deserialize)]
struct Head {
    kez: String,
    version: u32,
}

impl SeedFile {
    /// A file that anybody who can read it can use.
    pub(crate) fn plain(phrase: &Phrase) -> Self {
        let entropy = Zeroizing::new(phrase.entropy().to_vec());
        Self { primary: phrase.seed().public_key(), content: Content::Plain(entropy) }
    }

    /// A file that needs `passphrase`. Salt and nonce are random and used once.
    pub(crate) fn sealed(
        phrase: &Phrase,
        passphrase: &Passphrase,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, SeedFileError> {
        let primary = phrase.seed().public_key();
        let sealed = Sealed::seal(phrase.entropy(), &associated_data(primary), passphrase, salt, nonce)?;
        Ok(Self { primary, content: Content::Sealed(sealed) })
    }

    /// Reads a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SeedFileError> {
        let head: Head = serde_json::from_slice(bytes).map_err(|_| SeedFileError::Damaged)?;
        match head.version {
            _ if head.kez != TAG => return Err(SeedFileError::Damaged),
            0 => return Err(SeedFileError::Damaged),
            VERSION => {}
            _ => return Err(SeedFileError::Newer),
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| SeedFileError::Damaged)?;
        let content = match (wire.entropy, wire.sealed) {
            (Some(entropy), None) => Content::Plain(Zeroizing::new(unhex(&entropy)?)),
            (None, Some(sealed)) => Content::Sealed(sealed.try_into()?),
            _ => return Err(SeedFileError::Damaged),
        };
        Ok(Self { primary: wire.primary, content })
    }

    /// The file's text: JSON with a final line end.
    pub(crate) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let (entropy, sealed) = match &self.content {
            Content::Plain(entropy) => (Some(Zeroizing::new(HEXLOWER.encode(entropy))), None),
            Content::Sealed(sealed) => (None, Some(sealed.into())),
        };
        let wire = Wire { kez: TAG.into(), version: VERSION, primary: self.primary, entropy, sealed };
        let mut text = Zeroizing::new(Vec::with_capacity(TEXT_BYTES));
        // invariant: text, numbers and nothing else; no map whose keys could fail; and a vector takes all bytes.
        serde_json::to_writer_pretty(&mut *text, &wire).expect("a seed file is JSON");
        text.push(b'\n');
        text
    }

    /// The public key that the file says it is for. [`open`](Self::open) checks it.
    pub(crate) fn primary(&self) -> PublicKey {
        self.primary
    }

    /// Whether a passphrase is needed.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.content, Content::Sealed(_))
    }

    /// The recovery phrase, and with it the seed.
    pub(crate) fn open(&self, passphrase: Option<&Passphrase>) -> Result<Phrase, SeedFileError> {
        let phrase = match (&self.content, passphrase) {
            (Content::Plain(entropy), _) => phrase_of(entropy)?,
            (Content::Sealed(_), None) => return Err(SeedFileError::NeedsPassphrase),
            (Content::Sealed(sealed), Some(passphrase)) => {
                phrase_of(&sealed.open(&associated_data(self.primary), passphrase)?)?
            }
        };
        if phrase.seed().public_key() == self.primary { Ok(phrase) } else { Err(SeedFileError::Damaged) }
    }
}

/// Binds the sealed entropy to the key that stands beside it in the clear.
fn associated_data(primary: PublicKey) -> Vec<u8> {
    [SEAL_LABEL, primary.to_string().as_bytes()].concat()
}

/// 16 bytes are a phrase of 12 words, 32 bytes one of 24.
fn phrase_of(entropy: &[u8]) -> Result<Phrase, SeedFileError> {
    if let Ok(short) = <&[u8; 16]>::try_from(entropy) {
        return Ok(Phrase::from_short_entropy(short));
    }
    let seed = Zeroizing::new(<[u8; 32]>::try_from(entropy).map_err(|_| SeedFileError::Damaged)?);
    Ok(Phrase::from_seed(&Seed::from_bytes(*seed)))
}

fn unhex(text: &str) -> Result<Vec<u8>, SeedFileError> {
    HEXLOWER.decode(text.as_bytes()).map_err(|_| SeedFileError::Damaged)
}

impl From<SealingError> for SeedFileError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::Damaged => Self::Damaged,
            SealingError::TooCostly => Self::TooCostly,
            SealingError::WrongPassphrase => Self::WrongPassphrase,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Plain(..)"),
            Self::Sealed(sealed) => sealed.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::error::{CliError, Failure};
    use crate::home::HomeError;

    /// A file under `vectors/seed-file`.
    struct Vector {
        name: String,
        value: Value,
    }

    fn vectors(side: &str) -> Vec<Vector> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/seed-file").join(side);
        let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty());
        files.iter().map(|path| Vector::read(path)).collect()
    }

    impl Vector {
        fn read(path: &Path) -> Self {
            let value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            Self { name: path.display().to_string(), value }
        }

        fn file(&self) -> Vec<u8> {
            self.value["file"].to_string().into_bytes()
        }

        fn passphrase(&self) -> Option<Passphrase> {
            self.value["passphrase"].as_str().map(passphrase)
        }

        fn open(&self) -> Result<Phrase, SeedFileError> {
            SeedFile::parse(&self.file())?.open(self.passphrase().as_ref())
        }
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn valid_vectors_give_their_seed_and_are_written_as_they_were_read() {
        for vector in vectors("valid") {
            let phrase = vector.open().unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(HEXLOWER.encode(phrase.seed().expose()), vector.value["seed"], "{}", vector.name);
            let text = SeedFile::parse(&vector.file()).unwrap().to_text();
            assert_eq!(text.capacity(), TEXT_BYTES, "it grew");
            let written: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(written, vector.value["file"], "{}", vector.name);
        }
    }

    #[test]
    fn invalid_vectors_are_refused_with_their_code() {
        for vector in vectors("invalid") {
            let source = vector.open().expect_err(&vector.name);
            let error = CliError::Home(HomeError::SeedFile { path: "seed.json".into(), source });
            assert_eq!(Failure::from(error).code, vector.value["error"], "{}", vector.name);
        }
    }

    #[test]
    fn sealing_with_the_salt_and_nonce_of_a_vector_gives_its_file() {
        let phrase = Phrase::from_seed(&Seed::from_bytes([0x42; 32]));
        let salt = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let nonce = std::array::from_fn(|at| 0xa0 + u8::try_from(at).unwrap());
        let sealed =
            SeedFile::sealed(&phrase, &passphrase("correct horse battery staple"), salt, nonce).unwrap();
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/seed-file");
        let vector = Vector::read(&dir.join("valid/sealed-24-words.json"));
        assert_eq!(serde_json::from_slice::<Value>(&sealed.to_text()).unwrap(), vector.value["file"]);
    }

    #[test]
    fn what_is_secret_never_prints() {
        let file = SeedFile::plain(&Phrase::from_seed(&Seed::from_bytes([0x42; 32])));
        assert!(!format!("{file:?}").contains("66")); // 0x42 as Debug would print it
        assert_eq!(format!("{:?}", passphrase("hunter2")), "Passphrase(..)");
    }
}
