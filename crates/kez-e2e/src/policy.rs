//! Which commits are taken: one pure function, the same on every device. SPEC "Policy".
//!
//! A rule that one device enforces and another does not splits the group, so everything that is judged is here, as plain
//! facts; `facts` makes them from MLS messages and nothing else does.

use std::collections::{BTreeMap, BTreeSet};

use kez_core::{
    ConversationId, ConversationKind, DeviceCertificate, DeviceId, MEMBERS_MAX, Members, MessageId,
    PublicKey, Timestamp, authenticated_data,
};

use crate::room::Room;

/// The most devices in a conversation.
pub const LEAVES_MAX: usize = 256;

/// How far a certificate's window may lie from the time at which the server took a commit, in seconds.
pub const WINDOW_TOLERANCE_S: i64 = 24 * 60 * 60;

/// A device's place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Whose.
    pub primary: PublicKey,
    /// Which device.
    pub device_id: DeviceId,
    /// The key that it signs with.
    pub mls_key: PublicKey,
}

/// A leaf as it stands in a message: nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedLeaf {
    /// The identity of its credential.
    pub identity: Vec<u8>,
    /// Its signature key.
    pub mls_key: Vec<u8>,
    /// Of a leaf from a key package: whether its lifetime is one that can be, and whether it names what it has to
    /// understand.
    pub is_usable: bool,
}

/// Who is in a conversation, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The room.
    pub room: Room,
    /// Devices by their place.
    pub leaves: BTreeMap<u32, Leaf>,
}

/// Who made a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committer {
    /// The device at this place, and what its leaf is to be; `None`: the commit has no path.
    Member(u32, Option<ClaimedLeaf>),
    /// A device that comes in by the commit itself.
    Newcomer(ClaimedLeaf),
}

/// A commit as it stands in a message, its signature checked by the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Who made it.
    pub committer: Committer,
    /// Leaves that are added.
    pub added: Vec<ClaimedLeaf>,
    /// Places that are removed.
    pub removed: Vec<u32>,
    /// The room afterwards; `None`: the group has not the two extensions it must have.
    pub room_after: Option<Room>,
    /// Whether it holds a proposal of another kind, or one by reference.
    pub has_foreign_proposals: bool,
    /// What it is bound to.
    pub authenticated_data: Vec<u8>,
}

/// Why a commit is refused. Each is a rule of SPEC "Policy".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A proposal that is not an Add, a Remove or a change of the room, or that is not in the commit itself.
    #[error("it holds a proposal that is not taken")]
    ForeignProposal,
    /// No new keys.
    #[error("it does not renew the keys")]
    NoPath,
    /// A leaf has no certificate, or not one for its key.
    #[error("a device is not certified")]
    NotCertified,
    /// A certificate is not valid at this time.
    #[error("a device's certificate is not valid at this time")]
    Window,
    /// A new leaf cannot be used: its lifetime, suite or capabilities.
    #[error("a new device's key package cannot be used")]
    Unusable,
    /// One device would stand twice.
    #[error("a device would stand in the conversation twice")]
    DeviceTwice,
    /// Somebody who is not in the conversation comes in by an external commit, or removes others by it.
    #[error("somebody comes in who may not")]
    Entry,
    /// A device's leaf is to become another device's.
    #[error("a device turns into another one")]
    OtherDevice,
    /// Who committed may not remove this device.
    #[error("a device is removed by somebody who may not")]
    Remove,
    /// Who committed may not add this device.
    #[error("a device is added by somebody who may not")]
    Add,
    /// Another person in a conversation of two, or of one.
    #[error("the people of this conversation do not change")]
    People,
    /// The room is changed by somebody who may not, or in what does not change.
    #[error("the room is changed in a way that it may not")]
    Room,
    /// The commit is bound to other people than it makes.
    #[error("the commit is bound to other people than it makes")]
    Binding,
    /// More people or devices than a conversation has.
    #[error("the conversation would have too many people or devices")]
    TooMany,
}

impl Refusal {
    /// A stable name, for vectors and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::ForeignProposal => "foreign_proposal",
            Self::NoPath => "no_path",
            Self::NotCertified => "not_certified",
            Self::Window => "window",
            Self::Unusable => "unusable",
            Self::DeviceTwice => "device_twice",
            Self::Entry => "entry",
            Self::OtherDevice => "other_device",
            Self::Remove => "remove",
            Self::Add => "add",
            Self::People => "people",
            Self::Room => "room",
            Self::Binding => "binding",
            Self::TooMany => "too_many",
        }
    }
}

/// Where a commit stands: what it has to be bound to, and when the server took it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The conversation.
    pub cid: ConversationId,
    /// The commit's message id.
    pub mid: MessageId,
    /// The server's time of acceptance, from the log. Never this machine's.
    pub at: Timestamp,
    /// The devices that their owners have let go by their sigchains: anybody may remove them.
    pub revoked: &'a BTreeSet<(PublicKey, DeviceId)>,
}

/// What a commit comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The devices that came.
    pub came: Vec<Leaf>,
    /// The devices that went.
    pub went: Vec<Leaf>,
    /// The people afterwards.
    pub members: Members,
}

/// Whether a commit is taken, and what it comes to.
pub fn judge(roster: &Roster, staged: &Staged, place: Place<'_>) -> Result<Outcome, Refusal> {
    if staged.has_foreign_proposals {
        return Err(Refusal::ForeignProposal);
    }
    let room_after = staged.room_after.as_ref().ok_or(Refusal::Room)?;
    let committer = committer(roster, staged, place)?;
    let came = newcomers(staged, place)?;
    let mut after = roster.leaves.clone();
    let went = remove(roster, staged, &committer, place, &mut after)?;
    check_added(roster, &committer, &came)?;
    check_room(&roster.room, room_after, &committer, roster)?;
    let all: Vec<Leaf> = after
        .values()
        .copied()
        .chain(came.iter().copied())
        .chain(committer.enters.then_some(committer.leaf))
        .collect();
    let members = check_after(room_after.kind, roster, &all)?;
    if staged.authenticated_data != authenticated_data::commit(place.cid, place.mid, &members) {
        return Err(Refusal::Binding);
    }
    let came = came.into_iter().chain(committer.enters.then_some(committer.leaf)).collect();
    Ok(Outcome { came, went, members })
}

/// Whether the roster that somebody is let into is one: every leaf certified for its key, no device twice, the people of
/// its kind. Windows are not looked at: a quiet member must not lock newcomers out.
pub fn judge_roster(room: &Room, leaves: &[ClaimedLeaf]) -> Result<Vec<Leaf>, Refusal> {
    let leaves: Vec<Leaf> = leaves.iter().map(certified).collect::<Result<_, _>>()?;
    let members = check_people(&leaves)?;
    let people = members.as_slice().len();
    match room.kind {
        ConversationKind::Direct if people != 2 => Err(Refusal::People),
        ConversationKind::OwnDevices if people != 1 => Err(Refusal::People),
        _ => Ok(leaves),
    }
}

/// Who committed.
struct By {
    leaf: Leaf,
    /// Whether it comes in by this commit.
    enters: bool,
    is_admin: bool,
}

fn committer(roster: &Roster, staged: &Staged, place: Place<'_>) -> Result<By, Refusal> {
    match &staged.committer {
        Committer::Member(index, path) => {
            let leaf = *roster.leaves.get(index).ok_or(Refusal::Entry)?;
            let renewed = path.as_ref().ok_or(Refusal::NoPath)?;
            let new = certified(renewed)?;
            if new != leaf {
                return Err(Refusal::OtherDevice);
            }
            check_window(renewed, place.at)?;
            Ok(By { leaf, enters: false, is_admin: is_admin(roster, &leaf.primary) })
        }
        Committer::Newcomer(claimed) => {
            let leaf = certified(claimed)?;
            check_window(claimed, place.at)?;
            let is_known = roster.leaves.values().any(|other| other.primary == leaf.primary);
            if !is_known || staged.removed.len() > 1 || !staged.added.is_empty() {
                return Err(Refusal::Entry);
            }
            let replaced = staged.removed.first().and_then(|index| roster.leaves.get(index));
            if replaced.is_some_and(|old| is_other_key(old, &leaf)) {
                return Err(Refusal::OtherDevice);
            }
            Ok(By { leaf, enters: true, is_admin: false })
        }
    }
}

/// A device that takes its own old place keeps its key.
fn is_other_key(old: &Leaf, new: &Leaf) -> bool {
    (old.primary, old.device_id) == (new.primary, new.device_id) && old.mls_key != new.mls_key
}

fn newcomers(staged: &Staged, place: Place<'_>) -> Result<Vec<Leaf>, Refusal> {
    let newcomer = |claimed: &ClaimedLeaf| {
        let leaf = certified(claimed)?;
        check_window(claimed, place.at)?;
        if claimed.is_usable { Ok(leaf) } else { Err(Refusal::Unusable) }
    };
    staged.added.iter().map(newcomer).collect()
}

/// Takes the removed devices out of `after`.
fn remove(
    roster: &Roster,
    staged: &Staged,
    by: &By,
    place: Place<'_>,
    after: &mut BTreeMap<u32, Leaf>,
) -> Result<Vec<Leaf>, Refusal> {
    let mut went = Vec::new();
    for index in &staged.removed {
        let gone = after.remove(index).ok_or(Refusal::Remove)?;
        let is_own = gone.primary == by.leaf.primary;
        let is_revoked = place.revoked.contains(&(gone.primary, gone.device_id));
        let by_admin = roster.room.kind == ConversationKind::Group && by.is_admin;
        let may = if by.enters { is_own } else { is_own || is_revoked || by_admin };
        if !may {
            return Err(if by.enters { Refusal::Entry } else { Refusal::Remove });
        }
        went.push(gone);
    }
    Ok(went)
}

fn check_added(roster: &Roster, by: &By, came: &[Leaf]) -> Result<(), Refusal> {
    for leaf in came {
        let is_here = roster.leaves.values().any(|other| other.primary == leaf.primary);
        let may = leaf.primary == by.leaf.primary
            || match roster.room.kind {
                // The first commit of a conversation of two brings the other one in.
                ConversationKind::Direct => is_here || roster.leaves.len() == 1,
                ConversationKind::Group => by.is_admin,
                ConversationKind::OwnDevices => false,
            };
        if !may {
            return Err(Refusal::Add);
        }
    }
    Ok(())
}

fn check_room(before: &Room, after: &Room, by: &By, roster: &Roster) -> Result<(), Refusal> {
    if before == after {
        return Ok(());
    }
    let is_constant = before.kind == after.kind && before.gi_key == after.gi_key;
    let may = roster.room.kind == ConversationKind::Group && by.is_admin && !by.enters;
    if is_constant && may { Ok(()) } else { Err(Refusal::Room) }
}

fn check_after(kind: ConversationKind, roster: &Roster, after: &[Leaf]) -> Result<Members, Refusal> {
    let members = check_people(after)?;
    let before: BTreeSet<_> = roster.leaves.values().map(|leaf| leaf.primary).collect();
    let people: BTreeSet<_> = members.as_slice().iter().copied().collect();
    let fits = match kind {
        ConversationKind::Direct => people.len() == 2 && before.is_subset(&people),
        ConversationKind::OwnDevices => people == before,
        ConversationKind::Group => true,
    };
    if fits { Ok(members) } else { Err(Refusal::People) }
}

/// No device twice, and not too many.
fn check_people(leaves: &[Leaf]) -> Result<Members, Refusal> {
    let mut devices = BTreeSet::new();
    if !leaves.iter().all(|leaf| devices.insert((leaf.primary, leaf.device_id))) {
        return Err(Refusal::DeviceTwice);
    }
    let people: BTreeSet<_> = leaves.iter().map(|leaf| leaf.primary).collect();
    if leaves.len() > LEAVES_MAX || people.len() > MEMBERS_MAX {
        return Err(Refusal::TooMany);
    }
    Members::try_from(Vec::from_iter(people)).map_err(|_| Refusal::People)
}

/// With no admin left in the conversation, everybody counts as one.
fn is_admin(roster: &Roster, primary: &PublicKey) -> bool {
    let admins = &roster.room.admins;
    let has_admin = roster.leaves.values().any(|leaf| admins.contains(&leaf.primary));
    !has_admin || admins.contains(primary)
}

/// The device of a leaf, when its owner certified it for this key.
pub(crate) fn certified(claimed: &ClaimedLeaf) -> Result<Leaf, Refusal> {
    let certificate = DeviceCertificate::parse(&claimed.identity).map_err(|_| Refusal::NotCertified)?;
    let key = <[u8; 32]>::try_from(claimed.mls_key.as_slice()).map_err(|_| Refusal::NotCertified)?;
    let mls_key = PublicKey::from_bytes(key);
    certificate.verify(&mls_key).map_err(|_| Refusal::NotCertified)?;
    Ok(Leaf { primary: certificate.primary(), device_id: certificate.device_id(), mls_key })
}

fn check_window(claimed: &ClaimedLeaf, at: Timestamp) -> Result<(), Refusal> {
    let certificate = DeviceCertificate::parse(&claimed.identity).map_err(|_| Refusal::NotCertified)?;
    let at = at.unix_seconds();
    let from = certificate.not_before().unix_seconds() - WINDOW_TOLERANCE_S;
    let until = certificate.not_after().unix_seconds() + WINDOW_TOLERANCE_S;
    if (from..=until).contains(&at) { Ok(()) } else { Err(Refusal::Window) }
}
