//! The fuzz targets of `fuzz/` on stable Rust, with inputs that are the same in every run: 20,000 each, or a million
//! with `KEZ_FULL=1`.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::Dice;
use support::targets::{TARGETS, corpus};

fn run(name: &str) {
    let count =
        if std::env::var_os("KEZ_FULL").is_some_and(|value| value == "1") { 1_000_000 } else { 20_000 };
    let (at, (_, target)) =
        TARGETS.iter().enumerate().find(|(_, (target, _))| *target == name).expect("a target of this name");
    let corpus = corpus();
    let mut dice = Dice::new(at as u64);
    for number in 0..count {
        let input = dice.input(&corpus);
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(outcome.is_ok(), "input {number} of {name}: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn envelope() {
    run("envelope");
}

#[test]
fn chain_line() {
    run("chain_line");
}

#[test]
fn compact() {
    run("compact");
}

#[test]
fn markdown() {
    run("markdown");
}

#[test]
fn phrase() {
    run("phrase");
}

#[test]
fn signed_call() {
    run("signed_call");
}

#[test]
fn mls() {
    run("mls");
}

/// Each target is also one for libFuzzer, and the other way round.
#[test]
fn every_target_has_its_file() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name: &String| !name.starts_with("nats_")) // crates/kez-nats-auth/tests/fuzz.rs
        .collect();
    files.sort();
    let mut names = TARGETS.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(files, names);
}
