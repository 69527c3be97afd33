//! Baseline `message-floor`: the least that a durable, delivered frame can cost. One row for the frame and one pointer
//! for each of two members, group commit into SQLite with `synchronous=FULL`, then SSE push. No authentication, limits,
//! policy, parsing, idempotency or reading back.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path as Named, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use data_encoding::BASE64URL_NOPAD;
use futures_util::stream;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// Frames that may share one fsync.
const BATCH_MAX: usize = 256;

/// Events that wait for one slow reader.
const WAITING_MAX: usize = 1024;

/// A frame on its way to the writer.
struct Row {
    conversation: u32,
    mid: String,
    frame: Bytes,
    /// Told the frame's number after the commit.
    done: oneshot::Sender<i64>,
}

/// Who listens, by member.
type Listeners = Mutex<HashMap<u32, Vec<mpsc::Sender<Bytes>>>>;

struct Floor {
    rows: mpsc::Sender<Row>,
    listeners: Arc<Listeners>,
}

/// Serves until the process is ended.
#[tokio::main]
pub(crate) async fn serve(bind: SocketAddr, db: &Path) -> Result<(), Error> {
    let db = Connection::open(db)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS frames (
             id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, mid TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
         CREATE TABLE IF NOT EXISTS inbox (
             member INTEGER NOT NULL, frame INTEGER NOT NULL, PRIMARY KEY (member, frame)) STRICT, WITHOUT ROWID;",
    )?;
    let (rows, queue) = mpsc::channel(4 * BATCH_MAX);
    let listeners = Arc::new(Listeners::default());
    let told = Arc::clone(&listeners);
    thread::spawn(move || write(db, queue, &told));
    let app = Router::new()
        .route("/frames/{conversation}/{mid}", post(take))
        .route("/events/{member}", get(events))
        .route("/v1/readyz", get(|| async {}))
        .with_state(Arc::new(Floor { rows, listeners }));
    let listener = tokio::net::TcpListener::bind(bind).await.map_err(Error::io("listen"))?;
    axum::serve(listener, app).await.map_err(Error::io("serve"))
}

async fn take(
    State(floor): State<Arc<Floor>>,
    Named((conversation, mid)): Named<(u32, String)>,
    frame: Bytes,
) -> impl IntoResponse {
    let (done, committed) = oneshot::channel();
    let row = Row { conversation, mid, frame, done };
    floor.rows.send(row).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let seq = committed.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let answer = format!(r#"{{"seq":{seq},"at":"2026-01-01T00:00:00.000Z"}}"#);
    Ok::<_, StatusCode>((StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], answer))
}

async fn events(State(floor): State<Arc<Floor>>, Named(member): Named<u32>) -> impl IntoResponse {
    let (tell, told) = mpsc::channel(WAITING_MAX);
    let mut listeners = floor.listeners.lock().unwrap_or_else(PoisonError::into_inner);
    listeners.entry(member).or_default().push(tell);
    let ready = Bytes::from_static(b"event: ready\ndata: {}\n\n");
    let events = stream::unfold((Some(ready), told), async |(ready, mut told)| {
        let event = if ready.is_some() { ready } else { told.recv().await };
        event.map(|event| (Ok::<_, std::io::Error>(event), (None, told)))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
}

/// The one writer: everything that waits goes into one transaction; after its commit it is answered and delivered.
fn write(mut db: Connection, mut queue: mpsc::Receiver<Row>, listeners: &Listeners) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        let ids = commit(&mut db, &batch).unwrap_or_default();
        // A failed batch drops its senders, which answers 500.
        for (row, id) in batch.drain(..).zip(ids) {
            deliver(&row, id, listeners);
            _ = row.done.send(id);
        }
    }
}

fn members(conversation: u32) -> [u32; 2] {
    [2 * conversation, 2 * conversation + 1]
}

fn commit(db: &mut Connection, batch: &[Row]) -> rusqlite::Result<Vec<i64>> {
    let transaction = db.transaction()?;
    let mut frame =
        transaction.prepare_cached("INSERT INTO frames (conversation, mid, bytes) VALUES (?1, ?2, ?3)")?;
    let mut pointer = transaction.prepare_cached("INSERT INTO inbox VALUES (?1, ?2)")?;
    let mut insert = |row: &Row| {
        frame.execute((row.conversation, &row.mid, &row.frame[..]))?;
        let id = transaction.last_insert_rowid();
        members(row.conversation)
            .into_iter()
            .try_for_each(|member| pointer.execute((member, id)).map(drop))?;
        Ok(id)
    };
    let ids = batch.iter().map(&mut insert).collect::<rusqlite::Result<_>>()?;
    drop((frame, pointer));
    transaction.commit()?;
    Ok(ids)
}

fn deliver(row: &Row, id: i64, listeners: &Listeners) {
    let mut listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner);
    for member in members(row.conversation) {
        let Some(listening) = listeners.get_mut(&member) else { continue };
        let frame = BASE64URL_NOPAD.encode(&row.frame);
        let mid = &row.mid;
        let event = format!(
            "id: {id}\nevent: frame\ndata: {{\"n\":{id},\"mid\":\"{mid}\",\"frame\":\"{frame}\"}}\n\n"
        );
        let event = Bytes::from(event);
        listening.retain(|tell| tell.try_send(event.clone()).is_ok());
    }
}
