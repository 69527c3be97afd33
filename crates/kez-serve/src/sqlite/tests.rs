//! What the handle promises, on real files.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, StatementStatus, params};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;

/// Beyond any wait of a healthy run.
const DEADLINE: Duration = Duration::from_secs(20);

const NOTES: &[Migration] = &[
    Migration {
        version: 1,
        name: "notes",
        sql: "CREATE TABLE note (name TEXT PRIMARY KEY, body BLOB) STRICT",
    },
    Migration { version: 2, name: "tags", sql: "CREATE TABLE tag (note TEXT REFERENCES note (name)) STRICT" },
];

struct Notes {
    dir: TempDir,
    db: Database,
}

impl Notes {
    fn open(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&dir.path().join("notes.db"), NOTES, options).unwrap();
        Self { dir, db }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("notes.db")
    }

    async fn reopen(self) -> Self {
        let path = self.path();
        self.db.close().await;
        Self { db: Database::open(&path, NOTES, Options::default()).unwrap(), dir: self.dir }
    }

    fn wal_bytes(&self) -> u64 {
        self.dir.path().join("notes.db-wal").metadata().map_or(0, |wal| wal.len())
    }
}

fn insert(conn: &Connection, name: &str, body: &[u8]) -> Result<(), JobError<&'static str>> {
    let sql = "INSERT INTO note VALUES (?, ?)";
    match conn.prepare_cached(sql)?.execute(params![name, body]) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(JobError::Refused("taken"))
        }
        result => Ok(result.map(drop)?),
    }
}

async fn add(db: &Database, name: impl Into<String>) -> Result<Result<(), &'static str>, WriteError> {
    let name = name.into();
    db.write(move |conn| insert(conn, &name, b"")).await
}

fn names(db: &Database) -> Vec<String> {
    let sql = "SELECT name FROM note ORDER BY name";
    db.read(|conn| conn.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()).unwrap()
}

/// Occupies the writer until the sender is used or dropped; resolves when it is occupied.
async fn hold_writer(db: &Database) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let running = Arc::new(Notify::new());
    let (started, db) = (Arc::clone(&running), db.clone());
    tokio::spawn(async move {
        let job = move |_: &Connection| -> Result<(), JobError<()>> {
            started.notify_one();
            let _ = released.recv_timeout(DEADLINE);
            Ok(())
        };
        db.write(job).await
    });
    running.notified().await;
    release
}

/// Polls a write once, which queues it; says whether it still waits.
async fn is_pending<F: Future>(write: &mut Pin<Box<F>>) -> bool {
    poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_pending())).await
}

/// Queues writes behind a held writer, so that they form one batch; gives their answers.
async fn together<T, J>(db: &Database, jobs: Vec<J>) -> Vec<Result<Result<T, &'static str>, WriteError>>
where
    T: Send + 'static,
    J: Fn(&Connection) -> Result<T, JobError<&'static str>> + Send + 'static,
{
    let release = hold_writer(db).await;
    let mut answers: Vec<_> = jobs.into_iter().map(|job| Box::pin(db.write(job))).collect();
    for answer in &mut answers {
        assert!(is_pending(answer).await);
    }
    drop(release);
    let mut results = Vec::new();
    for answer in answers {
        results.push(answer.await);
    }
    results
}

type BoxedJob = Box<dyn Fn(&Connection) -> Result<(), JobError<&'static str>> + Send>;

#[tokio::test]
async fn waiting_writes_share_a_commit() {
    let notes = Notes::open(Options::default());
    let jobs = (0..100).map(|n| move |conn: &Connection| insert(conn, &n.to_string(), b"")).collect();
    for answer in together(&notes.db, jobs).await {
        assert!(matches!(answer, Ok(Ok(()))));
    }
    assert_eq!(names(&notes.db).len(), 100);
    assert!(notes.db.commits() <= 2, "{} commits for 100 writes", notes.db.commits());
}

#[tokio::test]
async fn a_refusal_undoes_its_own_changes_only() {
    let notes = Notes::open(Options::default());
    let jobs: Vec<BoxedJob> = vec![
        Box::new(|conn| insert(conn, "a", b"")),
        Box::new(|conn| insert(conn, "half", b"").and(Err(JobError::Refused("no")))),
        Box::new(|conn| insert(conn, "a", b"again")),
        Box::new(|conn| Ok(conn.execute_batch("INSERT INTO nowhere VALUES (1)")?)),
        Box::new(|conn| insert(conn, "b", b"")),
    ];
    let answers = together(&notes.db, jobs).await;
    assert!(matches!(
        answers[..],
        [Ok(Ok(())), Ok(Err("no")), Ok(Err("taken")), Err(WriteError::Unavailable(_)), Ok(Ok(()))]
    ));
    let notes = notes.reopen().await;
    assert_eq!(names(&notes.db), ["a", "b"]);
    assert_eq!(notes.db.health(), Health::Ok);
}

#[tokio::test]
async fn jobs_run_again_only_where_one_left_something_to_undo() {
    let notes = Notes::open(Options::default());
    for (name, leaves, runs) in [("a", false, 1), ("b", true, 2)] {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        let jobs: Vec<BoxedJob> = vec![
            Box::new(move |conn| {
                count.fetch_add(1, Ordering::Relaxed);
                insert(conn, name, b"")
            }),
            Box::new(move |conn| {
                if leaves {
                    insert(conn, "half", b"")?;
                }
                Err(JobError::Refused("no"))
            }),
        ];
        let answers = together(&notes.db, jobs).await;
        assert!(matches!(answers[..], [Ok(Ok(())), Ok(Err("no"))]));
        assert_eq!(ran.load(Ordering::Relaxed), runs, "{name}");
    }
    assert_eq!(names(&notes.db), ["a", "b"]);
}

#[tokio::test]
async fn a_panic_undoes_its_own_changes_only() {
    let notes = Notes::open(Options::default());
    let jobs: Vec<BoxedJob> = vec![
        Box::new(|conn| insert(conn, "a", b"")),
        Box::new(|conn| {
            insert(conn, "half", b"")?;
            std::panic::resume_unwind(Box::new("as in a job with a bug"))
        }),
        Box::new(|conn| insert(conn, "b", b"")),
    ];
    let answers = together(&notes.db, jobs).await;
    assert!(matches!(answers[..], [Ok(Ok(())), Err(WriteError::Panicked), Ok(Ok(()))]));
    assert_eq!(names(&notes.db), ["a", "b"]);
}

#[tokio::test]
async fn a_job_that_ends_the_transaction_is_not_acknowledged() {
    let notes = Notes::open(Options::default());
    let rogue = |conn: &Connection| -> Result<(), JobError<()>> { Ok(conn.execute_batch("ROLLBACK")?) };
    assert!(matches!(notes.db.write(rogue).await, Err(WriteError::Unavailable(_))));
    assert!(matches!(notes.db.health(), Health::Failing(_)));
    assert!(add(&notes.db, "a").await.is_ok());
    assert_eq!(notes.db.health(), Health::Ok);
}

#[tokio::test]
async fn acknowledged_writes_survive_the_process() {
    let notes = Notes::open(Options::default());
    add(&notes.db, "a").await.unwrap().unwrap();
    // A copy of the files is what a killed process leaves behind: nothing was closed.
    let copy = tempfile::tempdir().unwrap();
    for name in ["notes.db", "notes.db-wal"] {
        std::fs::copy(notes.dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let db = Database::open(&copy.path().join("notes.db"), NOTES, Options::default()).unwrap();
    assert_eq!(names(&db), ["a"]);
}

#[tokio::test]
async fn closing_finishes_queued_writes_and_leaves_one_file() {
    let notes = Notes::open(Options::default());
    let release = hold_writer(&notes.db).await;
    let (db, path) = (notes.db.clone(), notes.path());
    let mut queued = Box::pin(add(&db, "a"));
    assert!(is_pending(&mut queued).await);
    drop(release);
    notes.db.close().await;
    queued.await.unwrap().unwrap();
    assert!(matches!(add(&db, "b").await, Err(WriteError::Closed)));
    assert!(matches!(db.read(|_| Ok(())), Err(ReadError::Closed)));
    assert!(!notes.dir.path().join("notes.db-wal").exists());
    assert_eq!(names(&Database::open(&path, NOTES, Options::default()).unwrap()), ["a"]);
}

#[tokio::test]
async fn a_dropped_future_does_not_stop_its_write() {
    let notes = Notes::open(Options::default());
    let release = hold_writer(&notes.db).await;
    let mut write = Box::pin(add(&notes.db, "a"));
    assert!(is_pending(&mut write).await);
    drop(write);
    drop(release);
    add(&notes.db, "b").await.unwrap().unwrap();
    assert_eq!(names(&notes.db), ["a", "b"]);
}

#[tokio::test]
async fn the_last_handle_may_be_dropped_by_a_job() {
    let notes = Notes::open(Options::default());
    let path = notes.path();
    let release = hold_writer(&notes.db).await;
    let captured = notes.db.clone();
    let mut write = Box::pin(notes.db.write(move |conn| {
        let _last = &captured; // dropped with the job, on the writer's thread
        insert(conn, "a", b"")
    }));
    assert!(is_pending(&mut write).await);
    drop(write);
    drop(notes.db);
    drop(release);
    let db = until(|| Database::open(&path, NOTES, Options::default()).ok()).await;
    assert_eq!(names(&db), ["a"]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let notes = Notes::open(Options { queue_max: 2, ..Options::default() });
    let release = hold_writer(&notes.db).await;
    let mut waiting = Vec::new();
    for n in 0..2 {
        let mut write = Box::pin(add(&notes.db, n.to_string()));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx).is_pending())).await
        );
        waiting.push(write);
    }
    assert!(matches!(add(&notes.db, "late").await, Err(WriteError::Busy)));
    drop(release);
    for write in waiting {
        write.await.unwrap().unwrap();
    }
    assert_eq!(names(&notes.db), ["0", "1"]);
}

#[tokio::test]
async fn reads_go_on_during_a_long_write() {
    let notes = Notes::open(Options::default());
    add(&notes.db, "a").await.unwrap().unwrap();
    let _release = hold_writer(&notes.db).await;
    assert_eq!(names(&notes.db), ["a"]);
}

#[tokio::test]
async fn readers_cannot_write() {
    let notes = Notes::open(Options::default());
    let result = notes.db.read(|conn| conn.execute("INSERT INTO note VALUES ('a', '')", []));
    assert!(matches!(result, Err(ReadError::Failed(_))));
}

#[tokio::test]
async fn a_read_that_leaves_a_transaction_open_sees_no_old_state_later() {
    let notes = Notes::open(Options { readers: 1, ..Options::default() });
    notes.db.read(|conn| conn.execute_batch("BEGIN; SELECT * FROM note")).unwrap();
    add(&notes.db, "a").await.unwrap().unwrap();
    assert_eq!(names(&notes.db), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_under_constant_load() {
    const HARD: u64 = 1 << 20;
    let options = Options { wal_soft_bytes: 256 << 10, wal_hard_bytes: HARD, ..Options::default() };
    let notes = Notes::open(options);
    let mut largest = 0;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = tokio::task::spawn_blocking({
        let (db, stop) = (notes.db.clone(), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                db.read(|conn| conn.query_row("SELECT count(*) FROM note", [], |_| Ok(()))).unwrap();
            }
        }
    });
    for round in 0..200 {
        let jobs = (0..8).map(|n| {
            let name = format!("{round}-{n}");
            move |conn: &Connection| insert(conn, &name, &[7; 4000])
        });
        for answer in together(&notes.db, jobs.collect()).await {
            answer.unwrap().unwrap();
        }
        largest = largest.max(notes.wal_bytes());
    }
    stop.store(true, Ordering::Relaxed);
    reading.await.unwrap();
    assert!(largest < 3 * HARD, "the log grew to {largest} bytes");
}

#[tokio::test]
async fn a_long_reader_delays_the_bound_and_not_the_writes() {
    const HARD: u64 = 64 << 10;
    let options = Options { wal_soft_bytes: 16 << 10, wal_hard_bytes: HARD, ..Options::default() };
    let notes = Notes::open(options);
    add(&notes.db, "first").await.unwrap().unwrap();
    let reader = Connection::open(notes.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM note").unwrap();
    for n in 0..100 {
        add(&notes.db, n.to_string()).await.unwrap().unwrap();
    }
    let grown = notes.wal_bytes();
    assert!(grown > 2 * HARD);
    drop(reader);
    let mut n = 100;
    while notes.wal_bytes() > 2 * HARD {
        add(&notes.db, n.to_string()).await.unwrap().unwrap();
        n += 1;
        assert!(n < 1000, "the log was not cut back from {grown} bytes");
    }
}

#[tokio::test]
async fn a_full_file_refuses_and_recovers() {
    let notes = Notes::open(Options::default());
    add(&notes.db, "a").await.unwrap().unwrap();
    let bound = |pages: i64| {
        let set = move |conn: &Connection| -> Result<(), JobError<()>> {
            Ok(conn.pragma_update(None, "max_page_count", pages)?)
        };
        notes.db.write(set)
    };
    bound(1).await.unwrap().unwrap();
    let big = notes.db.write(|conn| insert(conn, "big", &vec![7; 100_000])).await;
    assert!(matches!(big, Err(WriteError::Full)), "{big:?}");
    assert_eq!(notes.db.health(), Health::Full);
    assert_eq!(names(&notes.db), ["a"]);
    // The connection was opened anew, so the bound is gone.
    notes.db.write(|conn| insert(conn, "big", &vec![7; 100_000])).await.unwrap().unwrap();
    assert_eq!(notes.db.health(), Health::Ok);
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else { return };
    let db = Database::open(&disk.path().join("notes.db"), NOTES, Options::default()).unwrap();
    add(&db, "a").await.unwrap().unwrap();
    let ballast = disk.fill();
    let mut refused = 0;
    for n in 0..50 {
        let write = db.write(move |conn| insert(conn, &format!("full-{n}"), &vec![7; 20_000])).await;
        refused += i32::from(matches!(write, Err(WriteError::Full)));
        assert!(matches!(write, Ok(Ok(())) | Err(WriteError::Full)), "{write:?}");
        assert!(names(&db).contains(&"a".to_owned()));
    }
    assert!(refused > 0, "the disk was not full");
    assert_eq!(db.health(), Health::Full);
    std::fs::remove_file(ballast).unwrap();
    until(|| (db.health() == Health::Ok).then_some(())).await; // by itself, without a job
    add(&db, "b").await.unwrap().unwrap();
    assert!(names(&db).contains(&"b".to_owned()));
    db.close().await;
}

/// A file system of 1 MiB, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Nothing where mounting is not allowed; the test with `max_page_count` covers the decision then.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                println!("skipped, a small disk cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("--lazy").arg(self.path()).status();
        println!("unmounted: {unmounted:?}");
    }
}

#[tokio::test]
async fn a_second_server_is_kept_out_and_a_command_is_not() {
    let notes = Notes::open(Options::default());
    let second = Database::open(&notes.path(), NOTES, Options::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    let link = notes.dir.path().join("link.db");
    std::os::unix::fs::symlink(notes.path(), &link).unwrap();
    assert!(matches!(Database::open(&link, NOTES, Options::default()), Err(OpenError::Locked { .. })));

    let command = Database::open_beside(&notes.path(), NOTES, Options::default()).unwrap();
    add(&command, "from the command").await.unwrap().unwrap();
    command.close().await;
    add(&notes.db, "from the server").await.unwrap().unwrap();
    let notes = notes.reopen().await;
    assert_eq!(names(&notes.db), ["from the command", "from the server"]);
}

#[tokio::test]
async fn the_state_held_for_readers_is_the_newest_and_hides_nothing() {
    let notes = Notes::open(Options::default());
    add(&notes.db, "from the server").await.unwrap().unwrap();
    let other = Connection::open(notes.path()).unwrap();
    let restart =
        || other.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0)).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(restart(), "nobody holds the newest state");
    other.execute_batch("INSERT INTO note (name) VALUES ('from a command')").unwrap();
    assert_eq!(names(&notes.db), ["from a command", "from the server"]);
}

#[tokio::test]
async fn a_command_changes_the_layout_only_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let server = Database::open(&path, &NOTES[..1], Options::default()).unwrap();
    let beside = Database::open_beside(&path, NOTES, Options::default());
    assert!(matches!(beside, Err(OpenError::Older { file: 1, program: 2, .. })));
    server.close().await;
    Database::open_beside(&path, NOTES, Options::default()).unwrap().close().await;
    let older = Database::open(&path, &NOTES[..1], Options::default());
    assert!(matches!(older, Err(OpenError::Newer { file: 2, program: 1, .. })));
}

#[tokio::test]
async fn foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    std::fs::write(
        &text,
        "not a database, and long enough to hold what would be a header of one: 100 bytes and more",
    )
    .unwrap();
    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let sibling = dir.path().join("sibling.db");
    let theirs = Options { application_id: 7, ..Options::default() };
    Database::open(&sibling, NOTES, theirs).unwrap().close().await;
    for path in [text, other, sibling] {
        let before = std::fs::read(&path).unwrap();
        let opened = Database::open(&path, NOTES, Options::default());
        assert!(matches!(opened, Err(OpenError::Foreign { .. })), "{}: {:?}", path.display(), opened.err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_missing_directory_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Database::open(&dir.path().join("typo/notes.db"), NOTES, Options::default());
    assert!(matches!(opened, Err(OpenError::NoDirectory { .. })));
    assert!(!dir.path().join("typo").exists());
}

#[test]
fn files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let notes = Notes::open(Options::default());
    for name in ["notes.db", "notes.db-wal", "notes.db-shm", "notes.db.lock"] {
        let mode = notes.dir.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_gap_in_the_migrations_is_found() {
    let gap = [NOTES[0], Migration { version: 3, ..NOTES[1] }];
    let dir = tempfile::tempdir().unwrap();
    let opened = Database::open(&dir.path().join("notes.db"), &gap, Options::default());
    assert!(matches!(opened, Err(OpenError::Sequence { found: 3, expected: 2, .. })));
}

#[test]
fn a_failed_migration_leaves_the_layout_before_it() {
    let broken = [
        NOTES[0],
        Migration {
            version: 2,
            name: "dangling",
            sql: "CREATE TABLE t (n TEXT REFERENCES note (name)) STRICT; INSERT INTO t VALUES ('x')",
        },
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let opened = Database::open(&path, &broken, Options::default());
    assert!(matches!(opened, Err(OpenError::Migration { name: "dangling", .. })));
    drop(Database::open(&path, NOTES, Options::default()).unwrap());
}

#[tokio::test]
async fn a_statement_is_compiled_once_whatever_limit_is_bound() {
    let notes = Notes::open(Options::default());
    let compiled_again = |conn: &Connection| {
        let mut statement = conn.prepare("SELECT name FROM note WHERE name > ?1 ORDER BY name LIMIT ?2")?;
        for limit in 1..5 {
            assert!(!statement.exists(params!["a", limit])?);
        }
        Ok(statement.get_status(StatementStatus::RePrepare))
    };
    assert_eq!(notes.db.read(compiled_again).unwrap(), 0);
}

#[tokio::test]
async fn foreign_keys_hold() {
    let notes = Notes::open(Options::default());
    let dangling = |conn: &Connection| -> Result<_, JobError<()>> {
        Ok(conn.execute("INSERT INTO tag VALUES ('nowhere')", [])?)
    };
    assert!(matches!(notes.db.write(dangling).await, Err(WriteError::Unavailable(_))));
}

/// Asks until there is something, yielding; panics after the deadline.
async fn until<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "nothing came before the deadline");
        tokio::task::yield_now().await;
    }
}
