//! Baseline `floor`: the least a durable registration can cost. Strict verification, group commit into SQLite
//! with `synchronous=FULL`, a record as answer. No limits, logs, policy, replay protection or time window.

use std::{net::SocketAddr, path::Path, sync::Arc, thread};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, VerifyingKey};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::{error::Error, people};

/// Registrations that may share one fsync.
const BATCH_MAX: usize = 256;

#[derive(Deserialize)]
struct Envelope {
    payload: Value,
    signature: SignatureMember,
}

#[derive(Deserialize)]
struct SignatureMember {
    key: String,
    sig: String,
}

/// A verified registration on its way to the writer.
struct Row {
    handle: String,
    primary: [u8; 32],
    envelope: Bytes,
    /// Told after the commit whether the row is new.
    done: oneshot::Sender<bool>,
}

/// Serves until the process is ended.
#[tokio::main]
pub(crate) async fn serve(bind: SocketAddr, db: &Path) -> Result<(), Error> {
    let db = Connection::open(db)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS handles (
             handle TEXT NOT NULL UNIQUE, primary_key BLOB NOT NULL UNIQUE, envelope TEXT NOT NULL) STRICT;",
    )?;
    let (rows, queue) = mpsc::channel(4 * BATCH_MAX);
    thread::spawn(move || write(db, queue));
    let app = Router::new()
        .route("/v1/register", post(register))
        .route("/v1/readyz", get(|| async {}))
        .with_state(Arc::new(rows));
    let listener = tokio::net::TcpListener::bind(bind).await.map_err(Error::io("listen"))?;
    axum::serve(listener, app).await.map_err(Error::io("serve"))
}

async fn register(State(rows): State<Arc<mpsc::Sender<Row>>>, body: Bytes) -> impl IntoResponse {
    let Some((handle, primary)) = verify(&body) else { return Err(StatusCode::BAD_REQUEST) };
    let answer = people::record(&handle, &HEXLOWER.encode(&primary));
    let (done, committed) = oneshot::channel();
    let row = Row { handle, primary, envelope: body, done };
    rows.send(row).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    match committed.await {
        Ok(true) => Ok((StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], answer)),
        Ok(false) => Err(StatusCode::CONFLICT),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Handle and key of an envelope whose signature holds.
fn verify(body: &[u8]) -> Option<(String, [u8; 32])> {
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let signed = serde_json_canonicalizer::to_vec(&envelope.payload).ok()?;
    let hex = envelope.signature.key.strip_prefix("ed25519:")?;
    let primary: [u8; 32] = HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?;
    let sig: [u8; 64] = HEXLOWER.decode(envelope.signature.sig.as_bytes()).ok()?.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&primary).ok()?;
    key.verify_strict(&signed, &Signature::from_bytes(&sig)).ok()?;
    let same_key = envelope.payload.get("primary")?.as_str()? == envelope.signature.key;
    same_key.then_some((envelope.payload.get("handle")?.as_str()?.to_owned(), primary))
}

/// The one writer: everything that waits goes into one transaction, and is answered after its commit.
fn write(mut db: Connection, mut queue: mpsc::Receiver<Row>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        let fresh = commit(&mut db, &batch).unwrap_or_default();
        // A failed batch drops its senders, which answers 500.
        for (row, fresh) in batch.drain(..).zip(fresh) {
            _ = row.done.send(fresh);
        }
    }
}

fn commit(db: &mut Connection, batch: &[Row]) -> rusqlite::Result<Vec<bool>> {
    let transaction = db.transaction()?;
    let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO handles VALUES (?1, ?2, ?3)")?;
    let insert_row = |row: &Row| {
        let envelope = str::from_utf8(&row.envelope).unwrap_or_default();
        insert.execute((&row.handle, row.primary, envelope)).map(|inserted| inserted == 1)
    };
    let fresh = batch.iter().map(insert_row).collect::<rusqlite::Result<_>>()?;
    drop(insert);
    transaction.commit()?;
    Ok(fresh)
}
