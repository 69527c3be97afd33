//! This device comes in by itself: a second device, a restored one, or one that could not follow any more.

use kez_core::{ConversationId, Members, MessageId, authenticated_data};
use openmls::prelude::tls_codec::DeserializeBytes as _;
use openmls::prelude::{LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageIn};
use openmls_traits::OpenMlsProvider as _;

use super::{Effect, Engine, Step, message_bytes, prefix};
use crate::bundle::Bundle;
use crate::facts::claimed_of_member;
use crate::fault::Fault;
use crate::policy::judge_roster;
use crate::records::{Conversation, Entry, Record, State, conversation_key, decode, entry_key, write};
use crate::room::GroupInfoKey;
use crate::seal::{open_group_info, seal_group_info};
use crate::settings;
use crate::storage::Overlay;

/// What the server and the person's own store tell about a conversation that this device wants to come into.
#[derive(Debug, Clone)]
pub struct EntryInfo<'a> {
    /// The head's epoch, by the server's word.
    pub epoch: u64,
    /// The people, by the server's word; the group has to have the same.
    pub members: &'a Members,
    /// The sealed group information of the head.
    pub group_info: &'a [u8],
    /// The key of the room.
    pub gi_key: &'a GroupInfoKey,
}

impl Engine {
    /// Comes into a conversation by an external commit. It counts once the log shows it; when the server refuses it,
    /// [`entry_refused`](Self::entry_refused), and try again with what is newer.
    pub fn enter(&mut self, cid: ConversationId, id: MessageId, info: &EntryInfo<'_>) -> Result<Step, Fault> {
        let before = self.record(cid).ok();
        if before.as_ref().is_some_and(|record| matches!(record.state, State::Active | State::Creating)) {
            return Err(Fault::AlreadyThere);
        }
        let (bundle, records) = self.entering(cid, id, info)?;
        let overlay = Overlay::new(&self.rows);
        let conversation = Conversation {
            state: State::Entering,
            pending: None,
            ..before.unwrap_or(Conversation {
                state: State::Entering,
                cursor: 0,
                pending: None,
                renewed_at: 0,
                sent: 0,
                failures: 0,
            })
        };
        write(&overlay, conversation_key(cid), &conversation)?;
        write(&overlay, entry_key(cid), &Entry { bundle: bundle.clone(), records })?;
        Ok(self.step(overlay, vec![Effect::Commit { cid, bundle }]))
    }

    /// Drops an entry that the server refused.
    pub fn entry_refused(&mut self, cid: ConversationId) -> Result<Step, Fault> {
        let mut conversation = self.record(cid)?;
        if conversation.state != State::Entering {
            return Err(Fault::NotInConversation);
        }
        conversation.state = State::Lost;
        let records = Overlay::new(&self.rows);
        records.remove(entry_key(cid));
        write(&records, conversation_key(cid), &conversation)?;
        Ok(self.step(records, vec![Effect::Lost { cid }]))
    }

    /// The entry that waits for its place in the log.
    pub(super) fn entry(&self, cid: ConversationId) -> Result<Option<Bundle>, Fault> {
        let stored = self.rows.get(&entry_key(cid));
        stored.map(|bytes| Ok(decode::<Entry>(bytes, "an entry")?.bundle)).transpose()
    }

    /// The external commit, and the records of the group that it makes. OpenMLS merges at once, so it works above no
    /// records of the old group.
    fn entering(
        &self,
        cid: ConversationId,
        id: MessageId,
        info: &EntryInfo<'_>,
    ) -> Result<(Bundle, Vec<Record>), Fault> {
        let bad = Fault::BadEntry;
        let opened = open_group_info(info.gi_key, cid, info.epoch, info.group_info);
        let opened = opened.map_err(|_| bad("its information does not open"))?;
        let message = MlsMessageIn::tls_deserialize_exact_bytes(&opened).map_err(|_| bad("not a message"))?;
        let MlsMessageBodyIn::GroupInfo(group_info) = message.extract() else {
            return Err(bad("no group information"));
        };
        if group_info.epoch().as_u64() != info.epoch {
            return Err(bad("its information is of another epoch"));
        }
        let provider = self.provider();
        provider.records.remove_all(&prefix(cid));
        let (group, made) = MlsGroup::external_commit_builder()
            .with_config(settings::joining())
            .with_aad(authenticated_data::commit(cid, id, info.members))
            .skip_lifetime_validation()
            .build_group(&provider, group_info, self.credential())
            .map_err(|error| Fault::mls("reading a group", error))?
            .leaf_node_parameters(
                LeafNodeParameters::builder().with_capabilities(settings::capabilities()).build(),
            )
            .load_psks(provider.storage())
            .map_err(|error| Fault::mls("coming in", error))?
            .create_group_info(true)
            .build(provider.rand(), provider.crypto(), &self.signer, |_| true)
            .map_err(|error| Fault::mls("coming in", error))?
            .finalize(&provider)
            .map_err(|error| Fault::mls("coming in", error))?;
        check_entered(cid, &group, info)?;
        let (commit, _, new_info) = made.into_messages();
        let new_info = message_bytes(&new_info.ok_or(Fault::Damaged { what: "a commit" })?)?;
        let bundle = Bundle {
            id,
            epoch: info.epoch,
            commit: message_bytes(&commit)?,
            welcomes: Vec::new(),
            group_info: seal_group_info(info.gi_key, cid, info.epoch + 1, &new_info, &*self.chance),
            members_after: info.members.clone(),
        };
        let written = provider.records.into_changes().into_iter();
        let records = written.filter_map(|(key, content)| Some(Record { key, content: content? })).collect();
        Ok((bundle, records))
    }
}

/// Whether the group is the one that was asked for, with the people that the server names.
fn check_entered(cid: ConversationId, group: &MlsGroup, info: &EntryInfo<'_>) -> Result<(), Fault> {
    let bad = Fault::BadEntry;
    let room = settings::room_of(group.extensions()).ok_or(bad("it has no room"))?;
    let leaves: Vec<_> = group.members().map(|member| claimed_of_member(&member)).collect();
    let leaves = judge_roster(&room, &leaves).map_err(|refusal| bad(refusal.name()))?;
    let of_the_same_people = leaves.iter().all(|leaf| info.members.contains(&leaf.primary))
        && info.members.as_slice().iter().all(|one| leaves.iter().any(|leaf| leaf.primary == *one));
    if group.group_id().as_slice() != cid.as_bytes() || room.gi_key != *info.gi_key {
        return Err(bad("it leads into another conversation"));
    }
    if of_the_same_people { Ok(()) } else { Err(bad("its people are not those that the server names")) }
}
