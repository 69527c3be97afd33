//! Below `/internal`.

use insta::assert_snapshot;
use kez_testkit::Net;

#[tokio::test]
async fn the_callout_is_not_implemented_without_nats() {
    let net = Net::start().await;
    assert_snapshot!(net.post("/internal/nats/auth").body("a.b.c").send().await, @r#"
    501 application/problem+json
    {
      "code": "nats_not_configured",
      "detail": "this server runs without NATS",
      "status": 501,
      "title": "NATS is not configured",
      "type": "urn:kez:problem:nats_not_configured"
    }
    "#);
    assert_eq!(net.post("/internal/nats/auth").json("{}").send().await.code(), "nats_not_configured");
}

#[tokio::test]
async fn nothing_else_is_there() {
    let net = Net::start().await;
    for target in ["/internal", "/internal/", "/internal/nats", "/internal/nats/auth/", "/internal/x.js"] {
        net.get(target).await.expect_problem(404, "not_found");
    }
}
