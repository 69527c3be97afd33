//! Who is let in, and above all who is not: forged, replayed and unfit logins, on both versions and both wires.

use data_encoding::BASE64URL_NOPAD;
use kez_core::Seed;
use kez_testkit::{DeviceActor, NatsPeer, NatsServer, NatsVersion, Net, Wire, nats_login};
use serde_json::{Value, json};

use super::device;

/// Enters with what `login` makes of the nonce; whether it was let in.
async fn enters(nats: &NatsServer, wire: Wire, login: impl FnOnce(&str) -> Value) -> bool {
    let mut peer = NatsPeer::open(nats, wire).await;
    let connect = login(&peer.nonce());
    let entered = peer.log_in(&connect).await;
    if let Err(error) = &entered {
        // One text for all, and none of ours.
        assert!(error == "closed" || error.contains("Authorization Violation"), "{error}");
    }
    entered.is_ok()
}

fn with(mut login: Value, member: &str, value: impl Into<Value>) -> Value {
    login[member] = value.into();
    login
}

fn without(mut login: Value, member: &str) -> Value {
    login.as_object_mut().expect("an object").remove(member);
    login
}

fn token(envelope: &str) -> String {
    BASE64URL_NOPAD.encode(envelope.as_bytes())
}

/// A valid signature over the nonce whose S is greater by the order of the group.
fn with_greater_s(login: Value) -> Value {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let sig = login["sig"].as_str().expect("a signature");
    let mut bytes = BASE64URL_NOPAD.decode(sig.as_bytes()).expect("our own digits");
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    with(login, "sig", BASE64URL_NOPAD.encode(&bytes))
}

/// People, and what they hold.
struct Town {
    alice: DeviceActor,
    bob: DeviceActor,
    revoked: DeviceActor,
    stranger: DeviceActor,
}

async fn town(net: &Net) -> Town {
    let alice = device(net, "alice", "phone").await;
    let bob = device(net, "bob", "phone").await;
    let revoked = device(net, "alice", "lost").await;
    revoked.revoke().await.expect_status(200);
    Town { alice, bob, revoked, stranger: net.actor("stranger").device("phone") }
}

/// Makes a login of a nonce.
type Forgery<'a> = Box<dyn Fn(&str) -> Value + 'a>;

async fn forged_logins(version: NatsVersion) {
    let Some((net, nats)) = Net::with_nats(version, |_| {}).await else { return };
    let Town { alice, bob, revoked, stranger } = town(&net).await;
    let owner = alice.owner().seed().clone();
    let old_nonce = NatsPeer::open(&nats, Wire::Tcp).await.nonce();
    let now = net.now();
    let other_server = alice.draft_at(now).with(|device| device.server = "evil.example".into()).sign();
    let ended = alice.draft_at(now.plus_seconds(-1_000).expect("a time")).lasting(900).sign();
    let newer = alice.enrolment();
    let by_bob = alice.draft_at(now).json().signature("key", bob.owner().key().to_string()).text();
    let home = std::fs::read_to_string(nats.keys.join("home.seed")).expect("a secret");
    let home: kez_nats_auth::NkeySeed = home.trim().parse().expect("a seed");

    let forgeries: Vec<(&str, Forgery<'_>)> = vec![
        ("no signature", Box::new(|n| without(alice.nats_login(n), "sig"))),
        ("an empty signature", Box::new(|n| with(alice.nats_login(n), "sig", ""))),
        (
            "a zero signature",
            Box::new(|n| with(alice.nats_login(n), "sig", BASE64URL_NOPAD.encode(&[0; 64]))),
        ),
        ("garbage", Box::new(|n| with(alice.nats_login(n), "sig", "???"))),
        (
            "half a signature",
            Box::new(|n| with(alice.nats_login(n), "sig", BASE64URL_NOPAD.encode(&[1; 32]))),
        ),
        ("a non-canonical signature", Box::new(|n| with_greater_s(alice.nats_login(n)))),
        ("another nonce", Box::new(|_| alice.nats_login(&old_nonce))),
        ("an empty nonce", Box::new(|_| alice.nats_login(""))),
        (
            "another key's signature",
            Box::new(|n| with(alice.nats_login(n), "sig", bob.nats_login(n)["sig"].clone())),
        ),
        ("no nkey", Box::new(|n| without(alice.nats_login(n), "nkey"))),
        ("a token alone", Box::new(|n| json!({"auth_token": alice.nats_login(n)["auth_token"]}))),
        ("nothing", Box::new(|_| json!({}))),
        (
            "a weak key",
            Box::new(|n| {
                let mut weak = nats_login(&owner, n);
                weak["nkey"] =
                    kez_nats_auth::Nkey::user(&kez_core::PublicKey::from_bytes([0; 32])).to_string().into();
                with(weak, "sig", BASE64URL_NOPAD.encode(&[0; 64]))
            }),
        ),
        (
            "an account key",
            Box::new(|n| {
                let seed = kez_nats_auth::NkeySeed::new(kez_nats_auth::Role::Account, owner.clone());
                with(nats_login(&owner, n), "nkey", seed.public_key().to_string())
            }),
        ),
        (
            "the home server's key",
            Box::new(|n| {
                with(nats_login(&Seed::from_bytes([9; 32]), n), "nkey", home.public_key().to_string())
            }),
        ),
        ("an unregistered key", Box::new(|n| nats_login(&Seed::from_bytes([9; 32]), n))),
        ("an unregistered device", Box::new(|n| stranger.nats_login(n))),
        ("a revoked device", Box::new(|n| revoked.nats_login(n))),
        (
            "another's envelope",
            Box::new(|n| with(bob.nats_login(n), "auth_token", alice.nats_login(n)["auth_token"].clone())),
        ),
        (
            "an envelope for another server",
            Box::new(|n| with(alice.nats_login(n), "auth_token", token(&other_server))),
        ),
        ("an envelope that is over", Box::new(|n| with(alice.nats_login(n), "auth_token", token(&ended)))),
        (
            "an envelope that was never sent",
            Box::new(|n| with(alice.nats_login(n), "auth_token", token(&newer))),
        ),
        (
            "an envelope signed by another",
            Box::new(|n| with(alice.nats_login(n), "auth_token", token(&by_bob))),
        ),
        ("a spoilt envelope", Box::new(|n| with(alice.nats_login(n), "auth_token", token("{}")))),
        ("a long token", Box::new(|n| with(alice.nats_login(n), "auth_token", "A".repeat(2_561)))),
        ("a password beside", Box::new(|n| with(with(alice.nats_login(n), "user", "alice"), "pass", "x"))),
    ];
    for wire in [Wire::Tcp, Wire::WebSocket] {
        // What the forgeries are made from is good.
        for (who, device) in [("alice", &alice), ("bob", &bob)] {
            assert!(enters(&nats, wire, |n| device.nats_login(n)).await, "{who} over {wire:?}");
        }
        assert!(enters(&nats, wire, |n| nats_login(&owner, n)).await, "the primary key over {wire:?}");
        for (name, forgery) in &forgeries {
            assert!(!enters(&nats, wire, |n| forgery(n)).await, "{name} was let in over {wire:?}");
        }
    }
}

#[tokio::test]
async fn forged_logins_are_refused() {
    forged_logins(NatsVersion::Current).await;
}

#[tokio::test]
async fn forged_logins_are_refused_by_the_old_version() {
    forged_logins(NatsVersion::Old).await;
}

#[tokio::test]
async fn a_suspended_account_is_not_let_in() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    assert!(enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await);
    let handle = "alice".parse().expect("a handle");
    net.store().suspend(&handle, None, net.now()).await.expect("the store works").expect("an account");
    assert!(!enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await);
    assert!(!enters(&nats, Wire::Tcp, |n| nats_login(alice.owner().seed(), n)).await);
}

#[tokio::test]
async fn nobody_is_let_in_while_the_home_server_is_down() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    net.stop().await;
    assert!(!enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await);
    net.start_again().await;
    net.until_ready().await;
    assert!(enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await);
}

#[tokio::test]
async fn a_device_has_two_connections_and_gets_them_back() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let alice = device(&net, "alice", "phone").await;
    let _one = NatsPeer::of(&nats, Wire::Tcp, &alice).await;
    let two = NatsPeer::of(&nats, Wire::Tcp, &alice).await;
    assert!(!enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await, "a third");
    drop(two);
    // The server notices the end of the connection as soon as it reads from it.
    let again = async { while !enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await {} };
    tokio::time::timeout(kez_testkit::DEADLINE, again).await.expect("the place is given back");
}

#[tokio::test]
async fn keys_of_another_nats_let_nobody_in() {
    let Some(nats) = NatsServer::start(NatsVersion::Current).await else { return };
    let Some(other) = NatsServer::start(NatsVersion::Current).await else { return };
    let net = Net::today_with(|setup| {
        setup.live_clock = true;
        setup.args.nats_url = vec![format!("nats://{}", nats.tcp)];
        setup.args.nats_keys.clone_from(&other.keys);
    })
    .await;
    net.get("/v1/readyz").await.expect_status(503);
    let alice = device(&net, "alice", "phone").await;
    assert!(!enters(&nats, Wire::Tcp, |n| alice.nats_login(n)).await);
}
