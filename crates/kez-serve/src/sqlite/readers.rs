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
    /// Stands in the newest state, so that reading that state takes no lock of the system.
    ///
    /// SQLite locks a state for as long as a transaction reads it: two system calls for each lookup, unless another
    /// connection of the process holds the same lock. This one does. It is no cache: a reader finds the newest state
    /// by itself, and takes its own lock when that is not the one held here.
    anchor: Slot,
}

impl Readers {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let open = |_| connection::open_reader(path, options).map(|conn| Mutex::new(Some(conn)));
        let slots: rusqlite::Result<_> = (0..options.readers.max(1)).map(open).collect();
        let slots = slots.map_err(OpenError::sqlite(path))?;
        Ok(Self { slots, anchor: open(0).map_err(OpenError::sqlite(path))? })
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

    /// Moves the anchor to the newest state. To be called after each commit and each checkpoint: an anchor left behind
    /// keeps the WAL from being copied and from starting over.
    pub(super) fn drop_anchor(&self) {
        let slot = whole(self.anchor.lock());
        let Some(conn) = slot.as_ref() else { return };
        if let Err(error) = weigh(conn).and_then(|()| stand(conn)) {
            tracing::debug!(%error, "lookups take locks of their own");
        }
    }

    /// Lets go of the state held, for a checkpoint that waits for all readers.
    pub(super) fn weigh_anchor(&self) {
        if let Some(conn) = whole(self.anchor.lock()).as_ref()
            && let Err(error) = weigh(conn)
        {
            tracing::debug!(%error, "a state of the database is held for too long");
        }
    }

    /// Closes every connection, each after the read that uses it.
    pub(super) fn close(&self) {
        for slot in self.slots.iter().chain([&self.anchor]) {
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

/// Begins a transaction, which locks a state when it first reads.
fn stand(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    conn.prepare_cached("SELECT count(*) FROM sqlite_schema WHERE rowid = 0")?.query_row([], |_| Ok(()))
}

fn weigh(conn: &Connection) -> rusqlite::Result<()> {
    if conn.is_autocommit() { Ok(()) } else { conn.prepare_cached("ROLLBACK")?.execute([]).map(drop) }
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
