//! What the operator decided, and the audit.

use async_trait::async_trait;
use kez_core::{Handle, PublicKey, Timestamp};
use kez_serve::sqlite::JobError;
use kez_serve::storage::unrefused;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{SqliteStore, damaged, read_time, read_u64, registry};
use crate::store::{
    AccountId, AccountQuota, Action, AuditEntry, AuditId, NoHolder, Operations, QuotaChange, Reason,
    ReinstateRefusal, StoreError, SuspendRefusal, Suspension, Usage,
};

#[async_trait]
impl Operations for SqliteStore {
    async fn suspend(
        &self,
        handle: &Handle,
        reason: Option<Reason>,
        at: Timestamp,
    ) -> Result<Result<PublicKey, SuspendRefusal>, StoreError> {
        let handle = handle.clone();
        Ok(self.database.write(move |db| suspend(db, &handle, reason.as_ref(), at)).await?)
    }

    async fn reinstate(
        &self,
        handle: &Handle,
        at: Timestamp,
    ) -> Result<Result<Suspension, ReinstateRefusal>, StoreError> {
        let handle = handle.clone();
        Ok(self.database.write(move |db| reinstate(db, &handle, at)).await?)
    }

    async fn suspension(&self, primary: &PublicKey) -> Result<Option<Suspension>, StoreError> {
        Ok(self.database.read(|db| suspension(db, primary))?)
    }

    async fn set_quota(
        &self,
        handle: &Handle,
        change: QuotaChange,
        at: Timestamp,
    ) -> Result<Result<AccountQuota, NoHolder>, StoreError> {
        let handle = handle.clone();
        Ok(self.database.write(move |db| set_quota(db, &handle, change, at)).await?)
    }

    async fn quota(&self, primary: &PublicKey) -> Result<AccountQuota, StoreError> {
        Ok(self.database.read(|db| quota(db, primary))?)
    }

    async fn usage(&self, top: u32, now: Timestamp) -> Result<Vec<Usage>, StoreError> {
        Ok(self.database.read(|db| usage(db, top, now))?)
    }

    async fn note(&self, action: Action, detail: Value, at: Timestamp) -> Result<(), StoreError> {
        let note = move |db: &Connection| {
            Ok(record(db, at, &Entry { action, about: None, detail: detail.clone() })?)
        };
        unrefused(self.database.write(note).await)
    }

    async fn audit(&self, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.database.read(|db| audit(db, before, limit))?)
    }

    async fn audit_head(&self) -> Result<AuditId, StoreError> {
        let head = "SELECT coalesce(max(id), 0) FROM audit";
        Ok(self.database.read(|db| db.prepare_cached(head)?.query_row([], |row| row.get(0).map(AuditId)))?)
    }

    async fn audited_after(
        &self,
        after: AuditId,
        limit: u32,
    ) -> Result<Vec<(AuditId, Option<PublicKey>)>, StoreError> {
        Ok(self.database.read(|db| audited_after(db, after, limit))?)
    }
}

/// Whether an account is suspended: asked by every write of a device, in its transaction.
pub(super) fn is_suspended(db: &Connection, account: AccountId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM suspensions WHERE account = ?1")?.exists([account.0])
}

/// The same of a key, which may have no account yet.
pub(super) fn is_key_suspended(db: &Connection, primary: &PublicKey) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM suspensions WHERE primary_key = ?1")?.exists([primary.as_bytes()])
}

/// The bound on the blobs of an account, where it has one of its own.
pub(super) fn blobs_max(db: &Connection, account: AccountId) -> rusqlite::Result<Option<u64>> {
    let own: Option<Option<i64>> = db
        .prepare_cached(
            "SELECT q.blobs FROM accounts a JOIN account_quotas q ON q.primary_key = a.primary_key WHERE a.id = ?1",
        )?
        .query_row([account.0], |row| row.get(0))
        .optional()?;
    Ok(own.flatten().map(i64::cast_unsigned))
}

/// What an entry of the audit says besides its time.
pub(super) struct Entry<'a> {
    pub(super) action: Action,
    /// Whom it is about, by both names.
    pub(super) about: Option<(&'a Handle, &'a PublicKey)>,
    /// A JSON object.
    pub(super) detail: Value,
}

/// Adds an entry to the audit, in the transaction of what it tells.
pub(super) fn record(db: &Connection, at: Timestamp, entry: &Entry<'_>) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO audit (at, action, handle, primary_key, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        at.unix_seconds(),
        entry.action.as_str(),
        entry.about.map(|(handle, _)| handle.as_str()),
        entry.about.map(|(_, primary)| primary.as_bytes()),
        entry.detail.to_string(),
    ])
    .map(drop)
}

fn holder<E: From<NoHolder>>(db: &Connection, handle: &Handle) -> Result<PublicKey, JobError<E>> {
    let key: Option<Option<[u8; 32]>> = db
        .prepare_cached("SELECT primary_key FROM handles WHERE id = ?1 AND handle = ?2")?
        .query_row(params![registry::id(handle), handle.as_str()], |row| row.get(0))
        .optional()?;
    match key {
        Some(Some(key)) => Ok(PublicKey::from_bytes(key)),
        Some(None) => Err(JobError::Refused(NoHolder::GivenUp.into())),
        None => Err(JobError::Refused(NoHolder::Unknown.into())),
    }
}

fn suspend(
    db: &Connection,
    handle: &Handle,
    reason: Option<&Reason>,
    at: Timestamp,
) -> Result<PublicKey, JobError<SuspendRefusal>> {
    let primary = holder(db, handle)?;
    if let Some(suspension) = suspension(db, &primary)? {
        return Err(JobError::Refused(SuspendRefusal::Already(suspension)));
    }
    db.prepare_cached(
        "INSERT INTO suspensions (primary_key, account, since, reason)
         VALUES (?1, (SELECT id FROM accounts WHERE primary_key = ?1), ?2, ?3)",
    )?
    .execute(params![primary.as_bytes(), at.unix_seconds(), reason.map(Reason::as_str)])?;
    let detail = json!({"reason": reason});
    record(db, at, &Entry { action: Action::Suspend, about: Some((handle, &primary)), detail })?;
    Ok(primary)
}

fn reinstate(
    db: &Connection,
    handle: &Handle,
    at: Timestamp,
) -> Result<Suspension, JobError<ReinstateRefusal>> {
    let primary = holder(db, handle)?;
    let suspension = suspension(db, &primary)?;
    let suspension = suspension.ok_or(JobError::Refused(ReinstateRefusal::NotSuspended))?;
    db.prepare_cached("DELETE FROM suspensions WHERE primary_key = ?1")?.execute([primary.as_bytes()])?;
    let detail = json!({"since": suspension.since});
    record(db, at, &Entry { action: Action::Reinstate, about: Some((handle, &primary)), detail })?;
    Ok(suspension)
}

fn suspension(db: &Connection, primary: &PublicKey) -> rusqlite::Result<Option<Suspension>> {
    db.prepare_cached("SELECT since, reason FROM suspensions WHERE primary_key = ?1")?
        .query_row([primary.as_bytes()], |row| {
            let reason: Option<String> = row.get(1)?;
            let reason = reason.map(|text| text.parse().map_err(|error| damaged(1, error))).transpose()?;
            Ok(Suspension { since: read_time(row, 0)?, reason })
        })
        .optional()
}

fn set_quota(
    db: &Connection,
    handle: &Handle,
    change: QuotaChange,
    at: Timestamp,
) -> Result<AccountQuota, JobError<NoHolder>> {
    let primary = holder(db, handle)?;
    let before = quota(db, &primary)?;
    let after = AccountQuota {
        messages: change.messages.unwrap_or(before.messages).map(storable),
        blobs: change.blobs.unwrap_or(before.blobs).map(storable),
    };
    db.prepare_cached("DELETE FROM account_quotas WHERE primary_key = ?1")?.execute([primary.as_bytes()])?;
    if after != AccountQuota::default() {
        let bytes = |quota: Option<u64>| quota.map(u64::cast_signed);
        db.prepare_cached("INSERT INTO account_quotas (primary_key, messages, blobs) VALUES (?1, ?2, ?3)")?
            .execute(params![primary.as_bytes(), bytes(after.messages), bytes(after.blobs)])?;
    }
    let detail = json!({"messages": after.messages, "blobs": after.blobs});
    record(db, at, &Entry { action: Action::Quota, about: Some((handle, &primary)), detail })?;
    Ok(after)
}

fn storable(bytes: u64) -> u64 {
    bytes.min(i64::MAX.cast_unsigned())
}

fn quota(db: &Connection, primary: &PublicKey) -> rusqlite::Result<AccountQuota> {
    let quota = db
        .prepare_cached("SELECT messages, blobs FROM account_quotas WHERE primary_key = ?1")?
        .query_row([primary.as_bytes()], |row| {
            let bytes = |column| row.get::<_, Option<i64>>(column).map(|bytes| bytes.map(i64::cast_unsigned));
            Ok(AccountQuota { messages: bytes(0)?, blobs: bytes(1)? })
        })
        .optional()?;
    Ok(quota.unwrap_or_default())
}

/// The rest is counted for those that are shown only. `length` of a blob does not read the blob.
fn usage(db: &Connection, top: u32, now: Timestamp) -> rusqlite::Result<Vec<Usage>> {
    db.prepare_cached(
        "WITH sent AS (SELECT sender, count(*) AS frames, sum(length(bytes)) AS bytes FROM frames GROUP BY sender),
         largest AS (
             SELECT a.id, a.primary_key, coalesce(s.frames, 0) AS frames, coalesce(s.bytes, 0) AS bytes,
                 i.head - i.dropped AS events
             FROM accounts a JOIN inboxes i ON i.account = a.id LEFT JOIN sent s ON s.sender = a.id
             ORDER BY bytes DESC, events DESC, a.id LIMIT ?1)
         SELECT (SELECT handle FROM handles WHERE primary_key = l.primary_key), l.primary_key, l.frames, l.bytes, l.events,
             (SELECT count(*) FROM devices WHERE account = l.id AND revoked_at IS NULL AND expires_at > ?2),
             (SELECT count(*) FROM key_packages k JOIN devices d ON d.id = k.device
              WHERE d.account = l.id AND k.package IS NOT NULL),
             EXISTS (SELECT 1 FROM suspensions WHERE primary_key = l.primary_key)
         FROM largest l ORDER BY l.bytes DESC, l.events DESC, l.id",
    )?
    .query_map(params![top, now.unix_seconds()], |row| {
        Ok(Usage {
            handle: read_handle(row, 0)?,
            primary: PublicKey::from_bytes(row.get(1)?),
            frames: read_u64(row, 2)?,
            frame_bytes: read_u64(row, 3)?,
            inbox_events: read_u64(row, 4)?,
            devices: row.get(5)?,
            key_packages: read_u64(row, 6)?,
            suspended: row.get(7)?,
        })
    })?
    .collect()
}

fn audit(db: &Connection, before: Option<AuditId>, limit: u32) -> rusqlite::Result<Vec<AuditEntry>> {
    db.prepare_cached(
        "SELECT id, at, action, handle, primary_key, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?
    .query_map(params![before.map_or(i64::MAX, |id| id.0), limit], |row| {
        Ok(AuditEntry {
            id: AuditId(row.get(0)?),
            at: read_time(row, 1)?,
            action: row.get_ref(2)?.as_str()?.parse().map_err(|error| damaged(2, error))?,
            handle: read_handle(row, 3)?,
            primary: row.get::<_, Option<_>>(4)?.map(PublicKey::from_bytes),
            detail: serde_json::from_str(row.get_ref(5)?.as_str()?).map_err(|error| damaged(5, error))?,
        })
    })?
    .collect()
}

fn audited_after(
    db: &Connection,
    after: AuditId,
    limit: u32,
) -> rusqlite::Result<Vec<(AuditId, Option<PublicKey>)>> {
    db.prepare_cached("SELECT id, primary_key FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![after.0, limit], |row| {
            Ok((AuditId(row.get(0)?), row.get::<_, Option<_>>(1)?.map(PublicKey::from_bytes)))
        })?
        .collect()
}

fn read_handle(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Handle>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| damaged(column, error))).transpose()
}

#[cfg(test)]
mod tests {
    use kez_serve::storage::unrefused;

    use super::*;
    use crate::store::Registry as _;
    use crate::store::conformance::registry::{now, wanted};

    /// Not even by a mistake of this program.
    #[tokio::test]
    async fn the_audit_is_append_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        let alice = wanted("alice", "alice");
        store.register(alice.clone()).await.unwrap().unwrap();
        store.suspend(&alice.handle, None, now()).await.unwrap().unwrap();
        for spoiling in ["DELETE FROM audit", "UPDATE audit SET detail = '{}'"] {
            unrefused(store.database.write(move |db| Ok(db.execute(spoiling, [])?)).await).unwrap_err();
        }
        assert_eq!(store.audit(None, 10).await.unwrap().len(), 1);
    }
}
