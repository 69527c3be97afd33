//! `kill -9` while key packages are handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use kez_core::PublicKey;
use kez_serve::clock::{Clock as _, SystemClock};
use kez_testkit::{Call, Chance, MlsDevice, one_time_packages, seed};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::devices::{settle, signed};
use crate::form::count;
use crate::start;

/// Accounts that claim at the same time.
const CLAIMERS: usize = 16;
/// Claims of each, as many as the server allows within an hour.
const CLAIMS: u64 = 20;

/// Whose claim, and the number of it.
type Claim = (usize, u64);
/// What each claim was answered.
type Answers = BTreeMap<Claim, Vec<u8>>;

/// Who lost the answer asks again and gets it; a package that was in an answer is in no other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_hands_nothing_out_twice() {
    let mut chance = Chance::new(0x636c_6169_6d73);
    for round in 0..count(2, 50) {
        let dir = tempfile::tempdir().unwrap();
        let given = claim_through_kills(dir.path(), &mut chance).await;
        assert_eq!(given, 100, "round {round}");
    }
}

/// Claims until every claim is answered, with kills in between; how many one-time packages were handed out.
async fn claim_through_kills(dir: &Path, chance: &mut Chance) -> usize {
    let mut server = start(dir);
    let target = settle(server.addr(), &seed("target"), "target").await;
    let now = SystemClock::new().now();
    let encoded = |package: Vec<u8>| BASE64URL_NOPAD.encode(&package);
    let one_time: Vec<_> = target.key_packages(100, now).into_iter().map(encoded).collect();
    let body = json!({"one_time": one_time, "last_resort": encoded(target.last_resort(now))});
    signed(server.addr(), &target.signer(), "PUT", "/v1/keypackages", &body).send().await.expect_status(200);
    let mut claimers = Vec::new();
    for n in 0..CLAIMERS {
        claimers.push(settle(server.addr(), &seed(&format!("claimer {n}")), &format!("claimer-{n}-")).await);
    }
    let mut answers = Answers::new();
    while answers.len() < CLAIMERS * usize::try_from(CLAIMS).unwrap() {
        let before = answers.len();
        let (calls, mut told) = claim_all(server.addr(), &claimers, target.primary(), &answers);
        for _ in 0..=chance.below(100) {
            let Some((claim, answer)) = told.recv().await else { break };
            answers.insert(claim, answer);
        }
        server.kill_9();
        while let Some((claim, answer)) = told.recv().await {
            answers.insert(claim, answer);
        }
        calls.join_all().await;
        assert!(answers.len() > before, "nothing was answered");
        server = start(dir);
        expect_alike(server.addr(), &claimers, target.primary(), &answers).await;
    }
    let mut given = BTreeSet::new();
    for answer in answers.values() {
        for package in one_time_packages(&serde_json::from_slice(answer).unwrap()) {
            assert!(given.insert(package), "a package was handed out twice");
        }
    }
    given.len()
}

/// Everybody makes the claims that were not answered yet, one after the other; answers come as they are read.
fn claim_all(
    addr: SocketAddr,
    claimers: &[MlsDevice],
    target: PublicKey,
    answered: &Answers,
) -> (JoinSet<()>, mpsc::UnboundedReceiver<(Claim, Vec<u8>)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for (n, claimer) in claimers.iter().enumerate() {
        let open = (0..CLAIMS).filter(|id| !answered.contains_key(&(n, *id)));
        let calls: Vec<_> = open.map(|id| (id, claiming(addr, claimer, target, id))).collect();
        let tell = tell.clone();
        clients.spawn(async move {
            for (id, call) in calls {
                let Some(answer) = call.try_send().await else { return };
                let answer = answer.expect_status(200);
                tell.send(((n, id), answer.body().to_vec())).expect("somebody listens");
            }
        });
    }
    (clients, told)
}

/// A claim that was answered before the kill is answered alike after it.
async fn expect_alike(addr: SocketAddr, claimers: &[MlsDevice], target: PublicKey, answers: &Answers) {
    for ((n, id), answer) in answers.iter().step_by(7) {
        let again = claiming(addr, &claimers[*n], target, *id).send().await.expect_status(200);
        assert_eq!(again.body(), answer);
    }
}

fn claiming(addr: SocketAddr, claimer: &MlsDevice, target: PublicKey, id: u64) -> Call {
    let body = json!({"primary": target, "id": format!("{id:032x}")});
    signed(addr, &claimer.signer(), "POST", "/v1/keypackages/claim", &body)
}
