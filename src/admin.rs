//! Commands of the operator, run beside a server that may be at work on the same file.

use std::io::{self, Write};
use std::path::PathBuf;

use kez_serve::clock::Clock;
use kez_serve::rng::Rng;

use crate::config::{InviteCommand, ServeArgs};
use crate::invite::{Invite, InviteToken};
use crate::store::{INVITES_MAX, Registry as _, SqliteStore, Store as _, StoreError};

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The database cannot be opened.
    #[error("--db: {0}")]
    Database(#[from] kez_serve::sqlite::OpenError),
    /// The result cannot be printed.
    #[error("it cannot be printed: {0}")]
    Print(#[from] io::Error),
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

/// Runs a command on invites and prints to `out`; what is meant for people only goes to standard error.
pub async fn invite(
    args: &ServeArgs,
    command: &InviteCommand,
    clock: &dyn Clock,
    rng: &dyn Rng,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    if !args.db.exists() {
        return Err(AdminError::NoDatabase(args.db.clone()));
    }
    let store = SqliteStore::open_beside(&args.db)?;
    let done = run(&store, command, clock, rng, out).await;
    store.close().await;
    done
}

async fn run(
    store: &SqliteStore,
    command: &InviteCommand,
    clock: &dyn Clock,
    rng: &dyn Rng,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let now = clock.now().truncated();
    match *command {
        InviteCommand::Create { uses, days } => {
            let expires_at = now.plus_seconds(i64::from(days) * DAY_S).unwrap_or(now);
            let token = InviteToken::new(rng);
            let id = store.create_invite(token.hash(), uses, expires_at, now).await?;
            let id = id.ok_or(AdminError::TooManyInvites)?;
            // A token that nobody got to see must not work.
            if let Err(error) = writeln!(out, "{}", token.as_str()).and_then(|()| out.flush()) {
                store.revoke_invite(id, now).await?;
                return Err(error.into());
            }
            let who = people(uses);
            eprintln!("Invite {id}: {who} until {expires_at}. The token is not stored; hand it out now.");
            Ok(())
        }
        InviteCommand::List => Ok(list(&store.invites(now).await?, out)?),
        InviteCommand::Revoke { id } if store.revoke_invite(id, now).await? => {
            Ok(writeln!(out, "Invite {id} does not work any more.")?)
        }
        InviteCommand::Revoke { id } => Err(AdminError::NoInvite(id)),
    }
}

fn list(invites: &[Invite], out: &mut impl Write) -> io::Result<()> {
    if invites.is_empty() {
        return writeln!(out, "No invites. Make one: kez-chat-server invite create");
    }
    writeln!(out, "{:>6}  {:>9}  works until", "number", "uses left")?;
    for invite in invites {
        writeln!(out, "{:>6}  {:>9}  {}", invite.id, invite.uses_left, invite.expires_at)?;
    }
    Ok(())
}

fn people(count: u32) -> String {
    if count == 1 { "for one person".into() } else { format!("for {count} people") }
}
