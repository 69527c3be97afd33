//! Leaving this server: whether a deletion is accepted, how it is carried out, and its receipt. SPEC "Account calls".

use std::sync::Arc;
use std::time::Duration;

use kez_core::{
    AccountDeletion, DeletionReceipt, Handle, KEPT_AFTER_DELETION, PublicKey, Seed, ServerName,
    SignedReceipt, Timestamp, Verified,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::blobs::upload::let_go;
use crate::registration::{SKEW_MAX_S, is_within_window};
use crate::secret::{KeyId, Secrets};
use crate::store::{AcceptedDeletion, DeletionRow, StoreError};

/// The use of the server's secret. See [`Secrets::derived`].
const RECEIPT_LABEL: &[u8] = b"kez-chat/deletion-receipt-key/v1";

/// How long deletions that were broken off rest before they are gone on with.
const RESUME_EVERY: Duration = Duration::from_mins(1);

/// Why a well-signed deletion is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeavingRefusal {
    /// It names another server.
    #[error("the deletion is for another server than {server}")]
    WrongServer {
        /// This server.
        server: ServerName,
    },
    /// `created_at` lies too far from the server's clock.
    #[error("created_at is more than {SKEW_MAX_S} seconds away from the server's time {server_time}")]
    ClockSkew {
        /// The server's time, in whole seconds.
        server_time: Timestamp,
    },
    /// It names no handle of this server.
    #[error("this key does not hold this handle here")]
    NotHeld,
}

/// Decides on a deletion at the server's time `now`.
pub(crate) fn decide_deletion(
    envelope: &Verified<AccountDeletion>,
    now: Timestamp,
    server: &ServerName,
    receipt_key: KeyId,
) -> Result<AcceptedDeletion, LeavingRefusal> {
    if envelope.document().server != server.as_str() {
        return Err(LeavingRefusal::WrongServer { server: server.clone() });
    }
    if !is_within_window(envelope.created_at(), now) {
        return Err(LeavingRefusal::ClockSkew { server_time: now.truncated() });
    }
    Ok(AcceptedDeletion {
        primary: envelope.primary(),
        handle: envelope.document().handle.parse().map_err(|_| LeavingRefusal::NotHeld)?,
        payload_sha256: *envelope.payload_sha256(),
        receipt_key,
        at: now.truncated(),
    })
}

/// Signs receipts: one key for each secret of the server, so that a receipt stays the same when the secret is rotated.
pub(crate) struct Receipts {
    server: ServerName,
    /// The current one first; there is one.
    keys: Vec<(KeyId, Seed)>,
}

impl std::fmt::Debug for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipts(..)")
    }
}

impl Receipts {
    pub(crate) fn new(server: ServerName, secrets: &Secrets) -> Self {
        let keys = secrets.derived(RECEIPT_LABEL).map(|(id, key)| (id, Seed::from_bytes(*key))).collect();
        Self { server, keys }
    }

    /// The secret that signs from now on.
    pub(crate) fn current(&self) -> KeyId {
        self.keys.first().map_or_else(KeyId::default, |(id, _)| *id)
    }

    /// The key that current receipts are verified with.
    pub(crate) fn public_key(&self) -> PublicKey {
        self.seed(self.current()).public_key()
    }

    /// The receipt for a deletion that is done.
    pub(crate) fn sign(
        &self,
        deletion: &Verified<AccountDeletion>,
        receipt_key: KeyId,
        deleted_at: Timestamp,
    ) -> Result<SignedReceipt, StoreError> {
        let handle: Handle = deletion.document().handle.parse().map_err(StoreError::failed)?;
        let receipt = DeletionReceipt {
            server: self.server.clone(),
            handle,
            primary: deletion.primary(),
            deletion_sha256: *deletion.payload_sha256(),
            deleted_at,
            kept: KEPT_AFTER_DELETION.map(str::to_owned).to_vec(),
        };
        receipt.sign(self.seed(receipt_key)).map_err(StoreError::failed)
    }

    /// The key of a secret; the current one, when it was taken out of the file.
    fn seed(&self, id: KeyId) -> &Seed {
        let found = self.keys.iter().find(|(other, _)| *other == id).or(self.keys.first());
        // invariant: a secret file has at least one secret.
        found.map(|(_, seed)| seed).expect("there is a secret")
    }
}

/// Carries a deletion out to its end, in portions between which others write; when it was done.
pub(crate) async fn carry_out(app: &App, deletion: DeletionRow) -> Result<Timestamp, StoreError> {
    loop {
        for (account, hash) in app.store.blobs_of_leaver(deletion).await? {
            let_go(&*app.store, &app.depot, account, &hash).await?;
        }
        if let Some(finished_at) = app.store.delete_portion(deletion, app.clock.now()).await? {
            return Ok(finished_at);
        }
    }
}

/// Goes on with deletions that were broken off, at once and then now and again until `end`.
pub(crate) async fn run(app: Arc<App>, end: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            resumed = resume(&app) => {
                if let Err(error) = resumed {
                    tracing::warn!(error = %error, "a deletion was not finished; it will be gone on with");
                }
            }
        }
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            () = sleep(RESUME_EVERY) => {}
        }
    }
}

async fn resume(app: &App) -> Result<(), StoreError> {
    loop {
        let unfinished = app.store.unfinished_deletions().await?;
        if unfinished.is_empty() {
            return Ok(());
        }
        for deletion in unfinished {
            carry_out(app, deletion).await?;
        }
    }
}
