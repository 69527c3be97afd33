//! Handles, registrations, invites.

use async_trait::async_trait;
use kez_core::{Handle, PublicKey, Timestamp};
use kez_serve::sqlite::JobError;
use kez_serve::storage::unrefused;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::operations::{self, Entry};
use super::{SqliteStore, damaged, read_time};
use crate::invite::{Invite, InviteHash};
use crate::registration::Accepted;
use crate::store::{Account, Action, INVITES_MAX, Past, RegisterRefusal, Registered, Registry, StoreError};

const ACCOUNT_BY_HANDLE: &str = "SELECT handle, primary_key, registered_at, checksum FROM handles
    WHERE id = ?1 AND primary_key IS NOT NULL";
const ACCOUNT_BY_PRIMARY: &str =
    "SELECT handle, primary_key, registered_at, checksum FROM handles WHERE primary_key = ?1";

#[async_trait]
impl Registry for SqliteStore {
    async fn by_handle(&self, handle: &Handle) -> Result<Option<Account>, StoreError> {
        let account = self.database.read(|db| account(db, ACCOUNT_BY_HANDLE, id(handle)))?;
        Ok(account.filter(|account| account.handle == *handle))
    }

    async fn by_primary(&self, primary: &PublicKey) -> Result<Option<Account>, StoreError> {
        Ok(self.database.read(|db| account(db, ACCOUNT_BY_PRIMARY, primary.as_bytes()))?)
    }

    async fn past_registration(&self, payload_sha256: &[u8; 32]) -> Result<Option<Past>, StoreError> {
        Ok(self.database.read(|db| past(db, payload_sha256))?)
    }

    async fn register(&self, wanted: Accepted) -> Result<Result<Registered, RegisterRefusal>, StoreError> {
        Ok(self.database.write(move |db| register(db, &wanted)).await?)
    }

    async fn give_up(&self, handle: &Handle) -> Result<bool, StoreError> {
        let handle = handle.clone();
        unrefused(self.database.write(move |db| Ok(give_up(db, &handle)?)).await)
    }

    async fn create_invite(
        &self,
        hash: InviteHash,
        uses: u32,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        unrefused(self.database.write(move |db| Ok(create_invite(db, hash, uses, expires_at, now)?)).await)
    }

    async fn invites(&self, now: Timestamp) -> Result<Vec<Invite>, StoreError> {
        Ok(self.database.read(|db| invites(db, now))?)
    }

    async fn revoke_invite(&self, id: i64, at: Timestamp) -> Result<bool, StoreError> {
        unrefused(self.database.write(move |db| Ok(revoke_invite(db, id, at)?)).await)
    }

    async fn evidence(
        &self,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Vec<(Account, String)>, StoreError> {
        Ok(self.database.read(|db| evidence(db, after, limit))?)
    }
}

fn register(db: &Connection, wanted: &Accepted) -> Result<Registered, JobError<RegisterRefusal>> {
    if let Some(past) = past(db, &wanted.payload_sha256)? {
        return Ok(Registered::Before(past));
    }
    if let Some(invite) = wanted.invite
        && !use_invite(db, invite, wanted.at)?
    {
        return Err(JobError::Refused(RegisterRefusal::InviteRefused));
    }
    match insert(db, wanted) {
        Ok(account) => Ok(Registered::New(account)),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            Err(conflict(db, wanted)?.map_or(JobError::Sqlite(error), JobError::Refused))
        }
        Err(error) => Err(error.into()),
    }
}

fn insert(db: &Connection, wanted: &Accepted) -> rusqlite::Result<Account> {
    let account =
        Account { handle: wanted.handle.clone(), primary: wanted.primary, registered_at: wanted.at };
    db.prepare_cached("INSERT INTO registrations (payload_sha256, handle, envelope) VALUES (?1, ?2, ?3)")?
        .execute(params![wanted.payload_sha256, wanted.handle.as_str(), wanted.envelope])?;
    db.prepare_cached(
        "INSERT INTO handles (id, handle, skeleton, primary_key, registered_at, registration, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id(&account.handle),
        account.handle.as_str(),
        account.handle.skeleton().as_str(),
        account.primary.as_bytes(),
        account.registered_at.unix_seconds(),
        db.last_insert_rowid(),
        checksum(&account),
    ])?;
    Ok(account)
}

/// Names the rule that the schema enforced; SQLite says only which index it met first.
fn conflict(db: &Connection, wanted: &Accepted) -> rusqlite::Result<Option<RegisterRefusal>> {
    let is_there = |condition, value: &dyn ToSql| {
        db.prepare_cached(&format!("SELECT 1 FROM handles WHERE {condition}"))?.exists([value])
    };
    Ok(if is_there("id = ?1", &id(&wanted.handle))? {
        Some(RegisterRefusal::HandleTaken)
    } else if is_there("primary_key = ?1", &wanted.primary.as_bytes())? {
        Some(RegisterRefusal::KeyTaken)
    } else if is_there("skeleton = ?1", &wanted.handle.skeleton().as_str())? {
        Some(RegisterRefusal::HandleConfusable)
    } else {
        None
    })
}

fn past(db: &Connection, payload_sha256: &[u8; 32]) -> rusqlite::Result<Option<Past>> {
    let handle = db
        .prepare_cached("SELECT handle FROM registrations WHERE payload_sha256 = ?1")?
        .query_row([payload_sha256], |row| read_handle(row, 0))
        .optional()?;
    let Some(handle) = handle else { return Ok(None) };
    let account = account(db, ACCOUNT_BY_HANDLE, id(&handle))?;
    Ok(Some(account.map_or(Past::GivenUp, Past::Holds)))
}

/// The column `id` of a handle's row. Who makes two handles with one number gets the second refused as taken.
pub(super) fn id(handle: &Handle) -> i64 {
    first_8(&Sha256::digest(handle.as_str()).into())
}

fn first_8(digest: &[u8; 32]) -> i64 {
    digest.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

fn read_handle(row: &Row<'_>, column: usize) -> rusqlite::Result<Handle> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error| damaged(column, error))
}

fn account(db: &Connection, by: &str, value: impl ToSql) -> rusqlite::Result<Option<Account>> {
    db.prepare_cached(by)?.query_row([value], read_account).optional()
}

/// Reads `handle, primary_key, registered_at, checksum`. SQLite itself does not notice a flipped bit in a value.
fn read_account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let account = Account {
        handle: read_handle(row, 0)?,
        primary: PublicKey::from_bytes(row.get(1)?),
        registered_at: read_time(row, 2)?,
    };
    if row.get::<_, i64>(3)? == checksum(&account) { Ok(account) } else { Err(damaged(3, BadChecksum)) }
}

/// The values of a row are not those that were written.
#[derive(Debug, thiserror::Error)]
#[error("the row is damaged: its checksum does not agree")]
struct BadChecksum;

/// The column `checksum` of an account's row.
fn checksum(account: &Account) -> i64 {
    let digest = Sha256::new()
        .chain_update(account.primary.as_bytes())
        .chain_update(account.registered_at.unix_seconds().to_be_bytes())
        .chain_update(account.handle.as_str());
    first_8(&digest.finalize().into())
}

/// Whether the key holds this very handle.
pub(super) fn holds(db: &Connection, handle: &Handle, primary: &PublicKey) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM handles WHERE id = ?1 AND handle = ?2 AND primary_key = ?3")?
        .exists(params![id(handle), handle.as_str(), primary.as_bytes()])
}

pub(super) fn give_up(db: &Connection, handle: &Handle) -> rusqlite::Result<bool> {
    let handle = id(handle);
    db.execute(
        "UPDATE registrations SET envelope = NULL
         WHERE id = (SELECT registration FROM handles WHERE id = ?1)",
        [handle],
    )?;
    let given_up = db.execute(
        "UPDATE handles SET primary_key = NULL, checksum = 0 WHERE id = ?1 AND primary_key IS NOT NULL",
        [handle],
    )?;
    Ok(given_up == 1)
}

fn use_invite(db: &Connection, invite: InviteHash, now: Timestamp) -> rusqlite::Result<bool> {
    let used = db
        .prepare_cached(
            "UPDATE invites SET uses_left = uses_left - 1
             WHERE token_sha256 = ?1 AND uses_left > 0 AND expires_at > ?2",
        )?
        .execute(params![invite.0, now.unix_seconds()])?;
    Ok(used == 1)
}

fn create_invite(
    db: &Connection,
    hash: InviteHash,
    uses: u32,
    expires_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    db.execute("DELETE FROM invites WHERE uses_left = 0 OR expires_at <= ?1", [now.unix_seconds()])?;
    let working: u32 = db.query_row("SELECT count(*) FROM invites", [], |row| row.get(0))?;
    if working >= INVITES_MAX {
        return Ok(None);
    }
    db.execute(
        "INSERT INTO invites (token_sha256, uses_left, expires_at) VALUES (?1, ?2, ?3)",
        params![hash.0, uses, expires_at.unix_seconds()],
    )?;
    let id = db.last_insert_rowid();
    let detail = json!({"invite": id, "uses": uses, "expires_at": expires_at});
    operations::record(db, now, &Entry { action: Action::InviteCreate, about: None, detail })?;
    Ok(Some(id))
}

fn revoke_invite(db: &Connection, id: i64, at: Timestamp) -> rusqlite::Result<bool> {
    let revoked = db.execute("DELETE FROM invites WHERE id = ?1", [id])? == 1;
    if revoked {
        let entry = Entry { action: Action::InviteRevoke, about: None, detail: json!({"invite": id}) };
        operations::record(db, at, &entry)?;
    }
    Ok(revoked)
}

fn invites(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Invite>> {
    db.prepare_cached(
        "SELECT id, uses_left, expires_at FROM invites WHERE uses_left > 0 AND expires_at > ?1 ORDER BY id LIMIT ?2",
    )?
    .query_map(params![now.unix_seconds(), INVITES_MAX], |row| {
        Ok(Invite { id: row.get(0)?, uses_left: row.get(1)?, expires_at: read_time(row, 2)? })
    })?
    .collect()
}

fn evidence(db: &Connection, after: Option<&Handle>, limit: u32) -> rusqlite::Result<Vec<(Account, String)>> {
    db.prepare_cached(
        "SELECT h.handle, h.primary_key, h.registered_at, h.checksum, r.envelope
         FROM handles h JOIN registrations r ON r.id = h.registration
         WHERE (?1 IS NULL OR h.id > ?1) AND r.envelope IS NOT NULL ORDER BY h.id LIMIT ?2",
    )?
    .query_map(params![after.map(id), limit], |row| Ok((read_account(row)?, row.get(4)?)))?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::registry::wanted;

    #[tokio::test]
    async fn another_handle_with_the_same_number_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let (alice, bob) = (wanted("alice", "alice"), wanted("bob", "bob"));
        store.register(bob).await.unwrap().unwrap();
        let number = id(&alice.handle);
        let meet = move |db: &Connection| Ok(db.execute("UPDATE handles SET id = ?1", [number])?);
        unrefused(store.database.write(meet).await).unwrap();
        assert_eq!(store.by_handle(&alice.handle).await.unwrap(), None);
        assert_eq!(store.register(alice).await.unwrap(), Err(RegisterRefusal::HandleTaken));
    }

    #[tokio::test]
    async fn a_damaged_row_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let alice = wanted("alice", "alice");
        store.register(alice.clone()).await.unwrap().unwrap();
        let damage = "UPDATE handles SET primary_key = zeroblob(32)";
        unrefused(store.database.write(move |db| Ok(db.execute(damage, [])?)).await).unwrap();
        assert!(matches!(store.by_handle(&alice.handle).await, Err(StoreError::Failed(_))));
    }
}
