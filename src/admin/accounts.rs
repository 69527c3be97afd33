//! `admin suspend|reinstate|quota|usage|audit`.

use std::io::{self, Write};

use kez_core::{Handle, Timestamp};
use kez_serve::clock::Clock;
use kez_sig_server::ByteSize;
use serde::Serialize;
use serde_json::{Value, json};

use super::table::{Align, Table, size};
use super::{AdminError, open};
use crate::config::{AdminArgs, AdminCommand, QuotaSize, ServeArgs};
use crate::store::{
    AccountQuota, AuditEntry, AuditId, NoHolder, Operations as _, QuotaChange, Reason, Registry as _,
    ReinstateRefusal, SqliteStore, Store as _, SuspendRefusal, Usage,
};

/// Runs a command on accounts and prints to `out`.
pub async fn account(
    serve: &ServeArgs,
    args: &AdminArgs,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let store = open(serve)?;
    let done = run(&store, args, clock.now().truncated(), out).await;
    store.close().await;
    done
}

async fn run(
    store: &SqliteStore,
    args: &AdminArgs,
    now: Timestamp,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let json = args.json;
    match &args.command {
        AdminCommand::Suspend { handle, reason } => {
            suspend(store, handle, reason.as_ref(), now, json, out).await
        }
        AdminCommand::Reinstate { handle } => reinstate(store, handle, now, json, out).await,
        AdminCommand::Quota { handle, messages, blobs } => {
            let bytes = QuotaSize::bytes;
            let change = QuotaChange { messages: messages.map(bytes), blobs: blobs.map(bytes) };
            quota(store, handle, change, now, json, out).await
        }
        AdminCommand::Usage { top } => {
            let largest = store.usage(*top, now).await?;
            let printed = if json { json_lines(&largest, out) } else { print_usage(&largest, out) };
            Ok(printed?)
        }
        AdminCommand::Audit { limit, before } => {
            let entries = store.audit(before.map(AuditId), *limit).await?;
            let printed = if json { json_lines(&entries, out) } else { print_audit(&entries, out) };
            Ok(printed?)
        }
    }
}

async fn suspend(
    store: &SqliteStore,
    handle: &Handle,
    reason: Option<&Reason>,
    now: Timestamp,
    json: bool,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let primary = store.suspend(handle, reason.cloned(), now).await?.map_err(|refusal| match refusal {
        SuspendRefusal::NoHolder(fault) => no_holder(fault, handle),
        SuspendRefusal::Already(suspension) => AdminError::Suspended(handle.clone(), suspension.since),
    })?;
    if json {
        let done =
            json!({"handle": handle, "primary": primary, "suspended": true, "since": now, "reason": reason});
        return Ok(writeln!(out, "{done}")?);
    }
    writeln!(out, "{handle} is suspended: a running server refuses its devices within a second.")?;
    Ok(writeln!(out, "Nothing is deleted. To end it: kez-chat-server admin reinstate {handle}")?)
}

async fn reinstate(
    store: &SqliteStore,
    handle: &Handle,
    now: Timestamp,
    json: bool,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let was = store.reinstate(handle, now).await?.map_err(|refusal| match refusal {
        ReinstateRefusal::NoHolder(fault) => no_holder(fault, handle),
        ReinstateRefusal::NotSuspended => AdminError::NotSuspended(handle.clone()),
    })?;
    if json {
        let done = json!({"handle": handle, "suspended": false, "suspended_since": was.since});
        return Ok(writeln!(out, "{done}")?);
    }
    Ok(writeln!(out, "{handle} is reinstated; it had been suspended since {}.", was.since)?)
}

/// Shows the quota; changes it first, when something is to be changed.
async fn quota(
    store: &SqliteStore,
    handle: &Handle,
    change: QuotaChange,
    now: Timestamp,
    json: bool,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let quota = if change == QuotaChange::default() {
        present_quota(store, handle).await?
    } else {
        store.set_quota(handle, change, now).await?.map_err(|fault| no_holder(fault, handle))?
    };
    let AccountQuota { messages, blobs } = quota;
    if json {
        let shown = json!({"handle": handle, "messages": messages, "blobs": blobs});
        return Ok(writeln!(out, "{shown}")?);
    }
    let shown = |bytes: Option<u64>| bytes.map_or("default".to_owned(), |bytes| ByteSize(bytes).to_string());
    writeln!(out, "Quota of {handle}")?;
    writeln!(out, "  messages  {}", shown(messages))?;
    Ok(writeln!(out, "  blobs     {}", shown(blobs))?)
}

async fn present_quota(store: &SqliteStore, handle: &Handle) -> Result<AccountQuota, AdminError> {
    let account = store.by_handle(handle).await?;
    let account = account.ok_or_else(|| AdminError::NoHolder(handle.clone()))?;
    Ok(store.quota(&account.primary).await?)
}

fn no_holder(fault: NoHolder, handle: &Handle) -> AdminError {
    match fault {
        NoHolder::Unknown => AdminError::NoHolder(handle.clone()),
        NoHolder::GivenUp => AdminError::GivenUp(handle.clone()),
    }
}

fn json_lines(rows: &[impl Serialize], out: &mut impl Write) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *out, row)?;
        writeln!(out)?;
    }
    Ok(())
}

fn print_usage(largest: &[Usage], out: &mut impl Write) -> io::Result<()> {
    if largest.is_empty() {
        return writeln!(out, "Nobody has taken a device in yet.");
    }
    let mut table = Table::new([
        ("handle", Align::Left),
        ("messages", Align::Right),
        ("size", Align::Right),
        ("inbox", Align::Right),
        ("devices", Align::Right),
        ("key packages", Align::Right),
        ("", Align::Left),
    ]);
    for one in largest {
        table.row([
            one.handle.as_ref().map_or_else(|| "(given up)".to_owned(), ToString::to_string),
            one.frames.to_string(),
            size(one.frame_bytes),
            one.inbox_events.to_string(),
            one.devices.to_string(),
            one.key_packages.to_string(),
            if one.suspended { "suspended".to_owned() } else { String::new() },
        ]);
    }
    table.print(out)
}

fn print_audit(entries: &[AuditEntry], out: &mut impl Write) -> io::Result<()> {
    if entries.is_empty() {
        return writeln!(out, "No entries.");
    }
    let mut table = Table::new([
        ("number", Align::Right),
        ("at", Align::Left),
        ("action", Align::Left),
        ("handle", Align::Left),
        ("", Align::Left),
    ]);
    for entry in entries {
        table.row([
            entry.id.0.to_string(),
            entry.at.to_string(),
            entry.action.as_str().to_owned(),
            entry.handle.as_ref().map_or_else(String::new, ToString::to_string),
            detail(&entry.detail),
        ]);
    }
    table.print(out)
}

/// `name=value` for each member that says something.
fn detail(detail: &Value) -> String {
    let members = detail.as_object().into_iter().flatten();
    let shown = members.filter_map(|(name, value)| match (name.as_str(), value.as_u64()) {
        ("messages" | "blobs", Some(bytes)) => Some(format!("{name}={}", ByteSize(bytes))),
        ("messages" | "blobs", None) => Some(format!("{name}=default")),
        _ if value.is_null() => None,
        ("since" | "expires_at", _) => value.as_str().map(|time| format!("{name}={time}")),
        _ => Some(format!("{name}={value}")),
    });
    shown.collect::<Vec<_>>().join(" ")
}
