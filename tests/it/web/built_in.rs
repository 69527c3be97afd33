//! The client inside the program.

use kez_testkit::{Answer, Net};
use web_assets::{Client, File};

const fn file(path: &'static str, etag: &'static str, plain: &'static [u8]) -> File {
    File { path, etag, plain, brotli: None, gzip: None }
}

/// A client whose files say what they are, sorted as the build script sorts them.
static CLIENT: Client = Client {
    files: &[
        File {
            brotli: Some(b"in brotli"),
            gzip: Some(b"in gzip"),
            ..file("assets/app-1a2b.js", "\"1\"", b"plain")
        },
        file("assets/engine-3c4d.wasm", "\"2\"", b"\0asm"),
        file("favicon.svg", "\"3\"", b"<svg/>"),
        File {
            gzip: Some(b"page in gzip"),
            ..file("index.html", "\"4\"", b"<!doctype html><title>client</title>")
        },
    ],
};

async fn with_client() -> Net {
    Net::with(|setup| setup.web = Some(&CLIENT)).await
}

#[track_caller]
fn assert_headers(answer: &Answer, expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        assert_eq!(answer.header(name), *value, "{name}");
    }
}

#[tokio::test]
async fn every_page_is_the_client_and_is_asked_for_again() {
    let net = with_client().await;
    for target in ["/", "/@alice@example.org", "/chats/12"] {
        let page = net.get(target).await.expect_status(200);
        assert_eq!(page.text(), "<!doctype html><title>client</title>", "{target}");
        assert_headers(
            &page,
            &[
                ("content-type", Some("text/html; charset=utf-8")),
                ("cache-control", Some("no-cache")),
                ("etag", Some("\"4\"")),
                ("vary", Some("accept-encoding")),
                ("referrer-policy", Some("no-referrer")),
                ("x-content-type-options", Some("nosniff")),
            ],
        );
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("require-trusted-types-for 'script'") && !policy.contains("'unsafe"),
            "{policy}"
        );
    }
    let again = net.call("GET", "/").header("if-none-match", "\"4\"").send().await.expect_status(304);
    assert!(again.body().is_empty());
    assert_headers(&again, &[("etag", Some("\"4\"")), ("cache-control", Some("no-cache"))]);
    net.call("GET", "/").header("if-none-match", "\"1\"").send().await.expect_status(200);
}

#[tokio::test]
async fn the_smallest_form_that_is_taken_is_sent() {
    let net = with_client().await;
    let cases = [
        ("gzip, deflate, br, zstd", Some("br"), "in brotli"),
        ("gzip", Some("gzip"), "in gzip"),
        ("br;q=0, gzip;q=0.5", Some("gzip"), "in gzip"),
        ("identity", None, "plain"),
    ];
    for (accepted, coding, body) in cases {
        let script = net.call("GET", "/assets/app-1a2b.js").header("accept-encoding", accepted).send().await;
        assert_eq!(script.text(), body, "{accepted}");
        assert_headers(
            &script,
            &[
                ("content-encoding", coding),
                ("content-type", Some("text/javascript; charset=utf-8")),
                ("cache-control", Some("public, max-age=31536000, immutable")),
                ("vary", Some("accept-encoding")),
            ],
        );
    }
    let engine = net.get("/assets/engine-3c4d.wasm").await.expect_status(200);
    assert_headers(&engine, &[("content-type", Some("application/wasm")), ("content-encoding", None)]);
}

#[tokio::test]
async fn what_the_client_does_not_have_is_404() {
    let net = with_client().await;
    for target in [
        "/assets/app-9z9z.js",
        "/assets/",
        "/nothing.js",
        "/v1/x",
        "/assets/../index.html",
        "/.env",
        "/index.htm.js",
    ] {
        let answer = net.get(target).await.expect_problem(404, "not_found");
        assert_ne!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{target}");
    }
    net.post("/").body("x").send().await.expect_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn the_server_says_that_a_client_is_inside() {
    let net = with_client().await;
    assert_eq!(net.get("/v1/server").await.json()["web_client"], "built_in");
}
