//! `kez-chat-server verify [FOLDER]`

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use futures_util::TryStreamExt as _;
use kez_core::ServerName;
use kez_core::sigchain::{Chain, Head};
use kez_sig_server::store::{ChainStore as _, SqliteChainStore};
use serde_json::json;

use super::restore::{check, read_about, read_sums};
use super::{BackupError, Places, evidence, files};
use crate::blobs::BlobHash;
use crate::blobs::depot::object_path;
use crate::config::ServeArgs;
use crate::store::{Blobs as _, Devices as _, Registry as _, SqliteStore, Store as _, StoreError};

/// Rows asked for at a time.
const PAGE: u32 = 500;
/// Faults that are shown; the others are counted.
const SHOWN_MAX: usize = 100;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
struct Report {
    /// How many of each kind were looked at, in the order of looking.
    looked_at: Vec<(&'static str, u64)>,
    /// The first [`SHOWN_MAX`] faults.
    shown: Vec<String>,
    /// How many there are.
    faults: u64,
}

impl Report {
    fn fault(&mut self, what: fmt::Arguments<'_>) {
        self.faults += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(what.to_string());
        }
    }

    fn looked_at(&mut self, what: &'static str, count: u64) {
        self.looked_at.push((what, count));
    }

    /// Notes what could not be read at all.
    fn broken(&mut self, what: &str, fault: &StoreError) {
        self.fault(format_args!("{what}: {fault}{}", cause(fault)));
    }
}

/// Checks everything that can be checked of a backup, or of the server's own files, which may be in use: every file,
/// every signed document, every chain, every attachment. Prints to `out`; faults are an error.
pub async fn verify(
    args: &ServeArgs,
    backup: Option<&Path>,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), BackupError> {
    let mut report = Report::default();
    let places = match backup {
        Some(folder) => {
            check_files(folder, &mut report)?;
            Places::of_backup(folder)
        }
        None => Places::of_server(args),
    };
    if !places.chats.exists() {
        return Err(BackupError::NoDatabase(places.chats));
    }
    check_home(&places, backup.is_some(), &mut report).await?;
    if places.chains.exists() {
        check_chains(&places.chains, &mut report).await?;
    }
    let printed = if as_json { print_json(&report, out) } else { print(&report, out) };
    printed.map_err(BackupError::Print)?;
    if report.faults == 0 { Ok(()) } else { Err(BackupError::Faults(report.faults)) }
}

/// Every file of a backup is there and is what it was.
fn check_files(folder: &Path, report: &mut Report) -> Result<(), BackupError> {
    let sums = read_sums(folder)?;
    if let Err(fault) = read_about(folder, &sums) {
        report.fault(format_args!("{fault}"));
    }
    let mut count = 0;
    for (name, expected) in sums.iter() {
        count += 1;
        if let Err(fault) = check(&folder.join(name), expected) {
            report.fault(format_args!("{fault}"));
        }
    }
    report.looked_at("files", count);
    Ok(())
}

/// What the database of chats holds.
async fn check_home(places: &Places, is_backup: bool, report: &mut Report) -> Result<(), BackupError> {
    let store = SqliteStore::open_to_read(&places.chats)?;
    for fault in store.faults()? {
        report.fault(format_args!("{}: {fault}", places.chats.display()));
    }
    match store.server() {
        Err(fault) => report.broken("the name of the server", &fault),
        Ok(server) => {
            check_registrations(&store, &server, report).await;
            check_devices(&store, &server, report).await;
        }
    }
    check_blobs(&store, &places.blobs, is_backup, report).await;
    store.close().await;
    Ok(())
}

async fn check_registrations(store: &SqliteStore, server: &ServerName, report: &mut Report) {
    let (mut count, mut after) = (0, None);
    loop {
        let page = match store.evidence(after.as_ref(), PAGE).await {
            Ok(page) => page,
            Err(fault) => {
                report.broken("registrations", &fault);
                break;
            }
        };
        for (account, envelope) in &page {
            count += 1;
            if let Err(fault) = evidence::registration(server, account, envelope) {
                report.fault(format_args!("the handle {}: {fault}", account.handle));
            }
        }
        let Some((last, _)) = page.last() else { break };
        after = Some(last.handle.clone());
    }
    report.looked_at("handles", count);
}

async fn check_devices(store: &SqliteStore, server: &ServerName, report: &mut Report) {
    let (mut count, mut after) = (0, None);
    loop {
        let page = match store.device_evidence(after, PAGE).await {
            Ok(page) => page,
            Err(fault) => {
                report.broken("devices", &fault);
                break;
            }
        };
        for device in &page {
            count += 1;
            if let Err(fault) = evidence::device(server, device) {
                report.fault(format_args!("the device {} of {}: {fault}", device.device_id, device.primary));
            }
        }
        let Some(last) = page.last() else { break };
        after = Some(last.device);
    }
    report.looked_at("devices", count);
}

async fn check_blobs(store: &SqliteStore, folder: &Path, is_backup: bool, report: &mut Report) {
    let (mut count, mut after) = (0, None);
    loop {
        let page = match store.blob_evidence(after, PAGE).await {
            Ok(page) => page,
            Err(fault) => {
                report.broken("attachments", &fault);
                break;
            }
        };
        for (hash, _) in &page {
            count += 1;
            check_blob(store, folder, hash, is_backup, report).await;
        }
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
    }
    report.looked_at("attachments", count);
}

/// In a backup those that are there were hashed with all other files, and one that is not had ended meanwhile. Of a
/// server's, one may end while it is looked at.
async fn check_blob(
    store: &SqliteStore,
    folder: &Path,
    hash: &BlobHash,
    is_backup: bool,
    report: &mut Report,
) {
    if is_backup {
        return;
    }
    let path = folder.join(object_path(hash));
    let fault = match files::sha256(&path) {
        Ok(sha256) if sha256 == *hash.as_bytes() => return,
        Ok(_) => "is damaged".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing".to_owned(),
        Err(error) => error.to_string(),
    };
    if store.blob(hash).await.is_ok_and(|blob| blob.is_some()) {
        report.fault(format_args!("the attachment {}: {fault}", path.display()));
    }
}

/// Every chain is one, from its first event to its end.
async fn check_chains(path: &Path, report: &mut Report) -> Result<(), BackupError> {
    let store = SqliteChainStore::open_to_read(path)?;
    for fault in store.faults()? {
        report.fault(format_args!("{}: {fault}", path.display()));
    }
    let (mut count, mut after) = (0, None);
    loop {
        let page = match store.chains(after.as_ref(), PAGE).await {
            Ok(page) => page,
            Err(fault) => {
                report.broken("sigchains", &fault);
                break;
            }
        };
        for head in &page {
            count += 1;
            if let Err(fault) = check_chain(&store, head).await {
                report.fault(format_args!("the sigchain of {}: {fault}", head.chain));
            }
        }
        let Some(last) = page.last() else { break };
        after = Some(last.chain);
    }
    report.looked_at("sigchains", count);
    store.close().await;
    Ok(())
}

async fn check_chain(store: &SqliteChainStore, head: &Head) -> Result<(), String> {
    let reading = store.read(&head.chain, None).await.map_err(|fault| format!("{fault}{}", cause(&fault)))?;
    let Some(reading) = reading else { return Err("it is gone".to_owned()) };
    let (end, lines) = (reading.head, reading.lines.try_collect::<Vec<_>>());
    let text = lines.await.map_err(|fault| format!("{fault}{}", cause(&fault)))?.concat();
    let text = String::from_utf8(text).map_err(|fault| fault.to_string())?;
    let chain = Chain::read(Some(head.chain), &text).map_err(|fault| fault.to_string())?;
    if *chain.head() == end { Ok(()) } else { Err("it does not end where it is said to".to_owned()) }
}

/// What is behind a failure of the store, which says little by itself.
fn cause(fault: &StoreError) -> String {
    std::error::Error::source(fault).map_or(String::new(), |source| format!(": {source}"))
}

fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for (what, count) in &report.looked_at {
        writeln!(out, "{what:<12} {count:>9}")?;
    }
    if report.faults == 0 {
        return writeln!(out, "\nEverything is as it was signed and stored.");
    }
    writeln!(out)?;
    for fault in &report.shown {
        writeln!(out, "fault: {fault}")?;
    }
    let more = report.faults - report.shown.len() as u64;
    if more > 0 { writeln!(out, "and {more} more") } else { Ok(()) }
}

fn print_json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let looked_at: serde_json::Map<_, _> =
        report.looked_at.iter().map(|(what, count)| ((*what).to_owned(), json!(count))).collect();
    let all = json!({"looked_at": looked_at, "faults": report.shown, "faults_count": report.faults});
    writeln!(out, "{all}")
}
