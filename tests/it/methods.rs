//! HEAD, OPTIONS and wrong methods, everywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use insta::assert_snapshot;
use kez_testkit::{Answer, Net};

/// Targets that answer GET with 200, and one that answers 404 with a problem.
const READABLE: [&str; 12] = [
    "/",
    "/@alice",
    "/openapi.css",
    "/openapi",
    "/openapi.json",
    "/v1/healthz",
    "/v1/readyz",
    "/v1/server",
    "/v1/u/alice",
    "/.well-known/webfinger?resource=acct:alice@kez.lat",
    "/.well-known/host-meta",
    "/v1/resolve?resource=alice@kez.lat",
];

async fn with_alice() -> Net {
    let net = Net::start().await;
    net.actor("alice").register("alice").await.expect_status(201);
    net
}

/// The headers that say something about the answer, and not about the moment.
fn lasting(answer: &Answer) -> BTreeMap<String, String> {
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()));
    headers.filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str())).collect()
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let net = with_alice().await;
    for target in READABLE {
        let get = net.get(target).await.expect_status(200);
        let head = net.call("HEAD", target).send().await.expect_status(200);
        assert!(head.body().is_empty(), "{target}");
        assert_eq!(lasting(&head), lasting(&get), "{target}");
        assert_eq!(head.header("content-length"), Some(get.body().len().to_string().as_str()), "{target}");
    }
    for target in ["/v1/u/nobody", "/v1/nothing", "/assets/nothing.js", "/.well-known/webfinger"] {
        let get = net.get(target).await;
        let head = net.call("HEAD", target).send().await.expect_status(get.status());
        assert!(head.body().is_empty(), "{target}");
        assert_eq!(lasting(&head), lasting(&get), "{target}");
    }
}

#[tokio::test]
async fn options_tell_what_may_be_asked() {
    let net = with_alice().await;
    let mut table = String::new();
    for target in READABLE.into_iter().chain(["/v1/register", "/v1/by-primary/x", "/internal/nats/auth"]) {
        let answer = net
            .call("OPTIONS", target)
            .header("origin", "https://chat.example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,kez-invite")
            .send()
            .await
            .expect_status(204);
        assert!(answer.body().is_empty());
        assert_eq!(answer.header("allow"), answer.header("access-control-allow-methods"), "{target}");
        assert_eq!(
            answer.header("access-control-allow-headers"),
            Some(
                "Content-Digest, Content-Range, Content-Type, If-Match, If-None-Match, If-Range, Kez-Invite, Last-Event-ID, Range, Signature, Signature-Input"
            ),
            "{target}"
        );
        assert!(answer.header("access-control-allow-credentials").is_none());
        writeln!(table, "{target}  {}", answer.header("allow").expect("methods")).expect("a String");
    }
    assert_snapshot!(table, @r#"
    /  GET,HEAD,OPTIONS
    /@alice  GET,HEAD,OPTIONS
    /openapi.css  GET,HEAD,OPTIONS
    /openapi  GET,HEAD,OPTIONS
    /openapi.json  GET,HEAD,OPTIONS
    /v1/healthz  GET,HEAD,OPTIONS
    /v1/readyz  GET,HEAD,OPTIONS
    /v1/server  GET,HEAD,OPTIONS
    /v1/u/alice  GET,HEAD,OPTIONS
    /.well-known/webfinger?resource=acct:alice@kez.lat  GET,HEAD,OPTIONS
    /.well-known/host-meta  GET,HEAD,OPTIONS
    /v1/resolve?resource=alice@kez.lat  GET,HEAD,OPTIONS
    /v1/register  POST,OPTIONS
    /v1/by-primary/x  GET,HEAD,OPTIONS
    /internal/nats/auth  POST,OPTIONS
    "#);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let net = with_alice().await;
    let mut table = String::new();
    for target in READABLE.into_iter().chain(["/v1/register", "/v1/by-primary/x", "/internal/nats/auth"]) {
        let allow = net.call("DELETE", target).send().await.expect_problem(405, "method_not_allowed");
        let allow = allow.header("allow").unwrap_or_default().to_owned();
        for method in ["PUT", "PATCH", "BREW", "TRACE", "PROPFIND"] {
            let answer =
                net.call(method, target).json("{}").send().await.expect_problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allow.as_str()), "{method} {target}");
        }
        writeln!(table, "{target}  {allow}").expect("a String");
    }
    assert_snapshot!(table, @r#"
    /  GET,HEAD
    /@alice  GET,HEAD
    /openapi.css  GET,HEAD
    /openapi  GET,HEAD
    /openapi.json  GET,HEAD
    /v1/healthz  GET,HEAD
    /v1/readyz  GET,HEAD
    /v1/server  GET,HEAD
    /v1/u/alice  GET,HEAD
    /.well-known/webfinger?resource=acct:alice@kez.lat  GET,HEAD
    /.well-known/host-meta  GET,HEAD
    /v1/resolve?resource=alice@kez.lat  GET,HEAD
    /v1/register  POST
    /v1/by-primary/x  GET,HEAD
    /internal/nats/auth  POST
    "#);
    for target in ["/v1/register", "/internal/nats/auth"] {
        net.get(target).await.expect_problem(405, "method_not_allowed");
        net.call("HEAD", target).send().await.expect_status(405);
    }
    net.post("/v1/healthz").json("{}").send().await.expect_problem(405, "method_not_allowed");
    net.check_registry().await;
}

/// What does not exist does not exist for any method.
#[tokio::test]
async fn a_missing_path_is_404_for_every_method() {
    let net = Net::start().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "BREW"] {
        for target in
            ["/v1", "/v1/", "/v1/nothing", "/internal/x", "/.well-known/x", "/.well-known", "/v1/healthz/"]
        {
            net.call(method, target).send().await.expect_problem(404, "not_found");
        }
    }
}
