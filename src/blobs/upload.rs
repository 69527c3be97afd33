//! Receiving blobs part by part, and letting them go.
//!
//! The order that makes a crash harmless: bytes are synced before the store counts them; a whole blob is put in its place
//! before the store knows it, while its upload's row is still there; and it is removed before its row is.

use std::sync::Arc;

use kez_core::http_signature::DigestError;

use super::depot::Depot;
use super::spool::PartWriter;
use super::turns::Turn;
use super::{BlobHash, Part};
use crate::app::{App, to_the_end};
use crate::caller::{Caller, SignedBody};
use crate::error::{ApiError, BlobError};
use crate::store::{
    AccountId, BlobRefusal, PartReceived, Reference, Store, StoreError, Upload, UploadOpened, UploadWanted,
};

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The blob is whole and durable, and the account refers to it.
    Stored(Reference),
    /// There are this many bytes now, durably; more are to come.
    More {
        /// Where the next part begins.
        offset: u64,
    },
}

/// Why a part is not taken; what was received before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PartFault {
    /// It does not begin where the parts before it end.
    #[error("{offset} bytes of the blob are here: go on there")]
    WrongOffset {
        /// Where the next part has to begin.
        offset: u64,
    },
    /// Another request for the same upload came.
    #[error("another request goes on with this upload")]
    Displaced,
    /// All parts are here, and they are not the blob; they are dropped.
    #[error("the blob that was sent has another SHA-256 than its name")]
    OtherBlob,
}

/// Takes a part of a blob, or the question how far it is.
pub(crate) async fn receive(
    app: Arc<App>,
    caller: &Caller,
    hash: BlobHash,
    part: Part,
    mut body: SignedBody,
) -> Result<Sent, ApiError> {
    let mut turn = app.depot.turn(caller.account, &hash).await;
    let wanted = wanted(&app, caller, hash, part.size);
    let upload = match find(&*app.store, &wanted).await? {
        UploadOpened::Receiving(upload) => upload,
        UploadOpened::Stored(reference) => {
            app.depot.drop_spool(caller.account, &hash).await?;
            return Ok(Sent::Stored(reference));
        }
    };
    let Some(at) = part.at else { return Ok(Sent::More { offset: upload.received }) };
    if at != upload.received {
        return Err(BlobError::from(PartFault::WrongOffset { offset: upload.received }).into());
    }
    let Some(writer) = app.depot.part(caller.account, &hash, at, &turn).await? else {
        return to_the_end(async move { recover(&app, wanted).await }).await;
    };
    let found = tokio::select! {
        biased;
        () = turn.is_wanted() => return Err(BlobError::from(PartFault::Displaced).into()),
        found = write(writer, &mut body) => found?,
    };
    if Some(found) != body.digest() {
        return Err(DigestError::Mismatch.into());
    }
    to_the_end(async move { keep(&app, wanted, at, part.bytes, turn).await }).await
}

/// Ends an account's upload of a blob and its reference to it; whether there was either.
pub(crate) async fn let_go(
    store: &dyn Store,
    depot: &Depot,
    account: AccountId,
    hash: &BlobHash,
) -> Result<bool, StoreError> {
    let _turn = depot.turn(account, hash).await;
    let was_coming = store.drop_upload(account, hash).await?;
    depot.drop_spool(account, hash).await?;
    let was_there = store.drop_reference(account, hash).await?;
    tidy(store, depot, hash).await?;
    Ok(was_coming || was_there)
}

/// Removes a blob, if nobody refers to it.
pub(crate) async fn tidy(store: &dyn Store, depot: &Depot, hash: &BlobHash) -> Result<(), StoreError> {
    let _held = depot.hold(hash).await;
    if store.blob(hash).await?.is_none() {
        depot.remove(hash).await?;
        store.forget_blob(hash).await?;
    }
    Ok(())
}

fn wanted(app: &App, caller: &Caller, hash: BlobHash, bytes: u64) -> UploadWanted {
    UploadWanted {
        account: caller.account,
        device: caller.device,
        hash,
        bytes,
        storage_bytes_max: app.blob_storage_bytes_max,
        at: app.clock.now(),
    }
}

/// The upload, which is read when it goes on and written when it begins.
async fn find(store: &dyn Store, wanted: &UploadWanted) -> Result<UploadOpened, ApiError> {
    match store.upload(wanted.account, &wanted.hash).await? {
        Some(Upload { bytes, received }) if bytes == wanted.bytes && received > 0 => {
            Ok(UploadOpened::Receiving(Upload { bytes, received }))
        }
        Some(Upload { bytes, .. }) if bytes != wanted.bytes => {
            Err(BlobError::from(BlobRefusal::OtherSize { bytes }).into())
        }
        _ => Ok(store.open_upload(wanted.clone()).await?.map_err(BlobError::from)?),
    }
}

/// Writes the body to its end; its SHA-256.
async fn write(mut writer: PartWriter, body: &mut SignedBody) -> Result<[u8; 32], ApiError> {
    while let Some(bytes) = body.next().await? {
        writer.write(&bytes).await?;
    }
    Ok(writer.finish().await?)
}

/// Counts a part that is durable, and makes a blob of the last one. `_turn`: nobody else comes between.
async fn keep(app: &App, wanted: UploadWanted, at: u64, bytes: u64, _turn: Turn) -> Result<Sent, ApiError> {
    let UploadWanted { account, device, hash, .. } = wanted;
    let offset = at + bytes;
    if offset < wanted.bytes {
        let part = PartReceived { account, device, hash, from: at, to: offset, at: wanted.at };
        app.store.note_part(part).await?.map_err(BlobError::from)?;
        return Ok(Sent::More { offset });
    }
    if !app.depot.is_whole(account, &hash, wanted.bytes).await? {
        app.store.drop_upload(account, &hash).await?;
        app.depot.drop_spool(account, &hash).await?;
        return Err(BlobError::from(PartFault::OtherBlob).into());
    }
    let _held = app.depot.hold(&hash).await;
    app.depot.publish(account, &hash).await?;
    Ok(Sent::Stored(app.store.finish_upload(wanted).await?.map_err(BlobError::from)?))
}

/// What was received is not where it should be: it has become a blob, and the store could not be told before the end of
/// the process or for lack of room; or it is lost, and the upload begins again.
async fn recover(app: &App, wanted: UploadWanted) -> Result<Sent, ApiError> {
    let _held = app.depot.hold(&wanted.hash).await;
    if app.depot.has(&wanted.hash, wanted.bytes).await? {
        return Ok(Sent::Stored(app.store.finish_upload(wanted).await?.map_err(BlobError::from)?));
    }
    app.store.restart_upload(wanted.account, &wanted.hash).await?;
    Err(BlobError::from(PartFault::WrongOffset { offset: 0 }).into())
}
