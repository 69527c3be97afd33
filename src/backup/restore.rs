//! `kez-chat-server restore FOLDER`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kez_serve::clock::Clock;
use kez_serve::rng::{self, Rng};
use serde_json::json;

use super::files::{self, make_folder, parent, sync_folder, sync_folders};
use super::sums::Sums;
use super::{ABOUT, About, BLOBS, BackupError, CHAINS, CHATS, FORM, Places, SECRET, SUMS};
use crate::config::ServeArgs;
use crate::store::{Action, Operations as _, SqliteStore, Store as _};

/// Puts the home of a backup where the flags say, and prints to `out` what it is. Overwrites nothing; a file that is not
/// what it was takes no place.
pub async fn restore(
    args: &ServeArgs,
    from: &Path,
    clock: &dyn Clock,
    rng: &dyn Rng,
    out: &mut impl Write,
) -> Result<(), BackupError> {
    let sums = read_sums(from)?;
    let about = read_about(from, &sums)?;
    let moves = plan(&sums, &Places::of_server(args), rng);
    for one in &moves {
        one.check()?;
    }
    let placed = bring_in(from, &sums, &moves).and_then(|()| moves.iter().try_for_each(Move::finish));
    for one in &moves {
        one.tidy();
    }
    placed?;
    note(args, &about, clock).await?;
    print(&about, args, out).map_err(BackupError::Print)
}

/// Reads `SHA256SUMS`.
pub(super) fn read_sums(folder: &Path) -> Result<Sums, BackupError> {
    let path = folder.join(SUMS);
    let text = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::NoBackup(folder.to_owned()));
        }
        Err(error) => return Err(BackupError::io(&path)(error)),
    };
    let text = String::from_utf8_lossy(&text); // what is no UTF-8 is no line either
    let sums =
        Sums::parse(&text).map_err(|fault| BackupError::Sums { path: path.clone(), line: fault.line })?;
    if sums.has(ABOUT) && sums.has(CHATS) { Ok(sums) } else { Err(BackupError::Sums { path, line: 1 }) }
}

/// Reads `backup.json`.
pub(super) fn read_about(folder: &Path, sums: &Sums) -> Result<About, BackupError> {
    let path = folder.join(ABOUT);
    for (name, expected) in sums.iter().filter(|(name, _)| *name == ABOUT) {
        check(&folder.join(name), expected)?;
    }
    let text = std::fs::read(&path).map_err(BackupError::io(&path))?;
    let about: Option<About> = serde_json::from_slice(&text).ok();
    about.filter(|about| about.form == FORM).ok_or(BackupError::About(path))
}

/// Whether a file is what it was.
pub(super) fn check(path: &Path, expected: &[u8; 32]) -> Result<(), BackupError> {
    match files::sha256(path) {
        Ok(sha256) if sha256 == *expected => Ok(()),
        Ok(_) => Err(BackupError::Damaged(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BackupError::Missing(path.to_owned())),
        Err(error) => Err(BackupError::io(path)(error)),
    }
}

/// A part of the home on its way to its place.
#[derive(Debug)]
struct Move {
    /// Its name in the backup.
    name: &'static str,
    /// The flag that says where it belongs.
    flag: &'static str,
    /// Where it belongs.
    place: PathBuf,
    /// Where it lies until it is whole.
    draft: PathBuf,
}

/// The parts that the backup has. The database of chats comes last: with it, the home is there.
fn plan(sums: &Sums, places: &Places, rng: &dyn Rng) -> Vec<Move> {
    let chance = u64::from_be_bytes(rng::bytes::<8>(rng));
    let parts = [
        (BLOBS, "--blob-store", &places.blobs),
        (SECRET, "--secret-file", &places.secret),
        (CHAINS, "--db", &places.chains),
        (CHATS, "--db", &places.chats),
    ];
    let there = parts
        .into_iter()
        .filter(|(name, ..)| sums.iter().any(|(path, _)| path.split('/').next() == Some(*name)));
    let draft = |place: &Path| place.with_added_extension(format!("restoring-{chance:016x}"));
    there.map(|(name, flag, place)| Move { name, flag, place: place.clone(), draft: draft(place) }).collect()
}

impl Move {
    /// Refuses a place that is taken, or that has no folder.
    fn check(&self) -> Result<(), BackupError> {
        let (flag, path) = (self.flag, self.place.clone());
        if !parent(&path).is_dir() {
            return Err(BackupError::NoFolder { flag, path });
        }
        // A log that was left beside a database that is gone would be read into this one.
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        for path in [path, log.into()] {
            let is_taken = if path.is_dir() { !is_empty(&path) } else { path.symlink_metadata().is_ok() };
            if is_taken {
                return Err(BackupError::Occupied { flag, path });
            }
        }
        Ok(())
    }

    /// Where a file of the backup goes while it is brought in; `None`: it is of another part.
    fn draft_of(&self, path: &str) -> Option<PathBuf> {
        let rest = path.strip_prefix(self.name)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(self.draft.join(rest)),
            None => rest.is_empty().then(|| self.draft.clone()),
        }
    }

    /// Puts what was brought in into its place, durably.
    fn finish(&self) -> Result<(), BackupError> {
        let placed = if self.draft.is_dir() {
            // Onto nothing, or onto an empty folder.
            sync_folders(&self.draft).and_then(|()| std::fs::rename(&self.draft, &self.place))
        } else {
            std::fs::hard_link(&self.draft, &self.place) // unlike a rename, fails where there is a file
        };
        placed.and_then(|()| sync_folder(parent(&self.place))).map_err(BackupError::io(&self.place))
    }

    /// Removes what lies where it was brought in.
    fn tidy(&self) {
        let _ = std::fs::remove_file(&self.draft);
        let _ = std::fs::remove_dir_all(&self.draft);
    }
}

/// Copies everything beside its place; the copy is what is checked.
fn bring_in(from: &Path, sums: &Sums, moves: &[Move]) -> Result<(), BackupError> {
    for (path, expected) in sums.iter() {
        let Some(to) = moves.iter().find_map(|one| one.draft_of(path)) else { continue };
        let source = from.join(path);
        make_folder(parent(&to)).map_err(BackupError::io(&to))?;
        match files::copy(&source, &to) {
            Ok(sha256) if sha256 == *expected => {}
            Ok(_) => return Err(BackupError::Damaged(source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::Missing(source));
            }
            Err(error) => return Err(BackupError::io(&to)(error)),
        }
    }
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Adds an entry to the audit of the home that was restored.
async fn note(args: &ServeArgs, about: &About, clock: &dyn Clock) -> Result<(), BackupError> {
    let store = SqliteStore::open_beside(&args.db)?;
    let detail = json!({"backup_of": about.at});
    let noted = store.note(Action::Restore, detail, clock.now().truncated()).await;
    store.close().await;
    Ok(noted?)
}

fn print(about: &About, args: &ServeArgs, out: &mut impl Write) -> io::Result<()> {
    let About { server, at, .. } = about;
    writeln!(out, "{} is the home of {server} as of {at}.", args.db.display())?;
    writeln!(out, "What was registered, written or deleted after that is not in it: tell your people.")?;
    writeln!(out, "To serve it: kez-chat-server --server {server} --db {}", args.db.display())
}
