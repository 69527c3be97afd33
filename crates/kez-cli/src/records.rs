//! What a device keeps: records under keys, each sealed, in one SQLite file. SPEC "Device records".
//!
//! A batch is written whole or not at all, and lasts when [`Records::commit`] returns. One process at a time works with
//! a file: whoever opens one holds the [device's lock](crate::device::DeviceLock). Nothing here knows what records mean.

mod draft;
mod seal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

pub(crate) use self::draft::Draft;
use self::seal::Seal;

/// What marks a file as ours: `KEZd` (SQLite's `application_id`).
const APPLICATION_ID: i32 = 0x4b45_5a64;
/// The only version of the tables there is.
const VERSION: i32 = 1;
/// The largest file, in pages of 4 KiB: 4 GiB.
const PAGES_MAX: u32 = 1024 * 1024;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// The largest record, in bytes: a group of 256 devices has about half of it.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long to wait for a program that looks into the file, such as a backup.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// The key of the record that tells a right key from a wrong one.
const CANARY: &[u8] = b"\0canary";

const SCHEMA: &str = "
    CREATE TABLE records (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA application_id = 0x4b455a64;
    PRAGMA user_version = 1;
";

/// A change of one record: its new value, or `None` to delete it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);
/// A record: its key and its value.
pub(crate) type Record = (Vec<u8>, Vec<u8>);

/// An open file of records.
pub(crate) struct Records {
    path: PathBuf,
    connection: Connection,
    seal: Seal,
}

/// Why records cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RecordsError {
    /// The file was made with another key.
    #[error("{path} belongs to another device")]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A record is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file is another program's.
    #[error("{path} is not a file of kez")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is of a later version.
    #[error("{path} was written by a newer kez")]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full, or the file as large as it may be.
    #[error("there is no room for more in {path}")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// A key or a value is larger than one may be. The caller's bounds keep this from happening.
    #[error("this is too large to be kept")]
    TooLarge,
    /// Anything else that SQLite says.
    #[error("{path} cannot be used")]
    Sqlite {
        /// The file.
        path: PathBuf,
        source: rusqlite::Error,
    },
}

impl Records {
    /// Opens the file at `path`, whose directory exists, or makes it.
    pub(crate) fn open(path: &Path, data_key: &[u8; 32]) -> Result<Self, RecordsError> {
        let failed = |source| fault(path, source);
        make_private(path).map_err(|source| RecordsError::Sqlite {
            path: path.to_owned(),
            source: rusqlite::Error::ToSqlConversionFailure(source.into()),
        })?;
        let connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        let mut records = Self { path: path.to_owned(), connection, seal: Seal::new(data_key) };
        records.require_ours()?;
        records.require_key()?;
        Ok(records)
    }

    /// The value of one record.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RecordsError> {
        let mut statement = self.prepare("SELECT key, sealed FROM records WHERE key = ?1")?;
        let row = statement.query_row([key], |row| Ok(self.opened(row))).optional();
        row.map_err(|source| fault(&self.path, source))?.transpose().map(|row| row.map(|(_, value)| value))
    }

    /// All records whose keys begin with `prefix`, in the order of their keys.
    pub(crate) fn load(&self, prefix: &[u8]) -> Result<Vec<Record>, RecordsError> {
        let mut records = Vec::new();
        self.each(prefix, prefix, |key, value| {
            records.push((key, value));
            true
        })?;
        Ok(records)
    }

    /// Shows `visit` the records whose keys begin with `prefix`, from the key `from` on, in the order of their keys, until
    /// it says `false`.
    pub(crate) fn each(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(Vec<u8>, Vec<u8>) -> bool,
    ) -> Result<(), RecordsError> {
        let sql = "SELECT key, sealed FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key";
        self.walk(sql, from, &after(prefix), visit)
    }

    /// The same from the last key before `before` backwards.
    pub(crate) fn each_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        visit: impl FnMut(Vec<u8>, Vec<u8>) -> bool,
    ) -> Result<(), RecordsError> {
        let sql = "SELECT key, sealed FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key DESC";
        let end = before.map_or_else(|| after(prefix), <[u8]>::to_vec);
        self.walk(sql, prefix, &end, visit)
    }

    /// How many records have keys that begin with `prefix`.
    pub(crate) fn count(&self, prefix: &[u8]) -> Result<u64, RecordsError> {
        let mut statement = self.prepare("SELECT count(*) FROM records WHERE key >= ?1 AND key < ?2")?;
        let count = statement.query_row(params![prefix, after(prefix)], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(|source| fault(&self.path, source))
    }

    /// Makes all of these changes or none, durably. Of several changes of one record the last one counts.
    pub(crate) fn commit(&mut self, batch: &[Change]) -> Result<(), RecordsError> {
        if batch.is_empty() {
            return Ok(());
        }
        let is_too_large = |(key, value): &Change| {
            key.len() > KEY_BYTES_MAX || value.as_ref().is_some_and(|value| value.len() > RECORD_BYTES_MAX)
        };
        if batch.iter().any(is_too_large) {
            return Err(RecordsError::TooLarge);
        }
        self.write(batch).map_err(|source| fault(&self.path, source))
    }

    /// A value that is JSON of ours.
    pub(crate) fn parse<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, RecordsError> {
        serde_json::from_slice(value).map_err(|_| RecordsError::Damaged { path: self.path.clone() })
    }

    fn write(&mut self, batch: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2)")?;
            let mut drop = transaction.prepare_cached("DELETE FROM records WHERE key = ?1")?;
            for (key, value) in batch {
                match value {
                    Some(value) => put.execute(params![key, self.seal.seal(key, value)])?,
                    None => drop.execute([key])?,
                };
            }
        }
        transaction.commit()
    }

    fn walk(
        &self,
        sql: &str,
        from: &[u8],
        end: &[u8],
        mut visit: impl FnMut(Vec<u8>, Vec<u8>) -> bool,
    ) -> Result<(), RecordsError> {
        let failed = |source| fault(&self.path, source);
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params![from, end]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (key, value) = self.opened(row)?;
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn opened(&self, row: &Row<'_>) -> Result<Record, RecordsError> {
        let damaged = || RecordsError::Damaged { path: self.path.clone() };
        let blob = |at| match row.get_ref(at) {
            Ok(ValueRef::Blob(bytes)) => Ok(bytes),
            _ => Err(damaged()),
        };
        let (key, sealed) = (blob(0)?, blob(1)?);
        let value = self.seal.open(key, sealed).ok_or_else(damaged)?;
        Ok((key.to_vec(), value))
    }

    fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, RecordsError> {
        self.connection.prepare_cached(sql).map_err(|source| fault(&self.path, source))
    }

    /// Makes the tables of a new file; fails for one that is not ours.
    fn require_ours(&self) -> Result<(), RecordsError> {
        let failed = |source| fault(&self.path, source);
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (id, version) =
            (pragma("application_id").map_err(failed)?, pragma("user_version").map_err(failed)?);
        let tables = "SELECT count(*) FROM sqlite_schema";
        let is_empty =
            self.connection.query_row(tables, [], |row| row.get::<_, i64>(0)).map_err(failed)? == 0;
        match (id, version) {
            (0, 0) if is_empty => {
                let schema = format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;");
                self.connection.execute_batch(&schema).map_err(failed)
            }
            (APPLICATION_ID, VERSION) => Ok(()),
            (APPLICATION_ID, _) => Err(RecordsError::Newer { path: self.path.clone() }),
            _ => Err(RecordsError::Foreign { path: self.path.clone() }),
        }
    }

    /// Fails where the file was made with another key.
    fn require_key(&mut self) -> Result<(), RecordsError> {
        match self.get(CANARY) {
            Ok(Some(_)) => Ok(()),
            Ok(None) if self.count(b"")? == 0 => self.commit(&[(CANARY.to_vec(), Some(Vec::new()))]),
            Ok(None) => Err(RecordsError::Damaged { path: self.path.clone() }),
            Err(RecordsError::Damaged { .. }) => Err(RecordsError::WrongKey { path: self.path.clone() }),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The end of all keys that begin with `prefix`: the first key behind them.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; KEY_BYTES_MAX + 1]
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_MAX)?;
    // A batch is on disk before it is acknowledged. What is deleted is overwritten: old keys of MLS must not stay, even
    // sealed; freed pages of the log go when it starts over.
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("secure_delete", "ON")] {
        connection.pragma_update(None, name, value)?;
    }
    connection.pragma_update(None, "max_page_count", PAGES_MAX)?;
    connection.pragma_update(None, "wal_autocheckpoint", 256)
}

/// An empty file for this user only, where there is none.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn fault(path: &Path, source: rusqlite::Error) -> RecordsError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => RecordsError::Full { path },
        Some(ErrorCode::NotADatabase) => RecordsError::Foreign { path },
        Some(ErrorCode::DatabaseCorrupt) => RecordsError::Damaged { path },
        _ => RecordsError::Sqlite { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        (key.into(), Some(value.into()))
    }

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("store.db")
        }

        fn open(&self) -> Result<Records, RecordsError> {
            Records::open(&self.path(), &[7; 32])
        }
    }

    fn texts(records: &[Record]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        records.iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    #[test]
    fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let place = Place::new();
        let mut records = place.open().unwrap();
        records.commit(&[put("a/1", "one"), put("a/2", "two"), put("b", "other")]).unwrap();
        records.commit(&[("a/1".into(), None), put("a/2", "deux")]).unwrap();
        drop(records);
        let records = place.open().unwrap();
        assert_eq!(texts(&records.load(b"a/").unwrap()), [("a/2".into(), "deux".into())]);
        assert_eq!((records.get(b"a/1").unwrap(), records.count(b"a/").unwrap()), (None, 1));
    }

    #[test]
    fn records_are_walked_in_order_from_both_ends() {
        let place = Place::new();
        let mut records = place.open().unwrap();
        let batch: Vec<_> = ["m1", "m2", "m3", "n1", "m"].iter().map(|key| put(key, key)).collect();
        records.commit(&batch).unwrap();
        let mut seen = Vec::new();
        let mut note = |key: Vec<u8>, _| {
            seen.push(String::from_utf8(key).unwrap());
            seen.len() < 5
        };
        records.each(b"m", b"m2", &mut note).unwrap();
        records.each_back(b"m", Some(b"m3"), &mut note).unwrap();
        assert_eq!(seen, ["m2", "m3", "m2", "m1", "m"]);
    }

    #[test]
    fn prefixes_of_the_highest_bytes_have_an_end() {
        assert_eq!((after(b"a"), after(b"a\xff")), (b"b".to_vec(), b"b".to_vec()));
        assert!(after(b"\xff").len() > KEY_BYTES_MAX && after(b"").len() > KEY_BYTES_MAX);
    }

    #[test]
    fn another_key_opens_nothing_and_changes_nothing() {
        let place = Place::new();
        place.open().unwrap().commit(&[put("a", "one")]).unwrap();
        let wrong = Records::open(&place.path(), &[8; 32]);
        assert!(matches!(wrong, Err(RecordsError::WrongKey { .. })), "{wrong:?}");
        assert_eq!(place.open().unwrap().get(b"a").unwrap(), Some(b"one".to_vec()));
    }

    #[test]
    fn no_flipped_byte_and_no_moved_record_is_read() {
        let place = Place::new();
        place.open().unwrap().commit(&[put("a", "one"), put("b", "two")]).unwrap();
        let raw = Connection::open(place.path()).unwrap();
        let sealed: Vec<u8> =
            raw.query_row("SELECT sealed FROM records WHERE key = x'61'", [], |row| row.get(0)).unwrap();
        for at in 0..sealed.len() {
            let mut spoilt = sealed.clone();
            spoilt[at] ^= 1;
            raw.execute("UPDATE records SET sealed = ?1 WHERE key = x'61'", [&spoilt]).unwrap();
            let read = place.open().unwrap().get(b"a");
            assert!(matches!(read, Err(RecordsError::Damaged { .. })), "byte {at}: {read:?}");
        }
        raw.execute("UPDATE records SET sealed = ?1 WHERE key = x'62'", [&sealed]).unwrap();
        assert!(matches!(place.open().unwrap().get(b"b"), Err(RecordsError::Damaged { .. })));
    }

    #[test]
    fn no_plaintext_reaches_the_disk() {
        let place = Place::new();
        place.open().unwrap().commit(&[put("a", "the treasure is under the old oak")]).unwrap();
        for entry in std::fs::read_dir(place.dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(8).any(|window| window == b"treasure"));
        }
    }

    #[test]
    fn files_of_others_and_of_later_versions_are_left_alone() {
        let place = Place::new();
        Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(matches!(place.open(), Err(RecordsError::Foreign { .. })));
        let place = Place::new();
        std::fs::write(place.path(), "not a database, and long enough not to be taken for an empty one")
            .unwrap();
        assert!(matches!(place.open(), Err(RecordsError::Foreign { .. })));
        let place = Place::new();
        drop(place.open().unwrap());
        Connection::open(place.path()).unwrap().pragma_update(None, "user_version", 2).unwrap();
        assert!(matches!(place.open(), Err(RecordsError::Newer { .. })));
    }

    #[test]
    fn too_much_is_refused_before_anything_is_written() {
        let place = Place::new();
        let mut records = place.open().unwrap();
        let batch = [put("a", "one"), ("b".into(), Some(vec![0; RECORD_BYTES_MAX + 1]))];
        assert!(matches!(records.commit(&batch), Err(RecordsError::TooLarge)));
        assert_eq!(records.get(b"a").unwrap(), None);
    }

    #[test]
    fn a_full_file_refuses_the_whole_batch_and_takes_smaller_ones_again() {
        let place = Place::new();
        let mut records = place.open().unwrap();
        records.connection.pragma_update(None, "max_page_count", 40).unwrap();
        let batch: Vec<Change> = (0..10).map(|at| (vec![at], Some(vec![at; 32 * 1024]))).collect();
        assert!(matches!(records.commit(&batch), Err(RecordsError::Full { .. })));
        assert_eq!(records.count(b"").unwrap(), 1, "the canary alone");
        records.commit(&[put("a", "one")]).unwrap();
    }

    /// Names the file when this very test runs as the process that is killed.
    const KILLED: &str = "KEZ_TEST_RECORDS";
    const NUMBERS: [&str; 3] = ["x", "y", "z"];

    #[test]
    fn acknowledged_batches_survive_kill_9_and_are_whole() {
        if let Some(path) = std::env::var_os(KILLED) {
            return write_until_killed(Path::new(&path));
        }
        let place = Place::new();
        for round in 1..=5 {
            let acknowledged = kill_after(&place.path(), 20 * round);
            let records = place.open().unwrap();
            let stored = NUMBERS.map(|key| records.get(key.as_bytes()).unwrap().unwrap());
            assert!(stored.iter().all(|number| *number == stored[0]), "a batch in part");
            let stored = u64::from_be_bytes(stored[0].clone().try_into().unwrap());
            assert!(stored >= acknowledged && stored <= acknowledged + 1, "{stored}, {acknowledged}");
        }
    }

    /// Writes one number after the other into three records, and prints each that is acknowledged.
    fn write_until_killed(path: &Path) {
        let mut records = Records::open(path, &[7; 32]).unwrap();
        for number in 1_u64.. {
            let change = |key: &str| (key.into(), Some(number.to_be_bytes().to_vec()));
            records.commit(&NUMBERS.map(change)).unwrap();
            println!("\nacknowledged {number}");
        }
    }

    /// The last number that was acknowledged when the process ended.
    fn kill_after(path: &Path, lines: u64) -> u64 {
        use std::io::BufRead;
        let test = "records::tests::acknowledged_batches_survive_kill_9_and_are_whole";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(KILLED, path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut last = 0;
        for line in std::io::BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(number) = line.strip_prefix("acknowledged ") else { continue };
            last = number.parse().unwrap_or(last); // the last line may be torn
            if last == lines {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        last
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new();
        let records = place.open().unwrap();
        for entry in std::fs::read_dir(place.dir.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
        }
        drop(records);
    }
}
