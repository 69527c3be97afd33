//! What a person's devices keep for each other on the server, sealed. SPEC "Sealed values".

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use hkdf::Hkdf;
use kez_core::json::{self, Object, Value};
use kez_core::{ConversationId, Seed};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::room::GroupInfoKey;
use crate::seal::{NotOpened, open, seal};
use crate::storage::Chance;

const SALT: &[u8] = b"kez-chat/v1";
const INFO: &[u8] = b"kez-chat/self-store/v1";
/// What is bound to a sealed value, before its name and version.
const DOMAIN: &[u8] = b"kez-chat/self-store/v1\0";
/// What the names of the values with rooms begin with.
const ROOMS: &str = "rooms-";

/// The most rooms in one value, which has 64 KiB on the server: each takes 81 bytes.
pub const ROOMS_MAX: usize = 768;

/// The key of a person's small store: 32 bytes. Prints as `StoreKey(..)`.
///
/// It follows from the recovery phrase, so that a new machine reads what the old ones kept; each device keeps it wrapped.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

/// The keys by which a person's devices come into conversations, as far as they are in one value of the store.
///
/// ```json
/// {"rooms":{"76b561582f4b3a3292dc680b823dfb0a":"AAAA…"},"v":1}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rooms(BTreeMap<ConversationId, GroupInfoKey>);

/// Why a value is not one with rooms, or cannot hold another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRooms {
    /// Not the JSON of rooms of version 1.
    #[error("the stored list of conversations is not one of version 1")]
    Form,
    /// More than [`ROOMS_MAX`].
    #[error("a stored list has at most {ROOMS_MAX} conversations")]
    TooMany,
}

impl StoreKey {
    /// The key of this person: HKDF-SHA256 (RFC 5869) of the seed.
    pub fn derive(seed: &Seed) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        // Fails beyond 255 blocks of SHA-256 only; this is one.
        let _ = Hkdf::<Sha256>::new(Some(SALT), seed.expose()).expand(INFO, key.as_mut());
        Self(key)
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, which open everything in the store.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals a value for this name, as the version that it will be: the one that is replaced and one more, 1 for the first.
    pub fn seal(&self, name: &str, version: u64, plain: &[u8], chance: &dyn Chance) -> Vec<u8> {
        seal(&self.0, &context(name, version), plain, chance)
    }

    /// Opens the value that the server showed as this version of this name.
    pub fn open(&self, name: &str, version: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        open(&self.0, &context(name, version), sealed).map(Zeroizing::new)
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

/// A server that shows an old version, or another name's value, shows something that does not open.
fn context(name: &str, version: u64) -> Vec<u8> {
    [DOMAIN, name.as_bytes(), &[0], &version.to_be_bytes()].concat()
}

impl Rooms {
    /// The name of the value that a conversation's key belongs to: 16 values share all of them.
    pub fn name_for(cid: ConversationId) -> String {
        let digit = cid.to_string().chars().take(1).collect::<String>();
        format!("{ROOMS}{digit}")
    }

    /// The names of all values with rooms.
    pub fn names() -> impl Iterator<Item = String> {
        "0123456789abcdef".chars().map(|digit| format!("{ROOMS}{digit}"))
    }

    /// Puts a key in, or the newer one over an older. Whether anything changed.
    pub fn put(&mut self, cid: ConversationId, key: GroupInfoKey) -> Result<bool, BadRooms> {
        if self.0.get(&cid) == Some(&key) {
            return Ok(false);
        }
        if self.0.len() >= ROOMS_MAX && !self.0.contains_key(&cid) {
            return Err(BadRooms::TooMany);
        }
        self.0.insert(cid, key);
        Ok(true)
    }

    /// Takes a conversation out that the person has left. Whether it was in.
    pub fn remove(&mut self, cid: ConversationId) -> bool {
        self.0.remove(&cid).is_some()
    }

    /// The conversations and their keys.
    pub fn iter(&self) -> impl Iterator<Item = (ConversationId, &GroupInfoKey)> {
        self.0.iter().map(|(cid, key)| (*cid, key))
    }

    /// The value, to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let text = |key: &GroupInfoKey| Value::String(BASE64URL_NOPAD.encode(key.expose()));
        let rooms = self.0.iter().map(|(cid, key)| (cid.to_string(), text(key))).collect();
        let members =
            Object::from([("rooms".to_owned(), Value::Object(rooms)), ("v".to_owned(), Value::Integer(1))]);
        Zeroizing::new(Value::Object(members).canonical().unwrap_or_default().into_bytes())
    }

    /// Reads a value that was opened.
    pub fn parse(plain: &[u8]) -> Result<Self, BadRooms> {
        let value = json::parse(plain).map_err(|_| BadRooms::Form)?;
        let mut members = value.into_object().ok_or(BadRooms::Form)?;
        if members.get("v") != Some(&Value::Integer(1)) {
            return Err(BadRooms::Form);
        }
        let rooms = members.remove("rooms").and_then(Value::into_object).ok_or(BadRooms::Form)?;
        if rooms.len() > ROOMS_MAX {
            return Err(BadRooms::TooMany);
        }
        let room = |(cid, key): (String, Value)| {
            let key = BASE64URL_NOPAD.decode(key.as_str()?.as_bytes()).ok()?;
            Some((cid.parse().ok()?, GroupInfoKey::from_bytes(key.try_into().ok()?)))
        };
        rooms.into_iter().map(room).collect::<Option<_>>().map(Self).ok_or(BadRooms::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;

    impl Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn cid(byte: u8) -> ConversationId {
        ConversationId::from_bytes([byte; 16])
    }

    fn gi_key(byte: u8) -> GroupInfoKey {
        GroupInfoKey::from_bytes([byte; 32])
    }

    #[test]
    fn a_value_opens_as_what_it_was_sealed_for_only() {
        let key = StoreKey::derive(&Seed::from_bytes([1; 32]));
        let sealed = key.seal("rooms-7", 3, b"secret", &Sevens);
        assert_eq!(key.open("rooms-7", 3, &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(key.open("rooms-7", 2, &sealed), Err(NotOpened), "an old version shown as new");
        assert_eq!(key.open("rooms-8", 3, &sealed), Err(NotOpened));
        let other = StoreKey::derive(&Seed::from_bytes([2; 32]));
        assert_eq!(other.open("rooms-7", 3, &sealed), Err(NotOpened));
        assert_eq!(format!("{key:?}"), "StoreKey(..)");
    }

    #[test]
    fn rooms_read_back() {
        let mut rooms = Rooms::default();
        assert_eq!(rooms.put(cid(1), gi_key(1)), Ok(true));
        assert_eq!(rooms.put(cid(1), gi_key(1)), Ok(false));
        assert_eq!(rooms.put(cid(2), gi_key(2)), Ok(true));
        assert_eq!(Rooms::parse(&rooms.to_bytes()), Ok(rooms.clone()));
        assert!(rooms.remove(cid(2)) && !rooms.remove(cid(2)));
        assert_eq!(rooms.iter().collect::<Vec<_>>(), [(cid(1), &gi_key(1))]);
    }

    #[test]
    fn rooms_are_many_values_that_fit_the_server() {
        let mut rooms = Rooms::default();
        for n in 0..ROOMS_MAX {
            let mut bytes = [7; 16];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            rooms.put(ConversationId::from_bytes(bytes), gi_key(1)).unwrap();
        }
        assert_eq!(rooms.put(cid(9), gi_key(1)), Err(BadRooms::TooMany));
        // Nonce and tag.
        assert!(rooms.to_bytes().len() + 12 + 16 <= 64 * 1024);
        assert_eq!(Rooms::name_for(cid(0x7f)), "rooms-7");
        assert!(Rooms::names().any(|name| name == Rooms::name_for(cid(0xa0))));
    }

    #[test]
    fn nothing_else_is_read_as_rooms() {
        let good = format!(r#"{{"rooms":{{"{}":"{}"}},"v":1}}"#, cid(1), BASE64URL_NOPAD.encode(&[1; 32]));
        Rooms::parse(good.as_bytes()).unwrap();
        for bad in [
            good.replace(":1}", ":2}"),
            good.replace("AQ", ""),
            good.replace("0101", "01"),
            good.replace("rooms", "room"),
            "[]".to_owned(),
        ] {
            assert_eq!(Rooms::parse(bad.as_bytes()), Err(BadRooms::Form), "{bad}");
        }
    }
}
