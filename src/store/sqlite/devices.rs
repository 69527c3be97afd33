//! Devices of the accounts.

use async_trait::async_trait;
use kez_core::{DeviceCertificate, DeviceId, PublicKey, Timestamp};
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, damaged, inbox, key_packages, leaving, operations, read_time, read_u64};
use crate::store::devices::{
    ACTIVE_DEVICES_MAX, AcceptedDevice, AcceptedRevocation, AccountId, ActiveDevice, DEVICES_EVER_MAX,
    DeviceRow, Devices, EnrolRefusal, Enrolled, EnrolledHow, RevokeRefusal, Revoked, Standing, StoredDevice,
    Woken,
};
use crate::store::{DeviceChange, StoreError};

/// What [`read_device`] reads.
macro_rules! device_columns {
    ($rest:literal) => {
        concat!(
            "SELECT d.account, d.id, a.primary_key, d.device_id, d.auth_key, d.mls_key, d.certificate, d.envelope,
                d.payload_sha256, d.signed_at, d.signed_nanos, d.expires_at, d.enrolled_at, d.acked, d.revoked_at,
                d.revocation
             FROM devices d JOIN accounts a ON a.id = d.account ",
            $rest
        )
    };
}

#[async_trait]
impl Devices for SqliteStore {
    async fn enrol(&self, wanted: AcceptedDevice) -> Result<Result<Enrolled, EnrolRefusal>, StoreError> {
        Ok(self.database.write(move |db| enrol(db, &wanted)).await?)
    }

    async fn active_device(
        &self,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<Option<ActiveDevice>, StoreError> {
        Ok(self.database.read(|db| active_device(db, primary, device_id))?)
    }

    async fn standing(&self, primary: &PublicKey) -> Result<Option<Standing>, StoreError> {
        Ok(self.database.read(|db| standing(db, primary))?)
    }

    async fn device(
        &self,
        primary: &PublicKey,
        device_id: &DeviceId,
    ) -> Result<Option<StoredDevice>, StoreError> {
        Ok(self.database.read(|db| device(db, primary, device_id))?)
    }

    async fn devices(&self, primary: &PublicKey) -> Result<Vec<StoredDevice>, StoreError> {
        Ok(self.database.read(|db| devices(db, primary))?)
    }

    async fn revoke(&self, wanted: AcceptedRevocation) -> Result<Result<Revoked, RevokeRefusal>, StoreError> {
        Ok(self.database.write(move |db| revoke(db, &wanted)).await?)
    }

    async fn device_evidence(
        &self,
        after: Option<DeviceRow>,
        limit: u32,
    ) -> Result<Vec<StoredDevice>, StoreError> {
        Ok(self.database.read(|db| device_evidence(db, after, limit))?)
    }
}

fn enrol(db: &Connection, wanted: &AcceptedDevice) -> Result<Enrolled, JobError<EnrolRefusal>> {
    if !is_registered(db, &wanted.primary)? {
        return Err(JobError::Refused(EnrolRefusal::NotRegistered));
    }
    if operations::is_key_suspended(db, &wanted.primary)? {
        return Err(JobError::Refused(EnrolRefusal::AccountSuspended));
    }
    if !leaving::revive(db, &wanted.primary)? {
        return Err(JobError::Refused(EnrolRefusal::Leaving));
    }
    match device(db, &wanted.primary, &wanted.device_id)? {
        Some(stored) => renew(db, wanted, stored),
        None => take_in(db, wanted),
    }
}

fn take_in(db: &Connection, wanted: &AcceptedDevice) -> Result<Enrolled, JobError<EnrolRefusal>> {
    let account = account(db, &wanted.primary)?;
    if is_key_in_use(db, wanted)? {
        return Err(JobError::Refused(EnrolRefusal::KeyInUse));
    }
    check_room(db, account, wanted.at)?;
    if count(db, "SELECT count(*) FROM devices WHERE account = ?1", params![account.0])? >= DEVICES_EVER_MAX {
        return Err(JobError::Refused(EnrolRefusal::TooManyDevices));
    }
    db.prepare_cached(
        "INSERT INTO devices (id, account, device_id, auth_key, mls_key, certificate, envelope, payload_sha256,
            signed_at, signed_nanos, expires_at, enrolled_at, acked)
         SELECT 1 + max((SELECT coalesce(max(id), 0) FROM devices),
                        (SELECT coalesce(max(last_device), 0) FROM deletions)),
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, head FROM inboxes WHERE account = ?1",
    )?
    .execute(params![
        account.0,
        wanted.device_id.as_bytes(),
        wanted.auth_key.as_bytes(),
        wanted.mls_key.as_bytes(),
        wanted.certificate.to_bytes(),
        wanted.envelope,
        wanted.payload_sha256,
        wanted.signed_at.unix_seconds(),
        wanted.signed_at.subsec_nanos(),
        wanted.expires_at.unix_seconds(),
        wanted.at.unix_seconds(),
    ])?;
    enrolled(db, wanted, EnrolledHow::New)
}

fn renew(
    db: &Connection,
    wanted: &AcceptedDevice,
    stored: StoredDevice,
) -> Result<Enrolled, JobError<EnrolRefusal>> {
    if stored.revoked.is_some() {
        return Err(JobError::Refused(EnrolRefusal::DeviceRevoked));
    }
    if stored.payload_sha256 == wanted.payload_sha256 {
        return Ok(Enrolled { device: stored, outcome: EnrolledHow::Before, woken: Vec::new() });
    }
    if (stored.auth_key, stored.mls_key) != (wanted.auth_key, wanted.mls_key) {
        return Err(JobError::Refused(EnrolRefusal::DeviceExists));
    }
    if wanted.signed_at <= stored.signed_at {
        return Err(JobError::Refused(EnrolRefusal::Superseded));
    }
    if stored.expires_at <= wanted.at {
        check_room(db, stored.account, wanted.at)?;
    }
    db.prepare_cached(
        "UPDATE devices SET certificate = ?2, envelope = ?3, payload_sha256 = ?4, signed_at = ?5, signed_nanos = ?6,
            expires_at = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        stored.device.0,
        wanted.certificate.to_bytes(),
        wanted.envelope,
        wanted.payload_sha256,
        wanted.signed_at.unix_seconds(),
        wanted.signed_at.subsec_nanos(),
        wanted.expires_at.unix_seconds(),
    ])?;
    key_packages::forget(db, stored.device)?;
    enrolled(db, wanted, EnrolledHow::Renewed)
}

fn enrolled(
    db: &Connection,
    wanted: &AcceptedDevice,
    outcome: EnrolledHow,
) -> Result<Enrolled, JobError<EnrolRefusal>> {
    let stored = device(db, &wanted.primary, &wanted.device_id)?;
    let device = stored.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let change = match outcome {
        EnrolledHow::New => DeviceChange::Enrolled,
        EnrolledHow::Renewed | EnrolledHow::Before => DeviceChange::Renewed,
    };
    let woken = tell(db, &device, change, wanted.at)?;
    Ok(Enrolled { device, outcome, woken })
}

fn revoke(db: &Connection, wanted: &AcceptedRevocation) -> Result<Revoked, JobError<RevokeRefusal>> {
    let stored = device(db, &wanted.primary, &wanted.device_id)?;
    let stored = stored.ok_or(JobError::Refused(RevokeRefusal::UnknownDevice))?;
    if let Some((revoked_at, _)) = stored.revoked {
        return Ok(Revoked { revoked_at, woken: Vec::new() });
    }
    db.prepare_cached("UPDATE devices SET revoked_at = ?2, revocation = ?3 WHERE id = ?1")?
        .execute(params![stored.device.0, wanted.at.unix_seconds(), wanted.envelope])?;
    db.prepare_cached("UPDATE accounts SET revocations = revocations + 1 WHERE id = ?1")?
        .execute([stored.account.0])?;
    key_packages::forget(db, stored.device)?;
    let woken = tell(db, &stored, DeviceChange::Revoked, wanted.at)?;
    Ok(Revoked { revoked_at: wanted.at, woken })
}

/// Puts what happened to a device into its account's inbox.
fn tell(
    db: &Connection,
    stored: &StoredDevice,
    change: DeviceChange,
    at: Timestamp,
) -> rusqlite::Result<Vec<Woken>> {
    let subject = inbox::Subject::Device { device: stored.device, change, at };
    Ok(inbox::put(db, stored.account, subject)?.into_iter().collect())
}

fn is_registered(db: &Connection, primary: &PublicKey) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM handles WHERE primary_key = ?1")?.exists([primary.as_bytes()])
}

/// The account of this key; made, when it has none, under a number that no account ever had.
fn account(db: &Connection, primary: &PublicKey) -> rusqlite::Result<AccountId> {
    db.prepare_cached(
        "INSERT INTO accounts (id, primary_key)
         VALUES (1 + max((SELECT coalesce(max(id), 0) FROM accounts),
                         (SELECT coalesce(max(account), 0) FROM deletions)), ?1)
         ON CONFLICT (primary_key) DO NOTHING",
    )?
    .execute([primary.as_bytes()])?;
    db.prepare_cached("SELECT id FROM accounts WHERE primary_key = ?1")?
        .query_row([primary.as_bytes()], |row| row.get(0).map(AccountId))
}

/// Whether a key of the wanted device is any key of another one: each has one job.
fn is_key_in_use(db: &Connection, wanted: &AcceptedDevice) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM devices WHERE auth_key IN (?1, ?2) UNION ALL SELECT 1 FROM devices WHERE mls_key IN (?1, ?2)",
    )?
    .exists([wanted.auth_key.as_bytes(), wanted.mls_key.as_bytes()])
}

/// Refuses one active device more than there may be.
fn check_room(db: &Connection, account: AccountId, now: Timestamp) -> Result<(), JobError<EnrolRefusal>> {
    let active = count(
        db,
        "SELECT count(*) FROM devices WHERE account = ?1 AND revoked_at IS NULL AND expires_at > ?2",
        params![account.0, now.unix_seconds()],
    )?;
    if active < ACTIVE_DEVICES_MAX { Ok(()) } else { Err(JobError::Refused(EnrolRefusal::TooManyDevices)) }
}

fn count(db: &Connection, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<u32> {
    db.prepare_cached(sql)?.query_row(values, |row| row.get(0))
}

fn active_device(
    db: &Connection,
    primary: &PublicKey,
    device_id: &DeviceId,
) -> rusqlite::Result<Option<ActiveDevice>> {
    db.prepare_cached(
        "SELECT d.account, d.id, d.auth_key, d.mls_key, d.certificate, d.expires_at, a.revocations,
             EXISTS (SELECT 1 FROM suspensions WHERE account = a.id)
         FROM accounts a JOIN devices d ON d.account = a.id
         WHERE a.primary_key = ?1 AND d.device_id = ?2 AND d.revoked_at IS NULL",
    )?
    .query_row(params![primary.as_bytes(), device_id.as_bytes()], |row| {
        Ok(ActiveDevice {
            account: AccountId(row.get(0)?),
            device: DeviceRow(row.get(1)?),
            primary: *primary,
            device_id: *device_id,
            auth_key: PublicKey::from_bytes(row.get(2)?),
            mls_key: PublicKey::from_bytes(row.get(3)?),
            certificate: read_certificate(row, 4)?,
            expires_at: read_time(row, 5)?,
            revocations: read_u64(row, 6)?,
            is_suspended: row.get(7)?,
        })
    })
    .optional()
}

fn standing(db: &Connection, primary: &PublicKey) -> rusqlite::Result<Option<Standing>> {
    if !is_registered(db, primary)? {
        return Ok(None);
    }
    db.prepare_cached("SELECT ifnull((SELECT revocations FROM accounts WHERE primary_key = ?1), 0)")?
        .query_row([primary.as_bytes()], |row| {
            Ok(Standing {
                revocations: read_u64(row, 0)?,
                is_suspended: operations::is_key_suspended(db, primary)?,
            })
        })
        .optional()
}

fn device(
    db: &Connection,
    primary: &PublicKey,
    device_id: &DeviceId,
) -> rusqlite::Result<Option<StoredDevice>> {
    db.prepare_cached(device_columns!("WHERE a.primary_key = ?1 AND d.device_id = ?2"))?
        .query_row(params![primary.as_bytes(), device_id.as_bytes()], read_device)
        .optional()
}

fn devices(db: &Connection, primary: &PublicKey) -> rusqlite::Result<Vec<StoredDevice>> {
    db.prepare_cached(device_columns!("WHERE a.primary_key = ?1 ORDER BY d.id"))?
        .query_map([primary.as_bytes()], read_device)?
        .collect()
}

fn device_evidence(
    db: &Connection,
    after: Option<DeviceRow>,
    limit: u32,
) -> rusqlite::Result<Vec<StoredDevice>> {
    db.prepare_cached(device_columns!("WHERE d.id > ?1 ORDER BY d.id LIMIT ?2"))?
        .query_map(params![after.map_or(0, |row| row.0), limit], read_device)?
        .collect()
}

fn read_device(row: &Row<'_>) -> rusqlite::Result<StoredDevice> {
    let revoked = match row.get::<_, Option<i64>>(14)? {
        None => None,
        Some(_) => Some((read_time(row, 14)?, row.get(15)?)),
    };
    Ok(StoredDevice {
        account: AccountId(row.get(0)?),
        device: DeviceRow(row.get(1)?),
        primary: PublicKey::from_bytes(row.get(2)?),
        device_id: DeviceId::from_bytes(row.get(3)?),
        auth_key: PublicKey::from_bytes(row.get(4)?),
        mls_key: PublicKey::from_bytes(row.get(5)?),
        certificate: read_certificate(row, 6)?,
        envelope: row.get(7)?,
        payload_sha256: row.get(8)?,
        signed_at: Timestamp::from_unix(row.get(9)?, row.get(10)?)
            .ok_or_else(|| damaged(9, kez_core::BadTimestamp))?,
        expires_at: read_time(row, 11)?,
        enrolled_at: read_time(row, 12)?,
        acked: read_u64(row, 13)?,
        revoked,
    })
}

fn read_certificate(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceCertificate> {
    DeviceCertificate::parse(row.get_ref(column)?.as_blob()?).map_err(|error| damaged(column, error))
}
