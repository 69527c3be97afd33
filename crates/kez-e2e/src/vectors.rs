//! Runs the files under `vectors/` that are about end-to-end encryption; adding a file adds a case.

mod policy;

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use kez_core::{ConversationId, DeviceId, PublicKey, Seed};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::ephemeral::{EphemeralPlace, open_ephemeral, seal_ephemeral};
use crate::files::{FileSealer, seal_all};
use crate::policy::Leaf;
use crate::room::GroupInfoKey;
use crate::seal::{open_group_info, seal_group_info};
use crate::storage::Chance;
use crate::{
    EphemeralKind, EpochCode, FileKey, NotEphemeral, Payload, SafetyNumber, SafetyQr, SealedFile, StoreKey,
    open_file,
};

/// Chance that is known: the bytes of a vector's nonce.
struct Known(Vec<u8>);

impl Chance for Known {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
    }
}

fn each<T: DeserializeOwned>(topic: &str, kind: &str, check: impl Fn(T)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(topic).join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let vector: T = serde_json::from_slice(&fs::read(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(vector)));
        assert!(outcome.is_ok(), "{} fails", file.display());
    }
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

#[test]
fn safety_number() {
    #[derive(Deserialize)]
    struct Case {
        one: PublicKey,
        other: PublicKey,
        number: String,
        qr: String,
    }
    each("safety-number", "valid", |case: Case| {
        assert_eq!(SafetyNumber::of(&case.one, &case.other).digits(), case.number);
        assert_eq!(SafetyQr { shown_by: case.one, about: case.other }.to_string(), case.qr);
    });
}

#[test]
fn epoch_code() {
    #[derive(Deserialize)]
    struct Case {
        epoch_authenticator: String,
        code: String,
    }
    each("epoch-code", "valid", |case: Case| {
        assert_eq!(EpochCode::of(&hex(&case.epoch_authenticator)).digits(), case.code);
    });
}

#[derive(Deserialize)]
struct FileCase {
    key: String,
    size: u64,
    sha256: String,
    #[serde(default)]
    sealed: Option<String>,
    #[serde(default)]
    sealed_bytes: Option<usize>,
    #[serde(default)]
    error: Option<String>,
}

impl FileCase {
    fn key(&self) -> FileKey {
        FileKey::from_text(&self.key).unwrap()
    }

    fn file(&self) -> SealedFile {
        SealedFile { sha256: array(&self.sha256), size: self.size, key: self.key() }
    }
}

#[test]
fn file() {
    each("file", "valid", |case: FileCase| {
        let size = usize::try_from(case.size).unwrap();
        let plain: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (sealed, file) = seal_all(FileSealer::with_key(case.key()), &plain).unwrap();
        assert_eq!(file, case.file());
        assert_eq!(Some(sealed.len()), case.sealed_bytes);
        assert!(case.sealed.as_ref().is_none_or(|expected| hex(expected) == sealed));
        assert_eq!(open_file(file, &sealed).unwrap().as_slice(), plain);
    });
    each("file", "invalid", |case: FileCase| {
        let refused = open_file(case.file(), &hex(case.sealed.as_ref().unwrap())).unwrap_err();
        assert_eq!(Some(refused.name()), case.error.as_deref());
    });
}

#[test]
fn store_value() {
    #[derive(Deserialize)]
    struct Case {
        #[serde(default)]
        seed: Option<String>,
        store_key: String,
        name: String,
        version: u64,
        #[serde(default)]
        plain: String,
        sealed: String,
    }
    each("store-value", "valid", |case: Case| {
        let key = StoreKey::derive(&Seed::from_bytes(array(case.seed.as_ref().unwrap())));
        assert_eq!(key.expose(), &array(&case.store_key));
        let (plain, sealed) = (hex(&case.plain), hex(&case.sealed));
        assert_eq!(key.seal(&case.name, case.version, &plain, &Known(sealed.clone())), sealed);
        assert_eq!(key.open(&case.name, case.version, &sealed).unwrap().as_slice(), plain);
    });
    each("store-value", "invalid", |case: Case| {
        let key = StoreKey::from_bytes(array(&case.store_key));
        key.open(&case.name, case.version, &hex(&case.sealed)).unwrap_err();
    });
}

#[test]
fn group_info() {
    #[derive(Deserialize)]
    struct Case {
        gi_key: String,
        cid: ConversationId,
        epoch: u64,
        #[serde(default)]
        info: String,
        sealed: String,
    }
    let key = |case: &Case| GroupInfoKey::from_bytes(array(&case.gi_key));
    each("group-info", "valid", |case: Case| {
        let (info, sealed) = (hex(&case.info), hex(&case.sealed));
        assert_eq!(seal_group_info(&key(&case), case.cid, case.epoch, &info, &Known(sealed.clone())), sealed);
        assert_eq!(open_group_info(&key(&case), case.cid, case.epoch, &sealed), Ok(info));
    });
    each("group-info", "invalid", |case: Case| {
        open_group_info(&key(&case), case.cid, case.epoch, &hex(&case.sealed)).unwrap_err();
    });
}

#[derive(Deserialize)]
struct EphemeralCase {
    key: String,
    cid: ConversationId,
    epoch: u64,
    roster: Vec<Place>,
    sealed: String,
    #[serde(default)]
    leaf: u32,
    #[serde(default)]
    sent_at_ms: u64,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    mls_seed: String,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Place {
    leaf: u32,
    mls_key: String,
}

impl EphemeralCase {
    fn place(&self) -> EphemeralPlace {
        EphemeralPlace { cid: self.cid, epoch: self.epoch }
    }

    fn open(&self) -> Result<crate::Ephemeral, NotEphemeral> {
        let device = |at: &Place| Leaf {
            primary: PublicKey::from_bytes([1; 32]),
            device_id: DeviceId::from_bytes([2; 16]),
            mls_key: PublicKey::from_bytes(array(&at.mls_key)),
        };
        let device_at = |leaf| self.roster.iter().find(|at| at.leaf == leaf).map(device);
        open_ephemeral(&array(&self.key), self.place(), device_at, &hex(&self.sealed))
    }
}

#[test]
fn ephemeral() {
    each("ephemeral", "valid", |case: EphemeralCase| {
        let event = case.open().unwrap();
        assert_eq!((event.sent_at_ms, event.kind.name()), (case.sent_at_ms, case.kind.as_str()));
        let mls = Seed::from_bytes(array(&case.mls_seed));
        let what: (u64, EphemeralKind) = (event.sent_at_ms, event.kind);
        let known = Known(hex(&case.nonce));
        let sealed = seal_ephemeral(&array(&case.key), case.place(), (case.leaf, &mls), what, &known);
        assert_eq!(sealed, hex(&case.sealed));
    });
    each("ephemeral", "invalid", |case: EphemeralCase| {
        assert_eq!(case.open().unwrap_err().name(), case.error);
    });
}

#[test]
fn payload() {
    #[derive(Deserialize)]
    struct Good {
        json: String,
        padded_bytes: usize,
        padded_sha256: String,
    }
    #[derive(Deserialize)]
    struct Bad {
        padded: String,
        error: String,
    }
    each("payload", "valid", |case: Good| {
        let payload = Payload::parse_json(case.json.as_bytes()).unwrap();
        assert_eq!(payload.to_json(), case.json);
        let padded = payload.to_bytes().unwrap();
        assert_eq!(padded.len(), case.padded_bytes);
        assert_eq!(Sha256::digest(&padded).as_slice(), hex(&case.padded_sha256));
        assert_eq!(Payload::parse(&padded), Ok(payload));
    });
    each("payload", "invalid", |case: Bad| {
        assert_eq!(Payload::parse(&hex(&case.padded)).unwrap_err().name(), case.error);
    });
}
