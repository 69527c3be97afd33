//! Handles and the keys that hold them; invite tokens.

use async_trait::async_trait;
use kez_core::{Handle, PublicKey, Timestamp};

use super::StoreError;
use crate::invite::{Invite, InviteHash};
use crate::registration::Accepted;

/// A handle and the key that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The handle.
    pub handle: Handle,
    /// The key.
    pub primary: PublicKey,
    /// When the store accepted the registration, in whole seconds.
    pub registered_at: Timestamp,
}

/// What became of a registration that was accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// The account still holds its handle.
    Holds(Account),
    /// The handle has since been given up.
    GivenUp,
}

/// What a registration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// A new account, durable.
    New(Account),
    /// The same registration was accepted before.
    Before(Past),
}

/// Why the store refuses a registration, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterRefusal {
    /// The invite token is unknown, used up, expired or revoked.
    #[error("the invite token does not work, or not any more")]
    InviteRefused,
    /// The handle is held, or was given up.
    #[error("the handle is taken")]
    HandleTaken,
    /// The key holds another handle.
    #[error("this key already holds another handle here")]
    KeyTaken,
    /// Another handle looks like this one.
    #[error("the handle looks like one that is taken")]
    HandleConfusable,
}

/// The most invite tokens that may work at once. Ours: an operator who needs more gives one token more uses.
pub const INVITES_MAX: u32 = 10_000;

/// Handles, the keys that hold them, and invites.
#[async_trait]
pub trait Registry: std::fmt::Debug + Send + Sync + 'static {
    /// The account that holds `handle`.
    async fn by_handle(&self, handle: &Handle) -> Result<Option<Account>, StoreError>;

    /// The account that `primary` holds.
    async fn by_primary(&self, primary: &PublicKey) -> Result<Option<Account>, StoreError>;

    /// What became of the registration with these signed bytes, if it was ever accepted.
    async fn past_registration(&self, payload_sha256: &[u8; 32]) -> Result<Option<Past>, StoreError>;

    /// Gives the handle to the key and uses up the invite, in one step; says so when it was done before.
    async fn register(&self, wanted: Accepted) -> Result<Result<Registered, RegisterRefusal>, StoreError>;

    /// Ends an account: its key is forgotten, its handle stays reserved for ever. `false`: nobody holds it.
    async fn give_up(&self, handle: &Handle) -> Result<bool, StoreError>;

    /// Adds a token, `None` when [`INVITES_MAX`] already work at `now`; answers its number. Adds an entry to the
    /// audit.
    async fn create_invite(
        &self,
        hash: InviteHash,
        uses: u32,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError>;

    /// The tokens that work at `now`, oldest first.
    async fn invites(&self, now: Timestamp) -> Result<Vec<Invite>, StoreError>;

    /// Makes a token stop working, and adds an entry to the audit. `false`: there is none with this number.
    async fn revoke_invite(&self, id: i64, at: Timestamp) -> Result<bool, StoreError>;

    /// Every stored registration envelope of a current account, with that account, for verification: up to `limit`
    /// after the handle `after`, in an order of the store's own that stays the same.
    async fn evidence(
        &self,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Vec<(Account, String)>, StoreError>;
}
