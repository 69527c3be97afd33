//! The small store.

use std::sync::Arc;

use async_trait::async_trait;
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, OptionalExtension, params};

use super::sending::Gauge;
use super::{SqliteStore, operations, read_u64};
use crate::small_store::{DELETED_ENTRIES_MAX, ENTRIES_MAX, EntryName, Expected};
use crate::store::{
    AccountId, DeviceRow, Entry, EntryHead, EntryRefusal, EntryWrite, SmallStore, StoreError,
};

#[async_trait]
impl SmallStore for SqliteStore {
    async fn write_entry(&self, write: EntryWrite) -> Result<Result<u64, EntryRefusal>, StoreError> {
        let gauge = Arc::clone(&self.gauge);
        Ok(self.database.write(move |db| put(db, &gauge, &write)).await?)
    }

    async fn entry(&self, account: AccountId, name: &EntryName) -> Result<Entry, StoreError> {
        Ok(self.database.read(|db| entry(db, account, name))?)
    }

    async fn entries(&self, account: AccountId) -> Result<Vec<EntryHead>, StoreError> {
        Ok(self.database.read(|db| entries(db, account))?)
    }
}

fn put(db: &Connection, gauge: &Gauge, write: &EntryWrite) -> Result<u64, JobError<EntryRefusal>> {
    if !is_enrolled(db, write.device)? {
        return Err(JobError::Refused(EntryRefusal::DeviceRevoked));
    }
    if operations::is_suspended(db, write.account)? {
        return Err(JobError::Refused(EntryRefusal::AccountSuspended));
    }
    if let Some(bytes) = &write.bytes
        && !gauge.takes(db, bytes.len() as u64)?
    {
        return Err(JobError::Refused(EntryRefusal::StorageFull));
    }
    let (version, has_value) = head(db, write)?;
    let is_expected = match write.expected {
        Expected::Nothing => !has_value,
        Expected::Version(expected) => expected == version && version > 0,
    };
    if !is_expected {
        return Err(JobError::Refused(EntryRefusal::OtherVersion { version }));
    }
    db.prepare_cached(
        "INSERT INTO store_entries (account, name, version, at, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, name) DO UPDATE SET version = excluded.version, at = excluded.at, bytes = excluded.bytes",
    )?
    .execute(params![
        write.account.0,
        write.name.as_str(),
        (version + 1).cast_signed(),
        write.at.unix_seconds(),
        write.bytes,
    ])?;
    match write.bytes {
        Some(_) if count(db, write.account)? > ENTRIES_MAX => Err(JobError::Refused(EntryRefusal::TooMany)),
        Some(_) => Ok(version + 1),
        None => {
            forget_deleted(db, write.account)?;
            Ok(version + 1)
        }
    }
}

fn is_enrolled(db: &Connection, device: DeviceRow) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM devices WHERE id = ?1 AND revoked_at IS NULL")?.exists([device.0])
}

/// The version under the name and whether it has a value; 0 for a name that is not known.
fn head(db: &Connection, write: &EntryWrite) -> rusqlite::Result<(u64, bool)> {
    let head = db
        .prepare_cached(
            "SELECT version, bytes IS NOT NULL FROM store_entries WHERE account = ?1 AND name = ?2",
        )?
        .query_row(params![write.account.0, write.name.as_str()], |row| Ok((read_u64(row, 0)?, row.get(1)?)))
        .optional()?;
    Ok(head.unwrap_or((0, false)))
}

fn count(db: &Connection, account: AccountId) -> rusqlite::Result<u32> {
    db.prepare_cached("SELECT count(*) FROM store_entries WHERE account = ?1 AND bytes IS NOT NULL")?
        .query_row([account.0], |row| row.get(0))
}

fn forget_deleted(db: &Connection, account: AccountId) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM store_entries WHERE id IN (SELECT id FROM store_entries
             WHERE account = ?1 AND bytes IS NULL ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![account.0, DELETED_ENTRIES_MAX])?;
    Ok(())
}

fn entry(db: &Connection, account: AccountId, name: &EntryName) -> rusqlite::Result<Entry> {
    let entry = db
        .prepare_cached("SELECT version, bytes FROM store_entries WHERE account = ?1 AND name = ?2")?
        .query_row(params![account.0, name.as_str()], |row| {
            Ok(Entry { version: read_u64(row, 0)?, bytes: row.get(1)? })
        })
        .optional()?;
    Ok(entry.unwrap_or(Entry { version: 0, bytes: None }))
}

fn entries(db: &Connection, account: AccountId) -> rusqlite::Result<Vec<EntryHead>> {
    db.prepare_cached(
        "SELECT name, version, length(bytes) FROM store_entries
         WHERE account = ?1 AND bytes IS NOT NULL ORDER BY name",
    )?
    .query_map([account.0], |row| {
        Ok(EntryHead { name: row.get(0)?, version: read_u64(row, 1)?, bytes: read_u64(row, 2)? })
    })?
    .collect()
}
