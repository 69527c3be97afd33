//! Who is who: names and keys, as the home server says and as this device remembers.

use kez_core::{Fqhn, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};

use super::words::Names;
use crate::records::{Draft, Records, RecordsError};

const PERSON: u8 = b'p';

/// What this device remembers of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) primary: PublicKey,
    /// The home server's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Fqhn>,
    /// When the safety numbers were compared and were the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verified_at: Option<Timestamp>,
    /// When the home server was asked for their devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) devices_asked_at: Option<Timestamp>,
    /// When this account blocked them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blocked_at: Option<Timestamp>,
}

impl Person {
    pub(crate) fn new(primary: PublicKey) -> Self {
        Self { primary, address: None, verified_at: None, devices_asked_at: None, blocked_at: None }
    }
}

/// What is remembered of a person.
pub(crate) fn person(draft: &Draft<'_>, primary: PublicKey) -> Result<Option<Person>, RecordsError> {
    draft.read(&person_key(primary))
}

/// Remembers a person.
pub(crate) fn put(draft: &mut Draft<'_>, person: &Person) {
    draft.write(person_key(person.primary), person);
}

/// Everybody who is remembered.
pub(crate) fn all(records: &Records) -> Result<Vec<Person>, RecordsError> {
    records.load(&[PERSON])?.iter().map(|(_, value)| records.parse(value)).collect()
}

/// What people are called; `me` is this account.
pub(crate) fn names(records: &Records, me: PublicKey, address: &Fqhn) -> Result<Names, RecordsError> {
    let mut names = Names { me: Some(me), server: Some(address.server().clone()), ..Names::default() };
    names.known.insert(me, address.clone());
    for person in all(records)? {
        if let Some(address) = person.address {
            names.known.insert(person.primary, address);
        }
    }
    Ok(names)
}

fn person_key(primary: PublicKey) -> Vec<u8> {
    [&[PERSON], primary.as_bytes().as_slice()].concat()
}
