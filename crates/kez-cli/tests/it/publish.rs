//! `kez sigchain publish`, against the real sig-server.

use std::fs;
use std::path::PathBuf;

use kez_core::Phrase;
use kez_testkit::{ChainWriter, SigNet, seed};
use serde_json::{Value, json};

use crate::kez::{Computer, Ran};
use crate::lossy::{before_first_post, losing};
use crate::town::server_with;

/// A computer with the identity of the testkit's person by that name.
fn computer_of(name: &str) -> Computer {
    let computer = Computer::new();
    computer.kez_reading("identity restore", &Phrase::from_seed(&seed(name)).words()).exits(0);
    computer
}

impl Computer {
    fn add(&self, subject: &str) {
        self.kez(&format!("sigchain add {subject}")).exits(0);
    }

    fn publish(&self, at: impl std::fmt::Display) -> Ran {
        self.kez(&format!("--json sigchain publish --sig-server http://{at}"))
    }

    fn exported(&self) -> String {
        self.kez("sigchain export").exits(0).out()
    }

    fn held(&self) -> Vec<String> {
        let shown = self.kez("--json sigchain show").json();
        let held = shown["sigchain"]["subjects"].as_array().unwrap().clone();
        held.iter().map(|held| held["subject"].as_str().unwrap().to_owned()).collect()
    }
}

/// The lines that the server has of this person's chain.
async fn served(sig: &SigNet, name: &str) -> String {
    sig.get(&ChainWriter::new(name).path()).await.expect_status(200).text().to_owned()
}

fn counts(outcome: &Value) -> [u64; 4] {
    ["handed_in", "taken_over", "signed_anew", "left_out"].map(|name| outcome[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_what_was_signed_and_once() {
    let sig = SigNet::start().await;
    let alice = computer_of("alice");
    alice.add("github:alice");
    alice.add("dns:example.org");
    let outcome = alice.publish(sig.addr()).json();
    assert_eq!((counts(&outcome), &outcome["events"]), ([2, 0, 0, 0], &json!(2)));
    assert_eq!(served(&sig, "alice").await, alice.exported());
    assert_eq!(counts(&alice.publish(sig.addr()).json()), [0, 0, 0, 0]);
    let shown = alice.kez("--json sigchain show").json();
    assert_eq!((&shown["unpublished"], &shown["published"][0]["events"]), (&json!(0), &json!(2)));
    assert_eq!(sig.check_chains().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_server_says_where() {
    let sig = SigNet::start().await;
    let url = format!("http://{}", sig.addr());
    let net = server_with(|setup| setup.args.sig_server_url = url.parse().unwrap()).await;
    let alice = computer_of("alice");
    alice.register("alice", &net).exits(0);
    let outcome = alice.kez("--json sigchain add github:alice --publish").json();
    assert_eq!(
        (counts(&outcome["published"]), &outcome["published"]["sig_server"]),
        ([1, 0, 0, 0], &json!(url))
    );
    let record = alice.kez("--json whois alice").json()["record"].clone();
    assert_eq!(outcome["published"]["sigchain_url"], record["sigchain_url"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_computer_goes_on_behind_the_first() {
    let sig = SigNet::start().await;
    let (desk, laptop) = (computer_of("alice"), computer_of("alice"));
    desk.add("github:alice");
    desk.publish(sig.addr()).exits(0);
    let published = served(&sig, "alice").await;

    laptop.add("dns:example.org");
    laptop.add("github:alice");
    assert_eq!(counts(&laptop.publish(sig.addr()).json()), [1, 1, 1, 1], "the same again is left out");
    assert_eq!(laptop.held(), ["github:alice", "dns:example.org"]);
    assert!(served(&sig, "alice").await.starts_with(&published), "no published event has changed");

    assert_eq!(counts(&desk.publish(sig.addr()).json()), [0, 1, 0, 0]);
    assert_eq!(desk.exported(), laptop.exported());
    sig.check_chains().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_is_told_and_run_once_more() {
    let sig = SigNet::start().await;
    let (desk, laptop) = (computer_of("alice"), computer_of("alice"));
    desk.add("github:alice");
    laptop.add("dns:example.org");
    let server = sig.addr();
    // The desk publishes between the laptop's look at the chain and its attempt.
    let slow = before_first_post(server, move || drop(desk.publish(server).exits(0)));
    let ran = laptop.publish(slow);
    assert_eq!(ran.err().matches(r#""code":"lost_race""#).count(), 1, "{}", ran.err());
    assert_eq!(counts(&ran.json()), [1, 1, 1, 0]);
    assert_eq!(laptop.held(), ["github:alice", "dns:example.org"]);
    assert_eq!(served(&sig, "alice").await, laptop.exported());
    sig.check_chains().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_computers_at_once_make_one_chain() {
    let sig = SigNet::start().await;
    let computers: Vec<_> = (0..4).map(|_| computer_of("alice")).collect();
    for (at, computer) in computers.iter().enumerate() {
        computer.add(&format!("github:alice-{at}"));
    }
    let server = sig.addr();
    std::thread::scope(|scope| {
        for computer in &computers {
            // Whoever loses twice is told to try again, and nothing of theirs is lost.
            scope.spawn(move || while computer.publish(server).status() != Some(0) {});
        }
    });
    for computer in &computers {
        computer.publish(server).exits(0);
        assert_eq!(computer.exported(), computers[0].exported());
    }
    assert_eq!(computers[0].held().len(), 4);
    sig.check_chains().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_what_is_published_is_refused_and_nothing_signed() {
    let (here, there) = (SigNet::start().await, SigNet::start().await);
    let (desk, laptop) = (computer_of("alice"), computer_of("alice"));
    desk.add("github:alice");
    desk.publish(here.addr()).exits(0);
    laptop.add("dns:example.org");
    laptop.publish(there.addr()).exits(0);

    let (before, their_chain) = (desk.exported(), served(&there, "alice").await);
    desk.add("ens:alice.eth");
    let (code, error) = desk.publish(there.addr()).refusal(5);
    assert_eq!((code.as_str(), &error["seq"]), ("sigchain_forked", &json!(0)));
    assert!(error["message"].as_str().unwrap().starts_with("DO NOT TRUST THIS."), "{error}");
    assert!(desk.exported().starts_with(&before), "a published event was signed anew");
    assert_eq!(served(&there, "alice").await, their_chain);
    assert_eq!(desk.publish(here.addr()).json()["events"], 2, "the rest of the world goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_reached_another_server_is_not_signed_anew() {
    let (here, there) = (SigNet::start().await, SigNet::start().await);
    let (desk, laptop) = (computer_of("alice"), computer_of("alice"));
    desk.add("github:alice");
    // All answers get lost: kez cannot know that the server has it.
    assert_eq!(desk.publish(losing(9, here.addr())).refusal(4).0, "unreachable");
    laptop.add("dns:example.org");
    laptop.publish(there.addr()).exits(0);
    let before = desk.exported();
    assert_eq!(desk.publish(there.addr()).refusal(5).0, "sigchain_forked");
    assert_eq!(desk.exported(), before);
    assert_eq!(counts(&desk.publish(here.addr()).json()), [0, 0, 0, 0], "it was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_asked_for_again() {
    let sig = SigNet::start().await;
    let alice = computer_of("alice");
    alice.add("github:alice");
    let ran = alice.publish(losing(2, sig.addr()));
    assert_eq!(ran.err().matches(r#""code":"retry""#).count(), 2, "{}", ran.err());
    assert_eq!(counts(&ran.json()), [1, 0, 0, 0]);
    assert_eq!(sig.check_chains().await.into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_more_says_when_and_what_is_left_is_kept() {
    let sig = SigNet::with(|args| args.chain_limits = "1/h".parse().unwrap()).await;
    let alice = computer_of("alice");
    alice.add("github:alice");
    alice.add("dns:example.org");
    let (code, error) = alice.publish(sig.addr()).refusal(1);
    assert_eq!((code.as_str(), &error["published"], &error["left"]), ("rate_limited", &json!(1), &json!(1)));
    assert!(error["help"].as_str().unwrap().starts_with("try again in "), "{error}");
    assert_eq!(alice.kez("--json sigchain show").json()["unpublished"], 1);
    let (code, _) = alice
        .kez(&format!("--json sigchain add ens:alice.eth --publish --sig-server http://{}", sig.addr()))
        .refusal(1);
    assert_eq!((code.as_str(), alice.held().len()), ("rate_limited", 3));
    sig.advance_s(3_600);
    let (_, error) = alice.publish(sig.addr()).refusal(1);
    assert_eq!((&error["published"], &error["left"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_a_server_lost_are_handed_in_again_as_they_were() {
    let sig = SigNet::start().await;
    let alice = computer_of("alice");
    alice.add("github:alice");
    alice.publish(sig.addr()).exits(0);
    let old = older_copy(&sig).await;
    alice.add("dns:example.org");
    alice.publish(sig.addr()).exits(0);
    let whole = alice.exported();
    sig.restart_with(|args| args.db = old).await;
    let ran = alice.publish(sig.addr());
    assert!(ran.err().contains(r#""code":"server_lost_entries""#), "{}", ran.err());
    assert_eq!(counts(&ran.json()), [1, 0, 0, 0]);
    assert_eq!((served(&sig, "alice").await, alice.exported()), (whole.clone(), whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_end_of_the_local_file_comes_back_before_anything_is_added() {
    let sig = SigNet::start().await;
    let alice = computer_of("alice");
    alice.add("github:alice");
    alice.add("dns:example.org");
    alice.publish(sig.addr()).exits(0);
    let whole = alice.exported();
    let path = alice.kez("--json sigchain show").json()["file"].as_str().unwrap().to_owned();
    fs::write(&path, format!("{}\n", whole.lines().next().unwrap())).unwrap();
    assert_eq!(alice.kez("--json sigchain add ens:alice.eth").refusal(1).0, "sigchain_lacking");
    assert_eq!(counts(&alice.publish(sig.addr()).json()), [0, 1, 0, 0]);
    assert_eq!(alice.exported(), whole);
    alice.add("ens:alice.eth");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_handed_on_takes_nothing_from_the_old_key() {
    let sig = SigNet::start().await;
    let mut writer = sig.writer("alice");
    for event in [writer.add("github:alice"), writer.rotate("alice anew", false)] {
        sig.append(&writer.path(), event).await.expect_status(201);
    }
    let alice = computer_of("alice");
    alice.add("dns:example.org");
    assert_eq!(alice.publish(sig.addr()).refusal(1).0, "key_replaced");
    let other = computer_of("alice");
    other.publish(sig.addr()).exits(0);
    assert_eq!(other.kez("--json sigchain add dns:example.org").refusal(1).0, "key_replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_a_network_error_and_the_entry_is_kept() {
    let sig = SigNet::start().await;
    let (alice, addr) = (computer_of("alice"), sig.addr());
    sig.stop().await;
    let ran = alice.kez(&format!("--json sigchain add github:alice --publish --sig-server http://{addr}"));
    assert!(ran.err().contains(r#""code":"kept""#), "{}", ran.err());
    assert_eq!(ran.refusal(4).0, "unreachable");
    assert_eq!(alice.held(), ["github:alice"]);
}

/// Copies the server's file as it is now; the server goes on at the same address.
pub(crate) async fn older_copy(sig: &SigNet) -> PathBuf {
    let addr = sig.addr();
    let mut old = PathBuf::new();
    sig.restart_with(|args| {
        old = args.db.with_file_name("older.db");
        fs::copy(&args.db, &old).unwrap();
        args.bind = addr;
    })
    .await;
    old
}
