//! What the operator decides about accounts, and the record of it.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use kez_core::{Handle, PublicKey, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::StoreError;

/// The longest reason, in bytes. Ours: a sentence or two with a link.
const REASON_BYTES_MAX: usize = 500;

/// Why an account is suspended, in the operator's words: 1 to 500 bytes on one line, nothing that drives a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(String);

/// The text is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give one line of 1 to {REASON_BYTES_MAX} bytes, without control characters")]
pub struct BadReason;

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = BadReason;

    fn from_str(text: &str) -> Result<Self, BadReason> {
        let text = text.trim();
        let fits = (1..=REASON_BYTES_MAX).contains(&text.len());
        if fits && !text.chars().any(drives_a_terminal) { Ok(Self(text.to_owned())) } else { Err(BadReason) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, separators of lines, and marks that turn the direction of text (Unicode 9 of UAX #9).
fn drives_a_terminal(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// An account was suspended.
    Suspend,
    /// A suspension was ended.
    Reinstate,
    /// The quota of an account was set.
    Quota,
    /// An invite token was made.
    InviteCreate,
    /// An invite token was made to stop working.
    InviteRevoke,
    /// A backup was made.
    Backup,
    /// This is what a backup held.
    Restore,
}

impl Action {
    const ALL: [Self; 7] = [
        Self::Suspend,
        Self::Reinstate,
        Self::Quota,
        Self::InviteCreate,
        Self::InviteRevoke,
        Self::Backup,
        Self::Restore,
    ];

    /// Its name, as it is stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Reinstate => "reinstate",
            Self::Quota => "quota",
            Self::InviteCreate => "invite_create",
            Self::InviteRevoke => "invite_revoke",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// No action has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no action has this name")]
pub struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.as_str() == name).ok_or(UnknownAction)
    }
}

/// The number of an entry of the audit: 1, 2, …. The default is before the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct AuditId(pub i64);

/// Something that the operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Its number; a later one is greater.
    pub id: AuditId,
    /// When, in whole seconds, by the clock of the command's machine.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// About whom, by the handle that was named.
    pub handle: Option<Handle>,
    /// About whom, by the key that held that handle.
    pub primary: Option<PublicKey>,
    /// The rest, a JSON object.
    pub detail: Value,
}

/// A suspension as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Since when, in whole seconds.
    pub since: Timestamp,
    /// Why.
    pub reason: Option<Reason>,
}

/// Bounds of one account that differ from everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AccountQuota {
    /// Bytes of stored frames that it sent; `None`: everybody's bound.
    pub messages: Option<u64>,
    /// Bytes of stored blobs that it holds; `None`: everybody's bound.
    pub blobs: Option<u64>,
}

/// A change of a quota: what is `None` stays as it is, and `Some(None)` is everybody's bound. Bytes are at most 2^63 - 1,
/// and more counts as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaChange {
    /// Of frames.
    pub messages: Option<Option<u64>>,
    /// Of blobs.
    pub blobs: Option<Option<u64>>,
}

/// What an account takes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Its handle; `None`: given up.
    pub handle: Option<Handle>,
    /// Its key.
    pub primary: PublicKey,
    /// Frames that it sent and that are still stored.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// Events in its inbox.
    pub inbox_events: u64,
    /// Its active devices.
    pub devices: u32,
    /// Key packages of theirs that are still stored.
    pub key_packages: u64,
    /// Whether it is suspended.
    pub suspended: bool,
}

/// Nobody holds the handle that was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoHolder {
    /// It was never given out.
    #[error("nobody ever took this handle")]
    Unknown,
    /// It was given up; which key held it is not known any more.
    #[error("the handle was given up")]
    GivenUp,
}

/// Why an account is not suspended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuspendRefusal {
    /// There is none.
    #[error(transparent)]
    NoHolder(#[from] NoHolder),
    /// It is suspended already.
    #[error("the account is suspended already")]
    Already(Suspension),
}

/// Why an account is not reinstated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReinstateRefusal {
    /// There is none.
    #[error(transparent)]
    NoHolder(#[from] NoHolder),
    /// It is not suspended.
    #[error("the account is not suspended")]
    NotSuspended,
}

/// What the operator decides, and the record of it. Every write adds its entry to the audit in the same step; what is
/// refused adds none.
#[async_trait]
pub trait Operations: fmt::Debug + Send + Sync + 'static {
    /// Suspends whoever holds the handle. Nothing is deleted.
    async fn suspend(
        &self,
        handle: &Handle,
        reason: Option<Reason>,
        at: Timestamp,
    ) -> Result<Result<PublicKey, SuspendRefusal>, StoreError>;

    /// Ends the suspension of whoever holds the handle; answers what it was.
    async fn reinstate(
        &self,
        handle: &Handle,
        at: Timestamp,
    ) -> Result<Result<Suspension, ReinstateRefusal>, StoreError>;

    /// Whether, and why, a key is suspended.
    async fn suspension(&self, primary: &PublicKey) -> Result<Option<Suspension>, StoreError>;

    /// Changes the quota of whoever holds the handle; answers what it is now.
    async fn set_quota(
        &self,
        handle: &Handle,
        change: QuotaChange,
        at: Timestamp,
    ) -> Result<Result<AccountQuota, NoHolder>, StoreError>;

    /// The quota of a key.
    async fn quota(&self, primary: &PublicKey) -> Result<AccountQuota, StoreError>;

    /// The `top` accounts that take up most, by bytes of frames, then by events, then oldest first. Walks through all
    /// frames: for a command, not for a call.
    async fn usage(&self, top: u32, now: Timestamp) -> Result<Vec<Usage>, StoreError>;

    /// Adds an entry about what was done elsewhere than in the store. `detail` is a JSON object.
    async fn note(&self, action: Action, detail: Value, at: Timestamp) -> Result<(), StoreError>;

    /// Entries of the audit, newest first: up to `limit` before the entry `before`.
    async fn audit(&self, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// The number of the last entry.
    async fn audit_head(&self) -> Result<AuditId, StoreError>;

    /// Whom the entries after this one are about, in their order, up to `limit`: one short read.
    async fn audited_after(
        &self,
        after: AuditId,
        limit: u32,
    ) -> Result<Vec<(AuditId, Option<PublicKey>)>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_plain_line() {
        assert_eq!(" spam, see #12 ".parse::<Reason>().unwrap().as_str(), "spam, see #12");
        assert!("é".repeat(250).parse::<Reason>().is_ok());
        let long = "x".repeat(501);
        for text in ["", "  ", "a\nb", "a\u{1b}[31m", "a\u{202e}b", "a\u{2028}b", "a\u{7f}", &long] {
            assert_eq!(text.parse::<Reason>(), Err(BadReason), "{text:?}");
        }
    }

    #[test]
    fn an_action_is_read_by_the_name_it_is_written_with() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        assert_eq!("".parse::<Action>(), Err(UnknownAction));
    }
}
