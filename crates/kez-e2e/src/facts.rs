//! Plain facts out of MLS messages, for `policy`.

use kez_core::mls_framing::KEZ_ROOM;
use kez_core::{DeviceCertificate, PublicKey};
use openmls::prelude::{
    BasicCredential, Credential, ExtensionType, KeyPackage, LeafNode, Member, MlsGroup, Proposal,
    ProposalOrRefType, Sender, StagedCommit,
};

use crate::fault::Fault;
use crate::policy::{ClaimedLeaf, Committer, Leaf, Roster, Staged};
use crate::settings::{SUITE, room_of};

/// Who is in a group, from its own state: every leaf was judged when it came in.
pub(crate) fn roster(group: &MlsGroup) -> Result<Roster, Fault> {
    let room = room_of(group.extensions()).ok_or(Fault::Damaged { what: "a room" })?;
    let leaf = |member: Member| {
        let leaf = known_leaf(&identity(&member.credential), &member.signature_key);
        leaf.map(|leaf| (member.index.u32(), leaf)).ok_or(Fault::Damaged { what: "a device" })
    };
    Ok(Roster { room, leaves: group.members().map(leaf).collect::<Result<_, _>>()? })
}

/// What a commit wants, from its own words.
pub(crate) fn staged(commit: &StagedCommit, sender: &Sender, authenticated_data: &[u8]) -> Staged {
    let path = commit.update_path_leaf_node().map(claimed);
    let (committer, is_external) = match (sender, path) {
        (Sender::Member(index), path) => (Committer::Member(index.u32(), path), false),
        (_, Some(leaf)) => (Committer::Newcomer(leaf), true),
        // A newcomer without a leaf: nobody, who may nothing.
        (_, None) => (Committer::Member(u32::MAX, None), true),
    };
    Staged {
        committer,
        added: commit
            .add_proposals()
            .map(|add| claimed_of_package(add.add_proposal().key_package()))
            .collect(),
        removed: commit.remove_proposals().map(|remove| remove.remove_proposal().removed().u32()).collect(),
        room_after: room_of(commit.group_context().extensions()),
        has_foreign_proposals: commit.queued_proposals().any(|queued| {
            let is_known = match queued.proposal() {
                Proposal::Add(_) | Proposal::Remove(_) | Proposal::GroupContextExtensions(_) => true,
                Proposal::ExternalInit(_) => is_external,
                _ => false,
            };
            !is_known || queued.proposal_or_ref_type() != ProposalOrRefType::Proposal
        }),
        authenticated_data: authenticated_data.to_vec(),
    }
}

/// The leaf of a device that a roster holds, as it stands there.
pub(crate) fn claimed_of_member(member: &Member) -> ClaimedLeaf {
    ClaimedLeaf {
        identity: identity(&member.credential),
        mls_key: member.signature_key.clone(),
        is_usable: true,
    }
}

/// The leaf of a key package.
pub(crate) fn claimed_of_package(package: &KeyPackage) -> ClaimedLeaf {
    let understands =
        package.leaf_node().capabilities().extensions().contains(&ExtensionType::Unknown(KEZ_ROOM));
    let is_usable =
        package.ciphersuite() == SUITE && package.life_time().has_acceptable_range() && understands;
    ClaimedLeaf { is_usable, ..claimed(package.leaf_node()) }
}

/// The device at a place of a group.
pub(crate) fn leaf_at(group: &MlsGroup, sender: &Sender) -> Option<Leaf> {
    let Sender::Member(index) = sender else { return None };
    let member = group.member_at(*index)?;
    known_leaf(&identity(&member.credential), &member.signature_key)
}

fn claimed(leaf: &LeafNode) -> ClaimedLeaf {
    ClaimedLeaf {
        identity: identity(leaf.credential()),
        mls_key: leaf.signature_key().as_slice().to_vec(),
        is_usable: true,
    }
}

/// The identity of a basic credential; empty, which no certificate is, of any other.
fn identity(credential: &Credential) -> Vec<u8> {
    BasicCredential::try_from(credential.clone()).map(|basic| basic.identity().to_vec()).unwrap_or_default()
}

fn known_leaf(identity: &[u8], key: &[u8]) -> Option<Leaf> {
    let certificate = DeviceCertificate::parse(identity).ok()?;
    let mls_key = PublicKey::from_bytes(key.try_into().ok()?);
    Some(Leaf { primary: certificate.primary(), device_id: certificate.device_id(), mls_key })
}
