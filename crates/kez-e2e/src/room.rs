//! `kez_room`: what every member knows of a conversation beside its people. SPEC "The room".

use data_encoding::BASE64URL_NOPAD;
use kez_core::json::{self, Object, Value};
use kez_core::{ConversationKind, PublicKey};
use zeroize::Zeroizing;

/// The group extension `kez_room`, type 0xF4B5.
///
/// ```json
/// {"admins":["ed25519:2152…"],"gi_key":"AAAA…","kind":"group","v":1}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// What kind of conversation it is, for ever.
    pub kind: ConversationKind,
    /// Who changes its people, sorted; empty but in groups.
    pub admins: Vec<PublicKey>,
    /// What the group information is sealed with, for ever.
    pub gi_key: GroupInfoKey,
}

/// A key that seals group information: 32 bytes. Prints as `GroupInfoKey(..)`.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupInfoKey(Zeroizing<[u8; 32]>);

/// The bytes are not a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room of the conversation is not one: {0}")]
pub struct BadRoom(&'static str);

impl GroupInfoKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, which open the group information of the conversation.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for GroupInfoKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GroupInfoKey(..)")
    }
}

impl Room {
    /// The extension's bytes: JSON in canonical form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let admins = self.admins.iter().map(|admin| Value::String(admin.to_string())).collect();
        let members = Object::from([
            ("admins".to_owned(), Value::Array(admins)),
            ("gi_key".to_owned(), Value::String(BASE64URL_NOPAD.encode(self.gi_key.expose()))),
            ("kind".to_owned(), Value::from(kind_word(self.kind))),
            ("v".to_owned(), Value::Integer(1)),
        ]);
        Value::Object(members).canonical().unwrap_or_default().into_bytes()
    }

    /// Reads the extension's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRoom> {
        let value = json::parse(bytes).map_err(|_| BadRoom("not strict JSON"))?;
        let members = value.into_object().ok_or(BadRoom("not an object"))?;
        if members.get("v") != Some(&Value::Integer(1)) || members.len() != 4 {
            return Err(BadRoom("another version"));
        }
        let kind = members.get("kind").and_then(Value::as_str).and_then(kind_of);
        let kind = kind.ok_or(BadRoom("no kind"))?;
        let gi_key = members.get("gi_key").and_then(Value::as_str).ok_or(BadRoom("no key"))?;
        let gi_key =
            Zeroizing::new(BASE64URL_NOPAD.decode(gi_key.as_bytes()).map_err(|_| BadRoom("no key"))?);
        let gi_key = <[u8; 32]>::try_from(gi_key.as_slice()).map_err(|_| BadRoom("no key"))?;
        let Some(Value::Array(admins)) = members.get("admins") else { return Err(BadRoom("no admins")) };
        let admins: Option<Vec<PublicKey>> =
            admins.iter().map(|admin| admin.as_str().and_then(|text| text.parse().ok())).collect();
        let admins = admins.ok_or(BadRoom("an admin is no key"))?;
        if !admins.windows(2).all(|pair| pair.first() < pair.get(1)) {
            return Err(BadRoom("admins are not sorted"));
        }
        if kind != ConversationKind::Group && !admins.is_empty() {
            return Err(BadRoom("admins where there are none"));
        }
        let room = Self { kind, admins, gi_key: GroupInfoKey::from_bytes(gi_key) };
        // One form only: what is signed by members is not to be read in two ways.
        if room.to_bytes() == bytes { Ok(room) } else { Err(BadRoom("not in canonical form")) }
    }
}

fn kind_word(kind: ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Direct => "direct",
        ConversationKind::Group => "group",
        ConversationKind::OwnDevices => "self",
    }
}

fn kind_of(word: &str) -> Option<ConversationKind> {
    match word {
        "direct" => Some(ConversationKind::Direct),
        "group" => Some(ConversationKind::Group),
        "self" => Some(ConversationKind::OwnDevices),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kez_core::Seed;

    use super::*;

    fn room() -> Room {
        let mut admins: Vec<_> = [1, 2].map(|byte| Seed::from_bytes([byte; 32]).public_key()).into();
        admins.sort_unstable();
        Room { kind: ConversationKind::Group, admins, gi_key: GroupInfoKey::from_bytes([7; 32]) }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Room::parse(&room().to_bytes()), Ok(room()));
        assert_eq!(format!("{:?}", room().gi_key), "GroupInfoKey(..)");
    }

    #[test]
    fn nothing_else_is_read() {
        let good = String::from_utf8(room().to_bytes()).unwrap();
        let swapped = Room { admins: room().admins.into_iter().rev().collect(), ..room() };
        let direct = Room { kind: ConversationKind::Direct, ..room() };
        for bad in [
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("\"v\":1", "\"v\":1,\"x\":1"),
            good.replace("\"v\":1", "\"v\": 1"),
            good.replace("group", "crowd"),
            good.replace("gi_key", "key"),
            good.replace("BwcH", "BwcHB"),
            String::from_utf8(swapped.to_bytes()).unwrap(),
            String::from_utf8(direct.to_bytes()).unwrap(),
            "[]".to_owned(),
        ] {
            assert!(Room::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
