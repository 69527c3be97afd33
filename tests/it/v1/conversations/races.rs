//! What many do at once is as if they had done it one after the other.

use kez_testkit::{Call, DeviceActor, Net};

use super::{CONVERSATIONS, below, bundle, cid, creation, get, log, people, post, posting, said};
use crate::support::short_or_full;

/// Four people with two devices each in a group, number 1.
async fn eight() -> (Net, Vec<DeviceActor>) {
    let (net, phones) = people(["alice", "bob", "carol", "dora"]).await;
    let mut devices = phones.to_vec();
    for phone in &phones {
        let laptop = phone.owner().device("laptop");
        laptop.enrol().await.expect_status(201);
        devices.push(laptop);
    }
    let all: Vec<_> = phones.iter().collect();
    let first = bundle(cid(1), "creation", 0, &all, &all[1..]);
    post(&phones[0], CONVERSATIONS, &creation(cid(1), "group", &first)).await.expect_status(201);
    (net, devices)
}

#[tokio::test]
async fn one_of_eight_commits_ends_an_epoch() {
    let (net, devices) = eight().await;
    let people: Vec<_> = devices.iter().take(4).collect();
    let rounds = short_or_full(50, 500);
    for epoch in 1..=u64::try_from(rounds).expect("a small number") {
        let calls: Vec<Call> = devices
            .iter()
            .enumerate()
            .map(|(n, device)| {
                let bundle = bundle(cid(1), &format!("{epoch} {n}"), epoch, &people, &[]);
                posting(device, &below(cid(1), "commit"), &bundle.json())
            })
            .collect();
        let mut winners = 0;
        for answer in net.storm(calls, 8).await {
            if answer.status() == 201 {
                winners += 1;
                assert_eq!(answer.json()["epoch"], epoch + 1);
            } else {
                let head = answer.expect_problem(409, "stale_epoch").json();
                assert_eq!((&head["epoch"], &head["seq"]), (&(epoch + 1).into(), &(epoch + 1).into()));
            }
        }
        assert_eq!(winners, 1, "epoch {epoch}");
    }
    net.check_conversations();
}

#[tokio::test]
async fn two_people_who_start_at_once_have_one_conversation() {
    let (net, [alice, bob]) = people(["alice", "bob"]).await;
    let start = |n: u8| {
        let (by, peer) = if n.is_multiple_of(2) { (&alice, &bob) } else { (&bob, &alice) };
        let body = creation(cid(n), "direct", &bundle(cid(n), "b", 0, &[by, peer], &[peer]));
        posting(by, CONVERSATIONS, &body)
    };
    let answers = net.together((0..32).map(start).collect()).await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status() == 201);
    assert_eq!((created.len(), refused.len()), (1, 31));
    let winner = &created[0].json()["cid"];
    for answer in refused {
        assert_eq!(answer.code(), "conversation_exists");
        assert_eq!(&answer.json()["cid"], winner);
    }
    let list = get(&bob, CONVERSATIONS).await.json();
    assert_eq!(
        (&list["conversations"][0]["cid"], list["conversations"].as_array().map(Vec::len)),
        (winner, Some(1))
    );
    net.check_conversations();
}

#[tokio::test]
async fn a_frame_sent_many_times_at_once_is_stored_once() {
    let (net, devices) = eight().await;
    for round in 0..5 {
        let body = said(cid(1), &format!("round {round}"), 1);
        // Alice's two devices: the account is one sender.
        let calls = (0..32).map(|n| posting(&devices[n % 2 * 4], &below(cid(1), "frames"), &body)).collect();
        let answers = net.together(calls).await;
        let new = answers.iter().filter(|answer| answer.status() == 201).count();
        let first = answers[0].json();
        assert!(answers.iter().all(|answer| answer.json() == first), "{first}");
        assert_eq!((new, &first["seq"]), (1, &(round + 2).into()));
    }
    net.check_conversations();
}

#[tokio::test]
async fn frames_and_commits_at_once_leave_no_gap() {
    let (net, devices) = eight().await;
    let people: Vec<_> = devices.iter().take(4).collect();
    let mut accepted = 1;
    for epoch in 1..=10_u64 {
        let frame = |n: usize, device| {
            let body = said(cid(1), &format!("said {epoch} {n}"), epoch);
            posting(device, &below(cid(1), "frames"), &body)
        };
        let mut calls: Vec<_> = devices.iter().enumerate().map(|(n, device)| frame(n, device)).collect();
        let ending = bundle(cid(1), &format!("end {epoch}"), epoch, &people, &[]);
        calls.insert(4, posting(&devices[0], &below(cid(1), "commit"), &ending.json()));
        for answer in net.together(calls).await {
            if answer.status() == 201 {
                accepted += 1;
            } else {
                answer.expect_problem(409, "stale_epoch");
            }
        }
    }
    assert_eq!(log(&devices[0], cid(1)).await, (1..=accepted).collect::<Vec<u64>>());
    net.check_conversations();
}
