//! Many who want the same packages at once.

use std::collections::BTreeSet;

use kez_testkit::{Call, Net, one_time_packages};

use super::{claiming, fill, packages, put, settle};
use crate::support::short_or_full;

const CLAIMERS: usize = 64;
const PACKAGES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_one_time_package_is_given_twice() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let mut claimers = Vec::new();
    for n in 0..CLAIMERS {
        claimers.extend(settle(&net, &format!("claimer-{n}-"), ["phone"]).await);
    }
    fill(&net, &alice, 0).await;
    let mut given = BTreeSet::new();
    for round in 0..short_or_full(4, 500) {
        let body = packages(&alice.key_packages(PACKAGES, net.now()), None);
        put(&net, &alice, &body).await.expect_status(200);
        let id = u64::try_from(round).expect("small");
        let calls: Vec<Call> =
            claimers.iter().map(|claimer| claiming(&net, claimer, alice.primary(), id)).collect();
        let answers =
            if round % 2 == 0 { net.storm(calls, CLAIMERS).await } else { net.together(calls).await };
        let mut last_resorts = 0;
        for answer in answers {
            let answer = answer.expect_status(200).json();
            let once = one_time_packages(&answer);
            last_resorts += usize::from(once.is_empty());
            assert!(once.into_iter().all(|package| given.insert(package)), "a package was given twice");
            assert_eq!(answer["key_packages"].as_array().map(Vec::len), Some(1));
        }
        assert_eq!(last_resorts, CLAIMERS - PACKAGES);
        assert_eq!(given.len(), (round + 1) * PACKAGES);
        net.check_key_packages();
        net.advance_s(3_600);
    }
}

/// One who asks on all of its connections at once is given one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_claim_sent_many_times_takes_one_package() {
    let net = Net::start().await;
    let [alice] = settle(&net, "alice", ["phone"]).await;
    let [bob] = settle(&net, "bob", ["phone"]).await;
    fill(&net, &alice, 5).await;
    let calls = (0..32).map(|_| claiming(&net, &bob, alice.primary(), 1)).collect();
    let answers = net.together(calls).await;
    assert!(answers.iter().all(|answer| answer.status() == 200 && answer.body() == answers[0].body()));
    assert_eq!(net.check_key_packages().devices[&alice.id()].one_time, 4);
}
