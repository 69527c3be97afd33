//! Changes of a conversation by this device: key packages, commits.

use std::collections::BTreeSet;

use kez_core::{
    ConversationId, ConversationKind, DeviceId, Members, MessageId, PublicKey, Timestamp, authenticated_data,
};
use openmls::prelude::tls_codec::DeserializeBytes as _;
use openmls::prelude::{
    KeyPackage, LeafNodeIndex, MlsGroup, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, ProtocolVersion,
    Sender,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_traits::OpenMlsProvider as _;

use super::{Effect, Engine, Step, message_bytes};
use crate::bundle::{Bundle, Welcome};
use crate::facts;
use crate::fault::Fault;
use crate::policy::{Leaf, Place, Roster, certified, judge};
use crate::records::{State, conversation_key, write};
use crate::room::Room;
use crate::seal::seal_group_info;
use crate::settings;
use crate::storage::Provider;

/// After so long a device renews its keys in a conversation: what was stolen from it is of no use from then on.
const RENEWAL_SECONDS: i64 = 7 * 24 * 60 * 60;
/// And after so many of its own messages.
const RENEWAL_MESSAGES: u32 = 200;

/// A device that is to be added, with a key package that the server gave out for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Whose it is said to be.
    pub primary: PublicKey,
    /// Which device.
    pub device_id: DeviceId,
    /// The MLS message.
    pub key_package: Vec<u8>,
}

/// What is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Nothing but this device's keys: what was stolen before is of no use afterwards.
    Renew,
    /// Devices come.
    Add(Vec<Newcomer>),
    /// A person goes, with all devices.
    Remove(PublicKey),
    /// One device goes: an own one, one that its owner has revoked in the sigchain, or, by an admin, any in a group. Who is not
    /// in charge reads the sigchain first: what is no revocation freezes the conversation for everybody else.
    RemoveDevice(PublicKey, DeviceId),
    /// Who changes the people of a group from now on.
    Admins(Vec<PublicKey>),
}

/// A commit that is wanted.
pub(super) struct Commit<'a> {
    pub(super) cid: ConversationId,
    pub(super) id: MessageId,
    pub(super) newcomers: &'a [Newcomer],
    pub(super) removed: &'a [u32],
    pub(super) room: Option<Room>,
    /// Devices that their owners have revoked.
    pub(super) revoked: &'a BTreeSet<(PublicKey, DeviceId)>,
    /// The server's time.
    pub(super) now: Timestamp,
}

impl Engine {
    /// Makes key packages, by which others add this device while it is away. `now` is the server's time.
    pub fn key_packages(
        &mut self,
        one_time: usize,
        last_resort: bool,
        now: Timestamp,
    ) -> Result<Step, Fault> {
        let provider = self.provider();
        let make = |is_last: bool| {
            let builder = KeyPackage::builder()
                .leaf_node_capabilities(settings::capabilities())
                .key_package_lifetime(settings::lifetime(now));
            let builder = if is_last { builder.mark_as_last_resort() } else { builder };
            let made = builder.build(settings::SUITE, &provider, &self.signer, self.credential());
            let made = made.map_err(|error| Fault::mls("making a key package", error))?;
            message_bytes(&MlsMessageOut::from(made.into_key_package()))
        };
        let effect = Effect::UploadKeyPackages {
            one_time: (0..one_time).map(|_| make(false)).collect::<Result<_, _>>()?,
            last_resort: if last_resort { Some(make(true)?) } else { None },
        };
        Ok(self.step(provider.records, vec![effect]))
    }

    /// Makes a change and sends it. It counts once the log shows it; another change that comes first drops it.
    pub fn change(
        &mut self,
        cid: ConversationId,
        id: MessageId,
        change: &Change,
        now: Timestamp,
    ) -> Result<Step, Fault> {
        let mut conversation = self.record(cid)?;
        if conversation.state != State::Active {
            return Err(not_active(&conversation.state));
        }
        if conversation.pending.is_some() {
            return Err(Fault::ChangePending);
        }
        let mut group = self.take(cid)?;
        let roster = facts::roster(&group)?;
        let newcomers = if let Change::Add(newcomers) = change { newcomers.as_slice() } else { &[] };
        let removed = removed(&roster, change);
        let room = if let Change::Admins(admins) = change {
            let mut admins = admins.clone();
            admins.sort_unstable();
            admins.dedup();
            Some(Room { admins, ..roster.room.clone() })
        } else {
            None
        };
        let revoked = match change {
            Change::RemoveDevice(primary, device_id) => BTreeSet::from([(*primary, *device_id)]),
            _ => BTreeSet::new(),
        };
        let provider = self.provider();
        let wanted = Commit { cid, id, newcomers, removed: &removed, room, revoked: &revoked, now };
        let bundle = commit(&mut group, &provider, &self.signer, &wanted)?;
        conversation.pending = Some(bundle.clone());
        write(&provider.records, conversation_key(cid), &conversation)?;
        let step = self.step(provider.records, vec![Effect::Commit { cid, bundle }]);
        Ok(step.with_group(cid, group))
    }

    /// Whether this device should renew its keys in a conversation ([`Change::Renew`]): it was let in by a Welcome and has not
    /// yet, or not for 7 days or 200 messages. `now` is the server's time.
    pub fn is_renewal_due(&self, cid: ConversationId, now: Timestamp) -> Result<bool, Fault> {
        let conversation = self.record(cid)?;
        let age_s = now.unix_seconds().saturating_sub(conversation.renewed_at);
        let is_old = age_s >= RENEWAL_SECONDS || conversation.sent >= RENEWAL_MESSAGES;
        Ok(conversation.state == State::Active && conversation.pending.is_none() && is_old)
    }

    /// Drops a change that the server refused for good, such as one that adds somebody who has not accepted a contact. One
    /// that was only too late needs nothing: the log shows the other one.
    pub fn change_refused(&mut self, cid: ConversationId, id: MessageId) -> Result<Step, Fault> {
        let mut conversation = self.record(cid)?;
        if conversation.state != State::Active
            || conversation.pending.as_ref().is_none_or(|bundle| bundle.id != id)
        {
            return Err(Fault::NotWaiting(id));
        }
        let mut group = self.take(cid)?;
        let provider = self.provider();
        group
            .clear_pending_commit(provider.storage())
            .map_err(|error| Fault::mls("dropping a change", error))?;
        conversation.pending = None;
        write(&provider.records, conversation_key(cid), &conversation)?;
        Ok(self.step(provider.records, vec![Effect::ChangeLost { cid, id }]).with_group(cid, group))
    }
}

pub(super) fn not_active(state: &State) -> Fault {
    match state {
        State::Frozen(reason) => Fault::Frozen(reason.clone()),
        _ => Fault::NotInConversation,
    }
}

fn removed(roster: &Roster, change: &Change) -> Vec<u32> {
    let is_removed = |leaf: &Leaf| match change {
        Change::Remove(primary) => leaf.primary == *primary,
        Change::RemoveDevice(primary, device_id) => (leaf.primary, leaf.device_id) == (*primary, *device_id),
        _ => false,
    };
    roster.leaves.iter().filter(|(_, leaf)| is_removed(leaf)).map(|(index, _)| *index).collect()
}

/// Makes a commit, judges it as everybody else will, and leaves it pending.
pub(super) fn commit(
    group: &mut MlsGroup,
    provider: &Provider<'_>,
    signer: &SignatureKeyPair,
    wanted: &Commit<'_>,
) -> Result<Bundle, Fault> {
    let roster = facts::roster(group)?;
    let packages: Vec<KeyPackage> =
        wanted.newcomers.iter().map(|one| checked(one, provider)).collect::<Result<_, _>>()?;
    let members_after = members_after(&roster, wanted)?;
    let epoch = group.epoch().as_u64();
    group.set_aad(authenticated_data::commit(wanted.cid, wanted.id, &members_after));
    let mut builder = group
        .commit_builder()
        .force_self_update(true)
        .propose_adds(packages)
        .propose_removals(wanted.removed.iter().map(|index| LeafNodeIndex::new(*index)));
    if let Some(room) = &wanted.room {
        builder = builder
            .propose_group_context_extensions(settings::context_extensions(room)?)
            .map_err(|error| Fault::mls("changing the room", error))?;
    }
    let made = builder
        .load_psks(provider.storage())
        .map_err(|error| Fault::mls("making a commit", error))?
        .create_group_info(true)
        .build(provider.rand(), provider.crypto(), signer, |_| true)
        .map_err(|error| Fault::mls("making a commit", error))?
        .stage_commit(provider)
        .map_err(|error| Fault::mls("storing a commit", error))?;
    let (commit, welcome, group_info) = made.into_messages();
    judge_own(group, &roster, wanted, &members_after)?;
    let info = message_bytes(&group_info.ok_or(Fault::Damaged { what: "a commit" })?)?;
    let to: Vec<_> = wanted.newcomers.iter().map(|one| (one.primary, one.device_id)).collect();
    let welcomes =
        welcome.iter().map(|welcome| Ok(Welcome { welcome: message_bytes(welcome)?, to: to.clone() }));
    Ok(Bundle {
        id: wanted.id,
        epoch,
        commit: message_bytes(&commit)?,
        welcomes: welcomes.collect::<Result<_, Fault>>()?,
        group_info: seal_group_info(&roster.room.gi_key, wanted.cid, epoch + 1, &info, provider.chance.0),
        members_after,
    })
}

/// Refuses here what everybody else would refuse.
fn judge_own(
    group: &MlsGroup,
    roster: &Roster,
    wanted: &Commit<'_>,
    members_after: &Members,
) -> Result<(), Fault> {
    let pending = group.pending_commit().ok_or(Fault::Damaged { what: "a commit" })?;
    let data = authenticated_data::commit(wanted.cid, wanted.id, members_after);
    let staged = facts::staged(pending, &Sender::Member(group.own_leaf_index()), &data);
    let place = Place { cid: wanted.cid, mid: wanted.id, at: wanted.now, revoked: wanted.revoked };
    judge(roster, &staged, place).map(drop).map_err(|refusal| Fault::NotAllowed(refusal.name()))
}

/// The key package of a newcomer, when it is that of the device that it is said to be of.
fn checked(newcomer: &Newcomer, provider: &Provider<'_>) -> Result<KeyPackage, Fault> {
    let bad = Fault::BadKeyPackage;
    let message = MlsMessageIn::tls_deserialize_exact_bytes(&newcomer.key_package);
    let message = message.map_err(|_| bad("not an MLS message"))?;
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else {
        return Err(bad("not a key package"));
    };
    let package = package
        .validate(provider.crypto(), ProtocolVersion::Mls10)
        .map_err(|_| bad("its signature or its lifetime"))?;
    let claimed = facts::claimed_of_package(&package);
    let leaf = certified(&claimed).map_err(|_| bad("its device is not certified"))?;
    if (leaf.primary, leaf.device_id) != (newcomer.primary, newcomer.device_id) {
        return Err(bad("it is of another device"));
    }
    if claimed.is_usable { Ok(package) } else { Err(bad("its lifetime, suite or capabilities")) }
}

fn members_after(roster: &Roster, wanted: &Commit<'_>) -> Result<Members, Fault> {
    let stay = roster.leaves.iter().filter(|(index, _)| !wanted.removed.contains(index));
    let people: BTreeSet<_> = stay
        .map(|(_, leaf)| leaf.primary)
        .chain(wanted.newcomers.iter().map(|newcomer| newcomer.primary))
        .collect();
    let is_direct = roster.room.kind == ConversationKind::Direct;
    if is_direct && people.len() != 2 {
        return Err(Fault::NotAllowed("people"));
    }
    Members::try_from(Vec::from_iter(people)).map_err(|_| Fault::NotAllowed("too_many"))
}
