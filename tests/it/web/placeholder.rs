//! The page of a server without a web client.

use insta::assert_snapshot;
use kez_testkit::Net;

#[tokio::test]
async fn the_page_says_whose_server_this_is_and_runs_nothing() {
    let net = Net::with(|setup| setup.args.server = "example.org".parse().expect("a server name")).await;
    let page = net.get("/").await.expect_status(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(page.text().contains("<h1>example.org</h1>"));
    assert!(!page.text().contains("{server}"));
    for forbidden in ["<script", "<style", " style=", "javascript:", " src=\"http"] {
        assert!(!page.text().contains(forbidden), "{forbidden}");
    }
    assert_snapshot!(page.header("content-security-policy").expect("a policy"), @"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html kez-worker");
}

/// All that the page loads is there, on this server.
#[tokio::test]
async fn the_page_is_complete() {
    let net = Net::start().await;
    let css = net.get("/openapi.css").await.expect_status(200);
    assert_eq!(css.header("content-type"), Some("text/css; charset=utf-8"));
    let page = net.get("/").await;
    let links = page.text().split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    for link in links.filter(|link| !link.starts_with("data:")) {
        net.get(link).await.expect_status(200);
    }
}

#[tokio::test]
async fn deep_links_answer_the_page() {
    let net = Net::start().await;
    let page = net.get("/").await.expect_status(200);
    for target in [
        "/@alice",
        "/@alice@example.org",
        "/chats/12",
        "/?x=1",
        "/settings/devices",
        "/v10",
        "/assetsx",
        "//",
        "/%41",
    ] {
        assert_eq!(net.get(target).await.expect_status(200).body(), page.body(), "{target}");
    }
}

/// Never the page where a program asked for something.
#[tokio::test]
async fn what_is_missing_is_404() {
    let net = Net::start().await;
    let targets = [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/u",
        "/internal",
        "/internal/x",
        "/.well-known",
        "/.well-known/",
        "/.well-known/x",
        "/.well-known/openid-configuration",
        "/.well-known/security.txt",
        "/assets",
        "/assets/",
        "/assets/app.js",
        "/favicon.ico",
        "/app.js",
        "/robots.txt",
        "/index.html",
        "/manifest.webmanifest",
        "/a/b/c.wasm",
        "/openapi.JSON",
        "/v1/register/x",
    ];
    for target in targets {
        net.get(target).await.expect_problem(404, "not_found");
    }
}
