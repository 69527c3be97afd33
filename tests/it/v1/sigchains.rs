//! The sig-server within: below `/v1/sigchains`, and on a listener of its own.

use std::net::SocketAddr;

use kez_chat_server::SigListener;
use kez_chat_server::config::{SigBind, Switch};
use kez_testkit::{Call, ChainWriter, Net, SigNet};

/// A server whose sig-server within listens at `addr`.
async fn at(addr: SocketAddr) -> Net {
    Net::with(|setup| setup.args.sig_bind = SigBind(Some(addr))).await
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn own_addr(net: &Net) -> SocketAddr {
    match net.sig_listener() {
        Some(SigListener::Serves(addr)) => addr,
        other => panic!("{other:?}"),
    }
}

async fn append(net: &Net, writer: &mut ChainWriter) -> u16 {
    let event = writer.add("github:alice");
    net.post(&writer.path()).json(event).send().await.status()
}

#[tokio::test]
async fn both_listeners_serve_the_same_chains() {
    let net = at(any_port()).await;
    let mut alice = ChainWriter::new("alice");
    assert_eq!(append(&net, &mut alice).await, 201);
    let at_own = Call::to(own_addr(&net), "POST", &alice.path()).json(alice.add("dns:alice.example"));
    at_own.send().await.expect_status(201);
    let public = net.get(&alice.path()).await.expect_status(200);
    let own = Call::to(own_addr(&net), "GET", &alice.path()).send().await.expect_status(200);
    assert_eq!(public.body(), own.body());
    assert_eq!(public.text().lines().count(), 2);
    net.check_chains().await;

    // Each says what it is; the own one has nothing of the home server.
    assert_eq!(net.get("/v1/healthz").await.json()["server"], "kez.lat");
    let health = Call::to(own_addr(&net), "GET", "/v1/healthz").send().await.expect_status(200);
    assert_eq!(health.json()["service"], "kez-sig-server");
    Call::to(own_addr(&net), "GET", "/v1/server").send().await.expect_problem(404, "not_found");

    net.restart().await;
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [2]);
    assert_eq!(append(&net, &mut alice).await, 201);
    net.check_chains().await;
}

/// The record leads to the chain when the URL is the public one, and always is the configured one.
#[tokio::test]
async fn a_record_carries_the_configured_url() {
    let net = Net::with(|setup| {
        setup.args.sig_bind = SigBind(Some(any_port()));
        setup.args.sig_server_url = "https://chat.example".parse().expect("a URL");
    })
    .await;
    let mut alice = ChainWriter::new("alice");
    append(&net, &mut alice).await;
    let record = net.actor("alice").register("alice").await.expect_status(201).json();
    assert_eq!(record["sigchain_url"], format!("https://chat.example{}", alice.path()));
    net.get(&alice.path()).await.expect_status(200);
}

#[tokio::test]
async fn off_is_neither_listener_nor_path_nor_file() {
    let net = Net::start().await;
    assert_eq!(net.sig_listener(), None);
    let mut alice = ChainWriter::new("alice");
    assert_eq!(append(&net, &mut alice).await, 404);
    for rest in ["", "/head", "/bundle"] {
        net.get(&format!("{}{rest}", alice.path())).await.expect_problem(404, "not_found");
    }
    assert!(!net.args().sig_db().exists());
}

#[tokio::test]
async fn a_port_that_another_sig_server_has_is_left_to_it() {
    let other = SigNet::start().await;
    let net = at(other.addr()).await;
    assert_eq!(net.sig_listener(), Some(SigListener::OtherSigServer(other.addr())));
    let mut alice = ChainWriter::new("alice");
    assert_eq!(append(&net, &mut alice).await, 201);
    net.check_chains().await;
    assert!(other.check_chains().await.is_empty());

    // The one within another home server is one, too.
    let first = at(any_port()).await;
    let second = at(own_addr(&first)).await;
    assert_eq!(second.sig_listener(), Some(SigListener::OtherSigServer(own_addr(&first))));
    // Once the port is free, it is taken.
    let port = own_addr(&first);
    first.stop().await;
    second.restart().await;
    assert_eq!(second.sig_listener(), Some(SigListener::Serves(port)));
}

#[tokio::test]
async fn a_port_that_something_else_has_keeps_nobody_from_starting() {
    let other = Net::start().await;
    let net = at(other.addr()).await;
    assert_eq!(net.sig_listener(), Some(SigListener::SomethingElse(other.addr())));
    let mut alice = ChainWriter::new("alice");
    assert_eq!(append(&net, &mut alice).await, 201);
    net.check_chains().await;
}

/// An operator parts the two by moving a file. ADR 0010.
#[tokio::test]
async fn the_file_is_that_of_a_sig_server() {
    let net = at(any_port()).await;
    let mut alice = ChainWriter::new("alice");
    append(&net, &mut alice).await;
    net.stop().await;
    let alone = SigNet::with(|args| args.db = net.args().sig_db()).await;
    alone.append(&alice.path(), alice.add("dns:alice.example")).await.expect_status(201);
    alone.check_chains().await;
    alone.stop().await;
    net.start_again().await;
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [2]);
}

/// `--rate-limit` and the limits of chains hold within as well.
#[tokio::test]
async fn the_limits_are_those_of_the_flags() {
    let net = Net::with(|setup| {
        setup.args.sig_bind = SigBind(Some(any_port()));
        setup.args.sig_chain_limits = "2/h".parse().expect("limits");
        setup.args.rate_limit = Switch::On;
    })
    .await;
    let mut alice = ChainWriter::new("alice");
    assert_eq!([append(&net, &mut alice).await, append(&net, &mut alice).await], [201, 201]);
    let refused = net.post(&alice.path()).json(alice.add("github:x")).send().await;
    assert_eq!(refused.expect_problem(429, "rate_limited").header("retry-after"), Some("3600"));
    for n in 0..19 {
        assert_eq!(append(&net, &mut ChainWriter::new(&format!("key-{n}"))).await, 201);
    }
    assert_eq!(append(&net, &mut ChainWriter::new("one more")).await, 429);
}
