//! Verifies the whole registry again, from the signed documents up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kez_chat_server::store::Account;
use kez_core::{Envelope, EnvelopeError, Handle, Registration, Verified};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::net::Net;

/// Accounts asked for at a time: small, so that paging is exercised.
const PAGE: u32 = 100;
/// How far a registration's date may lie from when it was accepted, in nanoseconds: the 300 s of SPEC "Registration",
/// and the fraction of a second that `registered_at` does not show.
const SKEW_NANOS_MAX: u128 = 301_000_000_000;

/// What a registry holds, once it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Keys by handle.
    pub accounts: BTreeMap<String, String>,
    /// How many handles were given up.
    pub given_up: u32,
    /// Uses left of each invite that is stored, by its number.
    pub invites: BTreeMap<i64, u32>,
}

impl Net {
    /// Verifies every stored registration again from its envelope, the rules between them, that all ways of looking
    /// somebody up agree, and the file below.
    pub async fn check_registry(&self) -> Registry {
        let evidence = self.evidence().await;
        let (mut keys, mut skeletons, mut accounts) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        for (account, text) in &evidence {
            self.check_evidence(account, text);
            assert!(keys.insert(account.primary), "two handles for {}", account.primary);
            let skeleton = account.handle.skeleton();
            assert!(skeletons.insert(skeleton.as_str().to_owned()), "two handles look like {skeleton:?}");
            let handle = account.handle.to_string();
            let before = accounts.insert(handle, account.primary.to_string());
            assert!(before.is_none(), "{} stands twice", account.handle);
            self.check_lookups(account).await;
        }
        let registry = read_file(&self.args().db, &evidence);
        assert_eq!(registry.accounts, accounts, "the file and the store's evidence differ");
        registry
    }

    async fn evidence(&self) -> Vec<(Account, String)> {
        let store = self.store();
        let mut all = Vec::<(Account, String)>::new();
        let mut seen = BTreeSet::new();
        loop {
            let after = all.last().map(|(account, _)| account.handle.clone());
            let page = store.evidence(after.as_ref(), PAGE).await.expect("the store answers");
            let is_new = page.iter().all(|(account, _)| seen.insert(account.handle.clone()));
            assert!(is_new, "a page goes back");
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// Believes nothing about an account but what its key has signed.
    fn check_evidence(&self, account: &Account, text: &str) {
        let envelope: Verified<Registration> = Envelope::parse(text.as_bytes())
            .map_err(EnvelopeError::from)
            .and_then(Envelope::verify)
            .unwrap_or_else(|error| panic!("the envelope of {} is not believed: {error}", account.handle));
        let signed = envelope.document();
        assert_eq!(envelope.canonical(), text, "the envelope of {} is not canonical", account.handle);
        assert_eq!(signed.handle, account.handle.as_str());
        assert_eq!(signed.server, self.server_name());
        assert_eq!(envelope.primary(), account.primary);
        let handle: Handle = signed.handle.parse().expect("a handle");
        assert_eq!(handle.reserved(), None, "{handle} is reserved");
        let skew = envelope.created_at().distance_nanos(account.registered_at);
        assert!(skew < SKEW_NANOS_MAX, "{handle} was accepted {skew} ns from its date");
    }

    /// By handle, by key and by WebFinger, the same person is found.
    async fn check_lookups(&self, account: &Account) {
        let (handle, primary) = (&account.handle, account.primary);
        let args = self.args();
        let record = json!({
            "handle": handle,
            "fqhn": format!("{handle}@{}", args.server),
            "primary": primary,
            "sigchain_url": format!("{}/v1/sigchains/ed25519/{}", args.sig_server_url, primary.to_hex()),
            "registered_at": account.registered_at,
        });
        for target in [format!("/v1/u/{handle}"), format!("/v1/by-primary/{primary}")] {
            let answer = self.get(&target).await.expect_status(200);
            assert_eq!(answer.json(), record, "{target}");
        }
        let target = format!("/.well-known/webfinger?resource=acct:{handle}@{}", args.server);
        let jrd = self.get(&target).await.expect_status(200).json();
        assert_eq!(jrd["subject"], format!("acct:{handle}@{}", args.server));
        assert_eq!(jrd["properties"]["https://kez.lat/ns/primary"], record["primary"]);
        assert_eq!(jrd["aliases"][0], record["primary"]);
    }
}

/// Reads the file beside the server, without its code.
fn read_file(path: &Path, evidence: &[(Account, String)]) -> Registry {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens");
    let db = db.unchecked_transaction().expect("a snapshot");
    let text = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).expect("an answer");
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u32>(0)).expect("a count");
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    // Each handle was given out by one registration, and no registration gave out nothing.
    let handles = count("SELECT count(*) FROM handles");
    assert_eq!(handles, count("SELECT count(*) FROM registrations"));
    assert_eq!(
        handles,
        count(
            "SELECT count(*) FROM handles h JOIN registrations r ON r.id = h.registration AND r.handle = h.handle"
        )
    );
    // A given-up account leaves its handle and its hash, nothing else.
    assert_eq!(
        0,
        count(
            "SELECT count(*) FROM handles h JOIN registrations r ON r.id = h.registration WHERE (h.primary_key IS NULL) <> (r.envelope IS NULL)"
        )
    );
    for (account, text) in evidence {
        check_row(&db, account, text);
    }
    let mut accounts = db
        .prepare(
            "SELECT handle, 'ed25519:' || lower(hex(primary_key)) FROM handles WHERE primary_key IS NOT NULL",
        )
        .expect("a statement");
    let accounts = accounts.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let mut invites = db.prepare("SELECT id, uses_left FROM invites").expect("a statement");
    let invites = invites.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    Registry {
        accounts: accounts.collect::<Result<_, _>>().expect("rows"),
        given_up: count("SELECT count(*) FROM handles WHERE primary_key IS NULL"),
        invites: invites.collect::<Result<_, _>>().expect("rows"),
    }
}

/// The columns that are derived from the envelope are derived from it.
fn check_row(db: &Connection, account: &Account, text: &str) {
    let (skeleton, hash): (String, [u8; 32]) = db
        .prepare_cached("SELECT h.skeleton, r.payload_sha256 FROM handles h JOIN registrations r ON r.id = h.registration WHERE h.handle = ?1")
        .and_then(|mut row| row.query_row([account.handle.as_str()], |row| Ok((row.get(0)?, row.get(1)?))))
        .expect("a row");
    assert_eq!(skeleton, account.handle.skeleton().as_str());
    let envelope: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let payload = kez_core::json::parse(envelope["payload"].to_string().as_bytes()).expect("strict JSON");
    let signed = payload.canonical().expect("a canonical form");
    assert_eq!(hash, <[u8; 32]>::from(Sha256::digest(signed)), "the replay hash of {}", account.handle);
}
