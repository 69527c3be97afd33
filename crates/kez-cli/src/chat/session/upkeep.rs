//! What a device does without being asked: keep others able to reach it, come into its account's conversations, let go of
//! devices that were revoked, renew its keys.

use std::collections::BTreeSet;

use kez_client::{CallError, Claimed, DeviceList};
use kez_core::{ClaimId, ConversationId, ConversationKind, Fqhn, PublicKey};
use kez_e2e::{Change, Content, Newcomer, Standing};

use super::{Session, new_id};
use crate::chat::history;
use crate::chat::model::State;
use crate::chat::people::{self, Person};
use crate::error::CliError;
use crate::records::Draft;
use crate::system;

/// Key packages that the server is to have, and below how many it gets more.
const KEY_PACKAGES: usize = 60;
const KEY_PACKAGES_MIN: u32 = 20;
/// After this time the devices of other people are asked for again, in seconds.
const DEVICES_ASKED_AFTER_S: i64 = 60 * 60;
/// Messages that one receipt confirms.
const RECEIPT_MIDS_MAX: usize = 100;

impl Session {
    /// Does all of it.
    pub(super) async fn keep_up(&mut self) -> Result<(), CliError> {
        self.refill().await?;
        self.enter_missing().await?;
        self.require_self().await?;
        self.let_go_of_devices().await?;
        self.attend().await
    }

    /// What came asks for something.
    pub(super) fn has_work(&self) -> bool {
        let has_none = self.to_confirm.is_empty()
            && self.leavers.is_empty()
            && self.to_renew.is_empty()
            && self.to_enter.is_empty()
            && self.to_name.is_empty();
        !has_none || self.rooms_changed
    }

    /// Does what came asks for.
    pub(super) async fn attend(&mut self) -> Result<(), CliError> {
        if !self.to_enter.is_empty() {
            self.enter_missing().await?;
        }
        self.confirm()?;
        self.let_go_of_leavers().await?;
        self.renew().await?;
        self.name_people().await?;
        self.flush().await?;
        if self.rooms_changed {
            // Whoever let this device in used up a key package.
            self.refill().await?;
            self.publish_rooms().await?;
        }
        Ok(())
    }

    /// Sees that others find key packages of this device.
    async fn refill(&mut self) -> Result<(), CliError> {
        let counts = self.client.key_package_counts().await?;
        if counts.one_time >= KEY_PACKAGES_MIN && counts.last_resort {
            return Ok(());
        }
        let missing = KEY_PACKAGES.saturating_sub(counts.one_time as usize);
        let now = self.now();
        let step = self.engine.key_packages(missing, !counts.last_resort, now).map_err(CliError::Engine)?;
        self.store(step, |_| Ok(()))?;
        self.flush().await
    }

    /// Comes into those conversations of the account that this device is not in.
    async fn enter_missing(&mut self) -> Result<(), CliError> {
        let mut listed = Vec::new();
        let mut pages = self.client.conversations();
        while let Some(page) = pages.next().await? {
            listed.extend(page);
        }
        self.has_self = listed.iter().any(|one| one.kind == ConversationKind::OwnDevices);
        let mut missing = Vec::new();
        for one in listed {
            let view = self.engine.conversation(one.cid).map_err(CliError::Engine)?;
            match view.map(|view| (view.standing, view.cursor)) {
                None | Some((Standing::Lost | Standing::Entering | Standing::Left, _)) => {
                    missing.push(one.cid);
                }
                // A program that was killed had read the inbox past what it had taken in.
                Some((Standing::Active, cursor)) if cursor < one.seq => {
                    self.fill_gap(one.cid, cursor, u64::MAX).await?;
                }
                Some(_) => {}
            }
        }
        self.to_enter.clear();
        if missing.is_empty() {
            return Ok(());
        }
        let rooms = self.rooms(&missing).await?;
        for cid in missing {
            if let Some(key) = rooms.get(&cid) {
                self.enter(cid, key).await?;
            }
        }
        Ok(())
    }

    /// Sees that the account has a conversation of its own devices.
    async fn require_self(&mut self) -> Result<(), CliError> {
        if self.has_self {
            return Ok(());
        }
        let newcomers = self.claim(&BTreeSet::from([self.me()])).await?;
        match self.create(ConversationKind::OwnDevices, &newcomers).await {
            // Another device was faster and has not published its key yet: next time.
            Ok(_) | Err(CliError::NoSuchChat { .. }) => {}
            Err(error) => return Err(error),
        }
        self.has_self = true;
        Ok(())
    }

    /// Tells the senders of messages in conversations of two that they have arrived.
    fn confirm(&mut self) -> Result<(), CliError> {
        for (cid, mids) in std::mem::take(&mut self.to_confirm) {
            let Ok(chat) = self.local.chat(cid) else { continue };
            if chat.kind != ConversationKind::Direct || chat.state != State::Open {
                continue;
            }
            for mids in mids.chunks(RECEIPT_MIDS_MAX) {
                self.queue(cid, Content::Receipt { mids: mids.to_vec() })?;
            }
        }
        Ok(())
    }

    /// Removes who asked for it, where this account is an admin.
    async fn let_go_of_leavers(&mut self) -> Result<(), CliError> {
        for (cid, who) in std::mem::take(&mut self.leavers) {
            let Ok(chat) = self.local.chat(cid) else { continue };
            let may = chat.kind == ConversationKind::Group && chat.admins.contains(&self.me());
            if may && who != self.me() && chat.members.contains(&who) {
                self.change(cid, &Change::Remove(who)).await?;
            }
        }
        Ok(())
    }

    /// Removes devices that their owners have revoked, from every conversation that this device is in.
    async fn let_go_of_devices(&mut self) -> Result<(), CliError> {
        let mut checked: BTreeSet<PublicKey> = BTreeSet::new();
        for chat in history::chats(&self.local.records)? {
            if !chat.state.is_open() {
                continue;
            }
            for (owner, device) in chat.devices.clone() {
                if checked.insert(owner) && self.is_due(owner)? {
                    self.note_revoked(owner).await?;
                }
                if self.revoked.contains(&(owner, device)) {
                    self.change(chat.cid, &Change::RemoveDevice(owner, device)).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether somebody's devices are to be asked for: one's own each time, those of others once an hour.
    fn is_due(&mut self, owner: PublicKey) -> Result<bool, CliError> {
        if owner == self.me() {
            return Ok(true);
        }
        let now = system::now();
        let mut draft = Draft::new(&self.local.records);
        let Some(mut person) = people::person(&draft, owner)? else { return Ok(true) };
        let due = person.devices_asked_at.and_then(|at| at.plus_seconds(DEVICES_ASKED_AFTER_S));
        if due.is_some_and(|due| now < due) {
            return Ok(false);
        }
        person.devices_asked_at = Some(now);
        people::put(&mut draft, &person);
        let batch = draft.into_batch();
        self.local.records.commit(&batch)?;
        Ok(true)
    }

    /// Asks the home server which devices of somebody are gone, and whether it could say. The own sigchain and that of others
    /// say the same, later.
    pub(super) async fn note_revoked(&mut self, owner: PublicKey) -> Result<bool, CliError> {
        let Some(list) = self.devices_of(owner).await? else { return Ok(false) };
        self.revoked.extend(list.revoked.iter().map(|gone| (owner, gone.device_id)));
        Ok(true)
    }

    async fn devices_of(&self, owner: PublicKey) -> Result<Option<DeviceList>, CliError> {
        let names = self.local.names()?;
        let Some(address) = names.known.get(&owner) else { return Ok(None) };
        Ok(self.client.home().devices(address, owner).await?)
    }

    /// Renews this device's keys where it came in by a Welcome: until then whoever added it knows them.
    async fn renew(&mut self) -> Result<(), CliError> {
        for cid in std::mem::take(&mut self.to_renew) {
            if !self.local.chat(cid).is_ok_and(|chat| chat.state == State::Open) {
                continue;
            }
            match self.change(cid, &Change::Renew).await {
                // Others change it all the time, or this device is out again: nothing that a person has to hear of.
                Ok(()) | Err(CliError::Overtaken | CliError::Engine(_) | CliError::NotTaken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same in every conversation; in how many.
    pub(crate) async fn renew_all(&mut self) -> Result<usize, CliError> {
        let mut renewed = 0;
        for chat in history::chats(&self.local.records)? {
            if chat.state.is_open() {
                self.change(chat.cid, &Change::Renew).await?;
                renewed += 1;
            }
        }
        Ok(renewed)
    }

    /// Asks the home server what people are called who have no name here yet.
    async fn name_people(&mut self) -> Result<(), CliError> {
        let names = self.local.names()?;
        for key in std::mem::take(&mut self.to_name) {
            if names.known.contains_key(&key) {
                continue;
            }
            let server = self.local.address().server().clone();
            if let Some(record) = self.client.home().by_primary(key, &server).await? {
                self.remember(key, Some(record.fqhn))?;
            }
        }
        Ok(())
    }

    /// Remembers a person.
    pub(super) fn remember(&mut self, key: PublicKey, address: Option<Fqhn>) -> Result<(), CliError> {
        let mut draft = Draft::new(&self.local.records);
        let mut person = people::person(&draft, key)?.unwrap_or_else(|| Person::new(key));
        if address.is_some() {
            person.address = address;
        }
        people::put(&mut draft, &person);
        let batch = draft.into_batch();
        Ok(self.local.records.commit(&batch)?)
    }

    /// A key package of each device of these people but this one.
    pub(super) async fn claim(&mut self, people: &BTreeSet<PublicKey>) -> Result<Vec<Newcomer>, CliError> {
        let mut newcomers = Vec::new();
        for primary in people {
            let id = ClaimId::from_bytes(system::random_bytes());
            let key_packages = match self.client.claim_key_packages(*primary, id).await {
                Ok(Claimed { key_packages, .. }) => key_packages,
                // Somebody who has never enrolled a device.
                Err(CallError::NotFound) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            if key_packages.is_empty() && *primary != self.me() {
                return Err(CliError::NoDevices { who: self.names()?.handle(*primary) });
            }
            newcomers.extend(key_packages.into_iter().map(|claimed| Newcomer {
                primary: *primary,
                device_id: claimed.device_id,
                key_package: claimed.key_package,
            }));
        }
        Ok(newcomers)
    }

    /// Makes a conversation; the one that is there instead, where there is one.
    pub(super) async fn create(
        &mut self,
        kind: ConversationKind,
        newcomers: &[Newcomer],
    ) -> Result<ConversationId, CliError> {
        let cid = ConversationId::from_bytes(system::random_bytes());
        let id = new_id();
        let now = self.now();
        let step = self.engine.create(cid, id, kind, newcomers, now).map_err(CliError::Engine)?;
        self.begun.insert(cid);
        self.store(step, |_| Ok(()))?;
        self.flush().await?;
        if let Some(why) = self.refused.remove(&id) {
            return Err(CliError::NotTaken { why });
        }
        let Some(other) = self.instead.remove(&cid) else { return Ok(cid) };
        // The other side, or another device, was faster: the inbox has the way in, or the store has its key.
        self.sync().await?;
        if self.local.chat(other).is_err() {
            self.enter_missing().await?;
        }
        self.local.chat(other).map(|chat| chat.cid)
    }

    /// Makes a change of a conversation, again where another one came first.
    pub(super) async fn change(&mut self, cid: ConversationId, change: &Change) -> Result<(), CliError> {
        for _ in 0..CHANGES_MAX {
            let id = new_id();
            let now = self.now();
            let step = match self.engine.change(cid, id, change, now) {
                Ok(step) => step,
                Err(kez_e2e::Fault::ChangePending) => {
                    self.flush().await?;
                    self.sync().await?;
                    continue;
                }
                Err(fault) => return Err(CliError::Engine(fault)),
            };
            self.store(step, |_| Ok(()))?;
            self.flush().await?;
            if let Some(why) = self.refused.remove(&id) {
                return Err(CliError::NotTaken { why });
            }
            if !self.lost_changes.remove(&(cid, id)) {
                return Ok(());
            }
        }
        Err(CliError::Overtaken)
    }
}

/// How often a change is made.
const CHANGES_MAX: u32 = 20;
