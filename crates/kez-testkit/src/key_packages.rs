//! Verifies all key packages again, from their bytes up.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use kez_core::mls_framing::CheckedKeyPackage;
use kez_core::{DeviceCertificate, DeviceId, PublicKey, Timestamp};
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::net::Net;

/// What the server holds of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPackagesOfDevice {
    /// One-time packages that have not been handed out.
    pub one_time: usize,
    /// Whether there is a last-resort package.
    pub last_resort: bool,
    /// Packages that are only remembered.
    pub remembered: usize,
}

/// What the server holds of all devices that ever uploaded anything, and who was given what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPackagesOfAll {
    /// By device.
    pub devices: BTreeMap<DeviceId, KeyPackagesOfDevice>,
    /// Claims that are remembered.
    pub claims: usize,
}

/// A row, beside that of its device.
struct Stored {
    device_id: DeviceId,
    certificate: DeviceCertificate,
    mls_key: PublicKey,
    is_revoked: bool,
    init_key_sha256: [u8; 32],
    package_sha256: [u8; 32],
    is_last_resort: bool,
    not_after: Timestamp,
    package: Option<Vec<u8>>,
}

impl Net {
    /// Reads the file beside the server, without its code: each stored package is one of its device, the columns say
    /// what its bytes say, the bounds hold, and what was handed out once is held by nobody and was given to nobody else.
    pub fn check_key_packages(&self) -> KeyPackagesOfAll {
        let db = Connection::open_with_flags(self.args().db, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let db = db.expect("the file opens");
        let db = db.unchecked_transaction().expect("a snapshot");
        let stored = rows(&db);
        let mut devices = BTreeMap::<DeviceId, KeyPackagesOfDevice>::new();
        for row in &stored {
            row.check(self.now());
            devices.entry(row.device_id).or_default().add(row);
        }
        for (device, held) in &devices {
            assert!(held.one_time <= 100, "{} one-time packages of {device}", held.one_time);
        }
        KeyPackagesOfAll { devices, claims: check_claims(&db, &stored) }
    }
}

impl KeyPackagesOfDevice {
    fn add(&mut self, row: &Stored) {
        match (&row.package, row.is_last_resort) {
            (None, _) => self.remembered += 1,
            (Some(_), false) => self.one_time += 1,
            (Some(_), true) => {
                assert!(!self.last_resort, "two last-resort packages of {}", row.device_id);
                self.last_resort = true;
            }
        }
    }
}

impl Stored {
    fn check(&self, now: Timestamp) {
        let Some(package) = &self.package else { return };
        assert!(!self.is_revoked, "a package of the revoked device {}", self.device_id);
        assert_eq!(self.package_sha256, <[u8; 32]>::from(Sha256::digest(package)));
        // It may have ended since; while it lived it was good.
        let at = now.min(self.not_after.plus_seconds(-1).expect("a time"));
        let checked = CheckedKeyPackage::check(package, &self.certificate, &self.mls_key, at);
        let checked = checked.unwrap_or_else(|fault| panic!("a package of {}: {fault}", self.device_id));
        assert_eq!(checked.init_key_sha256(), &self.init_key_sha256);
        assert_eq!((checked.not_after(), checked.is_last_resort()), (self.not_after, self.is_last_resort));
    }
}

fn rows(db: &Connection) -> Vec<Stored> {
    let mut rows = db
        .prepare(
            "SELECT d.device_id, d.certificate, d.mls_key, d.revoked_at IS NOT NULL, k.init_key_sha256,
                 k.package_sha256, k.is_last_resort, k.not_after, k.package
             FROM key_packages k JOIN devices d ON d.id = k.device",
        )
        .expect("a statement");
    let read = |row: &Row<'_>| {
        Ok(Stored {
            device_id: DeviceId::from_bytes(row.get(0)?),
            certificate: DeviceCertificate::parse(row.get_ref(1)?.as_blob()?).expect("a certificate"),
            mls_key: PublicKey::from_bytes(row.get(2)?),
            is_revoked: row.get(3)?,
            init_key_sha256: row.get(4)?,
            package_sha256: row.get(5)?,
            is_last_resort: row.get(6)?,
            not_after: Timestamp::from_unix(row.get(7)?, 0).expect("a time"),
            package: row.get(8)?,
        })
    };
    rows.query_map([], read).expect("rows").collect::<Result<_, _>>().expect("rows")
}

/// The number of claims, after checking that no one-time package of theirs was given twice or is still there.
fn check_claims(db: &Connection, stored: &[Stored]) -> usize {
    let held: BTreeSet<_> =
        stored.iter().filter(|row| row.package.is_some()).map(|row| row.package_sha256).collect();
    let mut answers = db.prepare("SELECT answer FROM key_package_claims").expect("a statement");
    let answers = answers.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let (mut given, mut claims) = (BTreeSet::new(), 0);
    for answer in answers {
        claims += 1;
        let answer: Value = serde_json::from_str(&answer.expect("a row")).expect("JSON");
        for package in one_time_packages(&answer) {
            let hash: [u8; 32] = Sha256::digest(&package).into();
            assert!(!held.contains(&hash), "a package that was handed out is still there");
            assert!(given.insert(hash), "a package was handed out twice");
        }
    }
    claims
}

/// The one-time packages of the answer to a claim, as bytes.
pub fn one_time_packages(answer: &Value) -> Vec<Vec<u8>> {
    let packages = answer["key_packages"].as_array().expect("a list");
    let once = packages.iter().filter(|package| package["last_resort"] == false);
    once.map(|package| {
        let text = package["key_package"].as_str().expect("text");
        BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url")
    })
    .collect()
}
