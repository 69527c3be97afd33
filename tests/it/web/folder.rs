//! `--web-dir`: a folder with a web client.

use std::fs;

use insta::assert_snapshot;
use kez_testkit::{Answer, Net};

/// A client whose files say what they are; around it lie things that nobody may fetch.
async fn with_client() -> Net {
    Net::with(|setup| {
        let web = setup.dir.join("web");
        let files = [
            ("index.html", "<!doctype html><title>client</title>"),
            ("favicon.ico", "icon"),
            ("about.html", "about"),
            ("assets/app-1a2b.js", "plain script"),
            ("assets/app-1a2b.js.br", "script in brotli"),
            ("assets/app-1a2b.js.gz", "script in gzip"),
            ("assets/style-3c4d.css", "plain style"),
            ("assets/.secret.js", "HIDDEN"),
            (".env", "HIDDEN"),
            (".env.json", "HIDDEN"),
            (".git/config.json", "HIDDEN"),
            ("assets/.svn/entries.json", "HIDDEN"),
            ("../secret.txt", "HIDDEN"),
            ("../web2/other.js", "HIDDEN"),
        ];
        for (name, content) in files {
            let path = web.join(name);
            fs::create_dir_all(&web).expect("a folder");
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        setup.args.web_dir = Some(web);
    })
    .await
}

fn shown(answer: &Answer) -> String {
    let header = |name| answer.header(name).unwrap_or("-").to_owned();
    format!(
        "{} {}\ncache-control: {}\ncontent-encoding: {}\nvary: {}\ncsp: {}\n\n{}",
        answer.status(),
        header("content-type"),
        header("cache-control"),
        header("content-encoding"),
        header("vary"),
        answer.header("content-security-policy").is_some(),
        answer.text()
    )
}

#[tokio::test]
async fn the_page_is_asked_for_again_and_mostly_not_sent() {
    let net = with_client().await;
    let page = net.get("/").await;
    assert_snapshot!(shown(&page), @r#"
    200 text/html
    cache-control: no-cache
    content-encoding: -
    vary: -
    csp: true

    <!doctype html><title>client</title>
    "#);
    for target in ["/@alice", "/@alice@example.org", "/chats/12"] {
        assert_eq!(shown(&net.get(target).await), shown(&page), "{target}");
    }
    let etag = page.header("etag").expect("an entity tag").to_owned();
    let again = net.call("GET", "/").header("if-none-match", &etag).send().await.expect_status(304);
    assert!(again.body().is_empty());
    assert_eq!(again.header("etag"), Some(etag.as_str()));
    assert_eq!(again.header("cache-control"), Some("no-cache"));
    net.call("GET", "/").header("if-none-match", "\"other\"").send().await.expect_status(200);
}

#[tokio::test]
async fn assets_are_kept_for_ever() {
    let net = with_client().await;
    assert_snapshot!(shown(&net.get("/assets/style-3c4d.css").await), @r#"
    200 text/css
    cache-control: public, max-age=31536000, immutable
    content-encoding: -
    vary: accept-encoding
    csp: true

    plain style
    "#);
}

#[tokio::test]
async fn other_files_are_asked_for_again() {
    let net = with_client().await;
    assert_snapshot!(shown(&net.get("/favicon.ico").await), @r#"
    200 image/x-icon
    cache-control: no-cache
    content-encoding: -
    vary: accept-encoding
    csp: true

    icon
    "#);
    assert_snapshot!(shown(&net.get("/about.html").await), @r#"
    200 text/html
    cache-control: no-cache
    content-encoding: -
    vary: accept-encoding
    csp: true

    about
    "#);
}

#[tokio::test]
async fn precompressed_files_go_to_those_who_take_them() {
    let net = with_client().await;
    let ask = async |accepted: &str| {
        net.call("GET", "/assets/app-1a2b.js").header("accept-encoding", accepted).send().await
    };
    assert_snapshot!(shown(&ask("gzip, deflate, br, zstd").await), @r#"
    200 text/javascript
    cache-control: public, max-age=31536000, immutable
    content-encoding: br
    vary: accept-encoding
    csp: true

    script in brotli
    "#);
    assert_snapshot!(shown(&ask("gzip").await), @r#"
    200 text/javascript
    cache-control: public, max-age=31536000, immutable
    content-encoding: gzip
    vary: accept-encoding
    csp: true

    script in gzip
    "#);
    assert_snapshot!(shown(&ask("identity").await), @r#"
    200 text/javascript
    cache-control: public, max-age=31536000, immutable
    content-encoding: -
    vary: accept-encoding
    csp: true

    plain script
    "#);
    assert_eq!(ask("br;q=0, gzip;q=0").await.text(), "plain script");
}

#[tokio::test]
async fn a_missing_file_is_404_and_never_the_page() {
    let net = with_client().await;
    for target in [
        "/assets/app-9z9z.js",
        "/assets",
        "/assets/",
        "/nothing.js",
        "/v1/x",
        "/.well-known/x",
        "/favicon.ico/x.js",
    ] {
        let answer = net.get(target).await.expect_problem(404, "not_found");
        assert_ne!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{target}");
    }
    net.post("/").body("x").send().await.expect_problem(405, "method_not_allowed");
    net.post("/assets/app-1a2b.js").body("x").send().await.expect_problem(405, "method_not_allowed");
}

/// Out of the folder, in every spelling; and files whose name begins with a dot.
#[tokio::test]
async fn nothing_outside_of_the_client_is_served() {
    let net = with_client().await;
    let targets = [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/..%2Fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/..%2f..%2fkez-chat.db",
        "/assets/%2e%2e/%2e%2e/kez-chat.db",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/..%252fsecret.txt",
        "/assets/..%00/../secret.txt",
        "/secret.txt%00.js",
        "/....//secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/..;/secret.txt",
        "/../web2/other.js",
        "/..%2fweb2%2fother.js",
        "//secret.txt",
        "/./../secret.txt",
        "/assets/../.env.json",
        "/.env",
        "/.env.json",
        "/%2eenv.json",
        "/.git/config.json",
        "/%2egit/config.json",
        "/assets/.secret.js",
        "/assets/%2esecret.js",
        "/assets/.svn/entries.json",
        "/assets/..%2f.env.json",
        "/assets/..%2findex.html",
        "/file:///etc/passwd.txt",
        "/etc/passwd.txt",
        "//etc/passwd.txt",
    ];
    for target in targets {
        let answers =
            net.raw(format!("GET {target} HTTP/1.1\r\nHost: kez.lat\r\nConnection: close\r\n\r\n")).await;
        let answer = &answers[0];
        let text = String::from_utf8_lossy(answer.body());
        for secret in ["HIDDEN", "SQLite format", "root:"] {
            assert!(!text.contains(secret), "{target}: {answer}");
        }
        assert!(matches!(answer.status(), 200 | 400 | 404), "{target}: {answer}");
        assert!(answer.status() != 200 || text.contains("<title>client</title>"), "{target}: {answer}");
    }
}

#[tokio::test]
async fn ranges_are_served() {
    let net = with_client().await;
    let part =
        net.call("GET", "/assets/app-1a2b.js").header("range", "bytes=6-11").send().await.expect_status(206);
    assert_eq!(part.text(), "script");
    let beyond = net.call("GET", "/assets/app-1a2b.js").header("range", "bytes=90-99").send().await;
    beyond.expect_problem(416, "range_not_satisfiable");
}
