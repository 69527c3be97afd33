//! What a reader knows of a key after checking its chain.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::compare::{Comparison, compare};
use super::event::{Event, EventHash, Op, Sha256Hex};
use super::head::{Appended, ChainError, Head, accept, append};
use crate::envelope::Envelope;
use crate::identifier::{Identifier, PrimaryKey};
use crate::ids::DeviceId;
use crate::time::Timestamp;

/// A chain, checked from its first event on.
#[derive(Debug, Clone)]
pub struct Chain {
    head: Head,
    hashes: Vec<EventHash>,
    key_since: Timestamp,
    subjects: BTreeMap<Identifier, Subject>,
    devices: BTreeMap<DeviceId, Device>,
    rotations: Vec<Rotation>,
}

/// A subject that the key holds: added, and not revoked since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The event that added it, the first one since it was last revoked.
    pub seq: u64,
    /// When that event was signed, by the signer's clock.
    pub since: Timestamp,
}

/// A device that was ever named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// SHA-256 of its newest certificate.
    pub certificate_sha256: Sha256Hex,
    /// When it was first named, by the signer's clock.
    pub since: Timestamp,
    /// When it was revoked, by the signer's clock. For ever: a later `add_device` changes nothing.
    pub revoked_at: Option<Timestamp>,
}

/// A change of the chain's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The event that changed it.
    pub seq: u64,
    /// When that event was signed, by the old key's clock.
    pub at: Timestamp,
    /// The key until then.
    pub from: PrimaryKey,
    /// The key since then.
    pub to: PrimaryKey,
}

impl Chain {
    /// Begins with event 0 of the chain named `id`.
    pub fn genesis(id: PrimaryKey, envelope: Envelope) -> Result<Self, ChainError> {
        Ok(Self::from_first(id, &append(id, None, envelope)?))
    }

    /// Begins with event 0 of whatever chain it begins: [`id`](Self::id) is its key.
    pub fn begin(envelope: Envelope) -> Result<Self, ChainError> {
        let event = envelope.verify::<Event>()?;
        let id = event.primary();
        Ok(Self::from_first(id, &accept(id, None, event)?))
    }

    fn from_first(id: PrimaryKey, first: &Appended) -> Self {
        let mut chain = Self {
            head: first.head,
            hashes: Vec::new(),
            key_since: first.event.created_at(),
            subjects: BTreeMap::new(),
            devices: BTreeMap::new(),
            rotations: Vec::new(),
        };
        chain.take(id, first);
        chain
    }

    /// Takes the next event. After an error the chain is what it was.
    pub fn extend(&mut self, envelope: Envelope) -> Result<&Head, ChainError> {
        let appended = append(self.head.chain, Some(&self.head), envelope)?;
        self.take(self.head.primary, &appended);
        Ok(&self.head)
    }

    /// The name of the chain: the key of its event 0, whatever key it has now.
    pub fn id(&self) -> PrimaryKey {
        self.head.chain
    }

    /// The end of the chain.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The key that the chain has now.
    pub fn primary(&self) -> PrimaryKey {
        self.head.primary
    }

    /// Since when it has this key, by the clock of who signed the change, or event 0.
    pub fn key_since(&self) -> Timestamp {
        self.key_since
    }

    /// The hashes of all events, from event 0 on: what [`compare`] wants to see of a chain seen earlier.
    pub fn hashes(&self) -> &[EventHash] {
        &self.hashes
    }

    /// The subjects that the key holds.
    pub fn subjects(&self) -> &BTreeMap<Identifier, Subject> {
        &self.subjects
    }

    /// All devices that were ever named, the revoked ones as well.
    pub fn devices(&self) -> &BTreeMap<DeviceId, Device> {
        &self.devices
    }

    /// The changes of key, oldest first.
    pub fn rotations(&self) -> &[Rotation] {
        &self.rotations
    }

    /// How this chain relates to one whose end alone is known.
    ///
    /// [`Shorter`](Comparison::Shorter): it ends before `known`, whose place cannot be checked.
    /// [`Forked`](Comparison::Forked): it parts from `known` at this position or earlier.
    pub fn compare_to_head(&self, known: &Head) -> Comparison {
        let shown = usize::try_from(known.seq).ok().and_then(|at| self.hashes.get(at));
        match shown {
            None => Comparison::Shorter,
            Some(hash) if *hash != known.hash => Comparison::Forked { seq: known.seq },
            Some(_) if self.head.seq == known.seq => Comparison::Same,
            Some(_) => Comparison::Longer,
        }
    }

    /// How this chain relates to one that is known whole.
    pub fn compare_to(&self, known: &Self) -> Comparison {
        compare(&known.hashes, &self.hashes)
    }

    /// Takes over what a checked event states; `from` is the key that signed it.
    fn take(&mut self, from: PrimaryKey, appended: &Appended) {
        let Head { seq, primary: to, hash, .. } = appended.head;
        let at = appended.event.created_at();
        match &appended.event.document().op {
            Op::Add { subject } => {
                self.subjects.entry(subject.clone()).or_insert(Subject { seq, since: at });
            }
            Op::Revoke { subject } => {
                self.subjects.remove(subject);
            }
            Op::Rotate { .. } => {
                self.key_since = at;
                self.rotations.push(Rotation { seq, at, from, to });
            }
            Op::AddDevice { device_id, certificate_sha256 } => {
                self.name_device(*device_id, *certificate_sha256, at);
            }
            Op::RevokeDevice { device_id, certificate_sha256 } => {
                let device = Device { certificate_sha256: *certificate_sha256, since: at, revoked_at: None };
                self.devices.entry(*device_id).or_insert(device).revoked_at.get_or_insert(at);
            }
            Op::Unknown { .. } => {}
        }
        self.head = appended.head;
        self.hashes.push(hash);
    }

    fn name_device(&mut self, id: DeviceId, certificate_sha256: Sha256Hex, at: Timestamp) {
        match self.devices.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(Device { certificate_sha256, since: at, revoked_at: None });
            }
            Entry::Occupied(entry) if entry.get().revoked_at.is_some() => {}
            Entry::Occupied(mut entry) => entry.get_mut().certificate_sha256 = certificate_sha256,
        }
    }
}
