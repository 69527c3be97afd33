//! Commits that are taken and refused.

use std::collections::BTreeSet;

use kez_core::{ConversationId, ConversationKind, DeviceId, MessageId, PublicKey, Timestamp};
use serde::Deserialize;

use super::{array, each, hex};
use crate::policy::{
    ClaimedLeaf, Committer, Leaf, Outcome, Place, Refusal, Roster, Staged, judge, judge_roster,
};
use crate::room::{GroupInfoKey, Room};

#[derive(Deserialize)]
struct Case {
    room: RoomFacts,
    leaves: Vec<LeafFacts>,
    cid: ConversationId,
    mid: MessageId,
    at: i64,
    revoked: Vec<Device>,
    commit: Commit,
    #[serde(default)]
    came: Vec<Device>,
    #[serde(default)]
    went: Vec<Device>,
    #[serde(default)]
    members: Vec<PublicKey>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct RoomFacts {
    kind: ConversationKind,
    admins: Vec<PublicKey>,
    gi_key: String,
}

#[derive(Deserialize)]
struct LeafFacts {
    index: u32,
    primary: PublicKey,
    device_id: DeviceId,
    mls_key: PublicKey,
}

#[derive(Deserialize, Debug, PartialEq, Eq, Clone, Copy)]
struct Device {
    primary: PublicKey,
    device_id: DeviceId,
}

#[derive(Deserialize)]
struct Commit {
    by: By,
    added: Vec<Claimed>,
    removed: Vec<u32>,
    room_after: Option<RoomFacts>,
    has_foreign_proposals: bool,
    authenticated_data: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum By {
    Newcomer { newcomer: Claimed },
    Member { member: u32, path: Option<Claimed> },
}

#[derive(Deserialize)]
struct Claimed {
    identity: String,
    mls_key: String,
    is_usable: bool,
}

impl RoomFacts {
    fn room(&self) -> Room {
        let gi_key = GroupInfoKey::from_bytes(array(&self.gi_key));
        Room { kind: self.kind, admins: self.admins.clone(), gi_key }
    }
}

impl Claimed {
    fn leaf(&self) -> ClaimedLeaf {
        ClaimedLeaf { identity: hex(&self.identity), mls_key: hex(&self.mls_key), is_usable: self.is_usable }
    }
}

impl Case {
    fn judge(&self) -> Result<Outcome, Refusal> {
        let leaf = |facts: &LeafFacts| {
            let LeafFacts { index, primary, device_id, mls_key } = *facts;
            (index, Leaf { primary, device_id, mls_key })
        };
        let roster = Roster { room: self.room.room(), leaves: self.leaves.iter().map(leaf).collect() };
        let revoked: BTreeSet<_> =
            self.revoked.iter().map(|device| (device.primary, device.device_id)).collect();
        let at = Timestamp::from_unix(self.at, 0).unwrap();
        judge(&roster, &self.commit.staged(), Place { cid: self.cid, mid: self.mid, at, revoked: &revoked })
    }
}

impl Commit {
    fn staged(&self) -> Staged {
        Staged {
            committer: match &self.by {
                By::Newcomer { newcomer } => Committer::Newcomer(newcomer.leaf()),
                By::Member { member, path } => Committer::Member(*member, path.as_ref().map(Claimed::leaf)),
            },
            added: self.added.iter().map(Claimed::leaf).collect(),
            removed: self.removed.clone(),
            room_after: self.room_after.as_ref().map(RoomFacts::room),
            has_foreign_proposals: self.has_foreign_proposals,
            authenticated_data: hex(&self.authenticated_data),
        }
    }
}

fn devices(leaves: &[Leaf]) -> Vec<Device> {
    leaves.iter().map(|leaf| Device { primary: leaf.primary, device_id: leaf.device_id }).collect()
}

#[test]
fn policy() {
    each("policy", "valid", |case: Case| {
        let outcome = case.judge().unwrap();
        assert_eq!((devices(&outcome.came), devices(&outcome.went)), (case.came.clone(), case.went.clone()));
        assert_eq!(outcome.members.as_slice(), case.members);
    });
    each("policy", "invalid", |case: Case| {
        assert_eq!(case.judge().unwrap_err().name(), case.error);
    });
}

#[test]
fn policy_roster() {
    #[derive(Deserialize)]
    struct Joined {
        room: RoomFacts,
        leaves: Vec<Claimed>,
        #[serde(default)]
        members: Vec<PublicKey>,
        #[serde(default)]
        error: String,
    }
    let judged = |case: &Joined| {
        let leaves: Vec<_> = case.leaves.iter().map(Claimed::leaf).collect();
        judge_roster(&case.room.room(), &leaves)
    };
    each("policy-roster", "valid", |case: Joined| {
        let people: BTreeSet<_> = judged(&case).unwrap().iter().map(|leaf| leaf.primary).collect();
        assert_eq!(Vec::from_iter(people), case.members);
    });
    each("policy-roster", "invalid", |case: Joined| {
        assert_eq!(judged(&case).unwrap_err().name(), case.error);
    });
}
