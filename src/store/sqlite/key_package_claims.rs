//! Key packages handed out.

use kez_core::DeviceId;
use kez_serve::sqlite::JobError;
use rusqlite::{Connection, OptionalExtension, params};

use super::key_packages::{claimable_until, sweep};
use super::{damaged, operations};
use crate::base64url::Base64Url;
use crate::store::{
    AccountId, CLAIM_REPEAT_SECONDS, CLAIM_WINDOW_SECONDS, CLAIMS_PER_CLAIMER_MAX, CLAIMS_PER_TARGET_MAX,
    Claim, ClaimRefusal, Claimed, ClaimedKeyPackage,
};

/// Old claims, and packages after their end, that are dropped with each claim: more than one adds, so that they cannot
/// pile up.
const SWEPT_WITH_CLAIM: u32 = 32;

/// Somebody's device that packages may be handed out of.
struct Target {
    device: i64,
    device_id: DeviceId,
}

/// Answers a claim that was made before alike, or hands packages out.
pub(super) fn claim(db: &Connection, claim: &Claim) -> Result<Claimed, JobError<ClaimRefusal>> {
    check_device(db, claim)?;
    let refused = |refusal| Err(JobError::Refused(refusal));
    let account = account(db, claim)?;
    if let Some(before) = before(db, claim)? {
        let is_same = account == Some(before.target) && before.age_s(claim) < CLAIM_REPEAT_SECONDS;
        return if is_same { Ok(before.answer) } else { refused(ClaimRefusal::IdReused) };
    }
    let Some(account) = account else { return refused(ClaimRefusal::NotFound) };
    let targets = active_devices(db, account, claim)?;
    if targets.is_empty() {
        return refused(ClaimRefusal::NotFound);
    }
    check_limits(db, account, claim)?;
    let claimed = hand_out(db, &targets, claim)?;
    forget_old(db, claim)?;
    remember(db, account, claim, &claimed)?;
    Ok(claimed)
}

fn check_device(db: &Connection, claim: &Claim) -> Result<(), JobError<ClaimRefusal>> {
    let is_active = db
        .prepare_cached("SELECT 1 FROM devices WHERE id = ?1 AND account = ?2 AND revoked_at IS NULL")?
        .exists([claim.device.0, claim.claimer.0])?;
    if !is_active {
        return Err(JobError::Refused(ClaimRefusal::DeviceRevoked));
    }
    if operations::is_suspended(db, claim.claimer)? {
        return Err(JobError::Refused(ClaimRefusal::AccountSuspended));
    }
    Ok(())
}

/// The target's account, while its key holds a handle and is not suspended.
fn account(db: &Connection, claim: &Claim) -> rusqlite::Result<Option<AccountId>> {
    db.prepare_cached(
        "SELECT a.id FROM accounts a JOIN handles USING (primary_key)
         WHERE primary_key = ?1 AND NOT EXISTS (SELECT 1 FROM suspensions WHERE account = a.id)",
    )?
    .query_row([claim.target.as_bytes()], |row| row.get(0).map(AccountId))
    .optional()
}

/// A claim by the same id.
struct Before {
    target: AccountId,
    claimed_at: i64,
    answer: Claimed,
}

impl Before {
    fn age_s(&self, claim: &Claim) -> i64 {
        claim.at.unix_seconds().saturating_sub(self.claimed_at)
    }
}

fn before(db: &Connection, claim: &Claim) -> rusqlite::Result<Option<Before>> {
    db.prepare_cached(
        "SELECT target, claimed_at, answer FROM key_package_claims
         WHERE claimer = ?1 AND claim_id = ?2 AND claimed_at > ?3",
    )?
    .query_row(params![claim.claimer.0, claim.id.as_bytes(), window_start(claim)], |row| {
        let answer = serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|error| damaged(2, error))?;
        Ok(Before { target: AccountId(row.get(0)?), claimed_at: row.get(1)?, answer })
    })
    .optional()
}

/// Claims of this second and before are forgotten.
fn window_start(claim: &Claim) -> i64 {
    claim.at.unix_seconds().saturating_sub(CLAIM_WINDOW_SECONDS)
}

fn active_devices(db: &Connection, account: AccountId, claim: &Claim) -> rusqlite::Result<Vec<Target>> {
    db.prepare_cached(
        "SELECT id, device_id FROM devices
         WHERE account = ?1 AND revoked_at IS NULL AND expires_at > ?2 ORDER BY id",
    )?
    .query_map(params![account.0, claim.at.unix_seconds()], |row| {
        Ok(Target { device: row.get(0)?, device_id: DeviceId::from_bytes(row.get(1)?) })
    })?
    .collect()
}

fn check_limits(db: &Connection, account: AccountId, claim: &Claim) -> Result<(), JobError<ClaimRefusal>> {
    let of_target = db
        .prepare_cached(
            "SELECT claimed_at FROM key_package_claims WHERE claimer = ?1 AND target = ?2 AND claimed_at > ?3
             ORDER BY claimed_at DESC LIMIT 1 OFFSET ?4",
        )?
        .query_row(
            params![claim.claimer.0, account.0, window_start(claim), CLAIMS_PER_TARGET_MAX - 1],
            |row| row.get(0),
        )
        .optional()?;
    let of_all = db
        .prepare_cached(
            "SELECT claimed_at FROM key_package_claims WHERE claimer = ?1 AND claimed_at > ?2
             ORDER BY claimed_at DESC LIMIT 1 OFFSET ?3",
        )?
        .query_row(params![claim.claimer.0, window_start(claim), CLAIMS_PER_CLAIMER_MAX - 1], |row| {
            row.get(0)
        })
        .optional()?;
    match of_target.max(of_all) {
        None => Ok(()),
        Some(last) => {
            Err(JobError::Refused(ClaimRefusal::Limited { retry_after_s: retry_after_s(last, claim) }))
        }
    }
}

/// When the claim that fills the window leaves it.
fn retry_after_s(claimed_at: i64, claim: &Claim) -> u64 {
    u64::try_from(claimed_at.saturating_sub(window_start(claim))).unwrap_or(0).max(1)
}

/// One package of each device but the calling one.
fn hand_out(db: &Connection, targets: &[Target], claim: &Claim) -> rusqlite::Result<Claimed> {
    let mut claimed = Claimed { key_packages: Vec::new(), missing: Vec::new() };
    for target in targets.iter().filter(|target| target.device != claim.device.0) {
        match take(db, target, claim)? {
            Some(package) => claimed.key_packages.push(package),
            None => claimed.missing.push(target.device_id),
        }
    }
    Ok(claimed)
}

/// The oldest one-time package, which is nobody else's from now on; without one, the last-resort package.
fn take(db: &Connection, target: &Target, claim: &Claim) -> rusqlite::Result<Option<ClaimedKeyPackage>> {
    let found = db
        .prepare_cached(
            "SELECT id, is_last_resort, package FROM key_packages
             WHERE device = ?1 AND package IS NOT NULL AND not_after >= ?2 ORDER BY is_last_resort, id LIMIT 1",
        )?
        .query_row(params![target.device, claimable_until(claim.at)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((id, last_resort, package)) = found else { return Ok(None) };
    if !last_resort {
        db.prepare_cached("UPDATE key_packages SET package = NULL WHERE id = ?1")?.execute([id])?;
    }
    Ok(Some(ClaimedKeyPackage { device_id: target.device_id, key_package: Base64Url(package), last_resort }))
}

fn forget_old(db: &Connection, claim: &Claim) -> rusqlite::Result<()> {
    let old = params![window_start(claim), claim.claimer.0, claim.id.as_bytes(), SWEPT_WITH_CLAIM];
    db.prepare_cached(
        "DELETE FROM key_package_claims WHERE id IN (
             SELECT id FROM key_package_claims WHERE claimer = ?2 AND claim_id = ?3
             UNION ALL SELECT * FROM (SELECT id FROM key_package_claims WHERE claimed_at <= ?1 LIMIT ?4))",
    )?
    .execute(old)?;
    sweep(db, claim.at, SWEPT_WITH_CLAIM)
}

fn remember(
    db: &Connection,
    account: AccountId,
    claim: &Claim,
    claimed: &Claimed,
) -> Result<(), JobError<ClaimRefusal>> {
    let answer = serde_json::to_string(claimed)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    db.prepare_cached(
        "INSERT INTO key_package_claims (claimer, claim_id, target, claimed_at, answer)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        claim.claimer.0,
        claim.id.as_bytes(),
        account.0,
        claim.at.unix_seconds(),
        answer
    ])?;
    Ok(())
}
