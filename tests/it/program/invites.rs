//! `kez-chat-server invite …`, beside a server at work on the same file.

use insta::assert_snapshot;
use kez_chat_server::config::RegistrationMode;
use kez_testkit::Net;

use super::{Outcome, now, run};

/// A server that asks for invites and lives by the machine's clock, as the command does.
async fn by_invite() -> Net {
    let net = Net::with(|setup| setup.args.registration = RegistrationMode::Invite).await;
    net.clock.set(now());
    net
}

async fn invite(net: &Net, args: &[&str]) -> Outcome {
    let db = net.args().db;
    let dir = db.parent().expect("a folder");
    let db = db.to_str().expect("UTF-8");
    run(dir, &[], &[&["invite"], args, &["--db", db]].concat()).await
}

/// What is printed, with dates redacted.
pub(super) fn shown(outcome: &Outcome) -> String {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    redacted(&outcome.stdout)
}

pub(super) fn redacted(text: &str) -> String {
    let redact = |word: &str| {
        let is_date = word.trim_end_matches(['.', ';']).parse::<kez_core::Timestamp>().is_ok();
        if is_date { "[date]".to_owned() } else { word.to_owned() }
    };
    text.split(' ')
        .map(|word| word.split('\n').map(redact).collect::<Vec<_>>().join("\n"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn token(outcome: &Outcome) -> String {
    outcome.stdout.trim_end().to_owned()
}

#[tokio::test]
async fn a_token_is_made_listed_used_and_revoked() {
    let net = by_invite().await;
    assert_snapshot!(shown(&invite(&net, &["list"]).await), @"No invites. Make one: kez-chat-server invite create");

    let created = invite(&net, &["create", "--uses", "2", "--days", "3"]).await;
    let token = token(&created);
    assert!(token.starts_with("kez-invite-") && token.len() == 33, "{token}");
    assert_snapshot!(
        redacted(&created.stderr),
        @"Invite 1: for 2 people until [date] The token is not stored; hand it out now."
    );
    assert_snapshot!(shown(&invite(&net, &["list"]).await), @r#"
    number  uses left  works until
         1          2  [date]
    "#);

    net.actor("alice").register_with("alice", &token).await.expect_status(201);
    assert_snapshot!(shown(&invite(&net, &["list"]).await), @r#"
    number  uses left  works until
         1          1  [date]
    "#);

    assert_snapshot!(shown(&invite(&net, &["revoke", "1"]).await), @"Invite 1 does not work any more.");
    net.actor("bob").register_with("bob", &token).await.expect_problem(403, "invite_required");
    let again = invite(&net, &["revoke", "1"]).await;
    assert_eq!(again.code, 1);
    assert_snapshot!(again.stderr, @"error: there is no invite 1; see: kez-chat-server invite list");
    net.check_registry().await;
}

/// A number is never used twice, and two tokens have nothing to do with each other.
#[tokio::test]
async fn tokens_are_told_apart() {
    let net = by_invite().await;
    let first = invite(&net, &["create"]).await;
    invite(&net, &["revoke", "1"]).await;
    let second = invite(&net, &["create"]).await;
    assert_ne!(token(&first), token(&second));
    assert!(second.stderr.contains("Invite 2: for one person"), "{}", second.stderr);
    net.actor("alice").register_with("alice", &token(&first)).await.expect_problem(403, "invite_required");
    net.actor("alice").register_with("alice", &token(&second)).await.expect_status(201);
    net.actor("bob").register_with("bob", &token(&second)).await.expect_problem(403, "invite_required");
}

/// What was handed out to nobody does not work, and does not count.
#[tokio::test]
async fn a_token_that_cannot_be_printed_is_taken_back() {
    let net = by_invite().await;
    let db = net.args().db;
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a Linux machine");
    let created = super::program(db.parent().expect("a folder"))
        .args(["invite", "create", "--db"])
        .arg(&db)
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts")
        .wait_with_output()
        .await
        .expect("the program runs");
    assert_eq!(created.status.code(), Some(1));
    let said = String::from_utf8(created.stderr).expect("UTF-8");
    assert!(said.starts_with("error: it cannot be printed"), "{said}");
    assert_snapshot!(shown(&invite(&net, &["list"]).await), @"No invites. Make one: kez-chat-server invite create");
}

/// The default: seven days, by the server's clock.
#[tokio::test]
async fn a_token_lasts_for_its_days() {
    let net = by_invite().await;
    let first = token(&invite(&net, &["create", "--uses", "2"]).await);
    net.advance_s(7 * 86_400 - 60);
    net.actor("alice").register_with("alice", &first).await.expect_status(201);
    net.advance_s(120);
    net.actor("bob").register_with("bob", &first).await.expect_problem(403, "invite_required");
}
