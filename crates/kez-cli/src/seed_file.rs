//! The file that an identity is kept in. SPEC "Seed file".
//!
//! Holds the entropy behind the recovery phrase, plainly or sealed under a passphrase (Argon2id, RFC 9106, and
//! ChaCha20-Poly1305, RFC 8439). Pure: salt and nonce are arguments, and the disk is [`crate::home`]'s business.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use data_encoding::HEXLOWER;
use kez_core::{Phrase, PublicKey, Seed};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The member `kez` of the file.
const TAG: &str = "seed_file";
/// The only version there is.
const VERSION: u32 = 1;
/// What is authenticated along with the entropy, before the primary key.
const SEAL_LABEL: &[u8] = b"kez-seed-file-v1\0";
const KDF: &str = "argon2id";
const CIPHER: &str = "chacha20poly1305";

/// Cost of new files: 64 MiB and 3 passes in 1 lane, the second choice of RFC 9106 section 4 with one lane.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// The most that reading a file may cost: 1 GiB, 16 passes, 16 lanes. Ours.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// Bytes of salt.
pub(crate) const SALT_BYTES: usize = 16;
/// Bytes of nonce (RFC 8439 section 2.8).
pub(crate) const NONCE_BYTES: usize = 12;
/// Reserved for the text of a file, so that it does not grow: growing leaves unwiped copies behind. A sealed one of 24
/// words has under 600 bytes.
const TEXT_BYTES: usize = 1024;
/// The fewest characters of a new passphrase (NIST SP 800-63B section 3.1.1.2).
pub(crate) const PASSPHRASE_CHARS_MIN: usize = 8;

/// A passphrase: UTF-8 text exactly as it was typed. Wiped when dropped; prints as `Passphrase(..)`.
#[derive(Clone)]
pub(crate) struct Passphrase(Zeroizing<String>);

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

/// Entropy under a passphrase.
#[derive(Debug)]
struct Sealed {
    params: Params,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSealed {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    ciphertext: String,
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
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| SeedFileError::TooCostly)?;
        let associated = associated_data(primary);
        let payload = Payload { msg: phrase.entropy(), aad: &associated };
        let ciphertext = cipher(passphrase, &salt, &params)?
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SeedFileError::Damaged)?;
        Ok(Self { primary, content: Content::Sealed(Sealed { params, salt, nonce, ciphertext }) })
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
                phrase_of(&sealed.open(passphrase, self.primary)?)?
            }
        };
        if phrase.seed().public_key() == self.primary { Ok(phrase) } else { Err(SeedFileError::Damaged) }
    }
}

impl Sealed {
    fn open(&self, passphrase: &Passphrase, primary: PublicKey) -> Result<Zeroizing<Vec<u8>>, SeedFileError> {
        let associated = associated_data(primary);
        let payload = Payload { msg: &self.ciphertext, aad: &associated };
        cipher(passphrase, &self.salt, &self.params)?
            .decrypt(&Nonce::from(self.nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| SeedFileError::WrongPassphrase)
    }
}

/// The cipher under the key that the passphrase gives.
fn cipher(passphrase: &Passphrase, salt: &[u8], params: &Params) -> Result<ChaCha20Poly1305, SeedFileError> {
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut())
        .map_err(|_| SeedFileError::TooCostly)?;
    Ok(ChaCha20Poly1305::new(Key::from_slice(key.as_ref())))
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

fn unhex_array<const N: usize>(text: &str) -> Result<[u8; N], SeedFileError> {
    unhex(text)?.try_into().map_err(|_| SeedFileError::Damaged)
}

impl TryFrom<WireSealed> for Sealed {
    type Error = SeedFileError;

    fn try_from(wire: WireSealed) -> Result<Self, SeedFileError> {
        if wire.kdf != KDF || wire.cipher != CIPHER {
            return Err(SeedFileError::Damaged);
        }
        let is_affordable =
            wire.memory_kib <= MEMORY_KIB_MAX && wire.passes <= PASSES_MAX && wire.lanes <= LANES_MAX;
        if !is_affordable {
            return Err(SeedFileError::TooCostly);
        }
        Ok(Self {
            params: Params::new(wire.memory_kib, wire.passes, wire.lanes, None)
                .map_err(|_| SeedFileError::Damaged)?,
            salt: unhex_array(&wire.salt)?,
            nonce: unhex_array(&wire.nonce)?,
            ciphertext: unhex(&wire.ciphertext)?,
        })
    }
}

impl From<&Sealed> for WireSealed {
    fn from(sealed: &Sealed) -> Self {
        Self {
            kdf: KDF.into(),
            memory_kib: sealed.params.m_cost(),
            passes: sealed.params.t_cost(),
            lanes: sealed.params.p_cost(),
            salt: HEXLOWER.encode(&sealed.salt),
            cipher: CIPHER.into(),
            nonce: HEXLOWER.encode(&sealed.nonce),
            ciphertext: HEXLOWER.encode(&sealed.ciphertext),
        }
    }
}

impl Passphrase {
    /// The passphrase with these characters.
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Whether it has [`PASSPHRASE_CHARS_MIN`] characters, as a new one must.
    pub(crate) fn is_long_enough(&self) -> bool {
        self.0.chars().count() >= PASSPHRASE_CHARS_MIN
    }

    /// Whether the same was typed twice.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
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
