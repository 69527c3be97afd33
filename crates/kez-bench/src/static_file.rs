//! Baseline `static`: one file on every path, by the listener that the servers use. Unlike the other baselines it does
//! use code of the product: what is compared is where the bytes come from, not how they are sent.

use std::{net::SocketAddr, path::Path};

use axum::{Router, routing::get};
use kez_serve::{
    edge::Edge,
    listen::{Limits, Listener},
    rng::SystemRng,
};
use tokio_util::sync::CancellationToken;
use tower_http::services::ServeFile;

use crate::error::Error;

/// Serves until the process is ended.
#[tokio::main]
pub(crate) async fn serve(bind: SocketAddr, file: &Path) -> Result<(), Error> {
    let app = Router::new().route("/v1/readyz", get(|| async {})).fallback_service(ServeFile::new(file));
    let listener = Listener::bind(bind).map_err(Error::io("listen"))?;
    let running = listener.serve(app, Edge::new(&SystemRng), Limits::default(), CancellationToken::new());
    running.join().await;
    Ok(())
}
