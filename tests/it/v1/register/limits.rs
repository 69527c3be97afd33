//! What is refused before the document is read: size, media type, rate.

use kez_chat_server::config::Switch;
use kez_serve::client_addr::TrustedProxies;
use kez_testkit::{Answer, Net};

/// SPEC "Registration".
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;

#[tokio::test]
async fn sixteen_kibibytes_and_not_one_more() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let pad = |bytes: usize| envelope.clone() + &" ".repeat(bytes - envelope.len());
    let answer = net.register(pad(BODY_BYTES_MAX + 1)).await.expect_problem(413, "too_large");
    assert_eq!(answer.json()["bytes_max"], BODY_BYTES_MAX);
    assert!(net.check_registry().await.accounts.is_empty());
    net.register(pad(BODY_BYTES_MAX)).await.expect_status(201);
}

/// Without an announced length, the body is counted as it comes.
#[tokio::test]
async fn a_chunked_body_is_counted_too() {
    let net = Net::start().await;
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let head = "POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answers = net.raw(format!("{head}{}0\r\n\r\n", chunk.repeat(5))).await;
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].status(), answers[0].code().as_str()), (413, "too_large"));
    let envelope = net.actor("alice").registration("alice");
    let answers = net.raw(format!("{head}{:x}\r\n{envelope}\r\n0\r\n\r\n", envelope.len())).await;
    assert_eq!(answers[0].status(), 201, "{}", answers[0]);
}

/// An announced length is refused before anything is sent.
#[tokio::test]
async fn a_long_body_is_refused_by_its_announcement() {
    let net = Net::start().await;
    let answers = net
        .raw("POST /v1/register HTTP/1.1\r\nHost: kez.lat\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n")
        .await;
    assert_eq!((answers[0].status(), answers[0].code().as_str()), (413, "too_large"));
}

#[tokio::test]
async fn only_json_in_utf_8_is_read() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let media = [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/ld+json",
        "application/json; charset=utf-16",
        "",
    ];
    for media in media {
        let call = net.post("/v1/register").header("content-type", media).body(envelope.clone());
        call.send().await.expect_problem(415, "unsupported_media_type");
    }
    net.post("/v1/register")
        .body(envelope.clone())
        .send()
        .await
        .expect_problem(415, "unsupported_media_type");
    for coding in ["gzip", "br", "deflate", "zstd", "x-unknown"] {
        let call = net.post("/v1/register").header("content-encoding", coding).json(envelope.clone());
        call.send().await.expect_problem(415, "unsupported_media_type");
    }
    assert!(net.check_registry().await.accounts.is_empty());
    let call =
        net.post("/v1/register").header("content-type", "application/json; charset=UTF-8").body(envelope);
    call.send().await.expect_status(201);
}

/// A server behind a proxy on this machine, with limits on.
async fn limited() -> Net {
    Net::with(|setup| {
        setup.args.rate_limit = Switch::On;
        setup.args.trusted_proxy = TrustedProxies::parse(["127.0.0.1"]).expect("an address");
    })
    .await
}

async fn from(net: &Net, client: &str) -> Answer {
    net.post("/v1/register").header("x-forwarded-for", client).json("{}").send().await
}

#[tokio::test]
async fn a_network_registers_twenty_times_in_ten_minutes() {
    let net = limited().await;
    for n in 0..20 {
        from(&net, &format!("2001:db8:0:1::{n:x}")).await.expect_problem(400, "malformed");
    }
    let answer = from(&net, "2001:db8:0:1:ffff::1").await.expect_problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("30"));
    // Others are not held up by it: another /64, another IPv4 address, the proxy itself.
    from(&net, "2001:db8:0:2::1").await.expect_problem(400, "malformed");
    from(&net, "192.0.2.7").await.expect_problem(400, "malformed");
    net.register("{}").await.expect_problem(400, "malformed");
    net.advance_s(29);
    from(&net, "2001:db8:0:1::1").await.expect_problem(429, "rate_limited");
    net.advance_s(1);
    from(&net, "2001:db8:0:1::1").await.expect_problem(400, "malformed");
    from(&net, "2001:db8:0:1::1").await.expect_problem(429, "rate_limited");
}

/// Who has a /48 has 65,536 networks. Together they register twenty times as often as one, and shut nobody out.
#[tokio::test]
async fn an_ipv6_site_registers_four_hundred_times_in_ten_minutes() {
    let net = limited().await;
    for n in 0..400 {
        from(&net, &format!("2001:db8:1:{n:x}::1")).await.expect_problem(400, "malformed");
    }
    let answer = from(&net, "2001:db8:1:ffff::1").await.expect_problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("2"));
    from(&net, "2001:db8:2::1").await.expect_problem(400, "malformed");
    from(&net, "192.0.2.7").await.expect_problem(400, "malformed");
    net.advance_s(2);
    from(&net, "2001:db8:1:ffff::1").await.expect_problem(400, "malformed");
    from(&net, "2001:db8:1:ffff::1").await.expect_problem(429, "rate_limited");
}

/// Each IPv4 address counts by itself; its IPv4-mapped spelling is the same address.
#[tokio::test]
async fn an_ipv4_address_is_a_network() {
    let net = limited().await;
    for _ in 0..10 {
        from(&net, "192.0.2.7").await.expect_problem(400, "malformed");
        from(&net, "::ffff:192.0.2.7").await.expect_problem(400, "malformed");
    }
    from(&net, "192.0.2.7").await.expect_problem(429, "rate_limited");
    from(&net, "192.0.2.8").await.expect_problem(400, "malformed");
}

/// What a client writes into the header itself stands to the left of what the proxy adds.
#[tokio::test]
async fn nobody_escapes_by_inventing_addresses() {
    let net = limited().await;
    for n in 0..20 {
        from(&net, &format!("198.51.100.{n}, 192.0.2.7")).await.expect_problem(400, "malformed");
    }
    from(&net, "203.0.113.1, 192.0.2.7").await.expect_problem(429, "rate_limited");

    let direct = Net::with(|setup| setup.args.rate_limit = Switch::On).await;
    for n in 0..20 {
        from(&direct, &format!("198.51.100.{n}")).await.expect_problem(400, "malformed");
    }
    from(&direct, "203.0.113.1").await.expect_problem(429, "rate_limited");
}

/// A step of the wall clock gives nobody a second helping.
#[tokio::test]
async fn the_rate_is_counted_by_the_steady_clock() {
    let net = limited().await;
    for _ in 0..20 {
        from(&net, "192.0.2.7").await.expect_problem(400, "malformed");
    }
    net.clock.set("2026-05-26T03:00:00Z".parse().expect("a time"));
    from(&net, "192.0.2.7").await.expect_problem(429, "rate_limited");
    net.clock.set("2026-05-24T03:00:00Z".parse().expect("a time"));
    from(&net, "192.0.2.7").await.expect_problem(429, "rate_limited");
}
