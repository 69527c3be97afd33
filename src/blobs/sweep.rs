//! Blobs and uploads whose time is over are taken away, in small portions.

use std::sync::Arc;
use std::time::Duration;

use kez_core::Timestamp;
use tokio_util::sync::CancellationToken;

use super::UPLOAD_SECONDS_MAX;
use super::depot::Depot;
use super::upload::tidy;
use crate::app::App;
use crate::store::{Store, StoreError};

/// How long the sweeper rests. What nobody refers to takes room for as long.
const EVERY: Duration = Duration::from_mins(1);

/// Rows in one write, so that no other write waits long for it.
const PORTION: u32 = 256;

/// Sweeps now and then until `end`.
pub(crate) async fn run(app: Arc<App>, end: CancellationToken) {
    if let Err(error) = drop_strays(&*app.store, &app.depot).await {
        tracing::warn!(error = %error, "the spool of blobs was not looked through");
    }
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        // What is broken off is found again: each step leaves a row that leads to the next.
        let swept = async {
            ticks.tick().await;
            sweep(&*app.store, &app.depot, app.age_time()).await
        };
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            swept = swept => if let Err(error) = swept {
                tracing::warn!(error = %error, "blobs were not swept");
            }
        }
    }
}

/// Ends references that have expired and uploads that rest, and removes what is then nobody's.
pub(crate) async fn sweep(store: &dyn Store, depot: &Depot, now: Timestamp) -> Result<(), StoreError> {
    while store.drop_ended_references(now, PORTION).await? == PORTION {}
    loop {
        let hashes = store.blobs_of_nobody(PORTION).await?;
        for hash in &hashes {
            tidy(store, depot, hash).await?;
        }
        if hashes.len() < PORTION as usize {
            break;
        }
    }
    let Some(before) = now.plus_seconds(-UPLOAD_SECONDS_MAX) else { return Ok(()) };
    loop {
        let resting = store.resting_uploads(before, PORTION).await?;
        for (account, hash) in &resting {
            let _turn = depot.turn(*account, hash).await;
            if store.drop_resting_upload(*account, hash, before).await? {
                depot.drop_spool(*account, hash).await?;
                tidy(store, depot, hash).await?;
            }
        }
        if resting.len() < PORTION as usize {
            return Ok(());
        }
    }
}

/// Removes files of uploads that the store does not know: a crash came between the two.
async fn drop_strays(store: &dyn Store, depot: &Depot) -> Result<(), StoreError> {
    for (account, hash) in depot.spools().await? {
        if store.upload(account, &hash).await?.is_some() {
            continue; // it may be going on already: nobody is to make way
        }
        let _turn = depot.turn(account, &hash).await;
        if store.upload(account, &hash).await?.is_none() {
            depot.drop_spool(account, &hash).await?;
        }
    }
    Ok(())
}
