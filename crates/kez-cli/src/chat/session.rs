//! A device at work: it takes in what its inbox holds, says what is to be said, and keeps its place in conversations.
//!
//! Everything that happens is one batch of records, durable before anything is shown, sent or acknowledged: the state of
//! the encryption, what was said, and how far the inbox was read. What was to be sent is sent again until the log shows it.

mod deeds;
mod intake;
mod live;
mod local;
mod outgoing;
mod rooms;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use kez_client::{CallError, DeviceClient, DeviceKeys, Happening, HomeServer, InboxEvent, InboxStream};
use kez_core::{ConversationId, DeviceId, MessageId, PublicKey, Timestamp};
use kez_e2e::{Chance, DeviceSecrets, Effect, Engine, LogFrame, Step};
use zeroize::Zeroizing;

use self::local::open_device;
pub(crate) use self::local::{Local, Opened};
use super::history;
use super::model::{Chat, Message};
use super::words::Names;
use crate::device::DeviceLock;
use crate::error::CliError;
use crate::home::Home;
use crate::output::Output;
use crate::records::{Change, Draft};
use crate::system::{self, ThisMachine};

/// Where the engine's records lie, by the first byte of their keys.
const ENGINE: u8 = b'e';
/// The engine's own lines of history, by the first byte of its keys: ours tell more, and one of both is enough.
const ENGINE_HISTORY: u8 = b'm';
/// The record of how far the inbox was read.
const CURSOR: &[u8] = b"s/inbox";

/// Something that happened, for whoever watches.
#[derive(Debug)]
pub(crate) enum Happened {
    /// An entry is new, or has changed.
    Entry { cid: ConversationId, entry: Message },
    /// A conversation is new, or has changed.
    Chat(ConversationId),
    /// The server has a message of this device.
    Sent { cid: ConversationId, mid: MessageId, seq: u64, at: Timestamp },
    /// The server is reached.
    Online,
    /// It is not, for this reason.
    Offline(String),
}

/// What became of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sending {
    /// The server has it.
    Sent { seq: u64, at: Timestamp },
    /// It waits until the server is reached.
    Waits,
}

/// A device at work. One at a time: it holds the device's lock.
pub(crate) struct Session {
    local: Local,
    engine: Engine,
    client: DeviceClient,
    store_key: Zeroizing<[u8; 32]>,
    /// What is to be sent, in order.
    outgoing: VecDeque<Effect>,
    /// What the server took in this run.
    sent: BTreeMap<MessageId, (u64, Timestamp)>,
    happened: VecDeque<Happened>,
    /// Messages whose senders want to know that they have arrived.
    to_confirm: BTreeMap<ConversationId, Vec<MessageId>>,
    /// Messages of this device by which programs say what happened, and nobody a thing.
    silent: BTreeSet<MessageId>,
    /// Up to which number conversations were read, where the others are still to be told.
    to_tell_read: BTreeMap<ConversationId, u64>,
    /// When groups were told last what was read.
    told_read_at: BTreeMap<ConversationId, Timestamp>,
    /// People who asked to be removed from groups.
    leavers: BTreeSet<(ConversationId, PublicKey)>,
    /// Devices that their owners have revoked, as far as this run has asked.
    revoked: BTreeSet<(PublicKey, DeviceId)>,
    /// Conversations of the account that this device is to come into by itself.
    to_enter: BTreeSet<ConversationId>,
    /// Conversations that this device was let into, in which it has to renew its keys.
    to_renew: BTreeSet<ConversationId>,
    /// People who have no name here yet.
    to_name: BTreeSet<PublicKey>,
    /// Conversations that this device began in this run.
    begun: BTreeSet<ConversationId>,
    /// Where and when this device came in, by a Welcome of this run.
    joined_at: BTreeMap<ConversationId, (u64, Timestamp)>,
    /// The conversation that was there in place of one that was to be created.
    instead: BTreeMap<ConversationId, ConversationId>,
    /// What the server refused for good, and in which words.
    refused: BTreeMap<MessageId, String>,
    /// Changes of this device that others came before.
    lost_changes: BTreeSet<(ConversationId, MessageId)>,
    /// Whether there are rooms that the account's other devices have no key of yet.
    rooms_changed: bool,
    has_self: bool,
    stream: Option<InboxStream>,
    /// The last number that was acknowledged to the server.
    acknowledged: u64,
    is_online: bool,
    _lock: DeviceLock,
}

/// The system's randomness.
struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) {
        system::fill(bytes);
    }
}

impl Session {
    /// Opens this computer's device. Nothing is asked of the server yet.
    pub(crate) fn open(home: &Home, output: &Output) -> Result<Self, CliError> {
        let lock = home.lock_device()?;
        Self::with(&open_device(home)?, lock, home, output)
    }

    /// The same with a device that is open already.
    pub(crate) fn with(
        device: &Opened,
        lock: DeviceLock,
        home: &Home,
        output: &Output,
    ) -> Result<Self, CliError> {
        let local = Local::of(device, home)?;
        let server = crate::commands::device::home_server(home, output)?;
        let client = client(device, server)?;
        let secrets = DeviceSecrets {
            certificate: device.file.document().document().mls_certificate,
            mls: device.secrets.mls.clone(),
        };
        let rows = local.records.load(&[ENGINE])?;
        let rows = rows.into_iter().map(|(key, value)| (key.get(1..).unwrap_or_default().to_vec(), value));
        let engine = Engine::open(&secrets, rows, Box::new(SystemChance));
        let outgoing = engine.unsent().map_err(CliError::Engine)?.into();
        let mut session = Self {
            local,
            engine,
            client,
            store_key: device.secrets.store_key.clone(),
            outgoing,
            sent: BTreeMap::new(),
            happened: VecDeque::new(),
            to_confirm: BTreeMap::new(),
            silent: BTreeSet::new(),
            to_tell_read: BTreeMap::new(),
            told_read_at: BTreeMap::new(),
            leavers: BTreeSet::new(),
            revoked: BTreeSet::new(),
            to_enter: BTreeSet::new(),
            to_renew: BTreeSet::new(),
            to_name: BTreeSet::new(),
            begun: BTreeSet::new(),
            joined_at: BTreeMap::new(),
            instead: BTreeMap::new(),
            refused: BTreeMap::new(),
            lost_changes: BTreeSet::new(),
            rooms_changed: false,
            has_self: false,
            stream: None,
            acknowledged: 0,
            is_online: true,
            _lock: lock,
        };
        session.begin_at(device.enrolled.inbox_head)?;
        Ok(session)
    }

    /// What is on this device.
    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    /// Gives the device back.
    pub(crate) fn into_local(self) -> Local {
        self.local
    }

    pub(crate) fn client(&self) -> &DeviceClient {
        &self.client
    }

    pub(crate) fn me(&self) -> PublicKey {
        self.local.me()
    }

    pub(crate) fn names(&self) -> Result<Names, CliError> {
        self.local.names()
    }

    /// Fetches everything that is new and does what it asks for; what happened.
    pub(crate) async fn catch_up(&mut self) -> Result<Vec<Happened>, CliError> {
        self.sync().await?;
        self.keep_up().await?;
        self.flush().await?;
        self.sync().await?;
        Ok(self.take_happened())
    }

    /// The same where the server may be out of reach: what is on the device has to do then.
    pub(crate) async fn catch_up_or_warn(&mut self) -> Result<Vec<Happened>, CliError> {
        match self.catch_up().await {
            Err(CliError::Call(CallError::Client(error))) if error.is_transient() => {
                self.is_online = false;
                let mut happened = self.take_happened();
                happened.push(Happened::Offline(error.to_string()));
                Ok(happened)
            }
            result => result,
        }
    }

    /// What happened since this was asked last.
    pub(crate) fn take_happened(&mut self) -> Vec<Happened> {
        self.happened.drain(..).collect()
    }

    /// Reads the inbox to its end.
    async fn sync(&mut self) -> Result<(), CliError> {
        let mut pages = self.client.inbox(self.cursor()?);
        loop {
            match pages.next().await {
                Ok(Some(page)) => {
                    for event in page.events {
                        self.take_event(event).await?;
                    }
                    self.acknowledge().await?;
                }
                Ok(None) => return Ok(()),
                Err(CallError::Gone { oldest }) => {
                    self.missed(oldest)?;
                    pages = self.client.inbox(self.cursor()?);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes one event of the inbox in, durably.
    async fn take_event(&mut self, event: InboxEvent) -> Result<(), CliError> {
        if event.n <= self.cursor()? {
            return Ok(());
        }
        match event.what {
            Happening::Frame { cid, seq, at, mid, kind, frame } => {
                self.take_frame(cid, &LogFrame { seq, at, mid, kind, frame }, Some(event.n)).await
            }
            Happening::Welcome { cid, kind, seq, at, welcome, device_ids } => {
                let is_mine = device_ids.contains(&self.local.device_id());
                if is_mine && self.take_welcome(cid, kind, seq, at, &welcome, event.n)? {
                    return Ok(());
                }
                self.set_cursor(event.n)
            }
            _ => self.set_cursor(event.n),
        }
    }

    /// Tells the server that this device has stored everything up to its cursor.
    async fn acknowledge(&mut self) -> Result<(), CliError> {
        let cursor = self.cursor()?;
        if cursor > self.acknowledged {
            self.client.acknowledge(cursor).await?;
            self.acknowledged = cursor;
        }
        Ok(())
    }

    fn cursor(&self) -> Result<u64, CliError> {
        let stored = self.local.records.get(CURSOR)?;
        Ok(stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    fn set_cursor(&mut self, n: u64) -> Result<(), CliError> {
        Ok(self.local.records.commit(&[cursor_change(n)])?)
    }

    /// A new device begins where its inbox did when it was taken in.
    fn begin_at(&mut self, head: u64) -> Result<(), CliError> {
        if self.local.records.get(CURSOR)?.is_none() {
            self.set_cursor(head)?;
        }
        self.acknowledged = head;
        Ok(())
    }

    /// Stores a step together with what `more` makes of it, and notes what is to be sent.
    fn store(
        &mut self,
        step: Step,
        more: impl FnOnce(&mut Draft<'_>) -> Result<(), CliError>,
    ) -> Result<Vec<Effect>, CliError> {
        let mut draft = Draft::new(&self.local.records);
        draft.extend(engine_changes(&step));
        more(&mut draft)?;
        let batch = draft.into_batch();
        self.local.records.commit(&batch)?;
        let mut shown = Vec::new();
        for effect in self.engine.stored(step).map_err(CliError::Engine)? {
            match effect {
                Effect::UploadKeyPackages { .. }
                | Effect::Create { .. }
                | Effect::Commit { .. }
                | Effect::Frame { .. } => self.outgoing.push_back(effect),
                _ => shown.push(effect),
            }
        }
        Ok(shown)
    }

    /// Writes a conversation as it is now, and says so.
    fn put_chat(&mut self, chat: &Chat) -> Result<(), CliError> {
        let mut draft = Draft::new(&self.local.records);
        history::put_chat(&mut draft, chat);
        let batch = draft.into_batch();
        self.local.records.commit(&batch)?;
        self.happened.push_back(Happened::Chat(chat.cid));
        Ok(())
    }

    /// The server's time, as well as it is known.
    fn now(&self) -> Timestamp {
        self.client.server_time()
    }
}

fn client(device: &Opened, server: HomeServer) -> Result<DeviceClient, CliError> {
    let keys = DeviceKeys {
        primary: device.file.primary(),
        device_id: device.file.id(),
        auth: device.secrets.auth.clone(),
    };
    Ok(DeviceClient::new(server, keys, Arc::new(ThisMachine))?)
}

fn cursor_change(n: u64) -> Change {
    (CURSOR.to_vec(), Some(n.to_be_bytes().to_vec()))
}

/// What a step changes, under the keys that it has here.
fn engine_changes(step: &Step) -> impl Iterator<Item = Change> {
    let kept = step.changes().iter().filter(|(key, _)| key.first() != Some(&ENGINE_HISTORY));
    kept.map(|(key, value)| ([&[ENGINE], key.as_slice()].concat(), value.clone()))
}

/// An id that nobody can guess and nothing else has.
fn new_id() -> MessageId {
    MessageId::from_bytes(system::random_bytes())
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("local", &self.local).finish_non_exhaustive()
    }
}
