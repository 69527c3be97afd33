//! The bus between nodes, and to the clients of NATS: the one within the process, told and heard by others.

use std::sync::Arc;

use futures_util::StreamExt as _;
use kez_core::PublicKey;
use tokio::sync::mpsc;

use super::{Failed, Nats, kick};
use crate::app::App;
use crate::bus::{Bus, HearDevices, Listener, LocalBus};
use crate::store::Woken;

/// Hints on their way out. More are dropped: a client that hears nothing reads every five minutes.
const TOLD_MAX: usize = 8_192;

/// To the other nodes: devices of the account in the payload changed.
const DEVICES: &str = "kez.node.devices";
/// The hints of all accounts, for the streams of this node.
const WAKES: &str = "kez.inbox.*.*.wake";

/// What others have to hear.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// An inbox got something.
    Woken(Woken),
    /// Devices of an account changed.
    Devices(PublicKey),
    /// The connections of an account have to end.
    CutOff(PublicKey),
}

/// The bus of a node among others.
#[derive(Debug)]
pub(crate) struct NatsBus {
    local: LocalBus,
    out: mpsc::Sender<Told>,
}

impl NatsBus {
    /// Around the bus within, and what it has to tell.
    pub(crate) fn new(local: LocalBus) -> (Self, mpsc::Receiver<Told>) {
        let (out, told) = mpsc::channel(TOLD_MAX);
        (Self { local, out }, told)
    }

    fn tell(&self, told: Told) {
        if self.out.try_send(told).is_err() {
            match told {
                Told::Woken(_) => tracing::debug!("a hint was dropped: too many are on their way"),
                _ => {
                    tracing::error!("other nodes do not hear of a change of devices: too much is on its way");
                }
            }
        }
    }
}

impl Bus for NatsBus {
    fn wake(&self, woken: &[Woken]) {
        self.local.wake(woken);
        for one in woken {
            self.tell(Told::Woken(*one));
        }
    }

    fn devices_changed(&self, primary: &PublicKey) {
        self.local.devices_changed(primary);
        self.tell(Told::Devices(*primary));
    }

    fn cut_off(&self, primary: &PublicKey) {
        self.tell(Told::CutOff(*primary));
    }

    fn heard_devices(&self, primary: &PublicKey) {
        self.local.devices_changed(primary);
    }

    fn heard_wake(&self, primary: &PublicKey) {
        self.local.heard_wake(primary);
    }

    fn hear_devices(&self, hear: HearDevices) {
        self.local.hear_devices(hear);
    }

    fn listen(&self, primary: PublicKey) -> Listener {
        self.local.listen(primary)
    }

    fn close(&self) {
        self.local.close();
    }
}

/// Sends out what was told, in its order.
pub(super) async fn tell(
    app: Arc<App>,
    nats: Arc<Nats>,
    mut told: mpsc::Receiver<Told>,
) -> Result<(), Failed> {
    while let Some(one) = told.recv().await {
        match one {
            Told::Woken(woken) => match app.inboxes.subject(&*app.store, &woken.primary).await {
                Ok(Some(inbox)) => {
                    let hint = format!("{{\"head\":{}}}", woken.head);
                    publish(&nats, format!("{inbox}.wake"), hint).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "a hint was not sent: the store does not answer");
                }
            },
            Told::Devices(primary) => publish(&nats, DEVICES.to_owned(), primary.to_hex()).await,
            Told::CutOff(primary) => {
                tokio::spawn(kick::cut_off(Arc::clone(&app), Arc::clone(&nats), primary));
            }
        }
    }
    Ok(())
}

async fn publish(nats: &Nats, subject: String, payload: String) {
    if let Err(error) = nats.home.publish(subject, payload.into()).await {
        tracing::warn!(error = %error, "a hint was not sent");
    }
}

/// Passes on to the streams and caches of this node what other nodes tell.
pub(super) async fn hear(app: Arc<App>, nats: Arc<Nats>) -> Result<(), Failed> {
    let mut wakes = nats.home.subscribe(WAKES).await?;
    let mut devices = nats.home.subscribe(DEVICES).await?;
    loop {
        tokio::select! {
            Some(wake) = wakes.next() => {
                let account = wake.subject.split('.').nth(2).and_then(key);
                if let Some(account) = account {
                    app.bus.heard_wake(&account);
                }
            }
            Some(changed) = devices.next() => {
                if let Some(account) = std::str::from_utf8(&changed.payload).ok().and_then(key) {
                    app.bus.heard_devices(&account);
                }
            }
            else => return Ok(()),
        }
    }
}

fn key(hex: &str) -> Option<PublicKey> {
    format!("ed25519:{hex}").parse().ok()
}
