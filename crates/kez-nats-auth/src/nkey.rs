//! The text form of keys in NATS: base32 of a role, 32 bytes and a checksum.
//!
//! Own code, because the usual crate draws random numbers and verifies signatures by a laxer rule than ours; the tests
//! compare with it.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use kez_core::{PublicKey, Seed};
use zeroize::Zeroizing;

/// What a key is for; the first letter of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `A`: signs what a callout answers.
    Account,
    /// `N`: a server; signs what it asks.
    Server,
    /// `U`: logs in.
    User,
    /// `X`: an X25519 key (RFC 7748), seals.
    Curve,
}

/// A public key with its role, as NATS writes it: 56 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nkey {
    role: Role,
    bytes: [u8; 32],
}

/// The secret of an Ed25519 key with its role. Wiped when dropped; prints as `NkeySeed(..)`.
#[derive(Clone)]
pub struct NkeySeed {
    role: Role,
    seed: Seed,
}

/// The secret of an X25519 key. Wiped when dropped; prints as `CurveSeed(..)`.
#[derive(Clone)]
pub struct CurveSeed(Zeroizing<[u8; 32]>);

/// The text is no key: another length or letter, a wrong checksum, or an unknown role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a NATS key: 56 (a seed: 58) characters of base32 with a role and a checksum")]
pub struct BadNkey;

/// The role of seeds, whose real role is in the bits that follow.
const SEED: u8 = 18 << 3;

impl Role {
    const fn byte(self) -> u8 {
        match self {
            Self::Account => 0,
            Self::Server => 13 << 3,
            Self::User => 20 << 3,
            Self::Curve => 23 << 3,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Account, Self::Server, Self::User, Self::Curve].into_iter().find(|role| role.byte() == byte)
    }
}

impl Nkey {
    /// The user key of a KEZ key: the same 32 bytes.
    pub fn user(key: &PublicKey) -> Self {
        Self { role: Role::User, bytes: *key.as_bytes() }
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The Ed25519 key; `None` for an X25519 one.
    pub fn ed25519(&self) -> Option<PublicKey> {
        (self.role != Role::Curve).then(|| PublicKey::from_bytes(self.bytes))
    }

    /// Reads a key of one role.
    pub fn of_role(text: &str, role: Role) -> Result<Self, BadNkey> {
        text.parse::<Self>().and_then(|key| if key.role == role { Ok(key) } else { Err(BadNkey) })
    }

    /// Whether it is 32 zero bytes, which 56 times `A` spells: well-formed, and nobody's.
    pub fn is_placeholder(&self) -> bool {
        self.bytes == [0; 32]
    }
}

impl NkeySeed {
    /// A seed from 32 random bytes. The role is not [`Role::Curve`]; see [`CurveSeed`].
    pub fn new(role: Role, seed: Seed) -> Self {
        Self { role, seed }
    }

    /// Its public key.
    pub fn public_key(&self) -> Nkey {
        Nkey { role: self.role, bytes: *self.seed.public_key().as_bytes() }
    }

    /// The secret itself.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The 58 characters that NATS tools read.
    pub fn expose(&self) -> Zeroizing<String> {
        seed_text(self.role, self.seed.expose())
    }
}

impl CurveSeed {
    /// A secret from 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its public key.
    pub fn public_key(&self) -> Nkey {
        Nkey { role: Role::Curve, bytes: *self.secret().public_key().as_bytes() }
    }

    /// The 58 characters that NATS tools read.
    pub fn expose(&self) -> Zeroizing<String> {
        seed_text(Role::Curve, &self.0)
    }

    pub(crate) fn secret(&self) -> crypto_box::SecretKey {
        crypto_box::SecretKey::from(*self.0)
    }
}

fn seed_text(role: Role, secret: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(36));
    bytes.extend_from_slice(&[SEED | (role.byte() >> 5), (role.byte() & 0x1f) << 3]);
    bytes.extend_from_slice(secret);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    Zeroizing::new(BASE32_NOPAD.encode(&bytes))
}

/// The role and the secret of a seed's text.
fn read_seed(text: &str) -> Result<(Role, Zeroizing<[u8; 32]>), BadNkey> {
    let bytes = Zeroizing::new(BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| BadNkey)?);
    let (body, sum) = bytes.split_last_chunk::<2>().ok_or(BadNkey)?;
    let ([first, second], secret) = body.split_first_chunk::<2>().ok_or(BadNkey)?;
    if *sum != checksum(body) || first & 0xf8 != SEED || second & 0x07 != 0 {
        return Err(BadNkey);
    }
    let role = Role::of((first & 0x07) << 5 | second >> 3).ok_or(BadNkey)?;
    Ok((role, Zeroizing::new(secret.try_into().map_err(|_| BadNkey)?)))
}

/// CRC-16/XMODEM, low byte first.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let step =
        |crc: u16, byte: &u8| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        };
    bytes.iter().fold(0, step).to_le_bytes()
}

impl FromStr for Nkey {
    type Err = BadNkey;

    fn from_str(text: &str) -> Result<Self, BadNkey> {
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| BadNkey)?;
        let (body, sum) = bytes.split_last_chunk::<2>().ok_or(BadNkey)?;
        let (role, key) = body.split_first().ok_or(BadNkey)?;
        if *sum != checksum(body) {
            return Err(BadNkey);
        }
        Ok(Self { role: Role::of(*role).ok_or(BadNkey)?, bytes: key.try_into().map_err(|_| BadNkey)? })
    }
}

impl FromStr for NkeySeed {
    type Err = BadNkey;

    fn from_str(text: &str) -> Result<Self, BadNkey> {
        match read_seed(text)? {
            (Role::Curve, _) => Err(BadNkey),
            (role, seed) => Ok(Self { role, seed: Seed::from_bytes(*seed) }),
        }
    }
}

impl FromStr for CurveSeed {
    type Err = BadNkey;

    fn from_str(text: &str) -> Result<Self, BadNkey> {
        match read_seed(text)? {
            (Role::Curve, bytes) => Ok(Self(bytes)),
            _ => Err(BadNkey),
        }
    }
}

impl fmt::Display for Nkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(35);
        bytes.push(self.role.byte());
        bytes.extend_from_slice(&self.bytes);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        f.write_str(&BASE32_NOPAD.encode(&bytes))
    }
}

impl fmt::Debug for Nkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nkey({})", self.to_string().chars().take(9).collect::<String>())
    }
}

impl fmt::Debug for NkeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NkeySeed(..)")
    }
}

impl fmt::Debug for CurveSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurveSeed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_library_reads_and_writes_the_same() {
        for byte in 0..=255 {
            let ours = NkeySeed::new(Role::User, Seed::from_bytes([byte; 32]));
            let theirs = nkeys::KeyPair::from_seed(&ours.expose()).unwrap();
            assert_eq!(theirs.public_key(), ours.public_key().to_string());
            assert_eq!(*ours.expose(), theirs.seed().unwrap());
            let curve = CurveSeed::from_bytes([byte; 32]);
            let theirs = nkeys::XKey::from_seed(&curve.expose()).unwrap();
            assert_eq!(theirs.public_key(), curve.public_key().to_string());
        }
    }

    #[test]
    fn fifty_six_times_a_is_a_placeholder() {
        let key: Nkey = "A".repeat(56).parse().unwrap();
        assert!(key.is_placeholder() && key.role() == Role::Account);
    }

    #[test]
    fn secrets_do_not_print() {
        let seed = NkeySeed::new(Role::Account, Seed::from_bytes([7; 32]));
        assert_eq!(format!("{seed:?} {:?}", CurveSeed::from_bytes([7; 32])), "NkeySeed(..) CurveSeed(..)");
    }
}
