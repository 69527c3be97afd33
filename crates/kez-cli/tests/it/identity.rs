//! `kez identity`.

use std::fs;

use crate::kez::{Computer, mode};

const WORDS_24: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
    abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";
const KEY_24: &str = "ed25519:3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
const WORDS_12: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const KEY_12: &str = "ed25519:9403c32e0d3b4ce51105c0bcac09a0d73be0cca98a6bf7b3cd434651be866d70";

#[test]
fn a_new_identity_is_shown_with_its_words_once_and_kept_for_its_user_only() {
    let computer = Computer::new();
    let made = computer.kez("--json identity new").json();
    let phrase = made["phrase"].as_str().unwrap();
    assert_eq!((phrase.split(' ').count(), &made["words"]), (24, &24.into()));
    assert_eq!((&made["encrypted"], &made["former_seed_file"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(mode(&computer.file("seed.json")), 0o600);
    assert_eq!(mode(&computer.file("")), 0o700);
    assert_eq!(fs::read_dir(computer.file("")).unwrap().count(), 1, "no draft is left behind");

    let shown = computer.kez("identity show").exits(0).out();
    assert!(shown.contains(made["primary"].as_str().unwrap()) && !shown.contains(phrase));
    assert_eq!(computer.kez("--json identity show --phrase").json()["phrase"], phrase);
    assert_eq!(computer.kez("--json identity show").json()["phrase"], serde_json::Value::Null);
}

#[test]
fn two_new_identities_differ() {
    let primary = || Computer::new().kez("--json identity new --words 12").json()["primary"].clone();
    assert_ne!(primary(), primary());
}

#[test]
fn an_identity_of_12_words_keeps_its_words() {
    let computer = Computer::new();
    let made = computer.kez("--json identity new --words 12").json();
    assert_eq!(made["phrase"].as_str().unwrap().split(' ').count(), 12);
    let again = computer.kez("--json identity show --phrase").json();
    assert_eq!((&again["phrase"], &again["words"]), (&made["phrase"], &12.into()));
}

#[test]
fn the_words_bring_the_same_identity_back_on_another_computer() {
    for (words, key) in [(WORDS_24, KEY_24), (WORDS_12, KEY_12)] {
        let computer = Computer::new();
        let restored = computer.kez_reading("--json identity restore", words).json();
        assert_eq!(restored["primary"], key);
        assert_eq!(computer.kez("--json identity show --phrase").json()["phrase"], words);
    }
}

#[test]
fn words_may_come_in_any_case_and_on_several_lines() {
    let written = WORDS_24.to_uppercase().replace(' ', "\n  ");
    let restored = Computer::new().kez_reading("--json identity restore", &written).json();
    assert_eq!(restored["primary"], KEY_24);
}

#[test]
fn wrong_words_are_named_and_nothing_is_stored() {
    let computer = Computer::new();
    for (words, says) in [
        (WORDS_24.replace("art", "arm"), "do not fit together"),
        (WORDS_24.replace("art", "artt"), "word 24"),
        ("abandon art".into(), "12 or 24 words"),
    ] {
        let (code, error) = computer.kez_reading("--json identity restore", &words).refusal(1);
        assert_eq!(code, "bad_phrase");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        assert!(!error.to_string().contains("abandon"), "words do not belong in errors");
    }
    assert_eq!(computer.kez_reading("--json identity restore", "").refusal(1).0, "no_input");
    assert!(!computer.file("seed.json").exists());
}

#[test]
fn an_identity_is_not_overwritten_by_accident() {
    let computer = Computer::new();
    let first = computer.kez("--json identity new").json();
    assert_eq!(computer.kez("--json identity new").refusal(1).0, "identity_exists");
    assert_eq!(computer.kez_reading("--json identity restore", WORDS_24).refusal(1).0, "identity_exists");
    assert_eq!(computer.kez("--json identity show").json()["primary"], first["primary"]);
}

#[test]
fn a_replaced_identity_is_kept() {
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    let before = fs::read(computer.file("seed.json")).unwrap();
    let second = computer.kez_reading("--json identity restore --force", WORDS_24).json();
    let former = second["former_seed_file"].as_str().unwrap();
    assert_eq!(fs::read(former).unwrap(), before);
    assert_eq!(mode(former.as_ref()), 0o600);
    assert_eq!(computer.kez("--json identity show").json()["primary"], KEY_24);
}

#[test]
fn force_without_an_identity_makes_the_first() {
    let made = Computer::new().kez("--json identity new --force").json();
    assert_eq!(made["former_seed_file"], serde_json::Value::Null);
}

#[test]
fn a_passphrase_hides_the_words_but_not_the_key() {
    let computer = Computer::new().with_passphrase("correct horse\nsecond line");
    let made = computer.kez("--json identity new --passphrase").json();
    assert_eq!(made["encrypted"], true);
    let file = fs::read_to_string(computer.file("seed.json")).unwrap();
    assert!(file.contains("argon2id") && !file.contains("entropy"));

    let computer = computer.with_passphrase("wrong horse");
    assert_eq!(computer.kez("--json identity show").json()["primary"], made["primary"]);
    assert_eq!(computer.kez("--json identity show --phrase").refusal(1).0, "wrong_passphrase");

    let computer = computer.with_passphrase("correct horse");
    assert_eq!(computer.kez("--json identity show --phrase").json()["phrase"], made["phrase"]);
}

#[test]
fn a_passphrase_may_come_on_standard_input() {
    let computer = Computer::new();
    let made = computer.kez_reading("--json identity new --passphrase", "correct horse\n").json();
    let shown = computer.kez_reading("--json identity show --phrase", "correct horse").json();
    assert_eq!(shown["phrase"], made["phrase"]);
    assert_eq!(computer.kez_reading("--json identity show --phrase", "").refusal(1).0, "no_input");
}

#[test]
fn words_and_a_passphrase_need_two_sources() {
    let args = "--json identity restore --passphrase";
    assert_eq!(Computer::new().kez_reading(args, WORDS_24).refusal(1).0, "no_input");
    let computer = Computer::new().with_passphrase("correct horse");
    assert_eq!(computer.kez_reading(args, WORDS_24).json()["primary"], KEY_24);
    assert_eq!(computer.kez("--json identity show --phrase").json()["phrase"], WORDS_24);
}

#[test]
fn a_short_passphrase_is_refused_before_anything_is_stored() {
    let computer = Computer::new().with_passphrase("horse");
    assert_eq!(computer.kez("--json identity new --passphrase").refusal(1).0, "passphrase_too_short");
    assert!(!computer.file("seed.json").exists());
}

#[test]
fn a_seed_file_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    fs::set_permissions(computer.file("seed.json"), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, error) = computer.kez("--json identity show").refusal(1);
    assert_eq!(code, "seed_file_open_to_others");
    assert!(error["help"].as_str().unwrap().starts_with("chmod 600 "));
}

#[test]
fn a_pipe_or_a_directory_in_place_of_the_seed_file_is_refused_and_not_waited_for() {
    let computer = Computer::new();
    fs::create_dir(computer.file("")).unwrap();
    let made =
        std::process::Command::new("mkfifo").args(["-m", "600"]).arg(computer.file("seed.json")).status();
    assert!(made.unwrap().success());
    for args in ["--json identity show", "--json identity new --force"] {
        let (code, error) = computer.kez(args).refusal(1);
        assert_eq!(code, "io");
        assert!(error["message"].as_str().unwrap().ends_with("it is not a regular file"), "{error}");
    }
    fs::remove_file(computer.file("seed.json")).unwrap();
    fs::create_dir(computer.file("seed.json")).unwrap();
    assert_eq!(computer.kez("--json identity show").refusal(1).0, "io");
}

#[test]
fn a_link_in_place_of_the_seed_file_is_used_but_never_replaced() {
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    let (kept, link) = (computer.path("stick.json"), computer.file("seed.json"));
    fs::rename(&link, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &link).unwrap();
    let before = fs::read(&kept).unwrap();
    computer.kez("identity show").exits(0);
    // Without words: nobody is asked for them in vain.
    for args in ["--json identity restore --force", "--json identity new --force"] {
        let (code, error) = computer.kez(args).refusal(1);
        assert_eq!(
            (code.as_str(), &error["target"]),
            ("seed_file_is_link", &kept.display().to_string().into())
        );
    }
    assert_eq!((fs::read(&kept).unwrap(), fs::read_link(&link).unwrap()), (before, kept));
    assert_eq!(fs::read_dir(computer.file("")).unwrap().count(), 1, "nothing else was made");
}

#[test]
fn what_a_killed_call_left_behind_is_removed_by_the_next_write() {
    let computer = Computer::new();
    fs::create_dir(computer.file("")).unwrap();
    for name in [".kez-draft-a1B2c3", ".kez-draft-other.json", ".kez-notes"] {
        fs::write(computer.file(name), "a secret").unwrap();
    }
    computer.kez("identity new").exits(0);
    let left = fs::read_dir(computer.file("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(
        left,
        [".kez-draft-other.json", ".kez-notes", "seed.json"],
        "only what is surely a draft goes"
    );
}

#[test]
fn a_newcomer_is_sent_to_nobodys_server_in_particular() {
    let computer = Computer::new();
    for args in ["identity new", "identity show"] {
        let text = computer.kez(args).exits(0).out();
        assert!(text.contains("kez register alice --server"), "{text}");
        assert!(text.contains("<address of a home server>") && !text.contains("kez.lat"), "{text}");
    }
}

#[test]
fn a_damaged_seed_file_is_told_from_a_newer_one_and_never_replaced_unasked() {
    let computer = Computer::new();
    computer.kez("identity new").exits(0);
    let text = fs::read_to_string(computer.file("seed.json")).unwrap();
    fs::write(computer.file("seed.json"), text.replace(r#""version": 1"#, r#""version": 2"#)).unwrap();
    assert_eq!(computer.kez("--json identity show").refusal(1).0, "seed_file_newer");
    fs::write(computer.file("seed.json"), &text[..100]).unwrap();
    assert_eq!(computer.kez("--json identity show").refusal(1).0, "seed_file_damaged");
    assert_eq!(computer.kez("--json identity new").refusal(1).0, "identity_exists");
}

#[test]
fn without_an_identity_the_way_to_one_is_told() {
    let (code, error) = Computer::new().kez("--json identity show").refusal(1);
    assert_eq!(code, "no_identity");
    assert!(error["help"].as_str().unwrap().contains("kez identity new"));
}

#[test]
fn a_home_that_cannot_be_written_is_an_error_with_its_path() {
    let computer = Computer::new();
    fs::write(computer.path("home"), "a file, not a directory").unwrap();
    let (code, error) = computer.kez("--json identity new").refusal(1);
    assert_eq!(code, "io");
    assert!(error["path"].as_str().unwrap().ends_with("seed.json"));
}
