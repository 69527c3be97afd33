//! Runs every file under `vectors/` that this crate is responsible for; adding a file adds a case.
//!
//! A folder that nobody reads fails [`every_folder_has_a_reader`].

#[path = "vectors/calls.rs"]
mod calls;
#[path = "vectors/claim.rs"]
mod claim;
#[path = "vectors/device.rs"]
mod device;
#[path = "vectors/encoding.rs"]
mod encoding;
#[path = "vectors/leaving.rs"]
mod leaving;
#[path = "vectors/mls.rs"]
mod mls;
#[path = "vectors/nostr.rs"]
mod nostr;
#[path = "vectors/published.rs"]
mod published;
#[path = "vectors/sigchain.rs"]
mod sigchain;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use kez_core::json::{self, Value};
use kez_core::mls_framing::Message;
use kez_core::sigchain::Event;
use kez_core::{
    Claim, DeviceCertificate, Document, Envelope, EnvelopeError, Handle, Identifier, Phrase, PrimaryKey,
    PublicKey, Registration, Seed, ServerName, Signature, Timestamp, Verified,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Topics read by other crates, each with the crate.
const READ_ELSEWHERE: [(&str, &str); 13] = [
    ("webfinger-resource", "kez-chat-server"),
    ("seed-file", "kez-cli"),
    ("ephemeral", "kez-e2e"),
    ("epoch-code", "kez-e2e"),
    ("file", "kez-e2e"),
    ("group-info", "kez-e2e"),
    ("payload", "kez-e2e"),
    ("policy", "kez-e2e"),
    ("policy-roster", "kez-e2e"),
    ("safety-number", "kez-e2e"),
    ("store-value", "kez-e2e"),
    ("nats-key", "kez-nats-auth"),
    ("nats-callout", "kez-nats-auth"),
];

/// Topics read by the tests inside this crate, because they are about what it keeps to itself.
const READ_INSIDE: [&str; 2] = ["http-signature-base", "x25519"];

/// Topics read below.
const READ_HERE: [&str; 26] = [
    "account-deletion",
    "claim",
    "content-digest",
    "deletion-receipt",
    "device",
    "device-certificate",
    "device-revocation",
    "ed25519",
    "encoding",
    "envelope",
    "frame-aad",
    "handle",
    "http-signature",
    "identifier",
    "jcs",
    "json",
    "members",
    "mls",
    "nostr",
    "phrase",
    "registration",
    "server-name",
    "session",
    "sigchain",
    "sigchain-compare",
    "timestamp",
];

#[test]
fn every_folder_has_a_reader() {
    let folders: BTreeSet<String> = fs::read_dir(vectors())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let read: BTreeSet<String> = READ_HERE
        .into_iter()
        .chain(READ_INSIDE)
        .chain(READ_ELSEWHERE.map(|(topic, _)| topic))
        .map(str::to_owned)
        .collect();
    let unread: Vec<_> = folders.difference(&read).collect();
    assert!(unread.is_empty(), "nobody reads {unread:?}");
}

#[test]
fn ed25519() {
    #[derive(Deserialize)]
    struct Case {
        seed: Option<String>,
        public_key: String,
        message: String,
        signature: String,
    }
    let verified = |case: &Case| {
        let key = PublicKey::from_bytes(bytes(&case.public_key));
        key.verify(&hex(&case.message), &Signature::from_bytes(bytes(&case.signature)))
    };
    each("ed25519", "valid", |case: Case| {
        verified(&case).unwrap();
        if let Some(seed) = &case.seed {
            let seed = Seed::from_bytes(bytes(seed));
            assert_eq!(seed.public_key().to_hex(), case.public_key);
            assert_eq!(seed.sign(&hex(&case.message)).to_hex(), case.signature);
        }
    });
    each("ed25519", "invalid", |case: Case| assert!(verified(&case).is_err()));
}

#[test]
fn jcs() {
    #[derive(Deserialize)]
    struct Case {
        input: String,
        canonical: String,
        strict: bool,
    }
    each("jcs", "valid", |case: Case| {
        let lenient: serde_json::Value = serde_json::from_str(&case.input).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&lenient).unwrap(), case.canonical);
        let strict = json::parse(case.input.as_bytes());
        assert_eq!(strict.is_ok(), case.strict);
        if let Ok(value) = strict {
            assert_eq!(value.canonical().unwrap(), case.canonical);
        }
    });
}

#[test]
fn jcs_numbers() {
    #[derive(Deserialize)]
    struct Table {
        cases: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        ieee_hex: String,
        expected: Option<String>,
    }
    let table: Table =
        serde_json::from_slice(&fs::read(vectors().join("jcs/numbers.json")).unwrap()).unwrap();
    for row in table.cases {
        let number = f64::from_be_bytes(bytes(&row.ieee_hex));
        match row.expected {
            Some(text) => {
                assert_eq!(serde_json_canonicalizer::to_string(&number).unwrap(), text, "{}", row.ieee_hex);
            }
            None => assert!(!number.is_finite(), "{}", row.ieee_hex),
        }
    }
}

#[test]
fn strict_json() {
    #[derive(Deserialize)]
    struct Case {
        input_base64: String,
        canonical: Option<String>,
    }
    let parsed = |case: &Case| json::parse(&BASE64.decode(case.input_base64.as_bytes()).unwrap());
    each("json", "valid", |case: Case| {
        assert_eq!(Some(parsed(&case).unwrap().canonical().unwrap()), case.canonical);
    });
    each("json", "invalid", |case: Case| assert!(parsed(&case).is_err()));
}

#[test]
fn identifiers() {
    #[derive(Deserialize)]
    struct Case {
        input: String,
        normal: Option<String>,
    }
    each("identifier", "valid", |case: Case| {
        let identifier: Identifier = case.input.parse().unwrap();
        assert_eq!(Some(identifier.as_str()), case.normal.as_deref());
        assert_eq!(format!("{}:{}", identifier.system(), identifier.value()), identifier.as_str());
        assert_eq!(
            identifier.as_str().parse(),
            Ok(identifier.clone()),
            "the normal form is its own normal form"
        );
        if matches!(identifier.system(), "ed25519" | "nostr") {
            let key: PrimaryKey = identifier.as_str().parse().unwrap();
            assert_eq!(key.to_string(), identifier.as_str());
        }
    });
    each("identifier", "invalid", |case: Case| {
        assert!(case.input.parse::<Identifier>().is_err());
        assert!(case.input.parse::<PrimaryKey>().is_err());
    });
}

#[test]
fn handles() {
    #[derive(Deserialize)]
    struct Case {
        input: String,
        skeleton: Option<String>,
    }
    each("handle", "valid", |case: Case| {
        let handle: Handle = case.input.parse().unwrap();
        assert_eq!(Some(handle.skeleton().as_str()), case.skeleton.as_deref());
        assert_eq!(handle.as_str(), case.input);
    });
    each("handle", "invalid", |case: Case| assert!(case.input.parse::<Handle>().is_err()));
}

#[test]
fn server_names() {
    #[derive(Deserialize)]
    struct Case {
        input: String,
    }
    each("server-name", "valid", |case: Case| {
        assert_eq!(case.input.parse::<ServerName>().unwrap().as_str(), case.input);
    });
    each("server-name", "invalid", |case: Case| assert!(case.input.parse::<ServerName>().is_err()));
}

#[test]
fn timestamps() {
    #[derive(Deserialize)]
    struct Case {
        input: String,
        unix_seconds: Option<i64>,
        nanoseconds: Option<u32>,
    }
    each("timestamp", "valid", |case: Case| {
        let time: Timestamp = case.input.parse().unwrap();
        assert_eq!(
            (Some(time.unix_seconds()), Some(time.subsec_nanos())),
            (case.unix_seconds, case.nanoseconds)
        );
        assert_eq!(time.to_string().parse(), Ok(time));
    });
    each("timestamp", "invalid", |case: Case| assert!(case.input.parse::<Timestamp>().is_err()));
}

#[test]
fn phrases() {
    #[derive(Deserialize)]
    struct Case {
        phrase: String,
        normal: Option<String>,
        entropy: Option<String>,
        seed: Option<String>,
        public_key: Option<String>,
    }
    each("phrase", "valid", |case: Case| {
        let phrase: Phrase = case.phrase.parse().unwrap();
        assert_eq!(Some(phrase.words().as_str()), case.normal.as_deref());
        assert_eq!(Some(HEXLOWER.encode(phrase.entropy())), case.entropy);
        assert_eq!(Some(HEXLOWER.encode(phrase.seed().expose())), case.seed);
        assert_eq!(Some(phrase.seed().public_key().to_hex()), case.public_key);
    });
    each("phrase", "invalid", |case: Case| assert!(case.phrase.parse::<Phrase>().is_err()));
}

#[test]
fn registrations() {
    #[derive(Deserialize)]
    struct Valid {
        envelope: String,
        handle: String,
        server: String,
        primary: String,
        created_at: String,
        payload_sha256: String,
        canonical: String,
    }
    #[derive(Deserialize)]
    struct Invalid {
        envelope: String,
        error: String,
    }
    each("registration", "valid", |case: Valid| {
        let verified = Envelope::parse(case.envelope.as_bytes()).unwrap().verify::<Registration>().unwrap();
        assert_eq!(*verified.document(), Registration { handle: case.handle, server: case.server });
        assert_eq!(verified.primary().to_string(), case.primary);
        assert_eq!(verified.created_at(), case.created_at.parse().unwrap());
        assert_eq!(HEXLOWER.encode(verified.payload_sha256()), case.payload_sha256);
        assert_eq!(verified.canonical(), case.canonical);
    });
    each("registration", "invalid", |case: Invalid| {
        let verified = Envelope::parse(case.envelope.as_bytes())
            .map_err(EnvelopeError::from)
            .and_then(Envelope::verify::<Registration>);
        assert_eq!(verified.unwrap_err().code(), case.error);
    });
}

#[derive(Deserialize)]
struct EnvelopeCase {
    envelope: String,
    tag: String,
    r#type: String,
    payload_sha256: String,
    envelope_sha256: String,
}

#[test]
fn envelopes() {
    fn check<D: Document>(case: &EnvelopeCase) {
        assert_eq!((D::TAG, D::TYPE), (case.tag.as_str(), case.r#type.as_str()));
        let verified: Verified<D> = Envelope::parse(case.envelope.as_bytes()).unwrap().verify().unwrap();
        assert_eq!(HEXLOWER.encode(verified.payload_sha256()), case.payload_sha256);
        assert_eq!(HEXLOWER.encode(&verified.envelope_sha256()), case.envelope_sha256);
    }
    each("envelope", "valid", |case: EnvelopeCase| match case.tag.as_str() {
        Claim::TAG => check::<Claim>(&case),
        Event::TAG => check::<Event>(&case),
        _ => check::<Registration>(&case),
    });
}

/// Calls `check` with each file of a folder, and says which file it was when that fails.
fn each<T: DeserializeOwned>(topic: &str, kind: &str, check: impl Fn(T)) {
    let folder = vectors().join(topic).join(kind);
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

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-json::INTEGER_MAX..=json::INTEGER_MAX).prop_map(Value::Integer),
        "[ -~é€\u{ffff0}]{0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map("[a-zé\u{1f600}]{0,6}", inner, 0..6).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_canonical_is_read_back_the_same(value in value()) {
        let canonical = value.canonical().unwrap();
        let read = json::parse(canonical.as_bytes()).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(read.canonical().unwrap(), canonical);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = json::parse(&bytes);
        let _ = Envelope::parse(&bytes);
        let _ = (Message::parse(&bytes), DeviceCertificate::parse(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        let _ = (text.parse::<Identifier>(), text.parse::<PrimaryKey>(), text.parse::<Timestamp>());
        let _ = (text.parse::<Handle>(), text.parse::<ServerName>(), text.parse::<Phrase>());
    }

    #[test]
    fn a_phrase_and_its_seed_restore_each_other(bytes in any::<[u8; 32]>()) {
        let seed = Seed::from_bytes(bytes);
        let phrase: Phrase = Phrase::from_seed(&seed).words().parse().unwrap();
        let restored = phrase.seed();
        prop_assert_eq!(restored.expose(), seed.expose());
    }

    #[test]
    fn what_a_seed_signs_verifies_and_nothing_else(
        seed in any::<[u8; 32]>(),
        message in any::<Vec<u8>>(),
        flip in 0..512_usize,
    ) {
        let seed = Seed::from_bytes(seed);
        let signature = seed.sign(&message);
        prop_assert!(seed.public_key().verify(&message, &signature).is_ok());
        let mut forged = *signature.as_bytes();
        forged[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(seed.public_key().verify(&message, &Signature::from_bytes(forged)).is_err());
    }

    #[test]
    fn a_time_and_its_text_restore_each_other(
        seconds in -62_135_596_800_i64..253_402_300_800,
        nanos in 0_u32..1_000_000_000,
    ) {
        let time = Timestamp::from_unix(seconds, nanos).unwrap();
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }
}
