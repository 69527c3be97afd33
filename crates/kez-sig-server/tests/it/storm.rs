//! Many at once, for one place.

use std::sync::Arc;

use kez_testkit::{Answer, SigNet};

use crate::{short_or_full, subject};

/// Writers at once.
const WRITERS: usize = 64;

async fn all(calls: Vec<kez_testkit::Call>) -> Vec<Answer> {
    let tasks: Vec<_> = calls.into_iter().map(|call| tokio::spawn(call.send())).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(task.await.expect("no call fails"));
    }
    answers
}

/// 64 writers with the same key and the same sequence number, round after round: exactly one each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_place_goes_to_one_writer() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    let path = Arc::<str>::from(alice.path());
    let rounds = short_or_full(50, 1_000);
    for round in 0..rounds {
        let mut rivals: Vec<_> = (0..WRITERS).map(|_| alice.clone()).collect();
        let calls = rivals
            .iter_mut()
            .enumerate()
            .map(|(n, rival)| net.post(&path).json(rival.add(&subject(n))))
            .collect();
        let answers = all(calls).await;
        let winners: Vec<_> = (0..WRITERS).filter(|n| answers[*n].status() == 201).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        alice = rivals.swap_remove(winners[0]);
        for answer in answers.into_iter().filter(|answer| answer.status() != 201) {
            let told = answer.expect_problem(409, "bad_sequence").json();
            assert_eq!((&told["seq"], &told["hash"]), (&round.into(), &alice.hash().into()), "round {round}");
        }
        if round % 10 == 9 {
            assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [round as u64 + 1]);
        }
    }
    net.restart().await;
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [rounds as u64]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_sent_by_many_is_taken_once() {
    let net = SigNet::start().await;
    let mut alice = net.writer("alice");
    for round in 0..10 {
        let event = alice.add(&subject(round));
        let answers = all((0..WRITERS).map(|_| net.post(&alice.path()).json(event.clone())).collect()).await;
        let taken = answers.iter().filter(|answer| answer.status() == 201).count();
        let confirmed = answers.iter().filter(|answer| answer.status() == 200).count();
        assert_eq!((taken, confirmed), (1, WRITERS - 1), "round {round}");
        assert!(answers.iter().all(|answer| answer.body() == answers[0].body()));
    }
    assert_eq!(net.check_chains().await.into_values().collect::<Vec<_>>(), [10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_chains_grow_side_by_side() {
    let net = SigNet::start().await;
    let mut writers: Vec<_> = (0..WRITERS).map(|n| net.writer(&format!("writer-{n}"))).collect();
    for round in 0..10 {
        let calls = writers
            .iter_mut()
            .map(|writer| net.post(&writer.path()).json(writer.add(&subject(round))))
            .collect();
        assert!(all(calls).await.iter().all(|answer| answer.status() == 201), "round {round}");
    }
    let counts = net.check_chains().await;
    assert!(counts.len() == WRITERS && counts.values().all(|count| *count == 10), "{counts:?}");
}
