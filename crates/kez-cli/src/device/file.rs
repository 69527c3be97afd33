//! The file that a device's keys are kept in. SPEC "Device file".
//!
//! Pure: what is random is an argument, and the disk is [`crate::home`]'s business.

use std::fmt;

use data_encoding::HEXLOWER;
use kez_core::{Device, DeviceId, Envelope, PublicKey, Seed, ServerName, Timestamp, Verified};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::sealing::{NONCE_BYTES, Passphrase, SALT_BYTES, Sealed, SealingError, WireSealed};

/// The member `kez` of the file.
const TAG: &str = "device_file";
/// The only version there is.
const VERSION: u32 = 1;
/// What is authenticated along with the secrets, before the primary key and the device id.
const SEAL_LABEL: &[u8] = b"kez-device-file-v1\0";
/// Four secrets of 32 bytes.
const SECRETS_BYTES: usize = 128;
/// Reserved for the text of a file, so that it does not grow: growing leaves unwiped copies behind.
const TEXT_BYTES: usize = 8192;

/// What only this device knows, and what opens its records.
#[derive(Clone)]
pub(crate) struct Secrets {
    /// Signs its calls.
    pub(crate) auth: Seed,
    /// Signs for it in MLS.
    pub(crate) mls: Seed,
    /// Seals its records at rest.
    pub(crate) data_key: Zeroizing<[u8; 32]>,
    /// Seals the account's small store; the same on all of its devices.
    pub(crate) store_key: Zeroizing<[u8; 32]>,
}

/// A device as it lies on disk. Whether a passphrase opens it is not yet known.
#[derive(Debug)]
pub(crate) struct DeviceFile {
    document: Verified<Device>,
    enrolled: Option<Enrolled>,
    content: Content,
}

/// What the server said when it took the device in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    /// When.
    pub(crate) at: Timestamp,
    /// Where the device's reading of the inbox begins.
    pub(crate) inbox_head: u64,
}

enum Content {
    Plain(Zeroizing<Vec<u8>>),
    Sealed(Sealed),
}

/// Why a device's file is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DeviceFileError {
    /// Not a device's file, or a member is missing or of the wrong form.
    #[error("the file is damaged")]
    Damaged,
    /// A version that this program does not know.
    #[error("the file was written by a newer kez")]
    Newer,
    /// Sealed, and no passphrase was given.
    #[error("the file is protected by a passphrase")]
    NeedsPassphrase,
    /// The passphrase is wrong, or the file was changed.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
}

/// The file as JSON: exactly one of `secrets` and `sealed`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    kez: String,
    version: u32,
    document: Value,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    enrolled: Option<Enrolled>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    secrets: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sealed: Option<WireSealed>,
}

/// What is read first, so that a newer file is told from a damaged one.
#[derive(Deserialize)]
struct Head {
    kez: String,
    version: u32,
}

impl DeviceFile {
    /// A file that anybody who can read it can use.
    pub(crate) fn plain(document: Verified<Device>, secrets: &Secrets) -> Self {
        Self { document, enrolled: None, content: Content::Plain(secrets.to_bytes()) }
    }

    /// A file that needs `passphrase`. Salt and nonce are random and used once.
    pub(crate) fn sealed(
        document: Verified<Device>,
        secrets: &Secrets,
        passphrase: &Passphrase,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, DeviceFileError> {
        let associated = associated_data(document.primary(), document.document().device_id);
        let sealed = Sealed::seal(&secrets.to_bytes(), &associated, passphrase, salt, nonce)?;
        Ok(Self { document, enrolled: None, content: Content::Sealed(sealed) })
    }

    /// The same keys under a later document.
    pub(crate) fn renewed(self, document: Verified<Device>) -> Self {
        Self { document, ..self }
    }

    /// The same after the server took the device in.
    pub(crate) fn with_enrolled(self, enrolled: Enrolled) -> Self {
        Self { enrolled: Some(enrolled), ..self }
    }

    /// Reads a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DeviceFileError> {
        let damaged = |_| DeviceFileError::Damaged;
        let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
        match head.version {
            _ if head.kez != TAG => return Err(DeviceFileError::Damaged),
            0 => return Err(DeviceFileError::Damaged),
            VERSION => {}
            _ => return Err(DeviceFileError::Newer),
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(damaged)?;
        let envelope =
            Envelope::parse(wire.document.to_string().as_bytes()).map_err(|_| DeviceFileError::Damaged)?;
        let document = envelope.verify::<Device>().map_err(|_| DeviceFileError::Damaged)?;
        if document.document().server.parse::<ServerName>().is_err() {
            return Err(DeviceFileError::Damaged);
        }
        let content = match (wire.secrets, wire.sealed) {
            (Some(secrets), None) => Content::Plain(Zeroizing::new(
                HEXLOWER.decode(secrets.as_bytes()).map_err(|_| DeviceFileError::Damaged)?,
            )),
            (None, Some(sealed)) => Content::Sealed(sealed.try_into()?),
            _ => return Err(DeviceFileError::Damaged),
        };
        Ok(Self { document, enrolled: wire.enrolled, content })
    }

    /// The file's text: JSON with a final line end.
    pub(crate) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let (secrets, sealed) = match &self.content {
            Content::Plain(secrets) => (Some(Zeroizing::new(HEXLOWER.encode(secrets))), None),
            Content::Sealed(sealed) => (None, Some(sealed.into())),
        };
        // invariant: a canonical envelope is JSON.
        let document = serde_json::from_str(self.document.canonical()).expect("an envelope is JSON");
        let wire =
            Wire { kez: TAG.into(), version: VERSION, document, enrolled: self.enrolled, secrets, sealed };
        let mut text = Zeroizing::new(Vec::with_capacity(TEXT_BYTES));
        // invariant: text, numbers and nothing else; no map whose keys could fail; and a vector takes all bytes.
        serde_json::to_writer_pretty(&mut *text, &wire).expect("a device's file is JSON");
        text.push(b'\n');
        text
    }

    /// The document by which the primary key takes the device in.
    pub(crate) fn document(&self) -> &Verified<Device> {
        &self.document
    }

    /// Whose device it is.
    pub(crate) fn primary(&self) -> PublicKey {
        self.document.primary()
    }

    /// The device.
    pub(crate) fn id(&self) -> DeviceId {
        self.document.document().device_id
    }

    /// The name of its server.
    pub(crate) fn server(&self) -> ServerName {
        // invariant: parse() and the maker of a document take nothing else.
        self.document.document().server.parse().expect("a server's name")
    }

    /// What the server said; `None` while it has said nothing.
    pub(crate) fn enrolled(&self) -> Option<Enrolled> {
        self.enrolled
    }

    /// Whether a passphrase is needed.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.content, Content::Sealed(_))
    }

    /// The secrets, once they fit the document.
    pub(crate) fn open(&self, passphrase: Option<&Passphrase>) -> Result<Secrets, DeviceFileError> {
        let secrets = match (&self.content, passphrase) {
            (Content::Plain(bytes), _) => Secrets::from_bytes(bytes)?,
            (Content::Sealed(_), None) => return Err(DeviceFileError::NeedsPassphrase),
            (Content::Sealed(sealed), Some(passphrase)) => {
                let associated = associated_data(self.primary(), self.id());
                Secrets::from_bytes(&sealed.open(&associated, passphrase)?)?
            }
        };
        let device = self.document.document();
        let are_its_own =
            secrets.auth.public_key() == device.auth_key && secrets.mls.public_key() == device.mls_key;
        if are_its_own { Ok(secrets) } else { Err(DeviceFileError::Damaged) }
    }
}

impl Secrets {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRETS_BYTES));
        for secret in [self.auth.expose(), self.mls.expose(), &*self.data_key, &*self.store_key] {
            bytes.extend_from_slice(secret);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DeviceFileError> {
        let mut parts = bytes.chunks_exact(32).map(|part| {
            let mut secret = Zeroizing::new([0; 32]);
            secret.copy_from_slice(part);
            secret
        });
        let mut next = || parts.next().ok_or(DeviceFileError::Damaged);
        if bytes.len() != SECRETS_BYTES {
            return Err(DeviceFileError::Damaged);
        }
        let (auth, mls) = (Seed::from_bytes(*next()?), Seed::from_bytes(*next()?));
        Ok(Self { auth, mls, data_key: next()?, store_key: next()? })
    }
}

/// Binds the sealed secrets to the account and the device that stand beside them in the clear.
fn associated_data(primary: PublicKey, device: DeviceId) -> Vec<u8> {
    [SEAL_LABEL, format!("{primary} {device}").as_bytes()].concat()
}

impl From<SealingError> for DeviceFileError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::Damaged | SealingError::TooCostly => Self::Damaged,
            SealingError::WrongPassphrase => Self::WrongPassphrase,
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
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
    use kez_core::DeviceCertificate;

    use super::*;

    fn secrets() -> Secrets {
        let key = |byte| Zeroizing::new([byte; 32]);
        let seed = |byte| Seed::from_bytes([byte; 32]);
        Secrets { auth: seed(1), mls: seed(2), data_key: key(3), store_key: key(4) }
    }

    fn document() -> Verified<Device> {
        let (owner, device_id) = (Seed::from_bytes([0x42; 32]), DeviceId::from_bytes([7; 16]));
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let (from, until) = (at("2026-05-25T00:00:00Z"), at("2027-05-25T00:00:00Z"));
        let mls_key = secrets().mls.public_key();
        let device = Device {
            server: "kez.lat".into(),
            device_id,
            auth_key: secrets().auth.public_key(),
            mls_key,
            mls_certificate: DeviceCertificate::issue(&owner, device_id, &mls_key, from, until).unwrap(),
            expires_at: until,
        };
        Envelope::sign(&device, &owner, from).unwrap().verify().unwrap()
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn what_was_written_is_read_again() {
        let enrolled = Enrolled { at: "2026-05-25T00:00:01Z".parse().unwrap(), inbox_head: 7 };
        let file = DeviceFile::plain(document(), &secrets()).with_enrolled(enrolled);
        let text = file.to_text();
        assert_eq!(text.capacity(), TEXT_BYTES, "it grew");
        let read = DeviceFile::parse(&text).unwrap();
        assert_eq!((read.enrolled(), read.server().to_string()), (Some(enrolled), "kez.lat".into()));
        assert_eq!(read.open(None).unwrap().to_bytes(), secrets().to_bytes());
        assert_eq!(read.to_text(), text);
    }

    #[test]
    fn a_sealed_file_opens_with_its_passphrase_and_for_its_device_only() {
        let right = passphrase("correct horse");
        let file = DeviceFile::sealed(document(), &secrets(), &right, [1; 16], [2; 12]).unwrap();
        let text = file.to_text();
        assert!(!String::from_utf8_lossy(&text).contains(&"03".repeat(32)), "the data key in the clear");
        let read = DeviceFile::parse(&text).unwrap();
        assert_eq!(read.open(Some(&right)).unwrap().to_bytes(), secrets().to_bytes());
        assert_eq!(read.open(None).unwrap_err(), DeviceFileError::NeedsPassphrase);
        let wrong = read.open(Some(&passphrase("wrong horse")));
        assert_eq!(wrong.unwrap_err(), DeviceFileError::WrongPassphrase);
    }

    #[test]
    fn secrets_of_another_device_are_damage() {
        let other = Secrets { mls: Seed::from_bytes([9; 32]), ..secrets() };
        let file = DeviceFile::plain(document(), &other);
        assert_eq!(file.open(None).unwrap_err(), DeviceFileError::Damaged);
    }

    #[test]
    fn what_is_secret_never_prints() {
        let printed = format!("{:?} {:?}", secrets(), DeviceFile::plain(document(), &secrets()));
        assert!(printed.starts_with("Secrets(..) ") && printed.contains("Plain(..)"), "{printed}");
    }
}
