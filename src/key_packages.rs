//! Whether key packages are accepted: a pure decision. SPEC "Key package calls".
//!
//! What the bytes say is judged by `kez_core::mls_framing`; what was uploaded before is the store's to know.

use kez_core::mls_framing::{BadKeyPackage, CheckedKeyPackage};
use kez_core::{DeviceCertificate, PublicKey, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::store::{CLAIM_LIFETIME_SECONDS_MIN, DeviceRow, ONE_TIME_MAX};

/// The longest key package, in bytes. OpenMLS makes them of 404; the rest is room for extensions that nobody has thought
/// of yet.
pub(crate) const KEY_PACKAGE_BYTES_MAX: usize = 1024;

/// The device that uploads, as it is enrolled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uploader {
    /// Its row.
    pub device: DeviceRow,
    /// What its credential must hold.
    pub certificate: DeviceCertificate,
    /// What its leaf must be signed by.
    pub mls_key: PublicKey,
}

/// An upload that only the packages of before can still stop.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Whose packages they are.
    pub device: DeviceRow,
    /// The certificate that they were checked against.
    pub certificate: DeviceCertificate,
    /// Packages for one use each, in the order in which they are to be used; no two with one `init_key`.
    pub one_time: Vec<AcceptedKeyPackage>,
    /// The package for when these are used up.
    pub last_resort: Option<AcceptedKeyPackage>,
    /// The server's time.
    pub at: Timestamp,
}

/// A key package that was checked for its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKeyPackage {
    /// An `MLSMessage` with a `KeyPackage`.
    pub bytes: Vec<u8>,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
    /// SHA-256 of its `init_key`.
    pub init_key_sha256: [u8; 32],
    /// The last second of its lifetime.
    pub not_after: Timestamp,
}

/// Why an upload is refused before the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadFault {
    /// More than [`ONE_TIME_MAX`] one-time packages in one call.
    #[error("at most {ONE_TIME_MAX} one-time key packages are taken at once")]
    TooMany,
    /// Two packages of the upload have one `init_key`.
    #[error("two key packages of the upload have one init_key")]
    InitKeyReused,
    /// A package is not one of this device, or not one that can be used now.
    #[error("{place}: {fault}")]
    Bad {
        /// Which one.
        place: Place,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// Which package of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The one-time package with this index, from 0.
    OneTime(usize),
    /// The last-resort package.
    LastResort,
}

/// What is wrong with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// More than [`KEY_PACKAGE_BYTES_MAX`] bytes.
    #[error("a key package has at most {KEY_PACKAGE_BYTES_MAX} bytes")]
    TooLong,
    /// Its bytes are not a key package of the device.
    #[error(transparent)]
    Bytes(#[from] BadKeyPackage),
    /// It would never be handed out: less than [`CLAIM_LIFETIME_SECONDS_MIN`] are left of its lifetime.
    #[error("less than 31 days are left of its lifetime")]
    EndsTooSoon,
    /// It stands among the one-time packages and has the extension `last_resort`, or the other way round. By the
    /// extension its owner decides whether to keep the keys after the first use.
    #[error("last-resort packages, and only these, have the extension last_resort")]
    LastResort,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OneTime(index) => write!(f, "one_time[{index}]"),
            Self::LastResort => f.write_str("last_resort"),
        }
    }
}

/// Decides on the packages of one call at the server's time `now`.
pub(crate) fn decide(
    uploader: &Uploader,
    one_time: Vec<Vec<u8>>,
    last_resort: Option<Vec<u8>>,
    now: Timestamp,
) -> Result<Upload, UploadFault> {
    if one_time.len() > ONE_TIME_MAX as usize {
        return Err(UploadFault::TooMany);
    }
    let accept =
        |place, bytes| accept(uploader, place, bytes, now).map_err(|fault| UploadFault::Bad { place, fault });
    let one_time = one_time.into_iter().enumerate();
    let upload = Upload {
        device: uploader.device,
        certificate: uploader.certificate,
        one_time: one_time
            .map(|(index, bytes)| accept(Place::OneTime(index), bytes))
            .collect::<Result<_, _>>()?,
        last_resort: last_resort.map(|bytes| accept(Place::LastResort, bytes)).transpose()?,
        at: now,
    };
    if upload.has_distinct_init_keys() { Ok(upload) } else { Err(UploadFault::InitKeyReused) }
}

impl Upload {
    /// All its packages, the last-resort one at the end.
    pub(crate) fn key_packages(&self) -> impl Iterator<Item = &AcceptedKeyPackage> {
        self.one_time.iter().chain(&self.last_resort)
    }

    fn has_distinct_init_keys(&self) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        self.key_packages().all(|package| seen.insert(package.init_key_sha256))
    }
}

fn accept(
    uploader: &Uploader,
    place: Place,
    bytes: Vec<u8>,
    now: Timestamp,
) -> Result<AcceptedKeyPackage, Fault> {
    if bytes.len() > KEY_PACKAGE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let checked = CheckedKeyPackage::check(&bytes, &uploader.certificate, &uploader.mls_key, now)?;
    if checked.is_last_resort() != (place == Place::LastResort) {
        return Err(Fault::LastResort);
    }
    let enough = now.plus_seconds(CLAIM_LIFETIME_SECONDS_MIN);
    if enough.is_none_or(|enough| checked.not_after() < enough) {
        return Err(Fault::EndsTooSoon);
    }
    Ok(AcceptedKeyPackage {
        sha256: Sha256::digest(&bytes).into(),
        init_key_sha256: *checked.init_key_sha256(),
        not_after: checked.not_after(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use data_encoding::BASE64URL_NOPAD;
    use serde_json::Value;

    use super::*;

    fn decided(vector: &Value, one_time: usize, last_resort: bool) -> Result<Upload, UploadFault> {
        let text = |member: &str| vector[member].as_str().unwrap();
        let bytes = |member| BASE64URL_NOPAD.decode(text(member).as_bytes()).unwrap();
        let uploader = Uploader {
            device: DeviceRow::new(1),
            certificate: DeviceCertificate::parse(&bytes("certificate")).unwrap(),
            mls_key: text("mls_key").parse().unwrap(),
        };
        let last_resort = last_resort.then(|| bytes("message"));
        decide(&uploader, vec![bytes("message"); one_time], last_resort, text("now").parse().unwrap())
    }

    fn vectors(folder: &str) -> impl Iterator<Item = Value> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/mls/key-package").join(folder);
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
    }

    #[test]
    fn what_is_no_key_package_of_the_device_is_refused_in_either_place() {
        for vector in vectors("invalid") {
            for (one_time, last_resort, place) in
                [(1, false, Place::OneTime(0)), (0, true, Place::LastResort)]
            {
                match decided(&vector, one_time, last_resort) {
                    Err(UploadFault::Bad { fault: Fault::TooLong, .. }) => {
                        assert_eq!(vector["error"], "not_a_key_package"); // only other messages are that long
                    }
                    Err(UploadFault::Bad { place: found, fault: Fault::Bytes(fault) }) => {
                        assert_eq!((found, fault.name()), (place, vector["error"].as_str().unwrap()));
                    }
                    other => panic!("{vector}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_good_one_is_taken_in_its_place_while_it_can_be_handed_out() {
        let mut taken = 0;
        for vector in vectors("valid") {
            let (once, last) = (decided(&vector, 1, false), decided(&vector, 0, true));
            let is_last_resort = vector["is_last_resort"] == true;
            let (good, bad) = if is_last_resort { (last, once) } else { (once, last) };
            assert!(matches!(bad, Err(UploadFault::Bad { fault: Fault::LastResort, .. })), "{vector}");
            match good {
                Ok(upload) => {
                    assert_eq!(upload.key_packages().count(), 1);
                    taken += 1;
                }
                Err(UploadFault::Bad { fault, .. }) => assert_eq!(fault, Fault::EndsTooSoon, "{vector}"),
                Err(other) => panic!("{vector}: {other}"),
            }
        }
        assert!(taken > 5, "{taken}");
    }

    #[test]
    fn an_upload_has_a_hundred_one_time_packages_at_most_and_none_twice() {
        let vector = vectors("valid").find(|vector| decided(vector, 1, false).is_ok()).unwrap();
        assert_eq!(decided(&vector, 101, false).unwrap_err(), UploadFault::TooMany);
        assert_eq!(decided(&vector, 2, false).unwrap_err(), UploadFault::InitKeyReused);
    }
}
