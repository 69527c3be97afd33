//! `GET /.well-known/webfinger` (RFC 7033).

use http::uri::PathAndQuery;
use insta::assert_snapshot;
use kez_chat_server::webfinger::Query;
use kez_core::{Handle, ServerName};
use kez_testkit::{Answer, Net};
use serde_json::Value;

use crate::support::vectors;

const PATH: &str = "/.well-known/webfinger";

async fn with_alice() -> Net {
    let net = Net::start().await;
    net.actor("alice").register("alice").await.expect_status(201);
    net
}

async fn finger(net: &Net, query: &str) -> Answer {
    net.get(&format!("{PATH}?{query}")).await
}

fn rels(answer: &Answer) -> Vec<String> {
    let links = answer.json()["links"].as_array().expect("links").clone();
    links.iter().map(|link| link["rel"].as_str().expect("a rel").to_owned()).collect()
}

#[tokio::test]
async fn found() {
    let net = with_alice().await;
    let answer = finger(&net, "resource=acct:alice@kez.lat").await;
    assert_eq!(answer.header("cache-control"), Some("max-age=300"));
    assert_snapshot!(answer, @r#"
    200 application/jrd+json
    {
      "aliases": [
        "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
        "https://kez.lat/@alice"
      ],
      "links": [
        {
          "href": "https://kez.lat/v1/u/alice",
          "rel": "self",
          "type": "application/json"
        },
        {
          "href": "http://localhost:7878/v1/sigchains/ed25519/f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
          "rel": "https://kez.lat/rel/sigchain",
          "type": "application/jsonl"
        },
        {
          "href": "https://kez.lat/@alice",
          "rel": "http://webfinger.net/rel/profile-page",
          "type": "text/html"
        }
      ],
      "properties": {
        "https://kez.lat/ns/primary": "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610"
      },
      "subject": "acct:alice@kez.lat"
    }
    "#);
}

#[tokio::test]
async fn not_found() {
    let net = with_alice().await;
    assert_snapshot!(finger(&net, "resource=acct:bob@kez.lat").await, @r#"
    404 application/problem+json
    {
      "code": "not_found",
      "detail": "nothing is known here by that name",
      "status": 404,
      "title": "Not found",
      "type": "urn:kez:problem:not_found"
    }
    "#);
}

/// RFC 7033 section 4.2: a missing, repeated or malformed resource is a bad request.
#[tokio::test]
async fn one_well_formed_resource_is_needed() {
    let net = with_alice().await;
    assert_snapshot!(finger(&net, "").await, @r#"
    400 application/problem+json
    {
      "code": "bad_resource",
      "detail": "give exactly one resource, such as ?resource=acct:alice@example.org",
      "status": 400,
      "title": "Not a resource",
      "type": "urn:kez:problem:bad_resource"
    }
    "#);
    net.get(PATH).await.expect_problem(400, "bad_resource");
    let queries = [
        "rel=self",
        "resource=",
        "resource",
        "resource=alice@kez.lat",
        "resource=acct",
        "resource=acct:alice@kez.lat&resource=acct:alice@kez.lat",
        "resource=acct:alice@kez.lat&resource=",
        "resource=acct:alice%",
        "resource=%ff:x",
        "Resource=acct:alice@kez.lat",
    ];
    for query in queries {
        finger(&net, query).await.expect_problem(400, "bad_resource");
    }
}

/// RFC 7033 section 4.5: a resource is a URI of any scheme; one that is not ours is unknown, and no error.
#[tokio::test]
async fn any_scheme_is_understood() {
    let net = with_alice().await;
    let resources = [
        "https://example.org/@alice",
        "mailto:alice@kez.lat",
        "did:web:kez.lat",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "xmpp:alice@kez.lat",
        "feditest:x",
        "a+b-c.d:x",
        "acct:alice@example.org",
        "acct:alice",
        "acct:",
        "https://kez.lat/",
        "https://kez.lat/@alice/",
        "http://kez.lat/@alice",
        "https://kez.lat:443/@alice",
        "https://kez.lat.evil.example/@alice",
        "https://kez.lat@evil.example/@alice",
        "ed25519:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
    ];
    for resource in resources {
        finger(&net, &format!("resource={resource}")).await.expect_problem(404, "not_found");
    }
}

/// A handle that nobody may have answers as one that nobody has.
#[tokio::test]
async fn a_reserved_name_is_unknown_like_any_other() {
    let net = with_alice().await;
    let unknown = finger(&net, "resource=acct:nobody@kez.lat").await.expect_problem(404, "not_found");
    for name in ["admin", "postmaster", "abuse", "ALICE", "-", "al%C4%B1ce"] {
        let answer =
            finger(&net, &format!("resource=acct:{name}@kez.lat")).await.expect_problem(404, "not_found");
        assert_eq!(answer.body(), unknown.body(), "{name}");
    }
}

/// The order of parameters, their encoding, unknown ones, the case of scheme and host: one person.
#[tokio::test]
async fn every_way_of_asking_finds_the_same() {
    let net = with_alice().await;
    let plain = finger(&net, "resource=acct:alice@kez.lat").await.expect_status(200);
    let queries = [
        "resource=acct%3Aalice%40kez.lat",
        "resource=ACCT:alice@KEZ.LAT",
        "resource=Acct:alice@Kez.Lat",
        "resource=https://kez.lat/@alice",
        "resource=https%3A%2F%2Fkez.lat%2F%40alice",
        "resource=HTTPS://KEZ.LAT/@alice",
        "unknown=1&resource=acct:alice@kez.lat&x=resource",
        "resource=acct:%61lice@kez.lat",
        "&&resource=acct:alice@kez.lat&",
        "resourc%65=acct:alice@kez.lat",
    ];
    for query in queries {
        let answer = finger(&net, query).await.expect_status(200);
        assert_eq!(answer.body(), plain.body(), "{query}");
        assert_eq!(answer.header("content-type"), Some("application/jrd+json"));
    }
}

/// RFC 7033 section 4.3: `rel` leaves links out, and nothing else.
#[tokio::test]
async fn rel_filters_links_only() {
    let net = with_alice().await;
    let all = finger(&net, "resource=acct:alice@kez.lat").await;
    assert_eq!(rels(&all), ["self", "https://kez.lat/rel/sigchain", "http://webfinger.net/rel/profile-page"]);
    let table: [(&str, &[&str]); 9] = [
        ("rel=self", &["self"]),
        ("rel=http://webfinger.net/rel/profile-page", &["http://webfinger.net/rel/profile-page"]),
        ("rel=http%3A%2F%2Fwebfinger.net%2Frel%2Fprofile-page", &["http://webfinger.net/rel/profile-page"]),
        ("rel=self&rel=https://kez.lat/rel/sigchain", &["self", "https://kez.lat/rel/sigchain"]),
        ("rel=https://kez.lat/rel/sigchain&rel=self", &["self", "https://kez.lat/rel/sigchain"]),
        ("rel=unknown", &[]),
        ("rel=unknown&rel=self", &["self"]),
        ("rel=self&rel=self", &["self"]),
        ("rel=", &[]),
    ];
    for (query, expected) in table {
        for query in
            [format!("{query}&resource=acct:alice@kez.lat"), format!("resource=acct:alice@kez.lat&{query}")]
        {
            let answer = finger(&net, &query).await.expect_status(200);
            assert_eq!(rels(&answer), expected, "{query}");
            for member in ["subject", "aliases", "properties"] {
                assert_eq!(answer.json()[member], all.json()[member], "{query}");
            }
        }
    }
    let many = "&rel=x".repeat(17);
    finger(&net, &format!("resource=acct:alice@kez.lat{many}")).await.expect_problem(400, "bad_resource");
}

/// RFC 7033 section 5: scripts of other origins may read it, errors too.
#[tokio::test]
async fn cors_is_open_also_on_errors() {
    let net = with_alice().await;
    for (query, status) in
        [("resource=acct:alice@kez.lat", 200), ("resource=acct:bob@kez.lat", 404), ("", 400)]
    {
        let target = format!("{PATH}?{query}");
        for method in ["GET", "HEAD"] {
            let answer = net.call(method, &target).header("origin", "https://other.example").send().await;
            let answer = answer.expect_status(status);
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {target}");
        }
    }
    let post = net
        .post(PATH)
        .body("resource=acct:alice@kez.lat")
        .send()
        .await
        .expect_problem(405, "method_not_allowed");
    assert_eq!(post.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn an_entity_tag_saves_the_body() {
    let net = with_alice().await;
    let target = format!("{PATH}?resource=acct:alice@kez.lat");
    let whole = net.get(&target).await.expect_status(200);
    let etag = whole.header("etag").expect("an entity tag").to_owned();
    let ask = async |tag: &str| net.call("GET", &target).header("if-none-match", tag).send().await;
    for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
        let answer = ask(&tag).await.expect_status(304);
        assert!(answer.body().is_empty());
        assert_eq!(answer.header("etag"), Some(etag.as_str()), "{tag}");
        assert_eq!(answer.header("cache-control"), Some("max-age=300"), "{tag}");
    }
    for tag in ["\"x\"", "", "x", etag.trim_matches('"')] {
        assert_eq!(ask(tag).await.expect_status(200).body(), whole.body(), "{tag}");
    }
    // Another question has another answer, and another tag.
    let filtered = net.get(&format!("{target}&rel=self")).await;
    assert_ne!(filtered.header("etag"), Some(etag.as_str()));
}

/// Nothing that a request says about where it was sent gets into an answer.
#[tokio::test]
async fn no_url_is_made_of_host_headers() {
    let net = with_alice().await;
    let targets = [
        "/.well-known/webfinger?resource=acct:alice@kez.lat",
        "/.well-known/webfinger?resource=https://kez.lat/@alice",
        "/.well-known/host-meta",
        "/v1/u/alice",
        "/v1/u/bob",
        "/v1/server",
        "/v1/healthz",
        "/v1/nothing",
        "/openapi.json",
        "/",
        "/@alice",
    ];
    for target in targets {
        let plain = net.get(target).await;
        let answer = net
            .call("GET", target)
            .header("host", "evil.example")
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-server", "evil.example")
            .header("x-original-url", "https://evil.example/")
            .header("forwarded", "host=evil.example;proto=http")
            .header("origin", "https://evil.example")
            .header("referer", "https://evil.example/")
            .send()
            .await;
        assert_eq!((answer.status(), answer.body()), (plain.status(), plain.body()), "{target}");
        assert!(!format!("{:?}", answer.headers()).contains("evil"), "{target}: {:?}", answer.headers());
        // The absolute form names a host too (RFC 9112 section 3.2.2).
        let request = format!(
            "GET http://evil.example{target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        );
        let answers = net.raw(request).await;
        assert_eq!(answers[0].body(), plain.body(), "{target}");
    }
    // And asking for the attacker's name finds nobody.
    for resource in ["acct:alice@evil.example", "https://evil.example/@alice"] {
        let call = net.call("GET", &format!("{PATH}?resource={resource}")).header("host", "evil.example");
        let answer = call.send().await.expect_problem(404, "not_found");
        assert!(!answer.text().contains("evil"));
    }
}

#[tokio::test]
async fn links_lead_to_the_public_url() {
    let net = Net::with(|setup| {
        let urls = ["https://chat.example.org", "http://localhost:6969"];
        setup.args.public_url = urls.map(|url| url.parse().expect("a URL")).into();
    })
    .await;
    net.actor("alice").register("alice").await.expect_status(201);
    let jrd = finger(&net, "resource=acct:alice@kez.lat").await.json();
    assert_eq!(jrd["links"][0]["href"], "https://chat.example.org/v1/u/alice");
    assert_eq!(jrd["aliases"][1], "https://chat.example.org/@alice");
    for resource in
        ["https://chat.example.org/@alice", "http://localhost:6969/@alice", "https://kez.lat/@alice"]
    {
        let answer = finger(&net, &format!("resource={resource}")).await.expect_status(200);
        assert_eq!(answer.json()["subject"], "acct:alice@kez.lat", "{resource}");
    }
}

#[test]
fn valid_vectors_are_read() {
    for (name, vector) in vectors("webfinger-resource/valid") {
        let query = parse(&vector).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(query.handle.as_ref().map(Handle::as_str), vector["finds"].as_str(), "{name}");
        let rels: Vec<_> =
            vector["rels"].as_array().expect("rels").iter().map(|rel| rel.as_str().expect("text")).collect();
        assert_eq!(query.rels, rels, "{name}");
    }
}

#[test]
fn invalid_vectors_are_refused() {
    for (name, vector) in vectors("webfinger-resource/invalid") {
        assert_eq!(vector["error"], "bad_resource", "{name}");
        assert!(parse(&vector).is_err(), "{name}");
    }
}

fn parse(vector: &Value) -> Result<Query, kez_chat_server::webfinger::BadQuery> {
    let server: ServerName = vector["server"].as_str().expect("a server").parse().expect("a server name");
    let public_urls = [format!("https://{server}").parse().expect("a URL")];
    Query::parse(vector["query"].as_str().expect("a query"), &server, &public_urls)
}

/// The same vectors through the whole server, where an HTTP client can send them.
#[tokio::test]
async fn vectors_hold_over_http() {
    let net = with_alice().await;
    for folder in ["webfinger-resource/valid", "webfinger-resource/invalid"] {
        let vectors = vectors(folder);
        let mut sent = 0;
        for (name, vector) in &vectors {
            let target = format!("{PATH}?{}", vector["query"].as_str().expect("a query"));
            if vector["server"] != "kez.lat"
                || target.parse::<PathAndQuery>().is_err()
                || target.contains('#')
            {
                continue;
            }
            sent += 1;
            let answer = net.get(&target).await;
            let expected = match (vector["error"].as_str(), vector["finds"].as_str()) {
                (Some(_), _) => 400,
                (None, Some("alice")) => 200,
                (None, _) => 404,
            };
            assert_eq!(answer.status(), expected, "{name}: {answer}");
        }
        assert!(sent * 10 > vectors.len() * 8, "{folder}: only {sent} of {} were sent", vectors.len());
    }
}
