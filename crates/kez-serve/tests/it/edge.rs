//! What the edge adds to every answer, and what it makes of the router's bare ones.

use kez_serve::client_addr::TrustedProxies;
use kez_serve::edge::Edge;
use kez_serve::rng::SystemRng;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Setup, one_answer};

#[tokio::test]
async fn every_answer_carries_the_marks() {
    let server = Setup::default().start();
    let answer = server.ask("GET /hello", "X-Request-Id: mine\r\n", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    answer.expect_marks();
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("Content-Range, ETag, Retry-After, X-Request-Id")
    );
}

#[tokio::test]
async fn a_panic_is_answered_500_and_says_nothing() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let answer = one_answer(&mut stream).await;
    answer.expect_problem(500, "internal_error");
    assert!(!answer.body.contains("secret"), "{answer:?}");
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(one_answer(&mut stream).await.body, "hello");
}

#[tokio::test]
async fn bare_errors_get_words() {
    let server = Setup::default().start();
    server.ask("GET /nowhere", "", "").await.expect_problem(404, "not_found");
    let refused = server.ask("DELETE /hello", "", "").await;
    refused.expect_problem(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET,HEAD"));
    let bad = server.ask("GET /number/%3Cb%3E", "", "").await;
    bad.expect_problem(400, "bad_request");
    assert!(!bad.body.contains("<b>"), "{bad:?}");
    server.ask("GET /number/%ff", "", "").await.expect_problem(400, "bad_request");
}

#[tokio::test]
async fn odd_methods_and_targets_are_refused() {
    let server = Setup::default().start();
    server.ask("CONNECT a:443", "", "").await.expect_problem(405, "method_not_allowed");
    server.ask("TRACE /hello", "", "").await.expect_problem(405, "method_not_allowed");
    server.ask("BREW /hello", "", "").await.expect_problem(405, "method_not_allowed");
    server.ask("OPTIONS *", "", "").await.expect_problem(404, "not_found");
    assert_eq!(server.ask("GET http://elsewhere/hello", "", "").await.body, "hello");
}

#[tokio::test]
async fn head_has_no_body_even_when_it_fails() {
    let server = Setup::default().start();
    for (target, status) in [("/hello", 200), ("/nowhere", 404), ("/panic", 500)] {
        let answer = server.ask(&format!("HEAD {target}"), "", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, ""), "{target}");
        assert_ne!(answer.header("content-length"), Some("0"), "{target}: see listen::refusal");
        answer.expect_marks();
    }
}

#[tokio::test]
async fn options_tells_the_methods_of_a_path() {
    let edge = Edge::new(&SystemRng).cors_request_headers("Content-Type, X-Invite");
    let server = Setup { edge, ..Setup::default() }.start();
    let head = "Origin: https://example.org\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = server.ask("OPTIONS /echo", head, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    answer.expect_marks();
    assert_eq!(answer.header("allow"), Some("POST,OPTIONS"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST,OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("Content-Type, X-Invite"));
    assert_eq!(answer.header("access-control-max-age"), Some("7200"));
    assert_eq!(answer.header("content-type"), None);
    server.ask("OPTIONS /nowhere", head, "").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let head = "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Request-Id: from-proxy\r\n";
    let edge = Edge::new(&SystemRng).trusted_proxies(TrustedProxies::parse(["127.0.0.0/8"]).unwrap());
    let server = Setup { edge, ..Setup::default() }.start();
    let answer = server.ask("GET /who", head, "").await;
    assert_eq!(answer.body, "203.0.113.9");
    assert_eq!(answer.header("x-request-id"), Some("from-proxy"));

    let server = Setup::default().start();
    let answer = server.ask("GET /who", head, "").await;
    assert_eq!(answer.body, "127.0.0.1");
    assert_ne!(answer.header("x-request-id"), Some("from-proxy"));
}
