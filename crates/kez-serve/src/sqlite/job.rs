//! One queued write: the caller's closure, its verdict, and the way back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::{JobError, WriteError, explain};

/// A job without its types, so that one queue holds all.
pub(super) trait Job: Send {
    /// Runs it and keeps the verdict for [`Job::answer`]; again, when the transaction of the first time was undone. `path`
    /// is the database file.
    fn run(&mut self, conn: &Connection, path: &Path) -> Ran;
    /// Sends the verdict; `committed` is the fate of the transaction it ran in.
    fn answer(self: Box<Self>, committed: Result<(), WriteError>);
}

/// What a job left behind in the transaction.
pub(super) enum Ran {
    /// Changes to be committed.
    Keep,
    /// Changes to be undone: a refusal, or a failure of this job alone.
    Undo(Option<WriteError>),
}

/// What the caller of `write` gets.
pub(super) type Answer<T, E> = Result<Result<T, E>, WriteError>;

pub(super) struct Queued<T, E, F, G> {
    work: F,
    tell: G,
    verdict: Option<Answer<T, E>>,
    reply: oneshot::Sender<Answer<T, E>>,
}

impl<T, E, F, G> Queued<T, E, F, G> {
    /// `tell` gets what `work` came to, once it is durable.
    pub(super) fn new(work: F, tell: G) -> (Self, oneshot::Receiver<Answer<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, tell, verdict: None, reply }, answer)
    }
}

impl<T, E, F, G> Job for Queued<T, E, F, G>
where
    T: Send,
    E: Send,
    F: Fn(&Connection) -> Result<T, JobError<E>> + Send,
    G: FnOnce(&T) + Send,
{
    fn run(&mut self, conn: &Connection, path: &Path) -> Ran {
        // Unwind safe: what the panic leaves in the database is rolled back, and an Fn keeps nothing.
        let verdict = match catch_unwind(AssertUnwindSafe(|| (self.work)(conn))) {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(JobError::Refused(refusal))) => Ok(Err(refusal)),
            Ok(Err(JobError::Sqlite(error))) => Err(explain(error, path)),
            Err(_panic) => Err(WriteError::Panicked),
        };
        let ran = match &verdict {
            Ok(Ok(_)) => Ran::Keep,
            Ok(Err(_)) => Ran::Undo(None),
            Err(error) => Ran::Undo(Some(error.clone())),
        };
        self.verdict = Some(verdict);
        ran
    }

    fn answer(self: Box<Self>, committed: Result<(), WriteError>) {
        let verdict = committed.and(self.verdict.unwrap_or(Err(WriteError::Closed)));
        if let Ok(Ok(value)) = &verdict {
            (self.tell)(value);
        }
        // The caller may be gone; what was done stays done.
        let _ = self.reply.send(verdict);
    }
}
