//! What is logged, and above all what is not.

use data_encoding::HEXLOWER;
use kez_testkit::Call;
use rustix::process::Signal;

use super::{Running, registration, run};

/// Everything that a request may carry and a log must not hold, at the noisiest level.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let dir = tempfile::tempdir().expect("a folder");
    let env = [("RUST_LOG", "trace")];
    let server = Running::start(dir.path(), &env, &["--registration", "invite"]).await;
    let token = run(dir.path(), &[], &["invite", "create"]).await.stdout;
    let token = token.lines().next().expect("a line");
    let unknown = "kez-invite-AAAAAAAAAAAAAAAAAAAAAA";

    let envelope = registration("alice", "alice");
    let register = |envelope: String, token: &str| {
        Call::to(server.addr, "POST", "/v1/register").header("kez-invite", token).json(envelope).send()
    };
    register(envelope.clone(), unknown).await.expect_problem(403, "invite_required");
    register(envelope.clone(), token).await.expect_status(201);
    register(envelope.replace("\"alice\"", "\"mallory\""), token).await.expect_problem(400, "bad_signature");
    register(envelope[..200].to_owned(), token).await.expect_problem(400, "malformed");
    let key = kez_testkit::seed("alice").public_key();
    let targets = [
        "/v1/u/alice".to_owned(),
        format!("/v1/by-primary/{key}"),
        "/.well-known/webfinger?resource=acct:alice@kez.lat&token=query-secret".to_owned(),
        "/v1/resolve?resource=carol@nowhere.invalid".to_owned(),
        "/v1/nothing?access_token=query-secret".to_owned(),
    ];
    for target in targets {
        let call = Call::to(server.addr, "GET", &target).header("authorization", "Bearer header-secret");
        call.header("cookie", "session=header-secret").send().await;
    }
    let (status, log) = server.stop(Signal::INT).await;
    assert!(status.success());
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it was not noisy: {log}");

    let sig = envelope.split("\"sig\":\"").nth(1).expect("a signature");
    let secret = std::fs::read_to_string(dir.path().join("kez-chat.secret")).expect("a secret");
    let seed = HEXLOWER.encode(kez_testkit::seed("alice").expose());
    let hidden = [
        ("the token", token.trim_start_matches("kez-invite-")),
        ("an unknown token", unknown),
        ("the signature", &sig[..64]),
        ("the rest of the signature", &sig[64..128]),
        ("the envelope", "handle_registration\""),
        ("the whole key", &key.to_hex()),
        ("the server's secret", secret.trim().split(' ').nth(1).expect("a secret")),
        ("the seed", &seed),
        ("a header", "header-secret"),
        ("a query", "query-secret"),
        ("a name that was asked for", "carol"),
    ];
    for (what, text) in hidden {
        let line = log.lines().find(|line| line.contains(text));
        assert_eq!(line, None, "{what} is logged");
    }
}

/// One line per event, and no colours into a file.
#[tokio::test]
async fn the_log_of_a_quiet_day_is_short_and_plain() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Running::start(dir.path(), &[], &["--sig-bind", "127.0.0.1:0"]).await;
    for _ in 0..10 {
        Call::to(server.addr, "GET", "/v1/u/alice").send().await.expect_problem(404, "not_found");
        Call::to(server.addr, "POST", "/v1/register").json("{").send().await.expect_problem(400, "malformed");
    }
    let (status, log) = server.stop(Signal::INT).await;
    assert!(status.success());
    assert!(!log.contains('\u{1b}'));
    assert!(log.contains(&format!("kez-chat-server {} is ready", env!("CARGO_PKG_VERSION"))), "{log}");
    assert!(log.contains("stopped"), "{log}");
    // The layout is brought up to date once in the life of a file.
    let daily = log.lines().filter(|line| !line.contains("migration applied"));
    assert!(daily.count() <= 4, "{log}");
}

#[tokio::test]
async fn the_log_follows_rust_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Running::start(dir.path(), &[("RUST_LOG", "debug,hyper=info")], &[]).await;
    Call::to(server.addr, "GET", "/v1/u/alice").send().await.expect_problem(404, "not_found");
    let (_, log) = server.stop(Signal::INT).await;
    assert!(log.contains("/v1/u/{handle}"), "{log}");
    assert!(!log.contains("/v1/u/alice"), "{log}");
}
