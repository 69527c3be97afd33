//! Who is connected, by what the servers tell in SYS: for the limits of the callout, and for kicks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kez_core::PublicKey;
use serde::Deserialize;

use super::{Failed, Nats};

/// Connections of an account at once: its people move between a few devices, each reconnecting now and then.
pub(crate) const PER_ACCOUNT_MAX: usize = 8;
/// Of a device: the old one of a client that lost its network is noticed within a minute.
pub(crate) const PER_DEVICE_MAX: usize = 2;
/// After this a connection that was let in and of which no server told has not come about.
const COMING_MAX: Duration = Duration::from_secs(5);
/// How long servers are waited for that list connections.
const LIST_WAIT: Duration = Duration::from_millis(300);

/// A connection as SYS knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The server that holds it.
    pub server: String,
    /// Its number there.
    pub cid: u64,
    /// `<A>:<d>`.
    pub name: String,
    /// When it began, RFC 3339.
    pub start: String,
}

/// The live connections of CHAT, by account.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<HashMap<PublicKey, Vec<Place>>>);

#[derive(Debug)]
struct Place {
    device: String,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Let in, and not yet told of.
    Coming(Instant),
    Live {
        server: String,
        cid: u64,
    },
}

/// The account and the device of a connection's name.
pub(crate) fn split_name(name: &str) -> Option<(PublicKey, &str)> {
    let (account, device) = name.split_once(':')?;
    Some((format!("ed25519:{account}").parse().ok()?, device))
}

impl Connections {
    /// Takes a place for a connection, if there is one.
    pub(crate) fn begin(&self, account: &PublicKey, device: &str) -> bool {
        let mut all = self.lock();
        let places = all.entry(*account).or_default();
        places.retain(|place| !matches!(place.state, State::Coming(since) if since.elapsed() > COMING_MAX));
        let of_device = places.iter().filter(|place| place.device == device).count();
        let fits = places.len() < PER_ACCOUNT_MAX && of_device < PER_DEVICE_MAX;
        if fits {
            places.push(Place { device: device.to_owned(), state: State::Coming(Instant::now()) });
        } else if places.is_empty() {
            all.remove(account);
        }
        fits
    }

    /// The devices that are connected, as far as is known.
    pub(crate) fn devices(&self, account: &PublicKey) -> Vec<String> {
        let all = self.lock();
        let mut devices: Vec<_> =
            all.get(account).into_iter().flatten().map(|place| place.device.clone()).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// Takes over what the servers list of an account.
    pub(crate) fn replace(&self, account: &PublicKey, listed: &[Connection]) {
        let mut all = self.lock();
        let places = all.entry(*account).or_default();
        places.retain(|place| matches!(place.state, State::Coming(_)));
        for one in listed {
            if let Some((_, device)) = split_name(&one.name) {
                settle(places, device, &one.server, one.cid);
            }
        }
    }

    fn connected(&self, name: &str, server: &str, cid: u64) {
        let Some((account, device)) = split_name(name) else { return };
        settle(self.lock().entry(account).or_default(), device, server, cid);
    }

    fn disconnected(&self, name: &str, server: &str, cid: u64) {
        let Some((account, _)) = split_name(name) else { return };
        let mut all = self.lock();
        let Some(places) = all.get_mut(&account) else { return };
        places.retain(
            |place| !matches!(&place.state, State::Live { server: s, cid: c } if s == server && *c == cid),
        );
        if places.is_empty() {
            all.remove(&account);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PublicKey, Vec<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settle(places: &mut Vec<Place>, device: &str, server: &str, cid: u64) {
    let live = State::Live { server: server.to_owned(), cid };
    if places.iter().any(|place| place.state == live) {
        return;
    }
    let coming =
        places.iter_mut().find(|place| place.device == device && matches!(place.state, State::Coming(_)));
    match coming {
        Some(place) => place.state = live,
        None => places.push(Place { device: device.to_owned(), state: live }),
    }
}

#[derive(Deserialize)]
struct Told {
    server: ServerId,
    client: ToldClient,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
}

#[derive(Deserialize)]
struct ToldClient {
    id: u64,
    #[serde(default)]
    user: String,
}

/// Follows what the servers tell of connections. A server that dies tells nothing: see [`list`].
pub(super) async fn follow(nats: Arc<Nats>) -> Result<(), Failed> {
    let mut told = nats.sys.subscribe("$SYS.ACCOUNT.CHAT.*").await?;
    while let Some(message) = told.next().await {
        let Ok(Told { server, client }) = serde_json::from_slice::<Told>(&message.payload) else { continue };
        match message.subject.rsplit('.').next() {
            Some("CONNECT") => nats.connections.connected(&client.user, &server.id, client.id),
            Some("DISCONNECT") => nats.connections.disconnected(&client.user, &server.id, client.id),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Listed {
    server: ServerId,
    #[serde(default)]
    data: ListedData,
}

#[derive(Deserialize, Default)]
struct ListedData {
    #[serde(default)]
    connections: Vec<ListedConnection>,
}

#[derive(Deserialize)]
struct ListedConnection {
    cid: u64,
    #[serde(default)]
    start: String,
    #[serde(default)]
    authorized_user: String,
}

/// Asks all servers for the connections of one device, and gives each as it comes.
pub(crate) async fn list(nats: &Nats, name: &str, mut each: impl FnMut(Connection)) -> Result<(), Failed> {
    let inbox = nats.sys.new_inbox();
    let mut answers = nats.sys.subscribe(inbox.clone()).await?;
    let wanted = serde_json::json!({"acc": "CHAT", "auth": true, "user": name, "limit": 64}).to_string();
    // A client that has closed lists nothing; the log has it.
    let _ = nats.sys.publish_with_reply("$SYS.REQ.SERVER.PING.CONNZ", inbox, wanted.into()).await;
    let until = tokio::time::Instant::now() + LIST_WAIT;
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
        let Ok(Listed { server, data }) = serde_json::from_slice::<Listed>(&answer.payload) else { continue };
        for one in data.connections.into_iter().filter(|one| one.authorized_user == name) {
            each(Connection {
                server: server.id.clone(),
                cid: one.cid,
                name: name.to_owned(),
                start: one.start,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(device: &str) -> String {
        format!("{}:{device}", "ab".repeat(32))
    }

    #[test]
    fn places_are_counted_by_device_and_account_and_given_back() {
        let connections = Connections::default();
        let (account, _) = split_name(&name("d")).unwrap();
        assert!(connections.begin(&account, "d") && connections.begin(&account, "d"));
        assert!(!connections.begin(&account, "d"), "two of a device");
        connections.connected(&name("d"), "N1", 7);
        connections.connected(&name("d"), "N1", 7); // told twice
        assert!(!connections.begin(&account, "d"));
        for device in ["e", "f", "g"] {
            assert!(connections.begin(&account, device) && connections.begin(&account, device));
        }
        assert!(!connections.begin(&account, "h"), "eight of an account");
        connections.disconnected(&name("d"), "N2", 7); // another server's
        assert!(!connections.begin(&account, "h"));
        connections.disconnected(&name("d"), "N1", 7);
        assert!(connections.begin(&account, "h"));
    }

    #[test]
    fn what_the_servers_list_counts() {
        let connections = Connections::default();
        let (account, _) = split_name(&name("d")).unwrap();
        connections.connected(&name("d"), "DEAD", 1);
        connections.connected(&name("d"), "DEAD", 2);
        assert!(!connections.begin(&account, "d"));
        connections.replace(&account, &[]);
        assert!(connections.begin(&account, "d"));
    }
}
