//! Key packages: uploaded, counted, forgotten.

use std::sync::Arc;

use async_trait::async_trait;
use kez_core::Timestamp;
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, OptionalExtension, params};

use super::sending::Gauge;
use super::{SqliteStore, key_package_claims};
use crate::key_packages::{AcceptedKeyPackage, Upload};
use crate::store::{
    CLAIM_LIFETIME_SECONDS_MIN, Claim, ClaimRefusal, Claimed, DeviceRow, KeyPackageCounts, KeyPackages,
    ONE_TIME_MAX, StoreError, UploadRefusal,
};

/// Rows of a device that are kept, with and without bytes: what is handed out in 83 days when a device refills 100 a
/// day. Beyond, the oldest is forgotten before its end, so that nobody's claims can stop a device from uploading; only
/// the device itself could bring that package back.
const ROWS_MAX: u32 = 8_300;

/// Rows that are dropped after their end with each upload: more than one adds, so that they cannot pile up.
const SWEPT_WITH_UPLOAD: u32 = 128;

#[async_trait]
impl KeyPackages for SqliteStore {
    async fn add_key_packages(
        &self,
        upload: Upload,
    ) -> Result<Result<KeyPackageCounts, UploadRefusal>, StoreError> {
        let gauge = Arc::clone(&self.gauge);
        Ok(self.database.write(move |db| add(db, &gauge, &upload)).await?)
    }

    async fn key_package_counts(
        &self,
        device: DeviceRow,
        now: Timestamp,
    ) -> Result<KeyPackageCounts, StoreError> {
        Ok(self.database.read(|db| counts(db, device, now))?)
    }

    async fn claim_key_packages(&self, claim: Claim) -> Result<Result<Claimed, ClaimRefusal>, StoreError> {
        Ok(self.database.write(move |db| key_package_claims::claim(db, &claim)).await?)
    }
}

/// Forgets what is left of a device's packages, which hold a certificate that is no longer its own: before the device is
/// revoked or renewed. A row stays where the device may upload again.
pub(super) fn forget(db: &Connection, device: DeviceRow) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE key_packages SET package = NULL WHERE device = ?1 AND package IS NOT NULL")?
        .execute([device.0])?;
    Ok(())
}

/// The first second at which a package must still be valid to be handed out at `now`.
pub(super) fn claimable_until(now: Timestamp) -> i64 {
    now.unix_seconds().saturating_add(CLAIM_LIFETIME_SECONDS_MIN)
}

/// Drops rows whose packages have ended, at most `limit`.
pub(super) fn sweep(db: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM key_packages WHERE id IN (SELECT id FROM key_packages WHERE not_after < ?1 LIMIT ?2)",
    )?
    .execute(params![now.unix_seconds(), limit])?;
    Ok(())
}

fn add(db: &Connection, gauge: &Gauge, upload: &Upload) -> Result<KeyPackageCounts, JobError<UploadRefusal>> {
    check_certificate(db, upload)?;
    let packages = upload.one_time.iter().chain(&upload.last_resort);
    if !gauge.takes(db, packages.map(|package| package.bytes.len() as u64).sum())? {
        return Err(JobError::Refused(UploadRefusal::StorageFull));
    }
    sweep(db, upload.at, SWEPT_WITH_UPLOAD)?;
    drop_too_old(db, upload)?;
    for package in &upload.one_time {
        if is_new(db, upload.device, package)? {
            insert(db, upload.device, package, false)?;
        }
    }
    if let Some(package) = &upload.last_resort
        && is_new(db, upload.device, package)?
    {
        replace_last_resort(db, upload.device, package)?;
    }
    drop_oldest_rows(db, upload.device)?;
    let counts = counts(db, upload.device, upload.at)?;
    if counts.one_time > ONE_TIME_MAX {
        return Err(JobError::Refused(UploadRefusal::TooMany));
    }
    Ok(counts)
}

/// The certificate that the packages were checked against is still the device's, and the device may do something.
fn check_certificate(db: &Connection, upload: &Upload) -> Result<(), JobError<UploadRefusal>> {
    let found: Option<(Vec<u8>, bool)> = db
        .prepare_cached(
            "SELECT certificate, EXISTS (SELECT 1 FROM suspensions s WHERE s.account = d.account)
             FROM devices d WHERE id = ?1 AND revoked_at IS NULL",
        )?
        .query_row([upload.device.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        None => Err(JobError::Refused(UploadRefusal::DeviceRevoked)),
        Some((_, true)) => Err(JobError::Refused(UploadRefusal::AccountSuspended)),
        Some((stored, false)) if stored != upload.certificate.to_bytes() => {
            Err(JobError::Refused(UploadRefusal::OtherCertificate))
        }
        Some(_) => Ok(()),
    }
}

/// Makes room: packages that nobody is given any more do not count.
fn drop_too_old(db: &Connection, upload: &Upload) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE key_packages SET package = NULL WHERE device = ?1 AND package IS NOT NULL AND not_after < ?2",
    )?
    .execute(params![upload.device.0, claimable_until(upload.at)])?;
    Ok(())
}

fn is_new(
    db: &Connection,
    device: DeviceRow,
    package: &AcceptedKeyPackage,
) -> Result<bool, JobError<UploadRefusal>> {
    let known: Option<([u8; 32], i64)> = db
        .prepare_cached("SELECT package_sha256, device FROM key_packages WHERE init_key_sha256 = ?1")?
        .query_row([package.init_key_sha256], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        None => Ok(true),
        Some(known) if known == (package.sha256, device.0) => Ok(false),
        Some(_) => Err(JobError::Refused(UploadRefusal::InitKeyReused)),
    }
}

fn insert(
    db: &Connection,
    device: DeviceRow,
    package: &AcceptedKeyPackage,
    is_last_resort: bool,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO key_packages (device, init_key_sha256, package_sha256, is_last_resort, not_after, package)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        device.0,
        package.init_key_sha256,
        package.sha256,
        is_last_resort,
        package.not_after.unix_seconds(),
        package.bytes,
    ])?;
    Ok(())
}

fn replace_last_resort(
    db: &Connection,
    device: DeviceRow,
    package: &AcceptedKeyPackage,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE key_packages SET package = NULL WHERE device = ?1 AND is_last_resort = 1 AND package IS NOT NULL",
    )?
    .execute([device.0])?;
    insert(db, device, package, true)
}

fn drop_oldest_rows(db: &Connection, device: DeviceRow) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM key_packages WHERE device = ?1 AND package IS NULL AND id <=
             (SELECT id FROM key_packages WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![device.0, ROWS_MAX])?;
    Ok(())
}

fn counts(db: &Connection, device: DeviceRow, now: Timestamp) -> rusqlite::Result<KeyPackageCounts> {
    let count = |is_last_resort: bool| {
        db.prepare_cached(
            "SELECT count(*) FROM key_packages
             WHERE device = ?1 AND is_last_resort = ?2 AND package IS NOT NULL AND not_after >= ?3",
        )?
        .query_row(params![device.0, is_last_resort, claimable_until(now)], |row| row.get::<_, u32>(0))
    };
    Ok(KeyPackageCounts { one_time: count(false)?, last_resort: count(true)? > 0 })
}
