//! Whether writes can succeed: what the last one came to, and a look now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::error::Fault;
use super::pool::Pool;
use crate::storage::StoreHealth;

/// How often it is tried whether writes succeed again.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is looked whether the database is there, while all is well.
const LOOK: Duration = Duration::from_secs(5);

const OK: u8 = 0;
const FULL: u8 = 1;
const FAILING: u8 = 2;

/// How the last write went.
#[derive(Debug, Default)]
pub(super) struct Condition(AtomicU8);

impl Condition {
    pub(super) fn health(&self) -> StoreHealth {
        match self.0.load(Ordering::Relaxed) {
            OK => StoreHealth::Ok,
            FULL => StoreHealth::Full,
            _ => StoreHealth::Failing,
        }
    }

    /// Notes what a write came to. What concerns that write alone says nothing about others.
    pub(super) fn note(&self, fault: Option<&Fault>) {
        let now = match fault {
            None => OK,
            Some(full) if full.is_full() => FULL,
            Some(fault) if concerns_all(fault) => FAILING,
            Some(_) => return,
        };
        if self.0.swap(now, Ordering::Relaxed) != now {
            match fault {
                None => tracing::info!("writes to PostgreSQL succeed again"),
                Some(fault) => tracing::error!(error = %fault, "writes to PostgreSQL fail"),
            }
        }
    }
}

/// Whether the server is gone, stops, starts, is a standby, or has nothing left to work with.
fn concerns_all(fault: &Fault) -> bool {
    match fault {
        Fault::Unreachable(_) => true,
        Fault::Doubtful(fault) => concerns_all(fault),
        Fault::Postgres(error) => match error.code() {
            None => true,
            Some(state) => {
                ["57P01", "57P02", "57P03", "25006", "53200", "53300", "58030"].contains(&state.code())
            }
        },
        _ => false,
    }
}

/// Looks whether the database takes writes, for as long as somebody holds it.
pub(super) async fn watch(pool: Pool, condition: Arc<Condition>) {
    loop {
        let is_ok = condition.health() == StoreHealth::Ok;
        tokio::time::sleep(if is_ok { LOOK } else { RETRY }).await;
        let looked = if is_ok { look(&pool).await } else { try_a_write(&pool).await };
        condition.note(looked.as_ref().err());
    }
}

/// A pool whose connections are all in use has a database.
async fn look(pool: &Pool) -> Result<(), Fault> {
    match pool.connection().await {
        Err(Fault::Busy) => Ok(()),
        Err(fault) => Err(fault),
        Ok(db) => db.batch("SELECT 1").await,
    }
}

async fn try_a_write(pool: &Pool) -> Result<(), Fault> {
    let db = pool.connection().await?;
    db.batch("UPDATE probe SET at = now()").await
}
