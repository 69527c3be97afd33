//! The 129 bytes by which a primary key vouches for a device's MLS key. SPEC "Device certificates".

use sha2::{Digest, Sha256};

use crate::ids::DeviceId;
use crate::key::{BadSignature, PublicKey, Seed, Signature};
use crate::time::Timestamp;

/// The length of a certificate: version 1, primary 32, device id 16, two times of 8, signature 64.
pub const CERTIFICATE_BYTES: usize = 129;

/// The one version of the format, its first byte.
const VERSION: u8 = 1;

/// What precedes the certificate in the signed bytes. No JSON document begins with it, so no signature over an
/// envelope is one over a certificate, nor the other way round.
const DOMAIN: &[u8] = b"kez-chat/mls-device-cert/v1\0";

/// "This device speaks for me in MLS, with a key that is named beside, from then to then."
///
/// The identity in a device's MLS credential. The MLS key is signed and not held: in a leaf and in a [`Device`
/// ](super::Device) document it stands next to the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCertificate {
    primary: PublicKey,
    device_id: DeviceId,
    not_before: Timestamp,
    not_after: Timestamp,
    signature: Signature,
}

/// Why bytes or times are not a device certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCertificate {
    /// Not exactly [`CERTIFICATE_BYTES`] bytes.
    #[error("a device certificate has 129 bytes")]
    Length,
    /// The first byte is not 1.
    #[error("not a device certificate of version 1")]
    Version,
    /// A time before 1970 or after the year 9999.
    #[error("a time of the device certificate lies outside the years 1970 to 9999")]
    Time,
    /// `not_before` is not earlier than `not_after`.
    #[error("the device certificate ends before it begins")]
    Window,
}

impl BadCertificate {
    /// A stable name of the fault, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Version => "version",
            Self::Time => "time",
            Self::Window => "window",
        }
    }
}

impl DeviceCertificate {
    /// Reads the 129 bytes. The signature is not checked: see [`verify`](Self::verify).
    pub fn parse(bytes: &[u8]) -> Result<Self, BadCertificate> {
        let bytes: &[u8; CERTIFICATE_BYTES] = bytes.try_into().map_err(|_| BadCertificate::Length)?;
        let (version, rest) = bytes.split_first().ok_or(BadCertificate::Length)?;
        if *version != VERSION {
            return Err(BadCertificate::Version);
        }
        let (primary, rest) = part::<32>(rest)?;
        let (device_id, rest) = part::<16>(rest)?;
        let (not_before, rest) = part::<8>(rest)?;
        let (not_after, rest) = part::<8>(rest)?;
        let (signature, _) = part::<64>(rest)?;
        let (not_before, not_after) = window(time(not_before)?, time(not_after)?)?;
        Ok(Self {
            primary: PublicKey::from_bytes(primary),
            device_id: DeviceId::from_bytes(device_id),
            not_before,
            not_after,
            signature: Signature::from_bytes(signature),
        })
    }

    /// Certifies `mls_key` as that of the device `device_id` of `seed`'s owner. The times lose their fraction of a
    /// second.
    pub fn issue(
        seed: &Seed,
        device_id: DeviceId,
        mls_key: &PublicKey,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<Self, BadCertificate> {
        let (not_before, not_after) = window(not_before.truncated(), not_after.truncated())?;
        let unsigned = Self {
            primary: seed.public_key(),
            device_id,
            not_before,
            not_after,
            signature: Signature::from_bytes([0; 64]),
        };
        Ok(Self { signature: seed.sign(&unsigned.signed_bytes(mls_key)), ..unsigned })
    }

    /// Checks that the primary key certified this MLS key, by the rule of [`PublicKey::verify`].
    pub fn verify(&self, mls_key: &PublicKey) -> Result<(), BadSignature> {
        self.primary.verify(&self.signed_bytes(mls_key), &self.signature)
    }

    /// The 129 bytes.
    pub fn to_bytes(&self) -> [u8; CERTIFICATE_BYTES] {
        let mut bytes = [0; CERTIFICATE_BYTES];
        let parts = self.body().into_iter().chain(*self.signature.as_bytes());
        bytes.iter_mut().zip(parts).for_each(|(byte, value)| *byte = value);
        bytes
    }

    /// SHA-256 of the 129 bytes: how a sigchain names the certificate.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// The key that certifies.
    pub fn primary(&self) -> PublicKey {
        self.primary
    }

    /// The device.
    pub fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// The first instant of the window, in whole seconds.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The end of the window, in whole seconds.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Everything before the signature.
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(CERTIFICATE_BYTES);
        body.push(VERSION);
        body.extend_from_slice(self.primary.as_bytes());
        body.extend_from_slice(self.device_id.as_bytes());
        body.extend_from_slice(&self.not_before.unix_seconds().to_be_bytes());
        body.extend_from_slice(&self.not_after.unix_seconds().to_be_bytes());
        body
    }

    fn signed_bytes(&self, mls_key: &PublicKey) -> Vec<u8> {
        [DOMAIN, &self.body(), mls_key.as_bytes()].concat()
    }
}

fn part<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), BadCertificate> {
    bytes.split_first_chunk().map(|(part, rest)| (*part, rest)).ok_or(BadCertificate::Length)
}

fn time(bytes: [u8; 8]) -> Result<Timestamp, BadCertificate> {
    i64::try_from(u64::from_be_bytes(bytes))
        .ok()
        .and_then(|seconds| Timestamp::from_unix(seconds, 0))
        .ok_or(BadCertificate::Time)
}

fn window(not_before: Timestamp, not_after: Timestamp) -> Result<(Timestamp, Timestamp), BadCertificate> {
    if not_before.unix_seconds() < 0 {
        return Err(BadCertificate::Time);
    }
    if not_before >= not_after {
        return Err(BadCertificate::Window);
    }
    Ok((not_before, not_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> Timestamp {
        Timestamp::from_unix(seconds, nanos).unwrap()
    }

    fn issued(not_before: Timestamp, not_after: Timestamp) -> Result<DeviceCertificate, BadCertificate> {
        let seed = Seed::from_bytes([0x42; 32]);
        let key = Seed::from_bytes([7; 32]).public_key();
        DeviceCertificate::issue(&seed, DeviceId::from_bytes([1; 16]), &key, not_before, not_after)
    }

    #[test]
    fn what_was_issued_is_read_back_the_same() {
        let certificate = issued(at(1_779_667_200, 5), at(1_811_203_200, 9)).unwrap();
        assert_eq!(DeviceCertificate::parse(&certificate.to_bytes()), Ok(certificate));
        assert_eq!(certificate.not_after(), at(1_811_203_200, 0));
    }

    #[test]
    fn no_window_is_issued_that_could_not_be_read() {
        assert_eq!(issued(at(-1, 0), at(1, 0)), Err(BadCertificate::Time));
        assert_eq!(issued(at(1, 0), at(1, 999)), Err(BadCertificate::Window));
        assert_eq!(issued(at(2, 0), at(1, 0)), Err(BadCertificate::Window));
    }
}
