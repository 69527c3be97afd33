//! A Welcome: somebody let this device in.

use kez_core::{ConversationId, ConversationKind};
use openmls::prelude::tls_codec::DeserializeBytes as _;
use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn, StagedWelcome};

use super::{Effect, Engine, Step, prefix};
use crate::facts::claimed_of_member;
use crate::fault::Fault;
use crate::policy::judge_roster;
use crate::records::{Conversation, State, conversation_key, entry_key, outbox_prefix, write};
use crate::settings;

impl Engine {
    /// Takes a Welcome that came with the commit of this number. `cid` and `kind` are by the server's word, and have to be
    /// those of the group.
    ///
    /// A device that is in the conversation already goes on where it is.
    pub fn welcome(
        &mut self,
        cid: ConversationId,
        kind: ConversationKind,
        seq: u64,
        welcome: &[u8],
    ) -> Result<Step, Fault> {
        let before = self.record(cid).ok().map(|record| record.state);
        if matches!(before, Some(State::Active | State::Frozen(_))) {
            return Err(Fault::AlreadyThere);
        }
        self.groups.remove(&cid);
        let provider = self.provider();
        for stale in [prefix(cid), entry_key(cid)] {
            provider.records.remove_all(&stale);
        }
        // Of a device that could not follow what waits is sent now; somebody who was removed spoke to other people.
        let goes_on = matches!(before, Some(State::Lost | State::Entering));
        if !goes_on {
            provider.records.remove_all(&outbox_prefix(cid));
        }
        let bad = Fault::BadEntry;
        let message = MlsMessageIn::tls_deserialize_exact_bytes(welcome).map_err(|_| bad("not a message"))?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else { return Err(bad("not a Welcome")) };
        let staged = StagedWelcome::build_from_welcome(&provider, &settings::joining(), welcome)
            .map_err(|error| Fault::mls("opening a Welcome", error))?
            .skip_lifetime_validation()
            .build()
            .map_err(|error| Fault::mls("reading a Welcome", error))?;
        let room = settings::room_of(staged.group_context().extensions()).ok_or(bad("it has no room"))?;
        let leaves: Vec<_> = staged.members().map(|member| claimed_of_member(&member)).collect();
        let leaves = judge_roster(&room, &leaves).map_err(|refusal| bad(refusal.name()))?;
        if staged.group_context().group_id().as_slice() != cid.as_bytes() || room.kind != kind {
            return Err(bad("it leads into another conversation"));
        }
        let is_mine = |primary| primary == self.primary();
        if !leaves.iter().any(|leaf| is_mine(leaf.primary)) {
            return Err(bad("this device is not in it"));
        }
        let mut group =
            staged.into_group(&provider).map_err(|error| Fault::mls("joining a conversation", error))?;
        let conversation = Conversation {
            state: State::Active,
            cursor: seq,
            pending: None,
            renewed_at: 0,
            sent: 0,
            failures: 0,
        };
        write(&provider.records, conversation_key(cid), &conversation)?;
        let mut effects = vec![Effect::Joined { cid }];
        if goes_on {
            self.encrypt_anew(cid, &mut group, &provider, &mut effects)?;
        }
        Ok(self.step(provider.records, effects).with_group(cid, group))
    }
}
