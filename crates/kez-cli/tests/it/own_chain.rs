//! `kez sigchain` without a network: the chain on this computer and its files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};

use crate::kez::Computer;

fn with_identity() -> Computer {
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    computer
}

/// A computer with a chain of three events, of which the last takes the first back.
fn with_chain() -> Computer {
    let computer = with_identity();
    for args in ["add github:alice", "add dns:example.org", "revoke github:alice"] {
        computer.kez(&format!("sigchain {args}")).exits(0);
    }
    computer
}

fn chain_file(computer: &Computer) -> PathBuf {
    let shown = computer.kez("--json sigchain show").json();
    shown["file"].as_str().unwrap().into()
}

fn subjects(shown: &Value) -> Vec<&str> {
    shown["sigchain"]["subjects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| held["subject"].as_str().unwrap())
        .collect()
}

#[test]
fn a_chain_grows_entry_by_entry_and_shows_what_is_held() {
    let computer = with_chain();
    let shown = computer.kez("--json sigchain show").json();
    assert_eq!((subjects(&shown), &shown["unpublished"]), (vec!["dns:example.org"], &json!(3)));
    let ops: Vec<_> = shown["events"].as_array().unwrap().iter().map(|entry| entry["op"].clone()).collect();
    assert_eq!(ops, ["add", "add", "revoke"]);
    assert_eq!(computer.kez("--json sigchain verify").json()["sigchain"]["events"], 3);
    let text = computer.kez("sigchain show").exits(0).out();
    assert!(text.contains("unpublished  3 entries\n") && text.ends_with("kez sigchain publish\n"), "{text}");
}

#[test]
fn saying_the_same_again_changes_nothing() {
    let computer = with_chain();
    let again = computer.kez("--json sigchain add DNS:Example.org.").json();
    assert_eq!((&again["already"], &again["events"]), (&json!(true), &json!(3)));
    assert_eq!(computer.kez("--json sigchain revoke github:alice").refusal(1).0, "not_on_sigchain");
    let back = computer.kez("--json sigchain add github:alice").json();
    assert_eq!(
        (&back["already"], &back["events"]),
        (&json!(false), &json!(4)),
        "what was revoked may come back"
    );
}

#[test]
fn an_empty_chain_says_how_to_begin() {
    let computer = with_identity();
    assert!(computer.kez("sigchain show").exits(0).out().contains("kez sigchain add github:alice"));
    assert_eq!(computer.kez("--json sigchain show").json()["sigchain"], Value::Null);
    for command in ["export", "verify"] {
        assert_eq!(computer.kez(&format!("--json sigchain {command}")).refusal(1).0, "sigchain_empty");
    }
    assert_eq!(computer.kez("--json sigchain publish").refusal(2).0, "no_sig_server");
    assert_eq!(Computer::new().kez("--json sigchain show").refusal(1).0, "no_identity");
}

#[test]
fn what_was_exported_is_verified_anywhere() {
    let computer = with_chain();
    for format in ["jsonl", "bundle"] {
        let text = computer.kez(&format!("sigchain export --format {format}")).exits(0).out();
        for command in ["sigchain verify", "verify file"] {
            let checked = Computer::new().kez_reading(&format!("--json {command} -"), &text).json();
            assert_eq!(
                (subjects(&checked), &checked["sigchain"]["events"]),
                (vec!["dns:example.org"], &json!(3))
            );
            assert_eq!(checked["not_checked"], json!(["newer", "subjects"]));
        }
    }
    let jsonl = computer.kez("sigchain export").exits(0).out();
    let lines: Vec<_> = jsonl.lines().collect();
    let verify = |lines: &[&str]| Computer::new().kez_reading("--json sigchain verify -", &lines.join("\n"));
    for (broken, fault) in [
        (vec![lines[0], lines[2]], "bad_sequence"),
        (vec![lines[0], lines[2], lines[1]], "bad_sequence"),
        (vec![lines[0], &lines[1].replace("example.org", "example.net"), lines[2]], "bad_signature"),
    ] {
        let (code, error) = verify(&broken).refusal(5);
        assert_eq!(
            (code.as_str(), &error["fault"], &error["seq"]),
            ("sigchain_broken", &json!(fault), &json!(1))
        );
    }
    let alone = Computer::new().kez_reading("--json verify file -", lines[1]).json();
    assert_eq!((&alone["kind"], &alone["not_checked"]), (&json!("sigchain_event"), &json!(["place"])));
}

#[test]
fn a_torn_last_line_was_never_promised_and_is_left_out() {
    let computer = with_chain();
    let path = chain_file(&computer);
    let whole = fs::read_to_string(&path).unwrap();
    let last = whole.lines().last().unwrap();
    // As if the machine had stopped while the third line was written.
    fs::write(&path, &whole[..whole.len() - last.len() / 2]).unwrap();
    assert_eq!(computer.kez("--json sigchain show").json()["events"].as_array().unwrap().len(), 2);
    let ran = computer.kez("--json sigchain add ens:alice.eth");
    assert!(ran.err().contains(r#""code":"torn_line""#), "{}", ran.err());
    assert_eq!(ran.json()["events"], 3);
    let ran = computer.kez("--json sigchain verify");
    assert_eq!((ran.err().as_str(), &ran.json()["sigchain"]["events"]), ("", &json!(3)));
}

#[test]
fn a_missing_line_end_loses_nothing() {
    let computer = with_chain();
    let path = chain_file(&computer);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.trim_end()).unwrap();
    let added = computer.kez("--json sigchain add ens:alice.eth");
    assert_eq!((added.err().as_str(), &added.json()["events"]), ("", &json!(4)));
    assert!(fs::read_to_string(&path).unwrap().starts_with(&whole));
}

#[test]
fn a_damaged_line_stops_everything_and_is_named() {
    let computer = with_chain();
    let path = chain_file(&computer);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    for (text, line, fault) in [
        (whole.replacen("dns:example.org", "dns:example.net", 1), 2, "bad_signature"),
        (format!("{}\n{}\n", lines[0], lines[2]), 2, "bad_sequence"),
        (format!("{}\n\n{}\n", lines[0], lines[1]), 2, "malformed"),
        (format!("{}\nnot a line\n", lines[0]), 2, "malformed"),
        (format!("{}\n", lines[1]), 1, "bad_sequence"),
    ] {
        fs::write(&path, &text).unwrap();
        for command in ["sigchain show", "sigchain verify", "sigchain add github:bob", "sigchain export"] {
            let (code, error) = computer.kez(&format!("--json {command}")).refusal(5);
            assert_eq!(
                (code.as_str(), &error["line"], &error["fault"]),
                ("sigchain_damaged", &json!(line), &json!(fault)),
                "{command}"
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "nothing was repaired");
    }
}

#[test]
fn two_processes_at_once_do_not_fork_the_chain() {
    let computer = with_identity();
    thread::scope(|scope| {
        for person in 0..8 {
            let computer = &computer;
            scope.spawn(move || computer.kez(&format!("sigchain add github:friend-{person}")).exits(0));
        }
    });
    let checked = computer.kez("--json sigchain verify").json();
    assert_eq!((&checked["sigchain"]["events"], subjects(&checked).len()), (&json!(8), 8));
}

#[test]
fn an_event_of_another_key_does_not_get_into_the_file() {
    let (alice, bob) = (with_chain(), with_chain());
    let line = bob.kez("sigchain export").exits(0).out().lines().next().unwrap().to_owned();
    let mut file = OpenOptions::new().append(true).open(chain_file(&alice)).unwrap();
    writeln!(file, "{line}").unwrap();
    assert_eq!(alice.kez("--json sigchain show").refusal(5).0, "sigchain_damaged");
}

#[test]
fn each_identity_has_a_chain_of_its_own() {
    let computer = with_chain();
    computer.kez("identity new --force").exits(0);
    assert_eq!(computer.kez("--json sigchain show").json()["sigchain"], Value::Null);
    assert_eq!(computer.kez("--json sigchain add github:alice").json()["events"], 1);
}

#[test]
fn a_passphrase_is_needed_to_sign_and_not_to_look() {
    let computer = Computer::new().with_passphrase("correct horse");
    computer.kez("identity new --passphrase").exits(0);
    computer.kez("sigchain add github:alice").exits(0);
    let computer = computer.with_passphrase("wrong horse");
    assert_eq!(computer.kez("--json sigchain add github:bob").refusal(1).0, "wrong_passphrase");
    assert_eq!(computer.kez("--json sigchain show").json()["events"].as_array().unwrap().len(), 1);
    assert_eq!(computer.kez("--json sigchain add github:alice").json()["already"], true);
}
