//! Commands of the operator, run beside a server that may be at work on the same file.

use std::fmt::Write;
use std::path::PathBuf;

use kez_serve::clock::Clock;
use kez_serve::rng::Rng;

use crate::config::{InviteCommand, ServeArgs};
use crate::invite::InviteToken;
use crate::store::{INVITES_MAX, SqliteStore, Store, StoreError};

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The database cannot be opened.
    #[error("--db: {0}")]
    Database(#[from] kez_serve::sqlite::OpenError),
    /// There is no database.
    #[error("--db {0}: there is no such file; start the server once, or name its database")]
    NoDatabase(PathBuf),
    /// The database cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token has this number.
    #[error("there is no invite {0}; see: kez-chat-server invite list")]
    NoInvite(i64),
    /// Too many tokens work at once.
    #[error("{INVITES_MAX} invites work already; revoke some, or give one more uses")]
    TooManyInvites,
}

/// Runs a command on invites and returns what to print.
pub async fn invite(
    args: &ServeArgs,
    command: &InviteCommand,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<String, AdminError> {
    if !args.db.exists() {
        return Err(AdminError::NoDatabase(args.db.clone()));
    }
    let store = SqliteStore::open_beside(&args.db)?;
    let printed = run(&store, command, clock, rng).await;
    store.close().await;
    printed
}

async fn run(
    store: &SqliteStore,
    command: &InviteCommand,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<String, AdminError> {
    let now = clock.now().truncated();
    match *command {
        InviteCommand::Create { uses, days } => {
            let token = InviteToken::new(rng);
            let expires_at = now.plus_seconds(i64::from(days) * DAY_S).unwrap_or(now);
            let id = store.create_invite(token.hash(), uses, expires_at, now).await?;
            let id = id.ok_or(AdminError::TooManyInvites)?;
            Ok(format!(
                "{}\n\nInvite {id}: {} until {expires_at}. The token is not stored; hand it out now.\n",
                token.as_str(),
                people(uses),
            ))
        }
        InviteCommand::List => {
            let invites = store.invites(now).await?;
            if invites.is_empty() {
                return Ok("No invites. Make one: kez-chat-server invite create\n".into());
            }
            let mut table = format!("{:>6}  {:>9}  works until\n", "number", "uses left");
            for invite in invites {
                // Writing to a String cannot fail.
                let _ = writeln!(table, "{:>6}  {:>9}  {}", invite.id, invite.uses_left, invite.expires_at);
            }
            Ok(table)
        }
        InviteCommand::Revoke { id } if store.revoke_invite(id).await? => {
            Ok(format!("Invite {id} does not work any more.\n"))
        }
        InviteCommand::Revoke { id } => Err(AdminError::NoInvite(id)),
    }
}

fn people(count: u32) -> String {
    if count == 1 { "for one person".into() } else { format!("for {count} people") }
}
