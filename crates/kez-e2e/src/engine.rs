//! The engine: one device, its conversations, and what it does step by step.
//!
//! A step takes one thing that happened or is wanted, and gives what has to be stored and what is to be done then. The host
//! stores [`Step::changes`] as one durable write, gives the step back to [`Engine::stored`], and only then gets the effects:
//! so nothing leaves that a crash could forget, and nothing is acknowledged that is not kept. A step that was not stored is
//! dropped, and nothing has happened.
//!
//! What the device sends comes back by the log. There it takes its place, among what others sent; until then it waits, and
//! is sent again after a crash ([`Engine::unsent`]).

mod change;
mod create;
mod enter;
mod ephemeral;
mod join;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kez_core::{
    ConversationId, ConversationKind, DeviceCertificate, DeviceId, Members, MessageId, PublicKey, Seed,
};
use openmls::prelude::tls_codec::Serialize as _;
use openmls::prelude::{
    BasicCredential, CredentialWithKey, GroupId, MlsGroup, MlsMessageOut, SignatureScheme,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::RustCrypto;

use crate::bundle::Bundle;
use crate::ephemeral::LastEphemeral;
use crate::facts;
use crate::fault::Fault;
use crate::payload::Payload;
use crate::policy::Roster;
use crate::records::{
    Conversation, Line, State, Waiting, conversation_ids, conversation_key, decode, history_key,
    history_prefix, outbox_prefix,
};
use crate::room::GroupInfoKey;
use crate::storage::{Bytes, Chance, Changes, HostChance, Key, Overlay, Provider, Rows, group_prefix};

pub use change::{Change, Newcomer};
pub use enter::EntryInfo;

/// Who the device is, with the secret that it signs MLS messages with.
#[derive(Debug, Clone)]
pub struct DeviceSecrets {
    /// What its owner signed.
    pub certificate: DeviceCertificate,
    /// The secret of its MLS key.
    pub mls: Seed,
}

/// One device. The host keeps its records; there is one engine at a time for them.
pub struct Engine {
    certificate: DeviceCertificate,
    signer: SignatureKeyPair,
    mls: Seed,
    rows: Rows,
    /// Groups as they are stored, decoded. One that a step took out is decoded anew when it is wanted again.
    groups: HashMap<ConversationId, MlsGroup>,
    crypto: RustCrypto,
    chance: Box<dyn Chance + Send + Sync>,
    last_ephemeral: LastEphemeral,
    /// Counts what was stored.
    generation: u64,
}

/// What has to be stored, and what is to be done then.
#[must_use = "nothing has happened until a step was stored"]
pub struct Step {
    changes: Changes,
    effects: Vec<Effect>,
    groups: Vec<(ConversationId, MlsGroup)>,
    generation: u64,
}

/// What is to be done, or shown, after a step was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Send these key packages to the server.
    UploadKeyPackages {
        /// Each to be given out once.
        one_time: Vec<Vec<u8>>,
        /// To be given out when no other is left.
        last_resort: Option<Vec<u8>>,
    },
    /// Ask the server to create a conversation.
    Create {
        /// Its id.
        cid: ConversationId,
        /// Its kind.
        kind: ConversationKind,
        /// Its first bundle.
        bundle: Bundle,
    },
    /// Send a bundle.
    Commit {
        /// To this conversation.
        cid: ConversationId,
        /// With the bundle's own id: sending it again does no harm.
        bundle: Bundle,
    },
    /// Send a frame.
    Frame {
        /// To this conversation.
        cid: ConversationId,
        /// With this id: sending it again does no harm.
        mid: MessageId,
        /// The MLS message.
        frame: Vec<u8>,
    },
    /// The device is in a conversation from now on; keep its key for other devices ([`Engine::rooms`]).
    Joined {
        /// Which.
        cid: ConversationId,
    },
    /// A line was added to the history.
    Added {
        /// Of this conversation.
        cid: ConversationId,
        /// The line.
        line: Line,
    },
    /// A change of this device lost its place to another one. It can be made again.
    ChangeLost {
        /// In this conversation.
        cid: ConversationId,
        /// The change.
        id: MessageId,
    },
    /// A device was removed of which this device does not know that its owner revoked it. Nothing was taken: read the
    /// owner's sigchain, then give the frame again, or [`Engine::frame_with_all_known`] when it is not revoked there.
    Need {
        /// In this conversation.
        cid: ConversationId,
        /// The frame's number.
        seq: u64,
        /// Whose sigchains.
        owners: Vec<PublicKey>,
    },
    /// Frames are missing: ask the server for those after this number.
    Gap {
        /// In this conversation.
        cid: ConversationId,
        /// The last number that this device has.
        after: u64,
    },
    /// The device cannot follow any more. It can come in anew by itself ([`Engine::enter`]).
    Lost {
        /// In this conversation.
        cid: ConversationId,
    },
    /// Something in the conversation broke the rules: nothing is sent or read there any more.
    Frozen {
        /// Which.
        cid: ConversationId,
        /// Why, in words for people.
        reason: String,
    },
    /// The device was removed.
    Left {
        /// From this conversation.
        cid: ConversationId,
    },
}

/// A conversation, for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationView {
    /// Its id.
    pub cid: ConversationId,
    /// Where it stands.
    pub standing: Standing,
    /// The number of the last frame that was processed.
    pub cursor: u64,
    /// Its kind, and who changes its people; `None` while the device is not in it.
    pub inside: Option<Inside>,
}

/// What only who is in a conversation knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The kind.
    pub kind: ConversationKind,
    /// Who changes the people of a group.
    pub admins: Vec<PublicKey>,
    /// The people.
    pub members: Members,
    /// Everybody's devices.
    pub devices: Vec<(PublicKey, DeviceId)>,
    /// The epoch.
    pub epoch: u64,
}

/// Where a conversation stands, for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Made here; the server has not shown it yet.
    Creating,
    /// This device is in it.
    Active,
    /// This device asked to come in, and waits for the log.
    Entering,
    /// This device cannot follow; it can come in anew.
    Lost,
    /// Something broke the rules.
    Frozen(String),
    /// This device was removed.
    Left,
}

impl Engine {
    /// The engine of a device with its records; none, when it is new.
    pub fn open(
        device: &DeviceSecrets,
        rows: impl IntoIterator<Item = (Key, Bytes)>,
        chance: Box<dyn Chance + Send + Sync>,
    ) -> Self {
        let key = device.mls.public_key();
        let signer = SignatureKeyPair::from_raw(
            SignatureScheme::ED25519,
            device.mls.expose().to_vec(),
            key.as_bytes().to_vec(),
        );
        Self {
            certificate: device.certificate,
            signer,
            mls: device.mls.clone(),
            rows: rows.into_iter().collect(),
            groups: HashMap::new(),
            crypto: RustCrypto::default(),
            chance,
            last_ephemeral: LastEphemeral::default(),
            generation: 0,
        }
    }

    /// Takes a step over after the host has stored its changes durably, and gives what is to be done.
    pub fn stored(&mut self, step: Step) -> Result<Vec<Effect>, Fault> {
        if step.generation != self.generation {
            return Err(Fault::StaleStep);
        }
        self.generation += 1;
        for (key, change) in step.changes {
            match change {
                Some(bytes) => self.rows.insert(key, bytes),
                None => self.rows.remove(&key),
            };
        }
        self.groups.extend(step.groups);
        Ok(step.effects)
    }

    /// Whose device this is.
    pub fn primary(&self) -> PublicKey {
        self.certificate.primary()
    }

    /// Which device this is.
    pub fn device_id(&self) -> DeviceId {
        self.certificate.device_id()
    }

    /// All conversations that the device has records of.
    pub fn conversations(&self) -> Result<Vec<ConversationView>, Fault> {
        conversation_ids(&self.rows).map(|cid| self.view(cid)).collect()
    }

    /// A conversation.
    pub fn conversation(&self, cid: ConversationId) -> Result<Option<ConversationView>, Fault> {
        if self.rows.contains_key(&conversation_key(cid)) { self.view(cid).map(Some) } else { Ok(None) }
    }

    /// Lines of the history before the number `before`, newest first.
    pub fn history(
        &self,
        cid: ConversationId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Line>, Fault> {
        let (from, to) = (history_prefix(cid), history_key(cid, before.unwrap_or(u64::MAX)));
        let lines = self.rows.range(from..to).rev().take(limit);
        lines.map(|(_, bytes)| decode(bytes, "the history")).collect()
    }

    /// What was to be sent and has not come back by the log: to be sent again after a start.
    pub fn unsent(&self) -> Result<Vec<Effect>, Fault> {
        let mut all = Vec::new();
        for cid in conversation_ids(&self.rows) {
            let conversation = self.record(cid)?;
            if let Some(bundle) = conversation.pending {
                all.push(match conversation.state {
                    State::Creating => Effect::Create { cid, kind: self.room_kind(cid)?, bundle },
                    _ => Effect::Commit { cid, bundle },
                });
            }
            if let Some(bundle) = self.entry(cid)? {
                all.push(Effect::Commit { cid, bundle });
            }
            if conversation.state == State::Active {
                all.extend(self.waiting(cid)?.into_iter().map(|one| Effect::Frame {
                    cid,
                    mid: one.mid,
                    frame: one.frame,
                }));
            }
        }
        Ok(all)
    }

    /// What this device has said that the log has not shown yet, in the order of saying within each conversation.
    pub fn unsaid(&self) -> Result<Vec<(ConversationId, MessageId, Payload)>, Fault> {
        let mut all = Vec::new();
        for cid in conversation_ids(&self.rows) {
            all.extend(self.waiting(cid)?.into_iter().map(|one| (cid, one.mid, one.payload)));
        }
        Ok(all)
    }

    /// The keys by which other devices of this person come into its conversations. For the person's own store only.
    pub fn rooms(&self) -> Result<BTreeMap<ConversationId, GroupInfoKey>, Fault> {
        let mut rooms = BTreeMap::new();
        for cid in conversation_ids(&self.rows) {
            if self.record(cid)?.state == State::Active {
                let group = self.decoded(cid)?;
                rooms.insert(cid, facts::roster(&group)?.room.gi_key);
            }
        }
        Ok(rooms)
    }

    /// 32 bytes that are equal on two devices exactly when nobody split the conversation between them.
    pub fn epoch_authenticator(&self, cid: ConversationId) -> Result<Vec<u8>, Fault> {
        Ok(self.decoded(cid)?.epoch_authenticator().as_slice().to_vec())
    }

    fn view(&self, cid: ConversationId) -> Result<ConversationView, Fault> {
        let record = self.record(cid)?;
        let (standing, is_inside) = match record.state {
            State::Creating => (Standing::Creating, true),
            State::Active => (Standing::Active, true),
            State::Entering => (Standing::Entering, false),
            State::Lost => (Standing::Lost, false),
            State::Frozen(reason) => (Standing::Frozen(reason), false),
            State::Left => (Standing::Left, false),
        };
        let inside = if is_inside { Some(inside(&self.decoded(cid)?)?) } else { None };
        Ok(ConversationView { cid, standing, cursor: record.cursor, inside })
    }

    fn record(&self, cid: ConversationId) -> Result<Conversation, Fault> {
        let bytes = self.rows.get(&conversation_key(cid)).ok_or(Fault::NotInConversation)?;
        decode(bytes, "a conversation")
    }

    fn waiting(&self, cid: ConversationId) -> Result<Vec<Waiting>, Fault> {
        let prefix = outbox_prefix(cid);
        let rows = self.rows.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let mut all: Vec<Waiting> =
            rows.map(|(_, bytes)| decode(bytes, "what waits to be sent")).collect::<Result<_, _>>()?;
        all.sort_by_key(|one| one.order);
        Ok(all)
    }

    fn room_kind(&self, cid: ConversationId) -> Result<ConversationKind, Fault> {
        Ok(facts::roster(&self.decoded(cid)?)?.room.kind)
    }

    /// The group as it is stored.
    fn decoded(&self, cid: ConversationId) -> Result<MlsGroup, Fault> {
        load(&Overlay::new(&self.rows), cid)
    }

    /// Takes the group for a step: the decoded one, if there is one.
    fn take(&mut self, cid: ConversationId) -> Result<MlsGroup, Fault> {
        match self.groups.remove(&cid) {
            Some(group) => Ok(group),
            None => self.decoded(cid),
        }
    }

    /// What OpenMLS works with for one step.
    fn provider(&self) -> Provider<'_> {
        Provider {
            crypto: &self.crypto,
            chance: HostChance(&*self.chance),
            records: Overlay::new(&self.rows),
        }
    }

    fn credential(&self) -> CredentialWithKey {
        let credential = BasicCredential::new(self.certificate.to_bytes().to_vec()).into();
        CredentialWithKey { credential, signature_key: self.signer.public().into() }
    }

    /// A step of these changes.
    fn step(&self, records: Overlay<'_>, effects: Vec<Effect>) -> Step {
        Step { changes: records.into_changes(), effects, groups: Vec::new(), generation: self.generation }
    }
}

impl Step {
    /// What has to be stored, all of it or nothing: a new content, or `None` where the record goes.
    pub fn changes(&self) -> &BTreeMap<Key, Option<Bytes>> {
        &self.changes
    }

    /// The lines that it adds to histories, for a host that keeps them in a form of its own: they are stored with the
    /// step, and shown after it.
    pub fn lines(&self) -> impl Iterator<Item = (ConversationId, &Line)> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Added { cid, line } => Some((*cid, line)),
            _ => None,
        })
    }

    /// The same step, after which this group is decoded already.
    fn with_group(mut self, cid: ConversationId, group: MlsGroup) -> Self {
        self.groups.push((cid, group));
        self
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("device_id", &self.device_id()).finish_non_exhaustive()
    }
}

fn inside(group: &MlsGroup) -> Result<Inside, Fault> {
    let Roster { room, leaves } = facts::roster(group)?;
    let people: BTreeSet<_> = leaves.values().map(|leaf| leaf.primary).collect();
    let members =
        Members::try_from(Vec::from_iter(people)).map_err(|_| Fault::Damaged { what: "a roster" })?;
    let devices = leaves.values().map(|leaf| (leaf.primary, leaf.device_id)).collect();
    Ok(Inside { kind: room.kind, admins: room.admins, members, devices, epoch: group.epoch().as_u64() })
}

fn load(records: &Overlay<'_>, cid: ConversationId) -> Result<MlsGroup, Fault> {
    let group = MlsGroup::load(records, &group_id(cid));
    let group = group.map_err(|error| Fault::mls("reading a group", error))?;
    group.ok_or(Fault::Damaged { what: "a group" })
}

fn group_id(cid: ConversationId) -> GroupId {
    GroupId::from_slice(cid.as_bytes())
}

fn prefix(cid: ConversationId) -> Key {
    group_prefix(cid.as_bytes())
}

fn message_bytes(message: &MlsMessageOut) -> Result<Vec<u8>, Fault> {
    message.tls_serialize_detached().map_err(|error| Fault::mls("writing a message", error))
}
