//! `GET /v1/resolve`.

mod answers;
mod guard;

use std::net::IpAddr;

use insta::assert_snapshot;
use kez_testkit::{Actor, Answer, Net};
use serde_json::{Value, json};

use crate::elsewhere::{Elsewhere, Names, Reply};

/// The name of the other server in these tests.
const OTHER: &str = "other.example";
/// The rule of these tests, where the other server lives on this machine: this one address and no other.
const HERE: fn(IpAddr) -> bool = |address| address == IpAddr::from([127, 0, 0, 1]);

async fn resolve(net: &Net, resource: &str) -> Answer {
    net.get(&format!("/v1/resolve?resource={resource}")).await
}

/// A server that takes `names` for the internet.
async fn net_with(names: &Names, rule: fn(IpAddr) -> bool) -> Net {
    let outgoing = names.outgoing(rule);
    Net::with(|setup| setup.outgoing = outgoing).await
}

/// A server, and another one that answers with `answer` for [`OTHER`].
async fn two(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Net, Elsewhere) {
    let elsewhere = Elsewhere::start(OTHER, answer).await;
    let names = Names::default().with(OTHER, [elsewhere.addr()]);
    (net_with(&names, HERE).await, elsewhere)
}

/// What an honest server says about its people.
fn jrd(who: &Actor, handle: &str) -> Value {
    json!({
        "subject": format!("acct:{handle}@{OTHER}"),
        "properties": { "https://kez.lat/ns/primary": who.key().to_string() },
        "links": [
            { "rel": "http://webfinger.net/rel/profile-page", "type": "text/html", "href": format!("https://{OTHER}/@{handle}") },
            { "rel": "self", "type": "application/activity+json", "href": "https://127.0.0.1/actor" },
            { "rel": "self", "type": "application/json", "href": format!("https://{OTHER}/v1/u/{handle}") },
        ],
    })
}

fn record(who: &Actor, handle: &str) -> Value {
    json!({
        "handle": handle,
        "fqhn": format!("{handle}@{OTHER}"),
        "primary": who.key().to_string(),
        "sigchain_url": format!("https://{OTHER}/v1/sigchains/ed25519/{}", who.key().to_hex()),
        "registered_at": "2026-01-02T03:04:05Z",
    })
}

/// An honest server that knows bob, whose key is that of the actor of this name.
fn honest(bob: &Actor) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let (jrd, record) = (jrd(bob, "bob"), record(bob, "bob"));
    move |target| match target {
        "/.well-known/webfinger?resource=acct:bob@other.example" => Reply::json(&jrd),
        "/v1/u/bob" => Reply::json(&record),
        _ => Reply::of(404, "", ""),
    }
}

#[tokio::test]
async fn people_of_this_server_are_found_without_asking_anybody() {
    let net = Net::start().await;
    net.actor("alice").register("alice").await.expect_status(201);
    let answer = resolve(&net, "alice@kez.lat").await;
    assert_snapshot!(answer, @r#"
    200 application/json
    {
      "record": {
        "fqhn": "alice@kez.lat",
        "handle": "alice",
        "primary": "ed25519:f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610",
        "registered_at": "2026-05-25T03:00:00Z",
        "sigchain_url": "http://localhost:7878/v1/sigchains/ed25519/f0e918041ac43c9f577f93fd328a16d5c7fc7f3b00b1edb9cdc8a193ab17e610"
      }
    }
    "#);
    assert_eq!(resolve(&net, "acct:alice@kez.lat").await.body(), answer.body());
    assert_eq!(resolve(&net, "acct%3Aalice%40kez.lat").await.body(), answer.body());
    resolve(&net, "bob@kez.lat").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_resource_is_one_name() {
    let net = Net::start().await;
    assert_snapshot!(net.get("/v1/resolve").await, @r#"
    400 application/problem+json
    {
      "code": "bad_resource",
      "detail": "give one name, such as ?resource=alice@example.org",
      "status": 400,
      "title": "Not a resource",
      "type": "urn:kez:problem:bad_resource"
    }
    "#);
    let resources = [
        "",
        "alice",
        "@alice@other.example",
        "alice@",
        "@other.example",
        "alice@127.0.0.1",
        "alice@[::1]",
        "alice@2130706433",
        "alice@0x7f.1",
        "alice@0177.0.0.1",
        "alice@127.1",
        "alice@other.example:443",
        "alice@other.example/",
        "alice@user@other.example",
        "ALICE@other.example",
        "alice@other.example&%72esource=alice@other.example",
        "alice@other.example&x=%zz",
        "al@other.example",
        "alice@other.example.",
        "alice@-x.example",
        "alice@%6fther%2eexample%00",
        "https://other.example/@alice",
        "alice@other.example&resource=alice@other.example",
        "alice@other.example%23",
        "alice@other.example%40127.0.0.1",
        "alice@1%E3%80%82example",
    ];
    for resource in resources {
        resolve(&net, resource).await.expect_problem(400, "bad_resource");
    }
    net.get("/v1/resolve?Resource=alice@kez.lat").await.expect_problem(400, "bad_resource");
}

#[tokio::test]
async fn somebody_of_another_server_is_found() {
    let bob = Net::start().await.actor("bob");
    let (net, elsewhere) = two(honest(&bob)).await;
    assert_snapshot!(resolve(&net, "bob@other.example").await, @r#"
    200 application/json
    {
      "record": {
        "fqhn": "bob@other.example",
        "handle": "bob",
        "primary": "ed25519:4a76af5a1110a0fa914c7256d7b3bba071bdced346f63c05d2a1993f23ba5c43",
        "registered_at": "2026-01-02T03:04:05Z",
        "sigchain_url": "https://other.example/v1/sigchains/ed25519/4a76af5a1110a0fa914c7256d7b3bba071bdced346f63c05d2a1993f23ba5c43"
      }
    }
    "#);
    assert_eq!(elsewhere.requests(), ["/.well-known/webfinger?resource=acct:bob@other.example", "/v1/u/bob"]);
}

#[tokio::test]
async fn nobody_there_is_nobody() {
    let (net, _elsewhere) = two(|_| Reply::of(404, "", "")).await;
    assert_snapshot!(resolve(&net, "bob@other.example").await, @r#"
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

#[tokio::test]
async fn what_was_found_is_kept_for_five_minutes() {
    let bob = Net::start().await.actor("bob");
    let (net, elsewhere) = two(honest(&bob)).await;
    let first = resolve(&net, "bob@other.example").await.expect_status(200);
    resolve(&net, "carol@other.example").await.expect_problem(404, "not_found");
    assert_eq!(elsewhere.requests().len(), 3);

    net.advance_s(299);
    assert_eq!(resolve(&net, "bob@other.example").await.body(), first.body());
    resolve(&net, "carol@other.example").await.expect_problem(404, "not_found");
    assert_eq!(elsewhere.requests().len(), 3, "nobody was asked");

    net.advance_s(1);
    resolve(&net, "bob@other.example").await.expect_status(200);
    resolve(&net, "carol@other.example").await.expect_problem(404, "not_found");
    assert_eq!(elsewhere.requests().len(), 6, "asked again");
}

#[tokio::test]
async fn a_network_resolves_thirty_times_a_minute() {
    let net = Net::with(|setup| setup.args.rate_limit = kez_chat_server::config::Switch::On).await;
    for _ in 0..30 {
        resolve(&net, "nobody@kez.lat").await.expect_problem(404, "not_found");
    }
    let answer = resolve(&net, "nobody@kez.lat").await.expect_problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("2"));
    net.advance_s(2);
    resolve(&net, "nobody@kez.lat").await.expect_problem(404, "not_found");
}

/// Four of one network at a time; whoever comes next is told so at once.
#[tokio::test]
async fn a_crowd_does_not_pile_up() {
    let (net, elsewhere) = two(|_| Reply::Hang(Vec::new())).await;
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let net = net.clone();
            tokio::spawn(async move { resolve(&net, &format!("person{n}@other.example")).await })
        })
        .collect();
    elsewhere.asked(4).await;
    let answer = resolve(&net, "bob@other.example").await.expect_problem(503, "busy");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Those here are not held up by those elsewhere.
    resolve(&net, "nobody@kez.lat").await.expect_problem(404, "not_found");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
