//! Places for connections.

use kez_serve::client_addr::TrustedProxies;
use kez_serve::edge::Edge;
use kez_serve::rng::SystemRng;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Answer, Setup, one_answer, until_closed};

const ASK: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_full_server_says_so_and_has_places_again() {
    let server = Setup::limits(|limits| limits.connections_max = 2).start();
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(ASK).await.unwrap();
        one_answer(&mut stream).await;
        held.push(stream);
    }
    let refused = Answer::parse(&until_closed(&mut server.connect().await).await);
    refused.expect_problem(503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("5"));

    let mut leaving = held.pop().unwrap();
    leaving.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    until_closed(&mut leaving).await;
    // The place is free a moment after the connection is seen to close.
    loop {
        let mut stream = server.connect().await;
        let _ = stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        match Answer::parse(&until_closed(&mut stream).await).status {
            200 => break,
            status => assert!(status == 503 || status == 0, "{status}"),
        }
    }
}

#[tokio::test]
async fn loopback_and_proxies_stand_for_many() {
    let edge = Edge::new(&SystemRng).trusted_proxies(TrustedProxies::parse(["127.0.0.1"]).unwrap());
    let mut setup = Setup::limits(|limits| limits.connections_per_network_max = 1);
    setup.edge = edge;
    for setup in [setup, Setup::limits(|limits| limits.connections_per_network_max = 1)] {
        let server = setup.start();
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut stream = server.connect().await;
            stream.write_all(ASK).await.unwrap();
            assert_eq!(one_answer(&mut stream).await.body, "hello");
            held.push(stream);
        }
    }
}
