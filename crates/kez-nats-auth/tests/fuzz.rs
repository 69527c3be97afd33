//! The fuzz targets of `fuzz/` on stable Rust.

#[path = "support/targets.rs"]
mod targets;

use proptest::prelude::*;
use targets::{TARGETS, corpus};

/// A seed of the corpus with some bytes changed, cut or put in; or anything.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..4);
    let edited = (prop::sample::select(corpus()), edits).prop_map(|(mut bytes, edits)| {
        for (place, what, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match what {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => bytes.truncate(place),
            }
        }
        bytes
    });
    prop_oneof![8 => edited, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn run(name: &str) {
    let full = std::env::var_os("KEZ_FULL").is_some_and(|value| value == "1");
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target of this name");
    let config = ProptestConfig { cases: if full { 200_000 } else { 2_000 }, ..ProptestConfig::default() };
    proptest!(config, |(bytes in input())| target(&bytes));
}

#[test]
fn nats_callout() {
    run("nats_callout");
}

#[test]
fn nats_text() {
    run("nats_text");
}
