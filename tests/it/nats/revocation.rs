//! Who is let go is cut off.

use kez_testkit::{DEADLINE, DeviceActor, NatsPeer, NatsServer, NatsVersion, Net, Said, Wire};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::device;

async fn until_closed(peer: &mut NatsPeer) {
    let closed = async { while peer.next().await != Said::Closed {} };
    timeout(DEADLINE, closed).await.expect("the connection ends");
}

async fn inbox(nats: &NatsServer, device: &DeviceActor) -> String {
    let mut peer = NatsPeer::of(nats, Wire::Tcp, device).await;
    peer.call(device, "hello", &json!({})).await["body"]["inbox"].as_str().expect("a subject").to_owned()
}

#[tokio::test]
async fn a_revocation_ends_the_connections_and_moves_the_inbox() {
    for version in [NatsVersion::Current, NatsVersion::Old] {
        let Some((net, nats)) = Net::with_nats(version, |_| {}).await else { return };
        let (phone, lost) = (device(&net, "alice", "phone").await, device(&net, "alice", "lost").await);
        let bob = device(&net, "bob", "phone").await;
        let before = inbox(&nats, &phone).await;
        let mut thief = NatsPeer::of(&nats, Wire::Tcp, &lost).await;
        let mut good = NatsPeer::of(&nats, Wire::WebSocket, &phone).await;
        let mut others = NatsPeer::of(&nats, Wire::Tcp, &bob).await;
        let began = Instant::now();
        lost.revoke().await.expect_status(200);
        until_closed(&mut thief).await;
        until_closed(&mut good).await; // it comes back at once, to the new inbox
        eprintln!("both were closed {} ms after the call began", began.elapsed().as_millis());
        let mut again = NatsPeer::open(&nats, Wire::Tcp).await;
        let login = lost.nats_login(&again.nonce());
        again.log_in(&login).await.expect_err("revoked");
        let after = inbox(&nats, &phone).await;
        assert_ne!(before, after);
        assert_eq!(others.call(&bob, "hello", &json!({})).await["status"], 200);
    }
}

#[tokio::test]
async fn who_comes_back_is_not_kicked_again() {
    let Some((net, nats)) = Net::with_nats(NatsVersion::Current, |_| {}).await else { return };
    let (phone, lost) = (device(&net, "alice", "phone").await, device(&net, "alice", "lost").await);
    let mut old = NatsPeer::of(&nats, Wire::Tcp, &phone).await;
    lost.revoke().await.expect_status(200);
    until_closed(&mut old).await;
    let mut back = NatsPeer::of(&nats, Wire::Tcp, &phone).await;
    // The second look comes a second after the first, and nothing tells when it is over but time.
    let quiet = timeout(std::time::Duration::from_millis(1_800), back.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
