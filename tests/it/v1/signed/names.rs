//! The names under which signed calls are taken.

use kez_serve::client_addr::TrustedProxies;
use kez_testkit::Net;

use super::letter::Letter;

async fn net() -> Net {
    Net::with(|setup| {
        let urls = ["https://chat.example.org", "https://kez.lat:8443"];
        setup.args.public_url = urls.map(|url| url.parse().expect("a URL")).into();
        setup.args.trusted_proxy = TrustedProxies::parse(["127.0.0.1"]).expect("an address");
    })
    .await
}

#[tokio::test]
async fn only_the_servers_own_names_count() {
    let net = net().await;
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    let port = net.addr().port();
    let local = format!("localhost:{port}");
    for (host, signed) in [
        ("chat.example.org", "chat.example.org"),
        ("Chat.Example.ORG:443", "chat.example.org"),
        ("kez.lat:8443", "kez.lat:8443"),
        (local.as_str(), local.as_str()),
    ] {
        let mut letter = Letter::new(&phone);
        letter.to(host, signed);
        letter.send(&net).await.expect_status(200);
    }
    let before = net.contents();
    let other_port = format!("localhost:{}", port ^ 1);
    for host in
        ["evil.example", "kez.lat", "chat.example.org.", "chat.example.org:80", "localhost", &other_port]
    {
        let mut letter = Letter::new(&phone);
        letter.to(host, host);
        letter.send(&net).await.expect_problem(401, "wrong_authority");
    }
    // A name of ours that was not the one that was signed.
    let mut letter = Letter::new(&phone);
    letter.to("chat.example.org", "kez.lat:8443");
    letter.send(&net).await.expect_problem(401, "bad_signature");
    assert_eq!(net.contents(), before);
}

#[tokio::test]
async fn names_of_this_machine_do_not_count_through_a_proxy() {
    let net = net().await;
    let phone = net.actor("alice").device("phone");
    phone.set_up().await;
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("forwarded", "for=127.0.0.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        let mut letter = Letter::new(&phone);
        letter.sent.headers.push((name, value));
        letter.send(&net).await.expect_problem(401, "wrong_authority");
        letter.to("chat.example.org", "chat.example.org");
        letter.send(&net).await.expect_status(200);
    }
}
