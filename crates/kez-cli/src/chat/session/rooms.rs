//! The keys by which all devices of a person come into its conversations, in the person's own small store. SPEC "Sealed
//! values".

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use data_encoding::BASE64URL_NOPAD;
use kez_client::{CallError, Replaces};
use kez_core::{ConversationId, EntryName};
use kez_e2e::GroupInfoKey;
use serde::{Deserialize, Serialize};

use super::Session;
use crate::error::CliError;
use crate::system;

/// What the names of the entries begin with; the first digit of the conversations' ids follows.
const NAME: &str = "rooms-";
const DIGITS: &str = "0123456789abcdef";
/// What is authenticated before the name and the version.
const LABEL: &[u8] = b"kez-chat/self-store/v1\0";
const NONCE_BYTES: usize = 12;
/// How often a write is tried again because another device wrote.
const RACES_MAX: u32 = 8;
/// Rooms of one entry, which has 64 KiB.
const ROOMS_MAX: usize = 768;

/// The keys, by conversation.
pub(super) type Rooms = BTreeMap<ConversationId, GroupInfoKey>;

#[derive(Serialize, Deserialize)]
struct Wire {
    /// Conversation id to base64url of 32 bytes.
    rooms: BTreeMap<ConversationId, String>,
    v: u8,
}

/// An entry as it is stored.
struct Stored {
    rooms: Rooms,
    replaces: Replaces,
    /// The version that the next write makes.
    next: u64,
}

impl Session {
    /// The keys of these conversations that the account's devices have put there.
    pub(super) async fn rooms(&self, cids: &[ConversationId]) -> Result<Rooms, CliError> {
        let mut all = Rooms::new();
        for digit in DIGITS.chars().filter(|digit| cids.iter().any(|cid| digit_of(*cid) == *digit)) {
            all.extend(self.stored(digit).await?.rooms);
        }
        Ok(all)
    }

    /// Adds what this device knows to what is there.
    pub(super) async fn publish_rooms(&mut self) -> Result<(), CliError> {
        let mut by_digit: BTreeMap<char, Rooms> = BTreeMap::new();
        for (cid, key) in self.engine.rooms().map_err(CliError::Engine)? {
            by_digit.entry(digit_of(cid)).or_default().insert(cid, key);
        }
        for (digit, own) in by_digit {
            self.publish(digit, &own).await?;
        }
        self.rooms_changed = false;
        Ok(())
    }

    async fn publish(&self, digit: char, own: &Rooms) -> Result<(), CliError> {
        for _ in 0..RACES_MAX {
            let Stored { mut rooms, replaces, next } = self.stored(digit).await?;
            let mut has_changed = false;
            for (cid, key) in own {
                if rooms.get(cid) != Some(key) && rooms.len() < ROOMS_MAX {
                    rooms.insert(*cid, key.clone());
                    has_changed = true;
                }
            }
            if !has_changed {
                return Ok(());
            }
            let name = name(digit);
            let sealed = self.seal_rooms(&rooms, &name, next);
            match self.client.write_entry(&name, &sealed, replaces).await {
                Ok(_) => return Ok(()),
                Err(CallError::VersionMismatch { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CliError::Overtaken)
    }

    async fn stored(&self, digit: char) -> Result<Stored, CliError> {
        let name = name(digit);
        match self.client.entry(&name).await {
            // One that does not open is another key's, or damaged: what this device knows is better.
            Ok(entry) => Ok(Stored {
                rooms: self.open_rooms(&entry.data, &name, entry.version).unwrap_or_default(),
                replaces: Replaces::Version(entry.version),
                next: entry.version + 1,
            }),
            Err(CallError::NoValue { version: 0 }) => {
                Ok(Stored { rooms: Rooms::new(), replaces: Replaces::Nothing, next: 1 })
            }
            Err(CallError::NoValue { version }) => {
                Ok(Stored { rooms: Rooms::new(), replaces: Replaces::Version(version), next: version + 1 })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `nonce 12 | ciphertext | tag 16`, AES-256-GCM under the store key, bound to name and version.
    fn seal_rooms(&self, rooms: &Rooms, name: &EntryName, version: u64) -> Vec<u8> {
        let rooms = rooms.iter().map(|(cid, key)| (*cid, BASE64URL_NOPAD.encode(key.expose()))).collect();
        // invariant: text in a map of text.
        let text = serde_json::to_vec(&Wire { rooms, v: 1 }).expect("rooms are JSON");
        let nonce: [u8; NONCE_BYTES] = system::random_bytes();
        let payload = Payload { msg: &text, aad: &associated_data(name, version) };
        // invariant: AES-GCM takes 64 GiB.
        let sealed = self.cipher().encrypt(&nonce.into(), payload).expect("rooms");
        [nonce.as_slice(), &sealed].concat()
    }

    fn open_rooms(&self, sealed: &[u8], name: &EntryName, version: u64) -> Option<Rooms> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: &associated_data(name, version) };
        let text = self.cipher().decrypt(Nonce::from_slice(nonce), payload).ok()?;
        let wire: Wire = serde_json::from_slice(&text).ok()?;
        let key = |(cid, text): (ConversationId, String)| {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
            Some((cid, GroupInfoKey::from_bytes(bytes.try_into().ok()?)))
        };
        (wire.v == 1).then(|| wire.rooms.into_iter().filter_map(key).collect())
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.store_key).into())
    }
}

fn associated_data(name: &EntryName, version: u64) -> Vec<u8> {
    [LABEL, name.as_str().as_bytes(), &[0], &version.to_be_bytes()].concat()
}

fn digit_of(cid: ConversationId) -> char {
    // invariant: an id has 32 digits.
    cid.to_string().chars().next().expect("a digit")
}

fn name(digit: char) -> EntryName {
    // invariant: small letters, a hyphen and a hex digit.
    format!("{NAME}{digit}").parse().expect("a name of an entry")
}
