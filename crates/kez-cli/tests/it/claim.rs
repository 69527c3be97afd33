//! `kez claim` and `kez verify file`, offline.

use std::fs;

use serde_json::{Value, json};

use crate::kez::Computer;

fn with_identity() -> Computer {
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    computer
}

/// Makes a claim about `dns:example.org` and puts it into a file of this name; its text.
fn claim_in_file(computer: &Computer, flags: &str, name: &str) -> String {
    let text = computer.kez(&format!("claim create dns:example.org {flags}")).exits(0).out();
    fs::write(computer.path(name), &text).unwrap();
    text
}

#[test]
fn a_claim_in_any_form_is_found_and_verified() {
    let computer = with_identity();
    let primary = computer.kez("--json identity show").json()["primary"].clone();
    for (format, begins) in [
        ("json", "{"),
        ("compact", "kez:z1:"),
        ("markdown", "```kez\n"),
        ("dns", "_kez.example.org. IN TXT \"kez:z1:"),
    ] {
        let text = claim_in_file(&computer, &format!("--format {format}"), "claim");
        assert!(text.starts_with(begins) && text.ends_with('\n'), "{format}: {text}");
        for command in ["claim verify", "verify file"] {
            let checked =
                computer.kez(&format!("--json {command} {}", computer.path("claim").display())).json();
            assert_eq!(
                (&checked["subject"], &checked["primary"]),
                (&json!("dns:example.org"), &primary),
                "{format}"
            );
            assert_eq!(checked["checked"], json!(["signature", "expiry"]));
            assert_eq!(checked["not_checked"], json!(["subject"]), "nobody asked the domain");
        }
        let page = format!("# About me\n\nThis is mine:\n\n{text}\nand more.\n");
        let read = computer.kez_reading("--json claim verify -", &page);
        // JSON has no mark that would set it apart within a page.
        if format == "json" {
            assert_eq!(read.refusal(3).0, "no_document");
        } else {
            read.exits(0);
        }
    }
}

#[test]
fn only_the_claim_goes_to_standard_output() {
    let ran = with_identity().kez("claim create github:alice").exits(0);
    let claim: Value = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(claim["payload"]["subject"], "github:alice");
    assert!(ran.err().contains("Put this where only alice can"), "{}", ran.err());
    let made = with_identity().kez("--json claim create github:alice --format compact");
    assert_eq!(made.err(), "");
    assert!(made.json()["claim"].as_str().unwrap().starts_with("kez:z1:"));
}

#[test]
fn a_claim_that_was_changed_is_shown_and_not_believed() {
    let computer = with_identity();
    let text = claim_in_file(&computer, "", "claim").replace("example.org", "example.net");
    let (code, _) = computer.kez_reading("--json claim verify -", &text).refusal(5);
    assert_eq!(code, "bad_signature");
    assert_eq!(computer.kez_reading("--json verify file -", &text).refusal(5).0, "bad_signature");
    let shown = computer.kez_reading("--json claim show -", &text).json();
    assert_eq!((&shown["subject"], &shown["signature_valid"]), (&json!("dns:example.net"), &json!(false)));
    let words = computer.kez_reading("claim show -", &text).exits(0).out();
    assert!(words.contains("NO: the key did not sign this text"), "{words}");
}

#[test]
fn damaged_is_not_missing() {
    let computer = with_identity();
    let compact = claim_in_file(&computer, "--format compact", "claim");
    for damaged in [&compact[..200], &compact.replace("KLUv", "KLU"), "kez:z1:", "```kez\n{\"kez\":\n```\n"] {
        let (code, error) = computer.kez_reading("--json verify file -", damaged).refusal(5);
        assert_eq!(code, "corrupt", "{error}");
        assert!(error["message"].as_str().unwrap().contains("found"), "{error}");
    }
    for nothing in ["", "hello", "{}", "{\"a\":1}"] {
        assert_eq!(computer.kez_reading("--json verify file -", nothing).refusal(3).0, "no_document");
    }
    assert_eq!(computer.kez("--json verify file nowhere").refusal(1).0, "io");
}

#[test]
fn a_claim_that_has_ended_is_refused() {
    // Signed once with an end in the past, by the seed of 32 × 0x42.
    let computer = Computer::new();
    let claim = kez_core::Claim {
        subject: "github:jason".parse().unwrap(),
        expires_at: Some("2026-05-26T00:00:00Z".parse().unwrap()),
    };
    let seed = kez_core::Seed::from_bytes([0x42; 32]);
    let at = "2026-05-25T00:00:00Z".parse().unwrap();
    let text = kez_core::Envelope::sign(&claim, &seed, at).unwrap().canonical().to_owned();
    for command in ["claim verify", "verify file"] {
        let (code, error) = computer.kez_reading(&format!("--json {command} -"), &text).refusal(5);
        assert_eq!((code.as_str(), &error["subject"]), ("expired", &json!("github:jason")));
    }
    assert_eq!(computer.kez_reading("--json claim show -", &text).json()["expired"], true);
}

#[test]
fn an_end_is_a_day_to_come() {
    let computer = with_identity();
    let made = computer.kez("--json claim create github:alice --expires 9998-01-01").json();
    assert_eq!(made["expires_at"], "9998-01-01T00:00:00Z");
    assert_eq!(
        computer.kez("--json claim create github:alice --expires 2020-01-01").refusal(2).0,
        "expiry_past"
    );
    assert_eq!(computer.kez("--json claim create github:alice --expires soon").refusal(2).0, "usage");
}

#[test]
fn what_cannot_be_claimed_is_told_with_what_can() {
    let computer = with_identity();
    let (code, error) = computer.kez("--json claim create github:alice --format dns").refusal(2);
    assert_eq!(code, "not_a_domain");
    assert!(error["help"].as_str().unwrap().contains("dns:example.org --format dns"));
    let (_, error) = computer.kez("--json claim create https://example.org").refusal(2);
    assert!(error["message"].as_str().unwrap().ends_with("web:https://example.org"), "{error}");
    assert_eq!(Computer::new().kez("--json claim create github:alice").refusal(1).0, "no_identity");
}

#[test]
fn each_kind_of_document_is_called_by_its_name() {
    let computer = Computer::new();
    let seed = kez_core::Seed::from_bytes([0x42; 32]);
    let registration = kez_core::Registration { handle: "tudisco".into(), server: "kez.lat".into() };
    let at = "2026-05-25T03:00:00Z".parse().unwrap();
    let text = kez_core::Envelope::sign(&registration, &seed, at).unwrap().canonical().to_owned();
    let checked = computer.kez_reading("--json verify file -", &text).json();
    assert_eq!((&checked["kind"], &checked["handle"]), (&json!("registration"), &json!("tudisco")));
    let (code, error) = computer.kez_reading("--json claim verify -", &text).refusal(1);
    assert_eq!(
        (code.as_str(), &error["message"]),
        ("wrong_type", &json!("this is a registration, not a claim"))
    );
    let (code, _) = computer.kez_reading("--json sigchain verify -", &text).refusal(1);
    assert_eq!(code, "wrong_type");
    let unknown = text.replace(r#""kez":"handle_registration""#, r#""kez":"moon_phase""#);
    assert_eq!(computer.kez_reading("--json verify file -", &unknown).refusal(1).0, "unknown_kind");
}
