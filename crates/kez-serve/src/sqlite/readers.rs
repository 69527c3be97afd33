//! The pool of read-only connections.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::error::{OpenError, ReadError};
use super::{Options, connection};

/// `None` once closed.
type Slot = Mutex<Option<Connection>>;

pub(super) struct Readers {
    slots: Box<[Slot]>,
}

impl Readers {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let open = |_| connection::open_reader(path, options).map(|conn| Mutex::new(Some(conn)));
        let slots: rusqlite::Result<_> = (0..options.readers.max(1)).map(open).collect();
        Ok(Self { slots: slots.map_err(OpenError::sqlite(path))? })
    }

    pub(super) fn read<T>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let slot = self.take();
        let conn = slot.as_ref().ok_or(ReadError::Closed)?;
        let result = job(conn);
        if !conn.is_autocommit() {
            // A transaction left open would show this state for ever and keep the WAL from starting over.
            conn.execute_batch("ROLLBACK").map_err(ReadError::Failed)?;
        }
        result.map_err(ReadError::Failed)
    }

    /// Closes every connection, each after the read that uses it.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            drop(whole(slot.lock()).take());
        }
    }

    /// A free connection, this thread's own first; waits for that one when none is free.
    fn take(&self) -> MutexGuard<'_, Option<Connection>> {
        let own = thread_number() % self.slots.len();
        let (before, from) = self.slots.split_at(own);
        let free = from.iter().chain(before).find_map(|slot| match slot.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        free.unwrap_or_else(|| whole(self.slots[own].lock()))
    }
}

/// A panicking read leaves its connection whole: statements reset and transactions roll back when dropped.
fn whole<'a, T>(locked: Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>>) -> MutexGuard<'a, T> {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// Numbers threads as they come, so that each has a connection of its own as long as there are enough.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}
