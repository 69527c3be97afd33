//! Who registers: key and handle of each person follow from the case's name and a number.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kez_core::{Envelope, PublicKey, Registration, Seed, Timestamp};
use kez_serve::clock::{Clock as _, SystemClock};
use kez_testkit::process::Program;
use sha2::{Digest as _, Sha256};

use crate::http::{Answer, Connection, REGISTER, expect_found};
use crate::writers::Writers;
use crate::{dump, program};

/// The name of the server under test: the default.
pub(crate) const SERVER: &str = "kez.lat";

/// The people of one case, who come one after another.
#[derive(Debug, Clone)]
pub(crate) struct People {
    case: &'static str,
    next: Arc<AtomicU32>,
}

/// A handle and the key that is to hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) handle: String,
    pub(crate) primary: PublicKey,
}

impl People {
    /// `case`: a few letters that begin every handle.
    pub(crate) fn new(case: &'static str) -> Self {
        Self { case, next: Arc::default() }
    }

    /// Somebody new, with a registration signed now.
    pub(crate) fn next(&self) -> (Person, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seed = Sha256::digest(format!("kez faults {} {number}", self.case));
        let seed = Seed::from_bytes(seed.into());
        let handle = format!("{}{number:07}", self.case);
        let registration = Registration { handle: handle.clone(), server: SERVER.to_owned() };
        let envelope = Envelope::sign(&registration, &seed, now()).unwrap();
        (Person { handle, primary: seed.public_key() }, envelope.canonical().to_owned())
    }

    /// Whether this handle was ever asked for.
    pub(crate) fn asked_for(&self, handle: &str) -> bool {
        let number = handle.strip_prefix(self.case).and_then(|digits| digits.parse::<u32>().ok());
        number.is_some_and(|number| number < self.next.load(Ordering::Relaxed))
    }
}

impl Writers for People {
    type Written = Person;
    /// The number of the last registration that was verified.
    type Verified = i64;
    const DATABASE: &'static str = "kez-chat.db";
    const MEMBERS: &'static [&'static str] =
        &["handle", "primary", "created_at", "key", "sig", "server", "type", "alg"];

    fn new(case: &'static str) -> Self {
        Self::new(case)
    }

    fn program(dir: &Path) -> Program {
        program(dir)
    }

    fn next(&self) -> (Person, String) {
        self.next()
    }

    fn path(_: &Person) -> String {
        REGISTER.to_owned()
    }

    fn note(&self, wanted: &Person, answer: Option<&Answer>) {
        if let Some(answer) = answer.filter(|answer| answer.is_acknowledgement()) {
            assert_eq!(answer.status, 201, "nobody asks twice: {answer:?}");
            assert!(answer.names(wanted), "a record of somebody else: {answer:?}");
        }
    }

    fn leave(&self, _: &Person) {}

    async fn is_shown(connection: &mut Connection, wanted: &Person) -> bool {
        let lookup = connection.get(&format!("/v1/u/{}", wanted.handle)).await.unwrap();
        assert!([200, 404].contains(&lookup.status), "{lookup:?}");
        lookup.status == 200
    }

    async fn expect_found(addr: SocketAddr, written: &[Person]) {
        expect_found(addr, written).await;
    }

    fn verify(&self, db: &Path, verified: &mut i64) -> i64 {
        *verified = dump::verify(db, self, *verified);
        *verified // rows are numbered from 1
    }
}

pub(crate) fn now() -> Timestamp {
    SystemClock::new().now()
}
