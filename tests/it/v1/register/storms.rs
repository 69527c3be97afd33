//! Many at once, for one place.

use std::collections::BTreeMap;

use kez_chat_server::config::RegistrationMode;
use kez_testkit::{Answer, Net};

use crate::support::short_or_full;

/// Requests under way at any moment.
const AT_ONCE: usize = 256;

/// How often each outcome came: the status, or the code of a problem.
fn outcomes(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        let outcome = if answer.status() < 400 { answer.status().to_string() } else { answer.code() };
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(outcome, count)| (outcome.to_owned(), count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_handle_wanted_by_many_keys_goes_to_one() {
    let net = Net::start().await;
    let keys = short_or_full(1_000, 10_000);
    let calls = (0..keys).map(|n| net.actor(&format!("wanter-{n}")).registering("prize")).collect();
    let answers = net.storm(calls, AT_ONCE).await;
    assert_eq!(outcomes(&answers), counts([("201", 1), ("handle_taken", keys - 1)]));
    let winner = answers.iter().find(|answer| answer.status() == 201).expect("a winner").json();
    let registry = net.check_registry().await;
    assert_eq!(registry.accounts.len(), 1);
    assert_eq!(registry.accounts["prize"], winner["primary"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_envelope_sent_a_thousand_times_is_one_registration() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let thousand = || (0..1_000).map(|_| net.post("/v1/register").json(envelope.clone())).collect();
    let answers = net.storm(thousand(), AT_ONCE).await;
    assert_eq!(outcomes(&answers), counts([("200", 999), ("201", 1)]));
    assert!(answers.iter().all(|answer| answer.body() == answers[0].body()));
    assert_eq!(net.check_registry().await.accounts.len(), 1);

    net.restart().await;
    let after_restart = net.storm(thousand(), AT_ONCE).await;
    assert_eq!(outcomes(&after_restart), counts([("200", 1_000)]));

    // Six minutes back: outside the window, and before the registration itself.
    net.clock.set("2026-05-25T02:54:00Z".parse().expect("a time"));
    let after_step = net.storm(thousand(), AT_ONCE).await;
    assert_eq!(outcomes(&after_step), counts([("200", 1_000)]));
    assert!(after_step.iter().all(|answer| answer.body() == answers[0].body()));
    assert_eq!(net.check_registry().await.accounts.len(), 1);

    // Nor does any of it come back once the handle was given up.
    net.give_up("alice").await;
    net.clock.set(kez_testkit::START.parse().expect("a time"));
    assert_eq!(outcomes(&net.storm(thousand(), AT_ONCE).await), counts([("envelope_used", 1_000)]));
    let registry = net.check_registry().await;
    assert_eq!((registry.accounts.len(), registry.given_up), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_handles_for_one_key_give_it_one() {
    let net = Net::start().await;
    let alice = net.actor("alice");
    let calls = (0..1_000).map(|n| alice.registering(&format!("alice{}", letters(n)))).collect();
    let answers = net.storm(calls, AT_ONCE).await;
    assert_eq!(outcomes(&answers), counts([("201", 1), ("key_taken", 999)]));
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_look_alikes_one_exists() {
    let net = Net::start().await;
    // Each of eight places is o or 0.
    let spelling = |n: usize| (0..8).map(|bit| if n >> bit & 1 == 0 { 'o' } else { '0' }).collect::<String>();
    let calls = (0..256)
        .map(|n| net.actor(&format!("twin-{n}")).registering(&format!("z{}z", spelling(n))))
        .collect();
    let answers = net.storm(calls, AT_ONCE).await;
    assert_eq!(outcomes(&answers), counts([("201", 1), ("handle_confusable", 255)]));
    assert_eq!(net.check_registry().await.accounts.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_five_admits_five_of_a_crowd() {
    let net = Net::with(|setup| setup.args.registration = RegistrationMode::Invite).await;
    let (id, token) = net.invite(5, 3_600).await;
    let calls = (0..200)
        .map(|n| {
            net.actor(&format!("guest-{n}"))
                .registering(&format!("guest{}", letters(n)))
                .header("kez-invite", &token)
        })
        .collect();
    let answers = net.storm(calls, AT_ONCE).await;
    assert_eq!(outcomes(&answers), counts([("201", 5), ("invite_required", 195)]));
    let registry = net.check_registry().await;
    assert_eq!((registry.accounts.len(), registry.invites[&id]), (5, 0));
}

/// Everybody gets a place when nobody is in anybody's way; the crowd is there after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_different_people_all_get_in() {
    let net = Net::start().await;
    let calls = (0..500)
        .map(|n| net.actor(&format!("crowd-{n}")).registering(&format!("crowd{}", letters(n))))
        .collect();
    assert_eq!(outcomes(&net.storm(calls, AT_ONCE).await), counts([("201", 500)]));
    net.restart().await;
    assert_eq!(net.check_registry().await.accounts.len(), 500);
}

/// Waiting for the same commit, each still gets a verdict of its own.
#[tokio::test]
async fn those_who_wait_for_one_commit_are_told_apart() {
    let net = Net::with(|setup| setup.args.registration = RegistrationMode::Invite).await;
    let (id, token) = net.invite(40, 3_600).await;
    let call = |name: &str, handle: &str| net.actor(name).registering(handle).header("kez-invite", &token);
    let same = net.actor("alice").registration("alice");
    let again = || net.post("/v1/register").json(same.clone()).header("kez-invite", &token);

    let calls = (0..20).map(|_| again()).collect();
    assert_eq!(outcomes(&net.together(calls).await), counts([("200", 19), ("201", 1)]));
    assert_eq!(net.check_registry().await.invites[&id], 39);

    let calls = (0..20).map(|n| call(&format!("wanter-{n}"), "prize")).collect();
    assert_eq!(outcomes(&net.together(calls).await), counts([("201", 1), ("handle_taken", 19)]));
    let calls = (0..20).map(|n| call("bob", &format!("bob{}", letters(n)))).collect();
    assert_eq!(outcomes(&net.together(calls).await), counts([("201", 1), ("key_taken", 19)]));
    let calls = (0..20).map(|n| call(&format!("twin-{n}"), &format!("t{}win", "-".repeat(n)))).collect();
    assert_eq!(outcomes(&net.together(calls).await), counts([("201", 1), ("handle_confusable", 19)]));
    assert_eq!(net.check_registry().await.invites[&id], 36, "a refusal costs nothing");

    let calls = (0..50).map(|n| call(&format!("guest-{n}"), &format!("guest{}", letters(n)))).collect();
    assert_eq!(outcomes(&net.together(calls).await), counts([("201", 36), ("invite_required", 14)]));
    let registry = net.check_registry().await;
    assert_eq!((registry.accounts.len(), registry.invites[&id]), (40, 0));
}

/// 1,024 wait behind the one at work; those who find no place are told so at once, and lose nothing by it.
#[tokio::test]
async fn a_crowd_beyond_the_queue_is_told_to_come_back() {
    let net = Net::start().await;
    let envelope = net.actor("alice").registration("alice");
    let call = || net.post("/v1/register").json(envelope.clone());
    let answers = net.together((0..1_100).map(|_| call()).collect()).await;
    let (busy, served): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 503);
    assert_eq!(outcomes(&served), counts([("200", served.len() - 1), ("201", 1)]));
    assert!(served.len() >= 1_025, "{} of 1,025 places", served.len());
    assert!(!busy.is_empty(), "1,100 found a place");
    for answer in busy {
        assert_eq!(answer.expect_problem(503, "busy").header("retry-after"), Some("1"));
    }
    call().send().await.expect_status(200);
}

/// A number in letters no two of which are folded into each other.
fn letters(n: usize) -> String {
    [n / 100 % 10, n / 10 % 10, n % 10].map(|digit| char::from(b"abcdefghkp"[digit])).into_iter().collect()
}
