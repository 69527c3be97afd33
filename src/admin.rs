//! Commands of the operator, run beside a server that may be at work on the same file.

mod accounts;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;

use kez_core::{Handle, Timestamp};
use kez_serve::clock::Clock;
use kez_serve::rng::Rng;

use crate::config::{InviteCommand, ServeArgs};
use crate::invite::{Invite, InviteToken};
use crate::store::{INVITES_MAX, Registry as _, SqliteStore, Store as _, StoreError};

pub use accounts::account;
pub(crate) use table::size;

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
    /// Nobody ever took the handle.
    #[error("nobody here has the handle {0}; check its spelling, and that --db names the server's database")]
    NoHolder(Handle),
    /// The handle was given up.
    #[error("{0} was given up and is nobody's any more; if its key took another handle, name that one")]
    GivenUp(Handle),
    /// The account is suspended already.
    #[error(
        "{0} has been suspended since {1}; to give another reason, first: kez-chat-server admin reinstate {0}"
    )]
    Suspended(Handle, Timestamp),
    /// The account is not suspended.
    #[error("{0} is not suspended; what was done: kez-chat-server admin audit")]
    NotSuspended(Handle),
}

/// Runs a command on invites and prints to `out`; what is meant for people only goes to standard error.
pub async fn invite(
    args: &ServeArgs,
    command: &InviteCommand,
    clock: &dyn Clock,
    rng: &dyn Rng,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let store = open(args)?;
    let done = run(&store, command, clock, rng, out).await;
    store.close().await;
    done
}

/// Opens the database, which has to be there.
fn open(args: &ServeArgs) -> Result<SqliteStore, AdminError> {
    if !args.db.exists() {
        return Err(AdminError::NoDatabase(args.db.clone()));
    }
    Ok(SqliteStore::open_beside(&args.db)?)
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
