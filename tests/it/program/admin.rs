//! `kez-chat-server admin …`, beside a server at work on the same file.

use insta::assert_snapshot;
use kez_core::http_signature::Signer;
use kez_testkit::{DEADLINE, DeviceActor, Net};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::invites::{redacted, shown};
use super::{Outcome, now, run};

/// Alice with a phone, on a server that lives by the machine's clock, as the commands do.
async fn town() -> (Net, DeviceActor) {
    let net = Net::start().await;
    net.clock.set(now());
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    (net, phone)
}

async fn command(net: &Net, args: &[&str]) -> Outcome {
    let db = net.args().db;
    let dir = db.parent().expect("a folder");
    run(dir, &[], &[args, &["--db", db.to_str().expect("UTF-8")]].concat()).await
}

async fn admin(net: &Net, args: &[&str]) -> Outcome {
    command(net, &[&["admin"], args].concat()).await
}

/// The JSON of each line.
async fn json_lines(net: &Net, args: &[&str]) -> Vec<Value> {
    let outcome = admin(net, &[args, &["--json"]].concat()).await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn refused(net: &Net, args: &[&str]) -> String {
    let outcome = admin(net, args).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{args:?}");
    redacted(&outcome.stderr)
}

/// Calls until the answer has this status, as the server notices the command.
async fn until(net: &Net, signer: &Signer, status: u16) {
    let answers = async {
        loop {
            let call = net.call("GET", "/v1/keypackages/count").signed(signer, net.now());
            if call.send().await.status() == status {
                return;
            }
        }
    };
    timeout(DEADLINE, answers).await.unwrap_or_else(|_| panic!("never answered {status}"));
}

#[tokio::test]
async fn an_account_is_suspended_and_reinstated_beside_the_server() {
    let (net, phone) = town().await;
    let session = phone.open_session().await;
    until(&net, &phone.signer(), 200).await;
    let done = admin(&net, &["suspend", "alice", "--reason", "spam, 3 complaints"]).await;
    assert_snapshot!(shown(&done), @r"
    alice is suspended: a running server refuses its devices within a second.
    Nothing is deleted. To end it: kez-chat-server admin reinstate alice
    ");
    until(&net, &phone.signer(), 403).await;
    until(&net, &session, 403).await;
    assert_snapshot!(shown(&admin(&net, &["reinstate", "alice"]).await), @"alice is reinstated; it had been suspended since [date]");
    until(&net, &phone.signer(), 200).await;
    until(&net, &session, 200).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_the_cure_and_not_audited() {
    let (net, _) = town().await;
    net.actor("carol").register("carol").await.expect_status(201);
    net.give_up("carol").await;
    admin(&net, &["suspend", "alice"]).await;
    assert_snapshot!(refused(&net, &["suspend", "alice"]).await, @"error: alice has been suspended since [date] to give another reason, first: kez-chat-server admin reinstate alice");
    admin(&net, &["reinstate", "alice"]).await;
    assert_snapshot!(refused(&net, &["reinstate", "alice"]).await, @"error: alice is not suspended; what was done: kez-chat-server admin audit");
    for verb in ["suspend", "reinstate", "quota"] {
        let nobody = refused(&net, &[verb, "nobody"]).await;
        assert!(nobody.starts_with("error: nobody here has the handle nobody; check"), "{nobody}");
    }
    for args in [&["suspend", "carol"][..], &["reinstate", "carol"], &["quota", "carol", "--blobs", "1GiB"]] {
        let given_up = refused(&net, args).await;
        assert!(given_up.starts_with("error: carol was given up and is nobody's any more"), "{given_up}");
    }
    assert_eq!(json_lines(&net, &["audit"]).await.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_anything_is_opened() {
    let (net, _) = town().await;
    let long = "x".repeat(501);
    for args in [
        &["suspend", "Al ice"][..],
        &["suspend", "alice", "--reason", ""],
        &["suspend", "alice", "--reason", "a\u{1b}[2Jb"],
        &["suspend", "alice", "--reason", &long],
        &["quota", "alice", "--messages", "0MiB"],
        &["quota", "alice", "--messages", "-1MiB"],
        &["quota", "alice", "--messages", "12"],
        &["quota", "alice", "--blobs", "9000000TiB"],
        &["usage", "--top", "0"],
        &["audit", "--limit", "10001"],
    ] {
        let outcome = admin(&net, args).await;
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{args:?}");
    }
    assert_eq!(json_lines(&net, &["audit"]).await, [Value::Null; 0]);
    let dir = tempfile::tempdir().expect("a folder");
    let outcome = run(dir.path(), &[], &["admin", "usage"]).await;
    assert_eq!(outcome.code, 1);
    assert_snapshot!(outcome.stderr, @"error: --db kez-chat.db: there is no such file; start the server once, or name its database");
    assert!(std::fs::read_dir(dir.path()).expect("a folder").next().is_none(), "nothing was made");
}

#[tokio::test]
async fn of_commands_at_once_one_is_done() {
    let (net, _) = town().await;
    let tries = (0..6).map(|_| {
        let net = net.clone();
        tokio::spawn(async move { admin(&net, &["suspend", "alice"]).await.code })
    });
    let mut codes = Vec::new();
    for attempt in tries.collect::<Vec<_>>() {
        codes.push(attempt.await.expect("no panic"));
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 1, 1, 1, 1, 1]);
    assert_eq!(json_lines(&net, &["audit"]).await.len(), 1);
}

#[tokio::test]
async fn a_quota_is_shown_set_and_given_back() {
    let (net, phone) = town().await;
    let quota = async |args: &[&str]| shown(&admin(&net, &[&["quota", "alice"], args].concat()).await);
    assert_snapshot!(quota(&[]).await, @r"
    Quota of alice
      messages  default
      blobs     default
    ");
    assert_snapshot!(quota(&["--messages", "512MiB", "--blobs", "2GiB"]).await, @r"
    Quota of alice
      messages  512MiB
      blobs     2GiB
    ");
    let stored = net.store().quota(&phone.owner().key()).await.expect("the store works");
    assert_eq!((stored.messages, stored.blobs), (Some(512 << 20), Some(2 << 30)));
    quota(&["--messages", "default"]).await;
    let shown = json_lines(&net, &["quota", "alice"]).await;
    assert_eq!(shown, [json!({"handle": "alice", "messages": null, "blobs": 2_u64 << 30})]);
    assert_eq!(json_lines(&net, &["audit"]).await.len(), 2, "looking is not audited");
}

#[tokio::test]
async fn usage_is_a_table_or_json() {
    let net = Net::start().await;
    net.clock.set(now());
    assert_snapshot!(shown(&admin(&net, &["usage"]).await), @"Nobody has taken a device in yet.");
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    net.actor("mallory-with-a-long-name").device("phone").set_up().await;
    admin(&net, &["suspend", "mallory-with-a-long-name"]).await;
    assert_snapshot!(shown(&admin(&net, &["usage"]).await), @r"
    handle                    messages  size  inbox  devices  key packages
    alice                            0   0 B      1        1             0
    mallory-with-a-long-name         0   0 B      1        1             0  suspended
    ");
    let expected = json!({
        "handle": "alice", "primary": phone.owner().key(), "frames": 0, "frame_bytes": 0, "inbox_events": 1,
        "devices": 1, "key_packages": 0, "suspended": false,
    });
    assert_eq!(json_lines(&net, &["usage", "--top", "1"]).await, [expected]);
}

#[tokio::test]
async fn the_audit_tells_everything_and_outlives_the_server() {
    let (net, phone) = town().await;
    assert_snapshot!(shown(&admin(&net, &["audit"]).await), @"No entries.");
    command(&net, &["invite", "create", "--uses", "2"]).await;
    command(&net, &["invite", "revoke", "1"]).await;
    command(&net, &["invite", "revoke", "1"]).await;
    admin(&net, &["suspend", "alice", "--reason", "a \"word\""]).await;
    admin(&net, &["quota", "alice", "--blobs", "2GiB"]).await;
    admin(&net, &["reinstate", "alice"]).await;
    net.restart().await;
    let text = shown(&admin(&net, &["audit"]).await).replace("since=", "since= ").replace("at=", "at= ");
    assert_snapshot!(redacted(&text), @r#"
    number  at                    action         handle
         5  [date]  reinstate      alice   since= [date]
         4  [date]  quota          alice   blobs=2GiB messages=default
         3  [date]  suspend        alice   reason="a \"word\""
         2  [date]  invite_revoke          invite=1
         1  [date]  invite_create          expires_at= [date] invite=1 uses=2
    "#);
    let entries = json_lines(&net, &["audit", "--limit", "2", "--before", "5"]).await;
    let shown: Vec<_> =
        entries.iter().map(|entry| (entry["id"].as_i64(), entry["action"].as_str())).collect();
    assert_eq!(shown, [(Some(4), Some("quota")), (Some(3), Some("suspend"))]);
    assert_eq!(entries[1]["primary"], json!(phone.owner().key()));
    assert_eq!(
        (&entries[1]["handle"], &entries[1]["detail"]),
        (&json!("alice"), &json!({"reason": "a \"word\""}))
    );
}
