//! Blobs: uploads and references.

use async_trait::async_trait;
use kez_core::Timestamp;
use kez_serve::sqlite::JobError;
use kez_serve::storage::unrefused;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, blob_sweep, operations, read_time, read_u64};
use crate::blobs::{ACCOUNT_BLOB_BYTES_MAX, ACCOUNT_BLOBS_MAX, BlobHash, REFERENCE_SECONDS, UPLOADS_MAX};
use crate::store::{
    AccountId, BlobRefusal, BlobUsage, Blobs, DeviceRow, ListedBlob, PartReceived, Reference, StoreError,
    Upload, UploadOpened, UploadWanted,
};

type Verdict<T> = Result<T, JobError<BlobRefusal>>;

#[async_trait]
impl Blobs for SqliteStore {
    async fn upload(&self, account: AccountId, hash: &BlobHash) -> Result<Option<Upload>, StoreError> {
        Ok(self.database.read(|db| upload(db, account, hash))?)
    }

    async fn open_upload(
        &self,
        wanted: UploadWanted,
    ) -> Result<Result<UploadOpened, BlobRefusal>, StoreError> {
        Ok(self.database.write(move |db| open(db, &wanted)).await?)
    }

    async fn note_part(&self, part: PartReceived) -> Result<Result<(), BlobRefusal>, StoreError> {
        Ok(self.database.write(move |db| note_part(db, &part)).await?)
    }

    async fn finish_upload(&self, done: UploadWanted) -> Result<Result<Reference, BlobRefusal>, StoreError> {
        Ok(self.database.write(move |db| finish(db, &done)).await?)
    }

    async fn restart_upload(&self, account: AccountId, hash: &BlobHash) -> Result<(), StoreError> {
        let hash = *hash;
        let restart = move |db: &Connection| Ok(restart(db, account, &hash)?);
        unrefused(self.database.write(restart).await)
    }

    async fn drop_upload(&self, account: AccountId, hash: &BlobHash) -> Result<bool, StoreError> {
        let hash = *hash;
        unrefused(self.database.write(move |db| Ok(drop_upload(db, account, &hash)?)).await)
    }

    async fn blob(&self, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
        Ok(self.database.read(|db| visible(db, hash))?.map(|(_, bytes)| bytes))
    }

    async fn drop_reference(&self, account: AccountId, hash: &BlobHash) -> Result<bool, StoreError> {
        let hash = *hash;
        unrefused(self.database.write(move |db| Ok(drop_reference(db, account, &hash)?)).await)
    }

    async fn blobs_of(
        &self,
        account: AccountId,
        after: Option<BlobHash>,
        limit: u32,
    ) -> Result<Vec<ListedBlob>, StoreError> {
        Ok(self.database.read(|db| list(db, account, after.as_ref(), limit))?)
    }

    async fn uploads_of(&self, account: AccountId) -> Result<Vec<BlobHash>, StoreError> {
        Ok(self.database.read(|db| uploads_of(db, account))?)
    }

    async fn blob_usage(&self, account: AccountId) -> Result<BlobUsage, StoreError> {
        Ok(self.database.read(|db| usage(db, account))?)
    }

    async fn resting_uploads(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AccountId, BlobHash)>, StoreError> {
        Ok(self.database.read(|db| blob_sweep::resting_uploads(db, before, limit))?)
    }

    async fn drop_resting_upload(
        &self,
        account: AccountId,
        hash: &BlobHash,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        let hash = *hash;
        let drop = move |db: &Connection| Ok(blob_sweep::drop_resting_upload(db, account, &hash, before)?);
        unrefused(self.database.write(drop).await)
    }

    async fn drop_ended_references(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        if !self.database.read(|db| blob_sweep::has_ended_references(db, now))? {
            return Ok(0); // a quiet server writes nothing
        }
        let drop = move |db: &Connection| Ok(blob_sweep::drop_ended_references(db, now, limit)?);
        unrefused(self.database.write(drop).await)
    }

    async fn blobs_of_nobody(&self, limit: u32) -> Result<Vec<BlobHash>, StoreError> {
        Ok(self.database.read(|db| blob_sweep::blobs_of_nobody(db, limit))?)
    }

    async fn blob_evidence(
        &self,
        after: Option<BlobHash>,
        limit: u32,
    ) -> Result<Vec<(BlobHash, u64)>, StoreError> {
        Ok(self.database.read(|db| evidence(db, after.as_ref(), limit))?)
    }

    async fn is_blob_known(&self, hash: &BlobHash) -> Result<bool, StoreError> {
        Ok(self.database.read(|db| blob_sweep::is_known(db, hash))?)
    }

    async fn forget_blob(&self, hash: &BlobHash) -> Result<(), StoreError> {
        let hash = *hash;
        unrefused(self.database.write(move |db| Ok(blob_sweep::forget(db, &hash)?)).await)
    }
}

fn evidence(db: &Connection, after: Option<&BlobHash>, limit: u32) -> rusqlite::Result<Vec<(BlobHash, u64)>> {
    let after = after.map_or(&[][..], |hash| hash.as_bytes());
    db.prepare_cached(
        "SELECT sha256, bytes FROM blobs WHERE sha256 > ?1 AND referrers > 0 ORDER BY sha256 LIMIT ?2",
    )?
    .query_map(params![after, limit], |row| Ok((read_hash(row, 0)?, read_u64(row, 1)?)))?
    .collect()
}

pub(super) fn read_hash(row: &Row<'_>, column: usize) -> rusqlite::Result<BlobHash> {
    row.get(column).map(BlobHash::from_bytes)
}

fn upload(db: &Connection, account: AccountId, hash: &BlobHash) -> rusqlite::Result<Option<Upload>> {
    db.prepare_cached("SELECT bytes, received FROM blob_uploads WHERE account = ?1 AND sha256 = ?2")?
        .query_row(params![account.0, hash.as_bytes()], |row| {
            Ok(Upload { bytes: read_u64(row, 0)?, received: read_u64(row, 1)? })
        })
        .optional()
}

/// The row and the length of a blob that somebody refers to.
fn visible(db: &Connection, hash: &BlobHash) -> rusqlite::Result<Option<(i64, u64)>> {
    db.prepare_cached("SELECT id, bytes FROM blobs WHERE sha256 = ?1 AND referrers > 0")?
        .query_row([hash.as_bytes()], |row| Ok((row.get(0)?, read_u64(row, 1)?)))
        .optional()
}

fn open(db: &Connection, wanted: &UploadWanted) -> Verdict<UploadOpened> {
    check_device(db, wanted.device)?;
    if let Some((blob, bytes)) = visible(db, &wanted.hash)? {
        check_size(wanted, bytes)?;
        drop_upload(db, wanted.account, &wanted.hash)?;
        if !refers(db, wanted.account, blob)? {
            check_quota(db, wanted)?;
        }
        return Ok(UploadOpened::Stored(refer(db, wanted, blob)?));
    }
    if let Some(upload) = upload(db, wanted.account, &wanted.hash)? {
        check_size(wanted, upload.bytes)?;
        return Ok(UploadOpened::Receiving(upload));
    }
    check_quota(db, wanted)?;
    check_room(db, wanted)?;
    db.prepare_cached(
        "INSERT INTO blob_uploads (account, sha256, bytes, touched_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        wanted.account.0,
        wanted.hash.as_bytes(),
        wanted.bytes.cast_signed(),
        wanted.at.unix_seconds()
    ])?;
    Ok(UploadOpened::Receiving(Upload { bytes: wanted.bytes, received: 0 }))
}

fn check_device(db: &Connection, device: DeviceRow) -> Verdict<()> {
    let is_suspended = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM suspensions s WHERE s.account = d.account)
             FROM devices d WHERE id = ?1 AND revoked_at IS NULL",
        )?
        .query_row([device.0], |row| row.get(0))
        .optional()?;
    match is_suspended {
        Some(false) => Ok(()),
        Some(true) => Err(JobError::Refused(BlobRefusal::AccountSuspended)),
        None => Err(JobError::Refused(BlobRefusal::DeviceRevoked)),
    }
}

fn check_size(wanted: &UploadWanted, bytes: u64) -> Verdict<()> {
    if wanted.bytes == bytes { Ok(()) } else { Err(JobError::Refused(BlobRefusal::OtherSize { bytes })) }
}

fn check_quota(db: &Connection, wanted: &UploadWanted) -> Verdict<()> {
    let usage = usage(db, wanted.account)?;
    if usage.blobs >= ACCOUNT_BLOBS_MAX || usage.bytes + wanted.bytes > usage.bytes_max {
        return Err(JobError::Refused(BlobRefusal::QuotaExceeded));
    }
    if usage.uploads >= UPLOADS_MAX {
        return Err(JobError::Refused(BlobRefusal::TooManyUploads));
    }
    Ok(())
}

fn check_room(db: &Connection, wanted: &UploadWanted) -> Verdict<()> {
    let taken = db.prepare_cached("SELECT bytes FROM blob_storage")?.query_row([], |row| read_u64(row, 0))?;
    if taken + wanted.bytes > wanted.storage_bytes_max {
        return Err(JobError::Refused(BlobRefusal::StorageFull));
    }
    Ok(())
}

fn refers(db: &Connection, account: AccountId, blob: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM blob_references WHERE account = ?1 AND blob = ?2")?
        .exists(params![account.0, blob])
}

/// Makes or renews a reference.
fn refer(db: &Connection, wanted: &UploadWanted, blob: i64) -> rusqlite::Result<Reference> {
    let expires_at = wanted.at.truncated().plus_seconds(REFERENCE_SECONDS).unwrap_or(wanted.at);
    let is_new = !refers(db, wanted.account, blob)?;
    db.prepare_cached(
        "INSERT INTO blob_references (account, blob, bytes, expires_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account, blob) DO UPDATE SET expires_at = excluded.expires_at",
    )?
    .execute(params![wanted.account.0, blob, wanted.bytes.cast_signed(), expires_at.unix_seconds()])?;
    Ok(Reference { bytes: wanted.bytes, expires_at, is_new })
}

fn note_part(db: &Connection, part: &PartReceived) -> Verdict<()> {
    check_device(db, part.device)?;
    let noted = db
        .prepare_cached(
            "UPDATE blob_uploads SET received = ?4, touched_at = ?5
             WHERE account = ?1 AND sha256 = ?2 AND received = ?3 AND ?4 <= bytes",
        )?
        .execute(params![
            part.account.0,
            part.hash.as_bytes(),
            part.from.cast_signed(),
            part.to.cast_signed(),
            part.at.unix_seconds(),
        ])?;
    if noted == 1 { Ok(()) } else { Err(JobError::Refused(BlobRefusal::NoUpload)) }
}

fn finish(db: &Connection, done: &UploadWanted) -> Verdict<Reference> {
    check_device(db, done.device)?;
    if !drop_upload(db, done.account, &done.hash)? {
        return Err(JobError::Refused(BlobRefusal::NoUpload));
    }
    let blob = db
        .prepare_cached(
            "INSERT INTO blobs (sha256, bytes) VALUES (?1, ?2)
             ON CONFLICT (sha256) DO UPDATE SET bytes = excluded.bytes RETURNING id",
        )?
        .query_row(params![done.hash.as_bytes(), done.bytes.cast_signed()], |row| row.get(0))?;
    Ok(refer(db, done, blob)?)
}

fn restart(db: &Connection, account: AccountId, hash: &BlobHash) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE blob_uploads SET received = 0 WHERE account = ?1 AND sha256 = ?2")?
        .execute(params![account.0, hash.as_bytes()])?;
    Ok(())
}

fn drop_upload(db: &Connection, account: AccountId, hash: &BlobHash) -> rusqlite::Result<bool> {
    let dropped = db
        .prepare_cached("DELETE FROM blob_uploads WHERE account = ?1 AND sha256 = ?2")?
        .execute(params![account.0, hash.as_bytes()])?;
    Ok(dropped > 0)
}

fn drop_reference(db: &Connection, account: AccountId, hash: &BlobHash) -> rusqlite::Result<bool> {
    let dropped = db
        .prepare_cached(
            "DELETE FROM blob_references
             WHERE account = ?1 AND blob = (SELECT id FROM blobs WHERE sha256 = ?2)",
        )?
        .execute(params![account.0, hash.as_bytes()])?;
    Ok(dropped > 0)
}

fn list(
    db: &Connection,
    account: AccountId,
    after: Option<&BlobHash>,
    limit: u32,
) -> rusqlite::Result<Vec<ListedBlob>> {
    db.prepare_cached(
        "SELECT blobs.sha256, blobs.bytes, expires_at FROM blob_references JOIN blobs ON blobs.id = blob
         WHERE account = ?1 AND blob > coalesce((SELECT id FROM blobs WHERE sha256 = ?2), 0)
         ORDER BY blob LIMIT ?3",
    )?
    .query_map(params![account.0, after.map(BlobHash::as_bytes), limit], |row| {
        Ok(ListedBlob { hash: read_hash(row, 0)?, bytes: read_u64(row, 1)?, expires_at: read_time(row, 2)? })
    })?
    .collect()
}

fn uploads_of(db: &Connection, account: AccountId) -> rusqlite::Result<Vec<BlobHash>> {
    db.prepare_cached("SELECT sha256 FROM blob_uploads WHERE account = ?1 ORDER BY sha256")?
        .query_map([account.0], |row| read_hash(row, 0))?
        .collect()
}

/// Counted anew each time: at most [`ACCOUNT_BLOBS_MAX`] narrow rows, and only when an upload begins.
fn usage(db: &Connection, account: AccountId) -> rusqlite::Result<BlobUsage> {
    let sums = |sql| {
        db.prepare_cached(sql)?.query_row([account.0], |row| Ok((row.get::<_, u32>(0)?, read_u64(row, 1)?)))
    };
    let (blobs, bytes) =
        sums("SELECT count(*), coalesce(sum(bytes), 0) FROM blob_references WHERE account = ?1")?;
    let (uploads, coming) =
        sums("SELECT count(*), coalesce(sum(bytes), 0) FROM blob_uploads WHERE account = ?1")?;
    let bytes_max = operations::blobs_max(db, account)?.unwrap_or(ACCOUNT_BLOB_BYTES_MAX);
    Ok(BlobUsage { bytes: bytes + coming, bytes_max, blobs: blobs + uploads, uploads })
}
