//! `GET /v1/healthz`.

use insta::assert_snapshot;
use kez_testkit::Net;

#[tokio::test]
async fn the_program_runs() {
    let net = Net::start().await;
    let answer = net.get("/v1/healthz").await;
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let shown = answer.to_string().replace(env!("CARGO_PKG_VERSION"), "[version]");
    assert_snapshot!(shown, @r#"
    200 application/json
    {
      "server": "kez.lat",
      "status": "ok",
      "version": "[version]"
    }
    "#);
}
