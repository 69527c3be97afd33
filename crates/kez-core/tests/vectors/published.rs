//! Sets that others published, each one file with many cases.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use kez_core::{PublicKey, Signature, json};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{bytes, hex, vectors};

#[derive(Deserialize)]
struct Set<T> {
    cases: Vec<T>,
}

fn cases<T: DeserializeOwned>(file: &Path) -> Vec<T> {
    let set: Set<T> = serde_json::from_slice(&fs::read(file).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(!set.cases.is_empty(), "{} has no cases", file.display());
    set.cases
}

#[test]
fn ed25519() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        public_key: String,
        message: String,
        signature: String,
        ours: bool,
    }
    let mut sets = 0;
    for entry in fs::read_dir(vectors().join("ed25519")).unwrap() {
        let file = entry.unwrap().path();
        if !file.is_file() {
            continue;
        }
        sets += 1;
        for case in cases::<Case>(&file) {
            let key = PublicKey::from_bytes(bytes(&case.public_key));
            // Some signatures are not 64 bytes long.
            let taken = Signature::from_hex(&case.signature)
                .is_some_and(|signature| key.verify(&hex(&case.message), &signature).is_ok());
            assert_eq!(taken, case.ours, "{}: {}", file.display(), case.name);
        }
    }
    assert!(sets >= 2, "speccheck and Wycheproof");
}

#[test]
fn json_test_suite() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        input_base64: String,
        strict: bool,
    }
    for case in cases::<Case>(&vectors().join("json/json-test-suite.json")) {
        let name = case.name;
        assert!(!(case.strict && name.starts_with("n_")), "{name} is no JSON");
        let read = json::parse(&BASE64.decode(case.input_base64.as_bytes()).unwrap());
        assert_eq!(read.is_ok(), case.strict, "{name}: {read:?}");
        if let Ok(value) = read {
            let canonical = value.canonical().unwrap();
            assert_eq!(json::parse(canonical.as_bytes()), Ok(value), "{name}");
        }
    }
}
