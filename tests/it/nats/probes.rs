//! What B can do against A: each probe first shows that it would work with naive permissions, so that it cannot fail by
//! accident, and then that it does not work.

use kez_testkit::{DeviceActor, NatsPeer, NatsServer, NatsVersion, Net, Said, Wire};
use serde_json::json;

use super::device;

/// CHAT as somebody would set it up who trusts its people: two users without permissions.
const NAIVE: &str = "users: [ { user: naive_a, password: pw }, { user: naive_b, password: pw } ]";

/// What A does and listens to.
struct Target {
    account: String,
    device: String,
    inbox: String,
    replies: String,
}

impl Target {
    fn all(&self) -> String {
        format!("{}.>", self.inbox)
    }
}

async fn target(nats: &NatsServer, device: &DeviceActor) -> (NatsPeer, Target) {
    let mut peer = NatsPeer::of(nats, Wire::Tcp, device).await;
    let hello = peer.call(device, "hello", &json!({})).await;
    let inbox = hello["body"]["inbox"].as_str().expect("a subject").to_owned();
    let target = Target {
        account: device.owner().key().to_hex(),
        device: device.id().to_string(),
        inbox,
        replies: device.reply_prefix(),
    };
    peer.subscribe(&target.all(), None).await;
    // As client libraries do: a random word that nobody else knows.
    peer.subscribe(&format!("{}.r4nd0m.*", target.replies), None).await;
    assert_eq!(peer.flush().await, []);
    (peer, target)
}

async fn naive(nats: &NatsServer, user: &str) -> NatsPeer {
    let mut peer = NatsPeer::open(nats, Wire::Tcp).await;
    let login = json!({"verbose": false, "pedantic": false, "user": user, "pass": "pw", "headers": true, "no_responders": true});
    peer.log_in(&login).await.expect("a user of the file");
    peer
}

/// The nats.conf of `nats-config`, with two naive users in CHAT beside the callout's people.
async fn with_naive_users(version: NatsVersion) -> Option<(Net, NatsServer)> {
    let change = |text: &mut String| {
        *text =
            text.replace("users: []", NAIVE).replace("auth_users: [ ", "auth_users: [ naive_a, naive_b, ");
    };
    let nats = NatsServer::with(version, change).await?;
    let net = Net::beside(&nats, |_| {}).await;
    Some((net, nats))
}

fn is_refused(said: &[Said]) -> bool {
    said.iter().any(|one| matches!(one, Said::Error(error) if error.contains("Permissions Violation")))
}

/// B listens where A's hints, answers and calls go.
#[tokio::test]
async fn nobody_listens_to_somebody_else() {
    for version in [NatsVersion::Current, NatsVersion::Old] {
        let Some((net, nats)) = with_naive_users(version).await else { return };
        let (alice, bob) = (device(&net, "alice", "phone").await, device(&net, "bob", "phone").await);
        let other = device(&net, "alice", "laptop").await;
        let (_a, t) = target(&nats, &alice).await;
        let hex = &t.account;
        let wildcards = [
            (format!("kez.inbox.{hex}.>"), None),
            (t.all(), None),
            (format!("{}.wake", t.inbox), None),
            (t.all(), Some("q")),
            ("kez.inbox.*.*.wake".to_owned(), None),
            ("kez.inbox.>".to_owned(), None),
            ("kez.>".to_owned(), None),
            (">".to_owned(), None),
            ("*.>".to_owned(), None),
            (format!("{}.>", t.replies), None),
            (format!("{}.>", other.reply_prefix()), None),
            ("_INBOX.>".to_owned(), None),
            ("_R_.>".to_owned(), None),
            ("kez.rpc.>".to_owned(), None),
            (format!("kez.rpc.{hex}.{}.>", t.device), None),
            (format!("kez.rpc.{}.{}.>", bob.owner().key().to_hex(), bob.id()), None),
            ("kez.node.>".to_owned(), None),
            ("$SYS.>".to_owned(), None),
            ("$SYS.ACCOUNT.CHAT.*".to_owned(), None),
            ("$SYS.REQ.USER.AUTH".to_owned(), None),
            ("$JS.>".to_owned(), None),
            ("$JS.EVENT.>".to_owned(), None),
        ];
        let mut b = NatsPeer::of(&nats, Wire::Tcp, &bob).await;
        for (subject, queue) in &wildcards {
            // With naive permissions the subscription stands.
            let mut trusted = naive(&nats, "naive_b").await;
            trusted.subscribe(subject, *queue).await;
            assert!(!is_refused(&trusted.flush().await), "{subject} is no probe");
            b.subscribe(subject, *queue).await;
            assert!(is_refused(&b.flush().await), "{subject} was subscribed to");
        }
        // And the first of them would have heard a hint: an event for A comes, and B hears nothing.
        let mut trusted = naive(&nats, "naive_b").await;
        trusted.subscribe("kez.inbox.>", None).await;
        assert_eq!(trusted.flush().await, []);
        device(&net, "alice", "tablet").await;
        let Said::Message { subject, .. } = trusted.next().await else { panic!("the canary hears") };
        assert!(subject.starts_with(&t.inbox), "{subject}");
        assert_eq!(b.flush().await, []);
    }
}

/// B publishes where only A or the home server may.
#[tokio::test]
async fn nobody_speaks_for_somebody_else() {
    for version in [NatsVersion::Current, NatsVersion::Old] {
        let Some((net, nats)) = with_naive_users(version).await else { return };
        let (alice, bob) = (device(&net, "alice", "phone").await, device(&net, "bob", "phone").await);
        let (mut a, t) = target(&nats, &alice).await;
        let (hex, bob_hex) = (&t.account, bob.owner().key().to_hex());
        let subjects = [
            format!("kez.rpc.{hex}.{}.inbox", t.device),
            format!("kez.rpc.{hex}.{}.inbox", bob.id()),
            format!("kez.rpc.{bob_hex}.{}.inbox", t.device),
            format!("kez.rpc.{hex}.primary.hello"),
            format!("{}.wake", t.inbox),
            format!("{}.eph", t.inbox),
            format!("kez.inbox.{hex}.wake"),
            format!("kez.inbox.{bob_hex}.wake"),
            format!("{}.r4nd0m.1", t.replies),
            format!("{}.1", bob.reply_prefix()),
            "kez.node.devices".to_owned(),
            "_R_.x".to_owned(),
            "$SYS.REQ.USER.AUTH".to_owned(),
            "$SYS.REQ.SERVER.PING.CONNZ".to_owned(),
            "$SYS.REQ.SERVER.x.KICK".to_owned(),
            "$SYS.REQ.USER.INFO".to_owned(),
            "$JS.API.INFO".to_owned(),
            "$JS.API.STREAM.CREATE.x".to_owned(),
            "$JS.ACK.x".to_owned(),
            "kez.x".to_owned(),
        ];
        let mut b = NatsPeer::of(&nats, Wire::WebSocket, &bob).await;
        for subject in &subjects {
            let mut trusted = naive(&nats, "naive_b").await;
            trusted.publish(subject, None, "{\"head\":9}").await;
            assert!(!is_refused(&trusted.flush().await), "{subject} is no probe");
            b.publish(subject, None, "{\"head\":9}").await;
            assert!(is_refused(&b.flush().await), "{subject} was published to");
        }
        // The naive one reached A's hints and answers: three of the subjects are A's.
        let heard = a.flush().await;
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert_eq!(a.call(&alice, "hello", &json!({})).await["status"], 200, "A is served all the while");
    }
}

/// B has the answer to its own call sent elsewhere: permissions do not look at reply subjects.
#[tokio::test]
async fn no_answer_is_steered_to_somebody_else() {
    for version in [NatsVersion::Current, NatsVersion::Old] {
        let Some((net, nats)) = with_naive_users(version).await else { return };
        let (alice, bob) = (device(&net, "alice", "phone").await, device(&net, "bob", "phone").await);
        let (mut a, t) = target(&nats, &alice).await;
        let mut b = NatsPeer::of(&nats, Wire::Tcp, &bob).await;
        // Where the word t is known, it works: what keeps A safe is that nobody else knows it.
        b.publish(&bob.call_subject("server"), Some(&format!("{}.wake", t.inbox)), "{}").await;
        let Said::Message { subject, .. } = a.next().await else { panic!("the canary is heard") };
        assert_eq!(subject, format!("{}.wake", t.inbox));
        let hex = &t.account;
        let replies = [
            format!("kez.inbox.{hex}.wake"),
            format!("kez.inbox.{hex}.*.wake"),
            format!("kez.inbox.{hex}.>"),
            format!("kez.inbox.{hex}.x.eph"),
            "kez.inbox.*.*.wake".to_owned(),
            format!("{}.*", t.replies),
            format!("{}.>", t.replies),
            alice.call_subject("inbox"),
            format!("kez.rpc.{hex}.*.device_revoke"),
            "kez.node.devices".to_owned(),
            "$JS.API.INFO".to_owned(),
            "$SYS.REQ.SERVER.PING.CONNZ".to_owned(),
            "$SYS.REQ.USER.AUTH".to_owned(),
            "_R_.abc".to_owned(),
            ">".to_owned(),
        ];
        for reply in &replies {
            b.publish(&bob.call_subject("server"), Some(reply), "{}").await;
            // A refusal may end the connection.
            if b.flush().await.contains(&Said::Closed) {
                b = until_in(&nats, &bob).await;
            }
        }
        let headers = [
            format!("Nats-Trace-Dest: {}.wake", format_args!("kez.inbox.{hex}.x")),
            format!("Nats-Request-Info: {{\"acc\":\"CHAT\",\"user\":\"{hex}:{}\"}}", t.device),
        ];
        for headers in headers {
            b.publish_with_headers(
                &bob.call_subject("server"),
                &format!("{}.9", bob.reply_prefix()),
                &headers,
                "{}",
            )
            .await;
            b.flush().await;
        }
        assert_eq!(a.flush().await, [], "nothing reached A");
        assert_eq!(a.call(&alice, "hello", &json!({})).await["status"], 200);
    }
}

/// A connection as soon as the device has a place again.
async fn until_in(nats: &NatsServer, device: &DeviceActor) -> NatsPeer {
    let entered = async {
        loop {
            let mut peer = NatsPeer::open(nats, Wire::Tcp).await;
            let login = device.nats_login(&peer.nonce());
            if peer.log_in(&login).await.is_ok() {
                return peer;
            }
        }
    };
    tokio::time::timeout(kez_testkit::DEADLINE, entered).await.expect("a place is given back")
}

/// B calls as fast as it can; A is served.
#[tokio::test]
async fn a_flood_ends_the_floods_connection_and_nobody_elses() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let (alice, bob) = (device(&net, "alice", "phone").await, device(&net, "bob", "phone").await);
    let (mut a, _) = target(&nats, &alice).await;
    let mut b = NatsPeer::of(&nats, Wire::Tcp, &bob).await;
    let line = format!("PUB {} {}.1 2\r\n{{}}\r\n", bob.call_subject("no_op"), bob.reply_prefix());
    for _ in 0..13 {
        b.say(&line.repeat(1_000)).await;
        b.flush().await;
    }
    assert_eq!(a.call(&alice, "hello", &json!({})).await["status"], 200);
    let closed = async { while b.next().await != Said::Closed {} };
    tokio::time::timeout(kez_testkit::DEADLINE, closed).await.expect("B's connection is ended");
    assert_eq!(a.call(&alice, "hello", &json!({})).await["status"], 200);
}
