//! The secret subjects of inboxes: every node computes the same ones.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use kez_core::PublicKey;
use kez_nats_auth::InboxToken;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secrets;
use crate::store::{Store, StoreError};

/// The use of the server's secret. See [`Secrets::derived`].
const LABEL: &[u8] = b"kez-chat/inbox-token/v1";
/// What the MAC is over begins with this.
const DOMAIN: &[u8] = b"kez-chat/inbox/v1\0";
/// Accounts whose count of revocations is kept at most: some 2 MiB.
const ACCOUNTS_MAX: usize = 16_384;

/// Computes the tokens of inbox subjects.
pub(crate) struct Inboxes {
    key: Zeroizing<[u8; 32]>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    revocations: HashMap<PublicKey, u64>,
    /// What was read before a change is not kept after it.
    changes: u64,
}

impl Inboxes {
    /// Of the current secret: after a rotation everybody gets another inbox with the next connection.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let key = secrets.derived(LABEL).next().map_or_else(|| Zeroizing::new([0; 32]), |(_, key)| key);
        Self { key, known: Mutex::default() }
    }

    /// The token of an account that has revoked so many devices: another one with each revocation.
    pub(crate) fn token(&self, account: &PublicKey, revocations: u64) -> InboxToken {
        // invariant: HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("a key of any length");
        mac.update(DOMAIN);
        mac.update(account.as_bytes());
        mac.update(&revocations.to_be_bytes());
        let mac: [u8; 32] = mac.finalize().into_bytes().into();
        let mut token = [0; 16];
        token.copy_from_slice(&mac[..16]);
        InboxToken::from_bytes(token)
    }

    /// The subject of an account's inbox today; `None`: it has none.
    pub(crate) async fn subject(
        &self,
        store: &dyn Store,
        account: &PublicKey,
    ) -> Result<Option<String>, StoreError> {
        let (known, changes) = {
            let known = self.lock();
            (known.revocations.get(account).copied(), known.changes)
        };
        let revocations = if let Some(known) = known {
            known
        } else {
            let Some(standing) = store.standing(account).await? else { return Ok(None) };
            self.keep(account, standing.revocations, changes);
            standing.revocations
        };
        Ok(Some(self.token(account, revocations).inbox(account)))
    }

    /// Looks at an account again.
    pub(crate) fn changed(&self, account: &PublicKey) {
        let mut known = self.lock();
        known.changes += 1;
        known.revocations.remove(account);
    }

    fn keep(&self, account: &PublicKey, revocations: u64, changes: u64) {
        let mut known = self.lock();
        if known.changes != changes {
            return;
        }
        if known.revocations.len() >= ACCOUNTS_MAX {
            known.revocations.clear();
        }
        known.revocations.insert(*account, revocations);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inboxes(..)")
    }
}
