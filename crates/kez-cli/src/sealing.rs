//! Secrets under a passphrase: Argon2id (RFC 9106) and ChaCha20-Poly1305 (RFC 8439). SPEC "Seed file".
//!
//! Pure: salt and nonce are arguments.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

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
/// The fewest characters of a new passphrase (NIST SP 800-63B section 3.1.1.2).
pub(crate) const PASSPHRASE_CHARS_MIN: usize = 8;

/// A passphrase: UTF-8 text exactly as it was typed. Wiped when dropped; prints as `Passphrase(..)`.
#[derive(Clone)]
pub(crate) struct Passphrase(Zeroizing<String>);

/// A secret under a passphrase.
#[derive(Debug)]
pub(crate) struct Sealed {
    params: Params,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
}

/// Why a secret is not opened, or not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealingError {
    /// A member is of the wrong form.
    Damaged,
    /// It would cost more memory or time than is allowed.
    TooCostly,
    /// The passphrase is wrong, or something was changed.
    WrongPassphrase,
}

/// [`Sealed`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireSealed {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    ciphertext: String,
}

impl Sealed {
    /// Seals `secret`, bound to `associated`. Salt and nonce are random and used once.
    pub(crate) fn seal(
        secret: &[u8],
        associated: &[u8],
        passphrase: &Passphrase,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, SealingError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| SealingError::TooCostly)?;
        let payload = Payload { msg: secret, aad: associated };
        let ciphertext = cipher(passphrase, &salt, &params)?
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SealingError::Damaged)?;
        Ok(Self { params, salt, nonce, ciphertext })
    }

    /// The secret, if it was sealed with these.
    pub(crate) fn open(
        &self,
        associated: &[u8],
        passphrase: &Passphrase,
    ) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let payload = Payload { msg: &self.ciphertext, aad: associated };
        cipher(passphrase, &self.salt, &self.params)?
            .decrypt(&Nonce::from(self.nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealingError::WrongPassphrase)
    }
}

/// The cipher under the key that the passphrase gives.
fn cipher(passphrase: &Passphrase, salt: &[u8], params: &Params) -> Result<ChaCha20Poly1305, SealingError> {
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into(passphrase.0.as_bytes(), salt, key.as_mut())
        .map_err(|_| SealingError::TooCostly)?;
    Ok(ChaCha20Poly1305::new(Key::from_slice(key.as_ref())))
}

fn unhex(text: &str) -> Result<Vec<u8>, SealingError> {
    HEXLOWER.decode(text.as_bytes()).map_err(|_| SealingError::Damaged)
}

fn unhex_array<const N: usize>(text: &str) -> Result<[u8; N], SealingError> {
    unhex(text)?.try_into().map_err(|_| SealingError::Damaged)
}

impl TryFrom<WireSealed> for Sealed {
    type Error = SealingError;

    fn try_from(wire: WireSealed) -> Result<Self, SealingError> {
        if wire.kdf != KDF || wire.cipher != CIPHER {
            return Err(SealingError::Damaged);
        }
        let is_affordable =
            wire.memory_kib <= MEMORY_KIB_MAX && wire.passes <= PASSES_MAX && wire.lanes <= LANES_MAX;
        if !is_affordable {
            return Err(SealingError::TooCostly);
        }
        Ok(Self {
            params: Params::new(wire.memory_kib, wire.passes, wire.lanes, None)
                .map_err(|_| SealingError::Damaged)?,
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
