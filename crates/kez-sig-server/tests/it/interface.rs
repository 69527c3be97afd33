//! Health, readiness, the description, methods, CORS, and the end.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use kez_serve::page::STYLE_PATH;
use kez_testkit::SigNet;
use serde_json::Value;

#[tokio::test]
async fn health_says_what_this_is() {
    let net = SigNet::start().await;
    assert_snapshot!(net.get("/v1/healthz").await, @r#"
    200 application/json
    {
      "service": "kez-sig-server",
      "status": "ok",
      "version": "0.1.0"
    }
    "#);
    net.get("/v1/readyz").await.expect_status(200);
    net.announce_stop();
    assert_eq!(
        net.get("/v1/readyz").await.expect_status(503).json()["reasons"],
        serde_json::json!(["stopping"])
    );
    net.get("/v1/healthz").await.expect_status(200);
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[tokio::test]
async fn the_interface_describes_itself() {
    let net = SigNet::start().await;
    let document = net.get("/openapi.json").await.expect_status(200);
    assert_eq!(document.text(), kez_sig_server::router::openapi_json());
    let page = net.get("/openapi").await.expect_status(200);
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert!(!page.text().contains("<script"));
    assert!(page.text().contains(STYLE_PATH));
    net.get(STYLE_PATH).await.expect_status(200);
    let document = document.json();
    let mut names = BTreeSet::new();
    for (path, methods) in members(&document["paths"]) {
        assert!(page.text().contains(path.as_str()), "{path}");
        for (method, operation) in members(methods) {
            assert!(names.insert(operation["operationId"].to_string()), "{method} {path}");
            for (status, answer) in members(&operation["responses"]) {
                let is_error = status.starts_with(['4', '5']) && path != "/v1/readyz";
                let is_problem = answer["content"].get("application/problem+json").is_some();
                assert!(is_error == is_problem, "{method} {path} {status}");
            }
        }
    }
    assert_eq!(names.len(), 6, "{names:?}");
}

/// Every page may read and write chains: there is nothing but signatures to protect.
#[tokio::test]
async fn scripts_of_every_origin_may_call() {
    let net = SigNet::start().await;
    let path = net.writer("alice").path();
    let options =
        net.call("OPTIONS", &path).header("origin", "https://example.org").send().await.expect_status(204);
    assert_eq!(options.header("access-control-allow-origin"), Some("*"));
    assert_eq!(options.header("access-control-allow-headers"), Some("Content-Type, If-None-Match"));
    let allowed = options.header("access-control-allow-methods").expect("methods");
    assert!(["GET", "POST"].iter().all(|method| allowed.contains(method)), "{allowed}");
    for method in ["PUT", "DELETE", "PATCH"] {
        net.call(method, &path).json("{}").send().await.expect_problem(405, "method_not_allowed");
    }
}
