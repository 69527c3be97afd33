//! `GET /openapi.json`, `GET /openapi`.

use std::collections::BTreeSet;

use kez_testkit::Net;
use serde_json::Value;

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[tokio::test]
async fn the_document_is_the_one_the_program_prints() {
    let net = Net::start().await;
    let answer = net.get("/openapi.json").await.expect_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), kez_chat_server::router::openapi_json());
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_and_problems_for_errors() {
    let net = Net::start().await;
    let document = net.get("/openapi.json").await.json();
    let mut names = BTreeSet::new();
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(!name.is_empty() && names.insert(name), "{method} {path}: {name:?}");
            for (status, answer) in members(&operation["responses"]) {
                let media: Vec<_> = members(&answer["content"]).map(|(media, _)| media.as_str()).collect();
                let is_error = status.starts_with(['4', '5']) && path != "/v1/readyz";
                assert!(
                    !is_error || media == ["application/problem+json"],
                    "{method} {path} {status}: {media:?}"
                );
            }
        }
    }
    assert!(names.len() >= 9, "{names:?}");
}

/// What refuses a caller without a signature says that it wants one, by a scheme that the document explains.
#[tokio::test]
async fn every_signed_operation_says_so() {
    let net = Net::start().await;
    let document = net.get("/openapi.json").await.json();
    assert!(document["components"]["securitySchemes"]["signature"].is_object());
    let mut signed = 0;
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            let wants_signature = operation["security"] == serde_json::json!([{ "signature": [] }]);
            assert_eq!(wants_signature, operation["responses"]["401"].is_object(), "{method} {path}");
            signed += usize::from(wants_signature);
        }
    }
    assert!(signed >= 15, "{signed} signed operations");
}

#[tokio::test]
async fn the_page_shows_every_operation_and_runs_no_script() {
    let net = Net::start().await;
    let page = net.get("/openapi").await.expect_status(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    let html = page.text();
    for forbidden in ["<script", "javascript:", "onload=", "onclick=", "http://", "https://cdn"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    let document = net.get("/openapi.json").await.json();
    for (path, methods) in members(&document["paths"]) {
        assert!(html.contains(path.as_str()), "{path}");
        for (_, operation) in members(methods) {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}
