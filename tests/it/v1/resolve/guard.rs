//! Nobody can make the server connect to where it stands: not by a name, an answer that changes, a link or a redirect.

use std::net::{IpAddr, SocketAddr};

use kez_chat_server::is_public;
use kez_testkit::Net;
use serde_json::{Value, json};

use super::{HERE, OTHER, honest, jrd, net_with, resolve, two};
use crate::elsewhere::{Elsewhere, Names, Reply, Trap};

/// Addresses that may not be asked, by what they are.
const TARGETS: [(&str, &str); 42] = [
    ("loopback", "127.0.0.1"),
    ("loopback", "127.0.0.2"),
    ("loopback", "127.255.255.254"),
    ("this host", "0.0.0.0"),
    ("this network", "0.1.2.3"),
    ("private", "10.0.0.1"),
    ("private", "172.16.0.1"),
    ("private", "172.31.255.254"),
    ("private", "192.168.0.1"),
    ("carrier-grade NAT", "100.64.0.1"),
    ("carrier-grade NAT", "100.127.255.254"),
    ("link-local, metadata", "169.254.169.254"),
    ("metadata", "100.100.100.200"),
    ("metadata", "168.63.129.16"),
    ("IETF assignments", "192.0.0.192"),
    ("documentation", "192.0.2.1"),
    ("documentation", "198.51.100.1"),
    ("documentation", "203.0.113.1"),
    ("6to4 relay", "192.88.99.1"),
    ("benchmarks", "198.18.0.1"),
    ("multicast", "224.0.0.1"),
    ("reserved", "240.0.0.1"),
    ("broadcast", "255.255.255.255"),
    ("loopback", "::1"),
    ("this host", "::"),
    ("v4-mapped loopback", "::ffff:127.0.0.1"),
    ("v4-mapped this host", "::ffff:0.0.0.0"),
    ("v4-mapped private", "::ffff:10.0.0.1"),
    ("v4-mapped metadata", "::ffff:169.254.169.254"),
    ("v4-compatible loopback", "::127.0.0.1"),
    ("v4-translated loopback", "::ffff:0:127.0.0.1"),
    ("NAT64 of loopback", "64:ff9b::7f00:1"),
    ("local NAT64", "64:ff9b:1::7f00:1"),
    ("6to4 of loopback", "2002:7f00:1::1"),
    ("Teredo", "2001::1"),
    ("documentation", "2001:db8::1"),
    ("documentation", "3fff::1"),
    ("unique local", "fc00::1"),
    ("unique local, metadata", "fd00:ec2::254"),
    ("link-local", "fe80::1"),
    ("site-local", "fec0::1"),
    ("multicast", "ff02::1"),
];

#[tokio::test]
async fn a_name_of_a_special_address_is_not_connected_to() {
    let trap = Trap::set();
    for (what, address) in TARGETS {
        let address: IpAddr = address.parse().expect("an address");
        assert!(!is_public(address), "{what}: {address}");
        let names = Names::default().with(OTHER, [SocketAddr::new(address, trap.port())]);
        let net = net_with(&names, is_public).await;
        resolve(&net, "bob@other.example").await.expect_problem(502, "resolve_failed");
        assert_eq!(names.asked(OTHER), 1, "{what}: {address}");
        trap.expect_untouched(what);
    }
}

/// One public address among others does not make the others public, wherever it stands.
#[tokio::test]
async fn a_mixed_answer_is_not_connected_to() {
    let trap = Trap::set();
    let at = |address: &str| SocketAddr::new(address.parse().expect("an address"), trap.port());
    let public = at("1.1.1.1");
    for special in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1"].map(at) {
        for answer in [vec![special, public], vec![public, special], vec![public, public, special]] {
            let net = net_with(&Names::default().with(OTHER, answer), is_public).await;
            resolve(&net, "bob@other.example").await.expect_problem(502, "resolve_failed");
            trap.expect_untouched("a mixed answer");
        }
    }
    let net = net_with(&Names::default().with(OTHER, []), is_public).await;
    resolve(&net, "bob@other.example").await.expect_problem(502, "resolve_failed");
}

/// A name is looked up once for a connection, and the address that was checked is the one that is used: a name server
/// that answers otherwise a moment later changes nothing.
#[tokio::test]
async fn a_second_answer_of_the_name_server_changes_nothing() {
    let trap = Trap::set();
    let bob = Net::start().await.actor("bob");
    let elsewhere = Elsewhere::start(OTHER, honest(&bob)).await;
    let rebound = SocketAddr::new([127, 0, 0, 2].into(), trap.port());
    let names = Names::default().changing(OTHER, vec![vec![elsewhere.addr()], vec![rebound]]);
    let net = net_with(&names, HERE).await;
    resolve(&net, "bob@other.example").await.expect_problem(502, "resolve_failed");
    assert_eq!(elsewhere.requests().len(), 1, "the first connection went where it was checked to go");
    assert_eq!(names.asked(OTHER), 2, "once for each connection");
    trap.expect_untouched("rebinding");
}

/// Where the `self` link of an honest-looking answer leads.
#[tokio::test]
async fn a_link_to_another_place_is_not_followed() {
    let trap = Trap::set();
    let port = trap.port();
    let bob = Net::start().await.actor("bob");
    let hrefs = [
        format!("http://127.0.0.1:{port}/v1/u/bob"),
        format!("http://{OTHER}/v1/u/bob"),
        format!("http://{OTHER}:{port}/v1/u/bob"),
        format!("https://127.0.0.1:{port}/v1/u/bob"),
        format!("https://[::1]:{port}/v1/u/bob"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://{OTHER}:{port}/v1/u/bob"),
        format!("https://{OTHER}:80/v1/u/bob"),
        format!("https://bob@{OTHER}/v1/u/bob"),
        format!("https://bob:secret@{OTHER}/v1/u/bob"),
        format!("https://{OTHER}@127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}\\@{OTHER}/"),
        format!("https://localhost:{port}/"),
        "https://127.0.0.1/".into(),
        "https://127.1/".into(),
        "https://0/".into(),
        "https://0x7f000001/".into(),
        "https://2130706433/".into(),
        "https://0177.0.0.1/".into(),
        "https://127。0。0。1/".into(),
        "https://①②⑦.0.0.1/".into(),
        "https://[::]/".into(),
        "https://inside.example/v1/u/bob".into(),
        "https://localhost/v1/u/bob".into(),
        "https://INSIDE.example./v1/u/bob".into(),
        "ftp://other.example/".into(),
        "file:///etc/passwd".into(),
        "data:application/json,{}".into(),
        "javascript:0".into(),
        "unix:/run/x.sock".into(),
        "//other.example/v1/u/bob".into(),
        "/v1/u/bob".into(),
        "https://".into(),
        "https:/\u{0}/".into(),
        String::new(),
    ];
    for href in hrefs {
        let mut jrd = jrd(&bob, "bob");
        jrd["links"][2]["href"] = json!(href);
        let elsewhere = Elsewhere::start(OTHER, move |_| Reply::json(&jrd)).await;
        let inside = SocketAddr::new([127, 0, 0, 2].into(), port);
        let names = Names::default()
            .with(OTHER, [elsewhere.addr()])
            .with("inside.example", [inside])
            .with("inside.example.", [inside])
            .with("localhost", [inside]);
        let net = net_with(&names, HERE).await;
        resolve(&net, "bob@other.example").await.expect_problem(502, "resolve_failed");
        assert_eq!(elsewhere.requests().len(), 1, "{href}");
        trap.expect_untouched(&href);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let trap = Trap::set();
    let bob = Net::start().await.actor("bob");
    let locations = [
        format!("http://127.0.0.1:{}/", trap.port()),
        format!("https://127.0.0.1:{}/", trap.port()),
        format!("https://{OTHER}/.well-known/webfinger"),
        "/elsewhere".into(),
    ];
    for status in [301, 302, 303, 307, 308] {
        for location in &locations {
            for at_record in [false, true] {
                let (jrd, location) = (jrd(&bob, "bob"), location.clone());
                let (net, elsewhere) = two(move |target| {
                    if at_record && target != "/v1/u/bob" {
                        Reply::json(&jrd)
                    } else {
                        Reply::of(status, &format!("Location: {location}\r\n"), "")
                    }
                })
                .await;
                resolve(&net, "bob@other.example").await.expect_problem(502, "resolve_failed");
                assert_eq!(elsewhere.requests().len(), 1 + usize::from(at_record));
                trap.expect_untouched("a redirect");
            }
        }
    }
}

/// Whatever else the other server wrote into its record stays there.
#[tokio::test]
async fn what_is_passed_on_has_exactly_the_five_members() {
    let bob = Net::start().await.actor("bob");
    let mut record: Value = super::record(&bob, "bob");
    record["extra"] = json!("<script>");
    let jrd = jrd(&bob, "bob");
    let (net, _elsewhere) =
        two(move |target| Reply::json(if target == "/v1/u/bob" { &record } else { &jrd })).await;
    let answer = resolve(&net, "bob@other.example").await.expect_status(200).json();
    let mut names: Vec<_> = answer["record"].as_object().expect("an object").keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["fqhn", "handle", "primary", "registered_at", "sigchain_url"]);
}
