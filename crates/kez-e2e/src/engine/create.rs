//! A conversation is made.

use std::collections::BTreeSet;

use kez_core::{ConversationId, ConversationKind, MessageId, Timestamp};
use openmls::prelude::MlsGroup;

use super::change::{Commit, Newcomer, commit};
use super::{Effect, Engine, Step, group_id, prefix};
use crate::fault::Fault;
use crate::records::{Conversation, State, conversation_key, write};
use crate::room::{GroupInfoKey, Room};
use crate::settings;
use crate::storage::random;

impl Engine {
    /// Makes a conversation with these devices, and asks the server for it.
    ///
    /// `newcomers` are all active devices of everybody in it but this one: of a `direct` one those of the other person and
    /// one's own, of a group those of everybody, of `self` one's own. `now` is the server's time.
    pub fn create(
        &mut self,
        cid: ConversationId,
        id: MessageId,
        kind: ConversationKind,
        newcomers: &[Newcomer],
        now: Timestamp,
    ) -> Result<Step, Fault> {
        if self.rows.contains_key(&conversation_key(cid)) {
            return Err(Fault::ConversationExists(cid));
        }
        let admins = if kind == ConversationKind::Group { vec![self.primary()] } else { Vec::new() };
        let gi_key = GroupInfoKey::from_bytes(random(&*self.chance));
        let config = settings::creation(&Room { kind, admins, gi_key }, now)?;
        let provider = self.provider();
        let group =
            MlsGroup::new_with_group_id(&provider, &self.signer, &config, group_id(cid), self.credential());
        let mut group = group.map_err(|error| Fault::mls("making a group", error))?;
        let nobody = BTreeSet::new();
        let wanted = Commit { cid, id, newcomers, removed: &[], room: None, revoked: &nobody, now };
        let bundle = commit(&mut group, &provider, &self.signer, &wanted)?;
        let conversation = Conversation {
            state: State::Creating,
            cursor: 0,
            pending: Some(bundle.clone()),
            renewed_at: now.unix_seconds(),
            sent: 0,
            failures: 0,
        };
        write(&provider.records, conversation_key(cid), &conversation)?;
        let step = self.step(provider.records, vec![Effect::Create { cid, kind, bundle }]);
        Ok(step.with_group(cid, group))
    }

    /// Forgets a conversation that the server did not create: there is one of this pair already, or it refused.
    pub fn creation_refused(&mut self, cid: ConversationId) -> Result<Step, Fault> {
        if self.record(cid)?.state != State::Creating {
            return Err(Fault::AlreadyThere);
        }
        self.groups.remove(&cid);
        let records = self.provider().records;
        records.remove_all(&prefix(cid));
        records.remove(conversation_key(cid));
        Ok(self.step(records, Vec::new()))
    }
}
