//! `GET /v1/readyz`.

use insta::assert_snapshot;
use kez_testkit::Net;

#[tokio::test]
async fn a_fresh_server_is_ready() {
    let net = Net::start().await;
    assert_snapshot!(net.get("/v1/readyz").await, @r#"
    200 application/json
    {
      "reasons": [],
      "status": "ready"
    }
    "#);
    net.restart().await;
    net.get("/v1/readyz").await.expect_status(200);
}

/// Who sends requests here learns in time to send them elsewhere; those that come are served.
#[tokio::test]
async fn a_server_that_will_stop_is_not_ready() {
    let net = Net::start().await;
    net.announce_stop();
    assert_snapshot!(net.get("/v1/readyz").await, @r#"
    503 application/json
    {
      "reasons": [
        "stopping"
      ],
      "status": "not_ready"
    }
    "#);
    net.get("/v1/healthz").await.expect_status(200);
    net.actor("alice").register("alice").await.expect_status(201);
    net.check_registry().await;
    net.restart().await;
    net.get("/v1/readyz").await.expect_status(200);
}
