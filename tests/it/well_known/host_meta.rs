//! `GET /.well-known/host-meta` (RFC 6415).

use insta::assert_snapshot;
use kez_testkit::Net;

#[tokio::test]
async fn it_points_to_webfinger() {
    let net = Net::start().await;
    let answer = net.get("/.well-known/host-meta").await;
    assert_snapshot!(answer, @r#"
    200 application/xrd+xml
    <?xml version="1.0" encoding="UTF-8"?>
    <XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">
      <Link rel="lrdd" type="application/jrd+json" template="https://kez.lat/.well-known/webfinger?resource={uri}"/>
    </XRD>
    "#);
    assert_eq!(answer.header("cache-control"), Some("max-age=300"));
    let etag = answer.header("etag").expect("an entity tag").to_owned();
    let again = net
        .call("GET", "/.well-known/host-meta")
        .header("if-none-match", &etag)
        .send()
        .await
        .expect_status(304);
    assert!(again.body().is_empty());
}

#[tokio::test]
async fn it_names_the_first_public_url() {
    let net = Net::with(|setup| {
        let urls = ["https://chat.example.org/kez", "http://localhost:1"];
        setup.args.public_url = urls.map(|url| url.parse().expect("a URL")).into();
    })
    .await;
    let answer = net.call("GET", "/.well-known/host-meta").header("host", "evil.example").send().await;
    assert!(
        answer
            .text()
            .contains("template=\"https://chat.example.org/kez/.well-known/webfinger?resource={uri}\""),
        "{answer}"
    );
}
