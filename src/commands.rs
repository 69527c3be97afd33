//! The task that notices what the operator's commands, which run in other processes, have changed.
//!
//! A command writes to the file and ends. Every one that matters to a running server leaves an entry in the audit, so
//! one short read tells whether there was any; then what is held in memory about those accounts is forgotten, and their
//! streams look again whether they may go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store::{AuditId, StoreError};

/// Between two looks. Half of the second within which operators are told that a command has its effect: a look costs
/// some microseconds. Real time, because the server's clock cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Entries read at once.
const PAGE: u32 = 1_000;

/// The running task.
#[derive(Debug)]
pub(crate) struct CommandWatch {
    task: JoinHandle<()>,
}

impl CommandWatch {
    /// Looks for entries after `seen` until `shutdown`. `seen` has to be read before anything is held in memory.
    pub(crate) fn start(app: Arc<App>, seen: AuditId, shutdown: CancellationToken) -> Self {
        let task = async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = watch_for_ever(&app, seen) => {}
            }
        };
        Self { task: tokio::spawn(task) }
    }

    /// Waits for its end, which comes with the shutdown.
    pub(crate) async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the watch for commands broke off");
        }
    }
}

async fn watch_for_ever(app: &App, mut seen: AuditId) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        looks.tick().await;
        let looked = catch_up(app, &mut seen).await;
        if let Err(error) = &looked
            && !is_failing
        {
            tracing::warn!(error = %error, "commands cannot be noticed: the store does not answer; trying again");
        }
        is_failing = looked.is_err();
    }
}

/// Takes in what was done after `seen`, and moves it.
async fn catch_up(app: &App, seen: &mut AuditId) -> Result<(), StoreError> {
    loop {
        let entries = app.store.audited_after(*seen, PAGE).await?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        *seen = *last;
        for primary in entries.iter().filter_map(|(_, primary)| primary.as_ref()) {
            app.cut_off(primary);
        }
    }
}
