//! Whole chains as JSON lines, and pairs of chains.

use std::collections::BTreeMap;

use kez_core::sigchain::{Chain, Comparison, ReadError};
use kez_core::{Artifact, DeviceId, PrimaryKey};
use serde::Deserialize;

use super::each;

#[derive(Deserialize)]
struct Valid {
    chain: PrimaryKey,
    jsonl: String,
    head: Head,
    subjects: Vec<String>,
    devices: BTreeMap<DeviceId, Device>,
    rotations: Vec<Rotation>,
    key_since: String,
}

#[derive(Deserialize)]
struct Head {
    seq: u64,
    hash: String,
    primary: PrimaryKey,
}

#[derive(Deserialize)]
struct Device {
    certificate_sha256: String,
    revoked: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Rotation {
    seq: u64,
    from: PrimaryKey,
    to: PrimaryKey,
}

#[derive(Deserialize)]
struct Invalid {
    chain: PrimaryKey,
    jsonl: String,
    error: String,
    line: Option<usize>,
}

#[derive(Deserialize)]
struct Pair {
    chain: PrimaryKey,
    known: String,
    shown: String,
    result: String,
    seq: Option<u64>,
}

#[test]
fn chains() {
    each("sigchain", "valid", |case: Valid| {
        let chain = Chain::read(Some(case.chain), &case.jsonl).unwrap();
        let head = chain.head();
        assert_eq!((head.seq, head.hash.to_string()), (case.head.seq, case.head.hash));
        assert_eq!((chain.id(), chain.primary()), (case.chain, case.head.primary));
        assert_eq!(chain.hashes().len() as u64, head.seq + 1);
        let subjects: Vec<&str> = chain.subjects().keys().map(kez_core::Identifier::as_str).collect();
        assert_eq!(subjects, case.subjects);
        assert_eq!(chain.key_since(), case.key_since.parse().unwrap());
        let rotations: Vec<Rotation> = chain
            .rotations()
            .iter()
            .map(|turn| Rotation { seq: turn.seq, from: turn.from, to: turn.to })
            .collect();
        assert_eq!(rotations, case.rotations);
        assert_eq!(chain.devices().keys().collect::<Vec<_>>(), case.devices.keys().collect::<Vec<_>>());
        for (id, device) in chain.devices() {
            assert_eq!(device.certificate_sha256.to_string(), case.devices[id].certificate_sha256);
            assert_eq!(device.revoked_at.is_some(), case.devices[id].revoked);
        }
        // Without a name it is the chain of the key that began it.
        assert_eq!(Chain::read(None, &case.jsonl).unwrap().head(), chain.head());
        // What the lenient reader finds is the same chain.
        let mut again = Artifact::find(&case.jsonl).unwrap().into_envelopes().into_iter();
        let mut reread = Chain::genesis(case.chain, again.next().unwrap()).unwrap();
        again.for_each(|event| assert!(reread.extend(event).is_ok()));
        assert_eq!(reread.head(), chain.head());
    });
    each("sigchain", "invalid", |case: Invalid| {
        let error = Chain::read(Some(case.chain), &case.jsonl).unwrap_err();
        let line = match &error {
            ReadError::LineTooLong { line, .. } | ReadError::Event { line, .. } => Some(*line),
            _ => None,
        };
        assert_eq!((error.code(), line), (case.error.as_str(), case.line), "{error}");
    });
}

#[test]
fn comparisons() {
    each("sigchain-compare", "valid", |case: Pair| {
        let known = Chain::read(Some(case.chain), &case.known).unwrap();
        let shown = Chain::read(Some(case.chain), &case.shown).unwrap();
        let expected = match (case.result.as_str(), case.seq) {
            ("same", None) => Comparison::Same,
            ("longer", None) => Comparison::Longer,
            ("shorter", None) => Comparison::Shorter,
            ("forked", Some(seq)) => Comparison::Forked { seq },
            other => panic!("{other:?} is no result"),
        };
        assert_eq!(shown.compare_to(&known), expected);
        let by_head = shown.compare_to_head(known.head());
        match expected {
            // The end alone does not tell where the chains part, nor that a shorter one parts at all.
            Comparison::Forked { .. } if shown.head().seq < known.head().seq => {
                assert_eq!(by_head, Comparison::Shorter);
            }
            Comparison::Forked { .. } => assert_eq!(by_head, Comparison::Forked { seq: known.head().seq }),
            other => assert_eq!(by_head, other),
        }
    });
}
