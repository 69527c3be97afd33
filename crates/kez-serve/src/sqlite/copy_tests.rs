//! Copies of files that are in use, and files that are only read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::*;

const NOTES: &[Migration] = &[Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE note (n INTEGER PRIMARY KEY, body BLOB) STRICT",
}];

fn options() -> Options {
    Options::default()
}

async fn put(db: &Database, n: i64, body: &[u8]) {
    let body = body.to_vec();
    let job = move |db: &Connection| {
        db.execute("INSERT INTO note VALUES (?1, ?2)", rusqlite::params![n, body])?;
        Ok::<_, JobError<()>>(())
    };
    db.write(job).await.unwrap().unwrap();
}

fn count(db: &Database) -> i64 {
    db.read(|db| db.query_row("SELECT count(*) FROM note", [], |row| row.get(0))).unwrap()
}

fn contains(path: &Path, needle: &[u8]) -> bool {
    std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_what_was_acknowledged_before_while_writing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("notes.db"), dir.path().join("copy.db"));
    let db = Database::open(&from, NOTES, options()).unwrap();
    for n in 0..100 {
        put(&db, n, &[7; 4000]).await;
    }
    let (started, writing) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn({
        let db = db.clone();
        async move {
            put(&db, 100, b"beside").await;
            started.send(()).unwrap();
            for n in 101..600 {
                put(&db, n, b"beside").await;
            }
        }
    });
    writing.await.unwrap();
    let (asked, made) = (from.clone(), to.clone());
    tokio::task::spawn_blocking(move || Database::copy(&asked, &made, NOTES, &options()))
        .await
        .unwrap()
        .unwrap();
    writer.await.unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Database::open_to_read(&to, NOTES, options()).unwrap();
    let copied = count(&copy);
    assert!((101..=600).contains(&copied), "{copied}");
    let without_gap = "SELECT max(n) FROM note";
    assert_eq!(
        copy.read(|db| db.query_row(without_gap, [], |row| row.get::<_, i64>(0))).unwrap(),
        copied - 1
    );
    assert_eq!(copy.faults().unwrap(), Vec::<String>::new());
    assert_eq!(count(&db), 600);
}

#[tokio::test]
async fn a_copy_has_nothing_of_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("notes.db"), dir.path().join("copy.db"));
    let db = Database::open(&from, NOTES, options()).unwrap();
    put(&db, 1, b"stays").await;
    put(&db, 2, b"deleted-content").await;
    let delete = |db: &Connection| Ok::<_, JobError<()>>(db.execute("DELETE FROM note WHERE n = 2", [])?);
    db.write(delete).await.unwrap().unwrap();
    db.close().await;
    assert!(contains(&from, b"deleted-content"), "the test would show nothing");
    Database::copy(&from, &to, NOTES, &options()).unwrap();
    assert!(contains(&to, b"stays") && !contains(&to, b"deleted-content"));
}

#[tokio::test]
async fn nothing_is_overwritten_and_foreign_files_are_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("notes.db"), dir.path().join("copy.db"));
    Database::open(&from, NOTES, options()).unwrap().close().await;
    std::fs::write(&to, "somebody's").unwrap();
    let fault = Database::copy(&from, &to, NOTES, &options()).unwrap_err();
    assert!(matches!(fault, CopyError::Io { .. }), "{fault}");
    assert_eq!(std::fs::read(&to).unwrap(), b"somebody's");

    let foreign = Options { application_id: 1, ..options() };
    let fault = Database::copy(&from, &dir.path().join("new.db"), NOTES, &foreign).unwrap_err();
    assert!(matches!(fault, CopyError::Open(OpenError::Foreign { .. })), "{fault}");
    let fault = Database::copy(&dir.path().join("none.db"), &dir.path().join("new.db"), NOTES, &options());
    assert!(fault.is_err());
    assert!(!dir.path().join("new.db").exists() && !dir.path().join("none.db").exists());
}

#[tokio::test]
async fn a_file_that_is_only_read_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("notes.db"), dir.path().join("copy.db"));
    let db = Database::open(&from, NOTES, options()).unwrap();
    put(&db, 1, b"x").await;
    Database::copy(&from, &to, NOTES, &options()).unwrap();
    let before = std::fs::read(&to).unwrap();
    let copy = Database::open_to_read(&to, NOTES, options()).unwrap();
    assert_eq!(count(&copy), 1);
    let refused = copy.write(|_| Ok::<_, JobError<()>>(())).await;
    assert!(matches!(refused, Err(WriteError::Closed)), "{refused:?}");
    copy.close().await;
    assert_eq!(std::fs::read(&to).unwrap(), before);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        5,
        "the file with -wal, -shm and .lock, and the copy"
    );
    let newer: &[Migration] = &[NOTES[0], Migration { version: 2, name: "more", sql: "" }];
    let older = Database::open_to_read(&to, newer, options()).err();
    assert!(matches!(older, Some(OpenError::Older { .. })), "{older:?}");
}

#[tokio::test]
async fn damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let db = Database::open(&path, NOTES, options()).unwrap();
    for n in 0..200 {
        put(&db, n, &[1; 1000]).await;
    }
    db.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2 / 4096 * 4096;
    bytes[half..half + 64].fill(0xff); // the head of a page
    std::fs::write(&path, bytes).unwrap();
    let db = Database::open_to_read(&path, NOTES, options()).unwrap();
    assert_ne!(db.faults().unwrap(), Vec::<String>::new());
}
