//! What is on this device, without the server.

use kez_core::{ConversationId, ConversationKind, DeviceId, Fqhn, PublicKey};

use crate::ask;
use crate::chat::history;
use crate::chat::model::Chat;
use crate::chat::people;
use crate::chat::words::Names;
use crate::cli::{Peer, Who};
use crate::device::{DeviceError, DeviceFile, DeviceFileError, Enrolled, Secrets};
use crate::error::CliError;
use crate::home::Home;
use crate::records::{Draft, Records};

/// This device's own knowledge.
#[derive(Debug)]
pub(crate) struct Local {
    pub(super) records: Records,
    address: Fqhn,
    primary: PublicKey,
    device_id: DeviceId,
}

/// A device with its secrets.
pub(crate) struct Opened {
    pub(crate) file: DeviceFile,
    pub(crate) enrolled: Enrolled,
    pub(crate) secrets: Secrets,
}

/// Opens the device of this computer; asks for its passphrase where it has one.
pub(super) fn open_device(home: &Home) -> Result<Opened, CliError> {
    let file = home.device()?.ok_or(DeviceError::None)?;
    let enrolled = file.enrolled().ok_or(DeviceError::Unfinished)?;
    let passphrase = file.is_sealed().then(ask::device_passphrase).transpose()?;
    let secrets = file
        .open(passphrase.as_ref())
        .map_err(|source: DeviceFileError| DeviceError::File { path: home.device_path(), source })?;
    Ok(Opened { file, enrolled, secrets })
}

impl Local {
    /// What is on this computer's device. Others may be working with it meanwhile.
    pub(crate) fn open(home: &Home) -> Result<Self, CliError> {
        let device = open_device(home)?;
        Self::of(&device, home)
    }

    pub(super) fn of(device: &Opened, home: &Home) -> Result<Self, CliError> {
        let primary = device.file.primary();
        let account = home.memory()?.account.filter(|account| account.primary == primary);
        let address = account.ok_or(CliError::NoAccount)?.address;
        if *address.server() != device.file.server() {
            return Err(DeviceError::Elsewhere { server: device.file.server() }.into());
        }
        let records = Records::open(&home.records_path(), &device.secrets.data_key)?;
        Ok(Self { records, address, primary, device_id: device.file.id() })
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn me(&self) -> PublicKey {
        self.primary
    }

    pub(crate) fn address(&self) -> &Fqhn {
        &self.address
    }

    pub(crate) fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// What people are called.
    pub(crate) fn names(&self) -> Result<Names, CliError> {
        Ok(people::names(&self.records, self.primary, &self.address)?)
    }

    /// A conversation of this device.
    pub(crate) fn chat(&self, cid: ConversationId) -> Result<Chat, CliError> {
        let chat = history::chat(&Draft::new(&self.records), cid)?;
        chat.ok_or_else(|| CliError::NoSuchChat { name: cid.short() })
    }

    /// The conversation that is meant, which has to be there.
    pub(crate) fn require(&self, peer: &Peer) -> Result<ConversationId, CliError> {
        let name = match peer {
            Peer::Person(who) => who_text(who),
            Peer::Group(name) | Peer::Either(name) => name.clone(),
        };
        self.known(peer)?.ok_or(CliError::NoSuchChat { name })
    }

    /// The conversation that is meant, if it is there.
    pub(crate) fn known(&self, peer: &Peer) -> Result<Option<ConversationId>, CliError> {
        match peer {
            Peer::Person(who) => self.direct(who),
            Peer::Group(name) => self.group(name),
            Peer::Either(name) => match self.group(name)? {
                Some(group) => {
                    let person =
                        crate::cli::who(name).ok().map(|who| self.direct(&who)).transpose()?.flatten();
                    if person.is_some() {
                        Err(CliError::PersonOrGroup { name: name.clone() })
                    } else {
                        Ok(Some(group))
                    }
                }
                None => match crate::cli::who(name) {
                    Ok(who) => self.direct(&who),
                    Err(_) => Ok(None),
                },
            },
        }
    }

    /// The newest conversation with a person.
    fn direct(&self, who: &Who) -> Result<Option<ConversationId>, CliError> {
        let Some(key) = self.key(who)? else { return Ok(None) };
        let chats = history::chats(&self.records)?;
        let with = |chat: &&Chat| chat.kind == ConversationKind::Direct && chat.peer() == Some(key);
        Ok(chats.iter().find(with).map(|chat| chat.cid))
    }

    /// The key of a person whom this device knows.
    pub(super) fn key(&self, who: &Who) -> Result<Option<PublicKey>, CliError> {
        let address = match who {
            Who::Key(key) => return Ok(Some(*key)),
            Who::Handle(handle) => Fqhn::new(handle.clone(), self.address.server().clone()),
            Who::Address(address) => address.clone(),
        };
        let names = self.names()?;
        Ok(names.known.iter().find(|(_, known)| **known == address).map(|(key, _)| *key))
    }

    /// The group by that name, or whose id begins so.
    fn group(&self, name: &str) -> Result<Option<ConversationId>, CliError> {
        let chats = history::chats(&self.records)?;
        let mut groups = chats.iter().filter(|chat| chat.kind == ConversationKind::Group).filter(|chat| {
            let is_named = chat.name.as_deref().is_some_and(|own| own.to_lowercase() == name.to_lowercase());
            is_named || (name.len() >= 4 && chat.cid.to_string().starts_with(name))
        });
        match (groups.next(), groups.next()) {
            (Some(group), None) => Ok(Some(group.cid)),
            (None, _) => Ok(None),
            _ => Err(CliError::SeveralGroups { name: name.to_owned() }),
        }
    }
}

/// A person as they were named.
pub(super) fn who_text(who: &Who) -> String {
    match who {
        Who::Handle(handle) => handle.to_string(),
        Who::Address(address) => address.to_string(),
        Who::Key(key) => key.to_string(),
    }
}
