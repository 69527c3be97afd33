//! Places for connections.

use kez_serve::client_addr::TrustedProxies;
use kez_serve::edge::Edge;
use kez_serve::rng::SystemRng;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Answer, Server, Setup, one_answer, until_closed};

const ASK: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
const ASK_AND_LEAVE: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_full_server_says_so_and_has_places_again() {
    let server = Setup::limits(|limits| limits.connections_max = 2).start();
    let mut held = hold(&server, 2).await;
    let refused = Answer::parse(&until_closed(&mut server.connect().await).await);
    refused.expect_problem(503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("5"));

    leave(held.pop().unwrap()).await;
    has_places_again(&server, 503).await;
}

#[tokio::test]
async fn a_network_with_its_share_is_told_so_and_has_places_again() {
    let setup = Setup::limits(|limits| {
        limits.connections_per_network_max = 2;
        limits.loopback_exempt = false;
    });
    let server = setup.start();
    let mut held = hold(&server, 2).await;
    let refused = Answer::parse(&until_closed(&mut server.connect().await).await);
    refused.expect_problem(429, "too_many_connections");
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(refused.header("connection"), Some("close"));

    #[cfg(target_os = "linux")] // others have one address on loopback
    {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut neighbour = socket.connect(server.addr).await.unwrap();
        neighbour.write_all(ASK).await.unwrap();
        assert_eq!(one_answer(&mut neighbour).await.body, "hello");
    }
    leave(held.pop().unwrap()).await;
    has_places_again(&server, 429).await;
}

/// Connections that have been served once and stay.
async fn hold(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = server.connect().await;
        stream.write_all(ASK).await.unwrap();
        assert_eq!(one_answer(&mut stream).await.body, "hello");
        held.push(stream);
    }
    held
}

async fn leave(mut stream: TcpStream) {
    stream.write_all(ASK_AND_LEAVE).await.unwrap();
    until_closed(&mut stream).await;
}

/// The place is free a moment after the connection is seen to close.
async fn has_places_again(server: &Server, refusal: u16) {
    loop {
        let mut stream = server.connect().await;
        let _ = stream.write_all(ASK_AND_LEAVE).await;
        match Answer::parse(&until_closed(&mut stream).await).status {
            200 => break,
            status => assert!(status == refusal || status == 0, "{status}"),
        }
    }
}

#[tokio::test]
async fn loopback_and_proxies_stand_for_many() {
    let edge = Edge::new(&SystemRng).trusted_proxies(TrustedProxies::parse(["127.0.0.1"]).unwrap());
    let mut setup = Setup::limits(|limits| limits.connections_per_network_max = 1);
    setup.edge = edge;
    for setup in [setup, Setup::limits(|limits| limits.connections_per_network_max = 1)] {
        hold(&setup.start(), 3).await;
    }
}
