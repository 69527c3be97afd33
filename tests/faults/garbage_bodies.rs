//! Spoilt envelopes: nobody gets a handle that they did not sign for, and no event gets another hash than it was signed
//! for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::task::JoinSet;

use kez_testkit::Chance;

use crate::authors::Authors;
use crate::form::count;
use crate::http::{Connection, get};
use crate::people::People;
use crate::writers::Writers;

/// Connections at a time.
const AT_ONCE: u32 = 16;

/// How often which answer came: status and code.
type Answers = BTreeMap<(u16, String), u32>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_envelope_registers_nobody() {
    withstand::<People>(count(2_000, 100_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_envelope_extends_no_chain() {
    withstand::<Authors>(count(1_000, 100_000)).await;
}

async fn withstand<W: Writers>(bodies: u32) {
    let dir = tempfile::tempdir().unwrap();
    let server = W::start(dir.path());
    let writers = W::new("spoilt");
    let mut running = JoinSet::new();
    for first in 0..AT_ONCE {
        running.spawn(send(server.addr(), writers.clone(), first, bodies));
    }
    let mut answers = Answers::new();
    while let Some(some) = running.join_next().await {
        some.unwrap().into_iter().for_each(|(answer, times)| *answers.entry(answer).or_default() += times);
    }
    println!("{answers:?}");
    assert_eq!(get(server.addr(), "/v1/readyz").await.status, 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let acknowledged = answers.get(&(201, String::new())).copied().unwrap_or(0);
    assert_eq!(writers.verify_all(dir.path()), i64::from(acknowledged));
    assert_eq!(server.stop_term().code, Some(0));
}

async fn send<W: Writers>(addr: SocketAddr, writers: W, first: u32, bodies: u32) -> Answers {
    let mut connection = Connection::open(addr).await.unwrap();
    let mut answers = Answers::new();
    for number in (first..bodies).step_by(AT_ONCE as usize) {
        let [(own, own_text), (other, other_text)] = [writers.next(), writers.next()];
        let mut chance = Chance::new(u64::from(number));
        let body = spoilt(own_text.as_bytes(), other_text.as_bytes(), W::MEMBERS, &mut chance);
        let answer = connection.post(&W::path(&own), &body).await.unwrap();
        let text = String::from_utf8_lossy(&body);
        match answer.status {
            // Spoilt only where it does not matter: the signed words are what somebody signed.
            200 | 201 => {
                let payload = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap()["payload"].take();
                let is_own = payload(&body) == payload(own_text.as_bytes());
                let is_signed = is_own || payload(&body) == payload(other_text.as_bytes());
                assert!(is_signed, "body {number}: {text}: {answer:?}");
                let (sent, left) = if is_own { (&own, &other) } else { (&other, &own) };
                writers.note(sent, Some(&answer));
                writers.leave(left);
            }
            400..500 => {
                answer.expect_problem_body();
                writers.note(&own, Some(&answer));
                writers.leave(&other);
            }
            _ => panic!("body {number}: {text}: {answer:?}"),
        }
        if answer.header("connection") == Some("close") {
            connection = Connection::open(addr).await.unwrap();
        }
        *answers.entry((answer.status, answer.code())).or_default() += 1;
    }
    answers
}

/// Pieces of JSON that readers differ about.
const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "1.0",
    "1e0",
    "-0",
    "9007199254740993",
    "1e400",
    "\u{feff}",
    " ",
    "\n",
    "\0",
    "\"kez\":\"handle_registration\",",
    "\"handle\":\"mallory\",",
    "\"version\":1,",
    "\"\\u0068andle\":\"mallory\",",
    "\"signature\":{},",
    "\"seq\":0,",
    "\"prev\":null,",
    "\"op\":\"revoke\",",
    "NaN",
    "/**/",
];

/// An envelope of one person, spoilt in one to three ways, some of them with pieces of another's.
fn spoilt(own: &[u8], other: &[u8], members: &[&str], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = own.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + 1 + chance.below(60)).min(bytes.len());
        match chance.below(10) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << chance.below(8)),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            5 => drop(bytes.splice(at..at, bytes[at..end].repeat(chance.below(400)))),
            6 => {
                let piece = chance.one_of(PIECES);
                let at = if piece.ends_with(',') { first_member(&bytes, chance) } else { at };
                bytes.splice(at..at, piece.bytes());
            }
            7 => drop(bytes.splice(at..end, (0..4).map(|_| chance.byte()).collect::<Vec<_>>())),
            8 => swap_member(&mut bytes, other, chance.one_of::<&str>(members)),
            _ => {
                let same = at.min(other.len());
                bytes.truncate(same);
                bytes.extend_from_slice(&other[same..]);
            }
        }
    }
    bytes
}

/// Where the first member of one of the objects begins: a whole member there leaves it JSON.
fn first_member(bytes: &[u8], chance: &mut Chance) -> usize {
    let objects: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b'{').collect();
    if objects.is_empty() { 0 } else { chance.one_of(&objects) + 1 }
}

/// Gives one member the value it has in the other's envelope.
fn swap_member(bytes: &mut Vec<u8>, other: &[u8], member: &str) {
    let value = |bytes: &[u8]| {
        let name = format!("\"{member}\":\"");
        let start = bytes.windows(name.len()).position(|window| window == name.as_bytes())? + name.len();
        let length = bytes[start..].iter().position(|byte| *byte == b'"')?;
        Some(start..start + length)
    };
    if let (Some(here), Some(there)) = (value(bytes), value(other)) {
        bytes.splice(here, other[there].to_vec());
    }
}
