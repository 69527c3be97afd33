//! Command lines, help, exit status and what happens without a network.

use std::net::TcpListener;

use crate::kez::Computer;

#[test]
fn help_gives_first_steps_and_exit_status() {
    let help = Computer::new().kez("--help").exits(0).out();
    for part in ["First steps:", "Exit status:", "KEZ_PASSPHRASE_FILE", "kez identity new"] {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn every_command_has_examples_and_none_takes_a_secret_as_argument() {
    for command in [
        "identity new",
        "identity show",
        "identity restore",
        "register",
        "device enrol",
        "device list",
        "device revoke",
        "chat tui",
        "chat send",
        "chat read",
        "chat listen",
        "chat list",
        "chat group create",
        "chat group add",
        "chat group remove",
        "chat group leave",
        "chat group rename",
        "chat group show",
        "chat requests",
        "chat accept",
        "chat decline",
        "chat block",
        "chat unblock",
        "chat react",
        "chat edit",
        "chat delete",
        "chat save",
        "chat verify",
        "chat search",
        "chat renew",
        "whois",
        "claim create",
        "claim show",
        "claim verify",
        "sigchain add",
        "sigchain revoke",
        "sigchain show",
        "sigchain export",
        "sigchain publish",
        "sigchain verify",
        "verify file",
        "completions",
    ] {
        let help = Computer::new().kez(&format!("{command} --help")).exits(0).out();
        assert!(help.contains("Examples:"), "{command}");
        for secret in ["--seed", "--words-file <", "--phrase <", "--passphrase <", "--invite <", "--key"] {
            assert!(!help.contains(secret), "{command}: {secret}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_status_2_in_text_and_json() {
    let computer = Computer::new();
    assert!(computer.kez("identity knew").exits(2).err().contains("kez identity"));
    let (code, error) = computer.kez("--json register").refusal(2);
    assert_eq!(code, "usage");
    assert!(error["message"].as_str().unwrap().contains("<HANDLE>"));
    let (_, error) = computer.kez("whois Alice --json").refusal(2);
    assert!(error["message"].as_str().unwrap().ends_with("try alice"));
    let (_, error) = computer.kez("register alice@kez.lat --json").refusal(2);
    assert!(error["message"].as_str().unwrap().ends_with("alice --server https://kez.lat"));
}

#[test]
fn a_lookup_without_a_known_server_asks_for_one() {
    let (code, error) = Computer::new().kez("--json whois alice").refusal(2);
    assert_eq!(code, "no_server");
    assert!(error["help"].as_str().unwrap().contains("--server"));
}

#[test]
fn an_address_whose_server_cannot_exist_is_a_network_error() {
    assert_eq!(Computer::new().kez("--json whois alice@xn--a.lat").refusal(4).0, "no_host");
}

#[test]
fn nobody_listening_is_a_network_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let computer = Computer::new();
    let (code, error) = computer.kez(&format!("--json whois alice --server {free}")).refusal(4);
    assert_eq!(code, "unreachable");
    assert!(error["message"].as_str().unwrap().contains(&format!("http://{free}")));
    computer.kez("identity new").exits(0);
    assert_eq!(computer.kez(&format!("--json register alice --server {free}")).refusal(4).0, "unreachable");
}

#[test]
fn registering_needs_an_identity_before_a_server() {
    let (code, _) = Computer::new().kez("--json register alice --server localhost:1").refusal(1);
    assert_eq!(code, "no_identity");
}

#[test]
fn plain_http_to_another_machine_is_warned_about() {
    // Names below .invalid never resolve (RFC 6761 section 6.4).
    let ran = Computer::new().kez("--json whois alice --server http://xn--a.invalid").exits(2);
    assert!(ran.err().contains("not a URL"));
    let ran = Computer::new().kez("--json whois alice --server http://kez.invalid").exits(4);
    assert!(ran.err().lines().next().unwrap().contains("plain_http"));
    let ran = Computer::new().kez("--json whois alice --server localhost:1").exits(4);
    assert!(!ran.err().contains("plain_http"));
}

#[test]
fn text_without_a_terminal_has_no_colours() {
    let computer = Computer::new();
    let out = computer.kez("identity new").exits(0).out();
    let err = computer.kez("identity new").exits(1).err();
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'));
    assert!(err.starts_with("error: ") && err.contains("\nhelp: "));
}

#[test]
fn there_is_a_completion_script_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(
            Computer::new().kez(&format!("completions {shell}")).exits(0).out().contains("kez"),
            "{shell}"
        );
    }
}
