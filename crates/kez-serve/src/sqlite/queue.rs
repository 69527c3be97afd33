//! The bounded queue before the writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::WriteError;
use super::job::Job;

/// Many callers push, the writer thread takes.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    jobs_max: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
}

/// Why the writer was woken.
pub(super) enum Next {
    /// A job to run.
    Job(Box<dyn Job>),
    /// Nothing came in the time given.
    Idle,
    /// Closed, and every job taken.
    Closed,
}

impl Queue {
    pub(super) fn new(jobs_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), jobs_max: jobs_max.max(1) }
    }

    /// Queues a job, or refuses it at once.
    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), WriteError> {
        let mut state = self.lock();
        if state.closed {
            return Err(WriteError::Closed);
        }
        if state.jobs.len() >= self.jobs_max {
            return Err(WriteError::Busy);
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job, waiting for it; at most for `patience`, where given.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Next {
        let idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
        let mut state = match patience {
            None => self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.changed.wait_timeout_while(self.lock(), limit, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        match state.jobs.pop_front() {
            Some(job) => Next::Job(job),
            None if state.closed => Next::Closed,
            None => Next::Idle,
        }
    }

    /// The next job if one waits.
    pub(super) fn pop(&self) -> Option<Box<dyn Job>> {
        self.lock().jobs.pop_front()
    }

    /// Takes no more jobs; those queued are still to be done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Closes and drops what is queued: their callers get [`WriteError::Closed`].
    pub(super) fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.lock().jobs);
        drop(jobs); // outside the lock: what a job captured may call us when dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
