//! Ends the connections of an account: after a revocation, a suspension, a deletion.
//!
//! The store comes first, so that who is kicked and comes back at once is judged by the new state; who is still good gets
//! the account's new inbox.

use std::sync::Arc;
use std::time::Duration;

use kez_core::{PublicKey, Timestamp};

use super::Nats;
use super::connections::{Connection, list};
use crate::app::App;

/// The second look: a login that was decided before the change may have come through after the first.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Kicks all connections of an account that began before now, and looks again a second later.
pub(super) async fn cut_off(app: Arc<App>, nats: Arc<Nats>, account: PublicKey) {
    let began = app.clock.now();
    kick_where(&app, &nats, &account, |_| true).await;
    tokio::time::sleep(AGAIN_AFTER).await;
    // Unreadable is older than anything: rather kicked once more than forgotten.
    let is_older = |one: &Connection| one.start.parse::<Timestamp>().map_or(true, |start| start <= began);
    kick_where(&app, &nats, &account, is_older).await;
    let kicked = account.short();
    tracing::info!(key.short = %kicked, "connections of an account were ended");
}

async fn kick_where(app: &App, nats: &Arc<Nats>, account: &PublicKey, wanted: impl Fn(&Connection) -> bool) {
    let mut devices = nats.connections.devices(account);
    match app.store.devices(account).await {
        Ok(stored) => devices.extend(stored.iter().map(|device| device.device_id.to_string())),
        Err(error) => {
            tracing::warn!(error = %error, "devices cannot be read; only known connections are ended");
        }
    }
    devices.push(kez_nats_auth::PRIMARY_DEVICE.to_owned());
    devices.sort_unstable();
    devices.dedup();
    let hex = account.to_hex();
    let looks = devices.iter().map(|device| {
        let name = format!("{hex}:{device}");
        async {
            let name = name;
            let mut found = Vec::new();
            let listed = list(nats, &name, |one| {
                if wanted(&one) {
                    kick(nats, &one);
                }
                found.push(one);
            })
            .await;
            if let Err(error) = listed {
                tracing::error!(error = %error, "connections cannot be listed");
            }
        }
    });
    futures_util::future::join_all(looks).await;
}

/// Ends one connection; its server says so to all.
pub(super) fn kick(nats: &Arc<Nats>, one: &Connection) {
    let subject = format!("$SYS.REQ.SERVER.{}.KICK", one.server);
    let body = format!("{{\"cid\":{}}}", one.cid);
    let nats = Arc::clone(nats);
    tokio::spawn(async move {
        // A request without a reply subject is not looked at; nobody waits for the answer.
        let reply = nats.sys.new_inbox();
        if let Err(error) = nats.sys.publish_with_reply(subject, reply, body.into()).await {
            tracing::error!(error = %error, "a connection cannot be ended");
        }
    });
}
