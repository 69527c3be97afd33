//! `kez-chat-server backup FOLDER`

use std::io::Write;
use std::path::{Path, PathBuf};

use kez_core::{ServerName, Timestamp};
use kez_serve::clock::Clock;
use kez_serve::rng::{self, Rng};
use kez_sig_server::store::SqliteChainStore;
use serde_json::json;

use super::files::{self, make_folder, parent, sync_folder, sync_folders};
use super::sums::Sums;
use super::{ABOUT, About, BLOBS, BackupError, CHAINS, CHATS, FORM, Places, SECRET, SUMS};
use crate::admin::size;
use crate::blobs::BlobHash;
use crate::blobs::depot::object_path;
use crate::config::ServeArgs;
use crate::store::{Action, Blobs as _, Operations as _, SqliteStore, Store as _};

/// Blobs asked for at a time.
const PAGE: u32 = 1_000;

/// What became of the attachments.
#[derive(Debug, Default)]
struct Attachments {
    /// Copied.
    files: u64,
    /// Bytes of these.
    bytes: u64,
    /// Not there any more, or not what their names say.
    left_out: u64,
}

/// Makes a backup of the home while a server may be at work on it, and prints to `out` what it holds. A folder named `to`
/// is complete, whatever happens.
pub async fn backup(
    args: &ServeArgs,
    to: &Path,
    clock: &dyn Clock,
    rng: &dyn Rng,
    out: &mut impl Write,
) -> Result<(), BackupError> {
    let from = Places::of_server(args);
    if !from.chats.exists() {
        return Err(BackupError::NoDatabase(from.chats));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let draft = draft_beside(to, rng);
    let at = clock.now().truncated();
    let made = match fill(&from, &draft, at).await {
        Ok(made) => make_durable(&draft, to).map(|()| made),
        fault => fault,
    };
    if made.is_err() {
        // What it was about is told by the fault itself.
        let _ = std::fs::remove_dir_all(&draft);
    }
    let (server, attachments) = made?;
    note(args, to, at, &attachments).await?;
    print(to, &server, at, &attachments, out).map_err(BackupError::Print)
}

/// A name that nobody else picks, in the same folder.
fn draft_beside(to: &Path, rng: &dyn Rng) -> PathBuf {
    let chance = u64::from_be_bytes(rng::bytes::<8>(rng));
    to.with_added_extension(format!("partial-{chance:016x}"))
}

async fn fill(from: &Places, draft: &Path, at: Timestamp) -> Result<(ServerName, Attachments), BackupError> {
    make_folder(draft).map_err(BackupError::io(draft))?;
    let copy = Places::of_backup(draft);
    let mut sums = Sums::default();
    SqliteStore::copy(&from.chats, &copy.chats)?;
    if from.chains.exists() {
        SqliteChainStore::copy(&from.chains, &copy.chains)?;
    }
    for (path, name) in [(&copy.chats, CHATS), (&copy.chains, CHAINS)] {
        if path.exists() {
            sums.add(name.to_owned(), files::sha256(path).map_err(BackupError::io(path))?);
        }
    }
    let secret = files::copy(&from.secret, &copy.secret).map_err(BackupError::io(&from.secret))?;
    sums.add(SECRET.to_owned(), secret);
    // What the copy names, and not what there is by now: so nothing comes along that nobody refers to.
    let store = SqliteStore::open_to_read(&copy.chats)?;
    let server = store.server()?;
    let attachments = copy_blobs(&store, &from.blobs, &copy.blobs, &mut sums).await;
    store.close().await;
    let about = About { form: FORM, server, at, program: env!("CARGO_PKG_VERSION").to_owned() };
    describe(draft, &about, sums)?;
    Ok((about.server, attachments?))
}

/// Copies each attachment that is what its name says. One that ended meanwhile is gone by right, and a damaged one must
/// not keep everything else from being saved: both are counted.
async fn copy_blobs(
    store: &SqliteStore,
    from: &Path,
    to: &Path,
    sums: &mut Sums,
) -> Result<Attachments, BackupError> {
    let (mut done, mut after) = (Attachments::default(), None);
    loop {
        let page = store.blob_evidence(after, PAGE).await?;
        for (hash, bytes) in &page {
            if copy_blob(hash, from, to)? {
                sums.add(format!("{BLOBS}/{}", object_path(hash)), *hash.as_bytes());
                done.files += 1;
                done.bytes += bytes;
            } else {
                done.left_out += 1;
            }
        }
        let Some((last, _)) = page.last() else { return Ok(done) };
        after = Some(*last);
    }
}

/// Whether it was copied.
fn copy_blob(hash: &BlobHash, from: &Path, to: &Path) -> Result<bool, BackupError> {
    let name = object_path(hash);
    let (from, to) = (from.join(&name), to.join(&name));
    if !from.exists() {
        return Ok(false);
    }
    make_folder(parent(&to)).map_err(BackupError::io(&to))?;
    match files::copy(&from, &to) {
        Ok(sha256) if sha256 == *hash.as_bytes() => Ok(true),
        Ok(_) => std::fs::remove_file(&to).map(|()| false).map_err(BackupError::io(&to)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::remove_file(&to).map(|()| false).map_err(BackupError::io(&to))
        }
        Err(error) => Err(BackupError::io(&from)(error)),
    }
}

/// Writes what tells about the other files.
fn describe(draft: &Path, about: &About, mut sums: Sums) -> Result<(), BackupError> {
    let path = draft.join(ABOUT);
    // invariant: names, a number and a time are JSON.
    let text = serde_json::to_string_pretty(about).expect("JSON") + "\n";
    sums.add(ABOUT.to_owned(), files::write(&path, text.as_bytes()).map_err(BackupError::io(&path))?);
    let path = draft.join(SUMS);
    files::write(&path, sums.text().as_bytes()).map(drop).map_err(BackupError::io(&path))
}

/// Gives the backup its name, after everything in it is on the disk.
fn make_durable(draft: &Path, to: &Path) -> Result<(), BackupError> {
    sync_folders(draft).map_err(BackupError::io(draft))?;
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned())); // an empty folder would be replaced
    }
    std::fs::rename(draft, to).and_then(|()| sync_folder(parent(to))).map_err(BackupError::io(to))
}

/// Adds an entry to the audit of the home that was saved.
async fn note(
    args: &ServeArgs,
    to: &Path,
    at: Timestamp,
    attachments: &Attachments,
) -> Result<(), BackupError> {
    let detail =
        json!({"to": to, "attachments": attachments.files, "attachments_left_out": attachments.left_out});
    let store = SqliteStore::open_beside(&args.db)?;
    let noted = store.note(Action::Backup, detail, at).await;
    store.close().await;
    Ok(noted?)
}

fn print(
    to: &Path,
    server: &ServerName,
    at: Timestamp,
    attachments: &Attachments,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let Attachments { files, bytes, left_out } = attachments;
    writeln!(out, "{} holds the home of {server} as of {at}", to.display())?;
    writeln!(out, "  attachments  {files}, {}", size(*bytes))?;
    if *left_out > 0 {
        writeln!(
            out,
            "  left out     {left_out} that ended meanwhile, or that are damaged (see: kez-chat-server verify)"
        )?;
    }
    writeln!(out, "\nWhoever has it can pretend to be this server. Keep it as safe as the server itself.")?;
    writeln!(out, "To look whether it is whole: kez-chat-server verify {}", to.display())
}
