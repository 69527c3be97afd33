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
