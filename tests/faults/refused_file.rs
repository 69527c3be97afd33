//! Files that a server must not start on: in use, somebody else's, of the future, not to be written, nowhere.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kez_testkit::process::Refused;
use rusqlite::Connection;

use crate::disk::{Disk, can_mount};
use crate::http::{expect_found, register};
use crate::people::People;
use crate::{database, program, start};

/// Starts on the file in `dir`, which must be refused with one clear line and left as it is.
#[track_caller]
fn expect_refused(dir: &Path, words: &str) {
    let before = std::fs::read(database(dir)).ok();
    let Refused { code, log } = program(dir).start().expect_err("no server on this file");
    assert_eq!(code, Some(1), "{log}");
    let complaint = log.lines().last().unwrap_or_default();
    assert!(complaint.starts_with("error: --db: ") && complaint.contains(words), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(std::fs::read(database(dir)).ok(), before, "changed, though it was refused");
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let people = People::new("second");
    let server = start(dir.path());
    let (person, envelope) = people.next();
    assert_eq!(register(server.addr(), &envelope).await.status, 201);
    expect_refused(dir.path(), "another server uses");

    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(database(dir.path()), &link).unwrap();
    let by_link = program(dir.path()).db(link).start().expect_err("the same file by another name");
    assert!(by_link.log.contains("another server uses"), "{}", by_link.log);

    expect_found(server.addr(), &[person]).await;
    let (_, envelope) = people.next();
    assert_eq!(register(server.addr(), &envelope).await.status, 201);
    assert_eq!(server.stop_term().code, Some(0));
    assert_eq!(start(dir.path()).stop_term().code, Some(0), "free again");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = Connection::open(database(dir.path())).unwrap();
    foreign.execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('precious')").unwrap();
    drop(foreign);
    expect_refused(dir.path(), "not a database of this program");
    let marked = Connection::open(database(dir.path())).unwrap();
    marked.execute_batch("PRAGMA application_id = 0x4b455a73").unwrap(); // "KEZs"
    drop(marked);
    expect_refused(dir.path(), "not a database of this program");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    for content in ["#!/bin/sh\nexit 0\n".to_owned(), "notes ".repeat(10_000), "SQLite format 3".to_owned()] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(database(dir.path()), content).unwrap();
        expect_refused(dir.path(), "not a database of this program");
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(start(dir.path()).stop_term().code, Some(0));
    let newer = Connection::open(database(dir.path())).unwrap();
    newer.execute_batch("PRAGMA user_version = 4711").unwrap();
    drop(newer);
    expect_refused(dir.path(), "newer version (layout 4711");
}

#[test]
fn a_missing_folder_and_a_folder_in_place_of_the_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let refused = program(&nowhere).start().expect_err("no folder");
    assert_eq!(refused.code, Some(1));
    assert!(refused.log.contains("its folder does not exist; make the folder"), "{}", refused.log);
    assert!(!nowhere.exists());

    std::fs::create_dir(database(dir.path())).unwrap();
    let refused = program(dir.path()).start().expect_err("a folder is no file");
    assert_eq!(refused.code, Some(1));
    assert!(refused.log.lines().last().unwrap().starts_with("error: --db: "), "{}", refused.log);
}

#[test]
fn a_file_that_cannot_be_written_is_refused() {
    if can_mount() {
        let disk = Disk::tmpfs(4);
        assert_eq!(start(&disk.path()).stop_term().code, Some(0));
        disk.make_read_only();
        expect_refused(&disk.path(), "Read-only file system");
    }
}

#[test]
fn a_file_without_permission_to_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(start(dir.path()).stop_term().code, Some(0));
    std::fs::set_permissions(database(dir.path()), Permissions::from_mode(0o400)).unwrap();
    if std::fs::OpenOptions::new().write(true).open(database(dir.path())).is_ok() {
        println!("skipped: root may write any file");
        return;
    }
    expect_refused(dir.path(), "");
}
