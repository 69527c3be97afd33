//! Rates of chains and networks, and the bound of the storage.

use kez_serve::client_addr::TrustedProxies;
use kez_serve::flags::Switch;
use kez_sig_server::ByteSize;
use kez_testkit::{Answer, SigNet};

use crate::subject;

/// A server with the chain limits of the defaults.
async fn limited() -> SigNet {
    SigNet::with(|args| args.chain_limits = "10/h,30/d,100/w".parse().expect("limits")).await
}

#[track_caller]
fn refused(answer: Answer, retry_after: &str) {
    let answer = answer.expect_problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some(retry_after), "{answer}");
}

#[tokio::test]
async fn a_chain_grows_by_ten_an_hour_thirty_a_day_a_hundred_a_week() {
    let net = limited().await;
    let mut alice = net.writer("alice");
    let mut taken = 0;
    let hour = async |alice: &mut kez_testkit::ChainWriter, taken: &mut usize| {
        for _ in 0..10 {
            *taken += 1;
            net.append(&alice.path(), alice.add(&subject(*taken))).await.expect_status(201);
        }
    };
    hour(&mut alice, &mut taken).await;
    refused(net.append(&alice.path(), alice.clone().add("github:x")).await, "3600");
    net.advance_s(3_599);
    refused(net.append(&alice.path(), alice.clone().add("github:x")).await, "1");
    net.advance_s(1);
    hour(&mut alice, &mut taken).await;
    net.advance_s(3_600);
    hour(&mut alice, &mut taken).await;
    net.advance_s(3_600);
    refused(
        net.append(&alice.path(), alice.clone().add("github:x")).await,
        &(86_400 - 3 * 3_600).to_string(),
    );
    net.restart().await; // counted by what is stored
    refused(
        net.append(&alice.path(), alice.clone().add("github:x")).await,
        &(86_400 - 3 * 3_600).to_string(),
    );
    for _ in 0..2 {
        net.advance_s(86_400);
        for _ in 0..3 {
            hour(&mut alice, &mut taken).await;
            net.advance_s(3_600);
        }
    }
    net.advance_s(86_400);
    hour(&mut alice, &mut taken).await;
    assert_eq!(taken, 100);
    net.advance_s(3_600);
    let passed = 3 * 3_600 + 2 * (86_400 + 3 * 3_600) + 86_400 + 3_600;
    refused(net.append(&alice.path(), alice.clone().add("github:x")).await, &(604_800 - passed).to_string());
    // The nostr key of the same name, and every other chain, has its own count.
    let mut other = kez_testkit::ChainWriter::nostr("alice");
    for n in 0..10 {
        net.append(&other.path(), other.add(&subject(n))).await.expect_status(201);
    }
    refused(net.append(&other.path(), other.clone().add("github:x")).await, "3600");
    net.check_chains().await;
}

#[tokio::test]
async fn a_revocation_is_never_too_much() {
    let net = limited().await;
    let mut alice = net.writer("alice");
    for n in 0..10 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    for n in 0..10 {
        net.append(&alice.path(), alice.revoke(&subject(n))).await.expect_status(201);
    }
    refused(net.append(&alice.path(), alice.clone().add("github:x")).await, "3600");
    net.check_chains().await;
}

/// What is refused counts for nothing, and neither does the same event again.
#[tokio::test]
async fn only_what_is_taken_counts() {
    let net = limited().await;
    let mut alice = net.writer("alice");
    let first = alice.add("github:alice");
    net.append(&alice.path(), first.clone()).await.expect_status(201);
    for _ in 0..20 {
        net.append(&alice.path(), first.clone()).await.expect_status(200);
        net.append(&alice.path(), "{}").await.expect_problem(400, "malformed");
    }
    for n in 1..10 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    net.append(&alice.path(), first).await.expect_status(200);
}

#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out() {
    let net = limited().await;
    let mut alice = net.writer("alice");
    for n in 0..10 {
        net.append(&alice.path(), alice.add(&subject(n))).await.expect_status(201);
    }
    net.clock.set("2020-01-01T00:00:00Z".parse().expect("a time"));
    net.append(&alice.path(), alice.add("github:x")).await.expect_status(201);
    net.check_chains().await;
}

/// A server behind a proxy on this machine, with network limits on.
async fn behind_a_proxy() -> SigNet {
    SigNet::with(|args| {
        args.rate_limit = Switch::On;
        args.trusted_proxy = TrustedProxies::parse(["127.0.0.1"]).expect("an address");
    })
    .await
}

#[tokio::test]
async fn a_network_begins_twenty_chains_in_ten_minutes() {
    let net = behind_a_proxy().await;
    let begin = async |name: &str, client: &str| {
        let mut writer = net.writer(name);
        let event = writer.add("github:x");
        net.post(&writer.path()).header("x-forwarded-for", client).json(event).send().await
    };
    for n in 0..20 {
        begin(&format!("key-{n}"), &format!("2001:db8:0:1::{n:x}")).await.expect_status(201);
    }
    refused(begin("one more", "2001:db8:0:1:ffff::1").await, "30");
    begin("one more", "2001:db8:0:2::1").await.expect_status(201);
    // A chain that is there is not held up by it.
    begin("key-3", "2001:db8:0:1::3").await.expect_status(200);
    let mut writer = net.writer("key-3");
    writer.add("github:x");
    let call =
        net.post(&writer.path()).header("x-forwarded-for", "2001:db8:0:1::3").json(writer.add("github:y"));
    call.send().await.expect_status(201);
    assert_eq!(net.check_chains().await.len(), 21);
}

#[tokio::test]
async fn a_network_sends_reads_and_bundles_at_its_rate() {
    let net = behind_a_proxy().await;
    let path = net.writer("alice").path();
    let ask = async |method: &str, target: &str| {
        let call = net.call(method, target).header("x-forwarded-for", "192.0.2.7");
        if method == "POST" { call.json("{}").send().await } else { call.send().await }
    };
    for (method, target, times, code, retry_after) in [
        ("POST", path.clone(), 120, "malformed", "1"),
        ("GET", format!("{path}/bundle"), 30, "not_found", "2"),
        ("GET", format!("{path}/head"), 600, "not_found", "1"),
    ] {
        for _ in 0..times {
            assert_eq!(ask(method, &target).await.code(), code);
        }
        refused(ask(method, &target).await, retry_after);
    }
    assert_eq!(ask("GET", &path).await.code(), "rate_limited", "whole chains and heads are one rate");
}

#[tokio::test]
async fn a_full_storage_takes_no_new_chains_first() {
    let net = SigNet::with(|args| args.storage_max = ByteSize(100_000)).await;
    let mut alice = net.writer("alice");
    let long = |n: usize| format!("web:{n}-{}", "x".repeat(480));
    let mut n = 0;
    while net.store().totals().await.expect("totals").bytes < 74_000 {
        n += 1;
        net.append(&alice.path(), alice.add(&long(n))).await.expect_status(201);
    }
    let mut bob = net.writer("bob");
    let full = net.append(&bob.path(), bob.add(&long(0))).await.expect_problem(507, "storage_full");
    assert_eq!(full.header("retry-after"), Some("30"));
    while net.store().totals().await.expect("totals").bytes < 94_000 {
        n += 1;
        net.append(&alice.path(), alice.add(&long(n))).await.expect_status(201);
    }
    net.append(&alice.path(), alice.clone().add(&long(n + 1))).await.expect_problem(507, "storage_full");
    net.append(&alice.path(), alice.revoke(&long(1))).await.expect_status(201);
    net.get("/v1/readyz").await.expect_status(200);
    net.check_chains().await;
    net.restart_with(|args| args.storage_max = ByteSize(1 << 30)).await;
    net.append(&net.writer("carol").path(), net.writer("carol").add(&long(0))).await.expect_status(201);
    net.check_chains().await;
}
