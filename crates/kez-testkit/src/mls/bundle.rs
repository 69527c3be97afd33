//! What a commit sends to the server.

use data_encoding::BASE64URL_NOPAD;
use kez_core::{DeviceCertificate, DeviceId, Members, MessageId, PublicKey};
use openmls::prelude::{BasicCredential, Credential};
use serde_json::{Value, json};

/// A place in a group: whose device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf {
    /// The owner's primary key.
    pub primary: PublicKey,
    /// The device.
    pub device_id: DeviceId,
}

/// A commit with everything that appears together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The commit's message id.
    pub id: MessageId,
    /// The epoch that the commit ends.
    pub epoch: u64,
    /// The frame.
    pub commit: Vec<u8>,
    /// Welcomes, each with the devices that it is for.
    pub welcomes: Vec<(Vec<u8>, Vec<Leaf>)>,
    /// The group information of the new epoch. Clients seal it; to the server it is bytes.
    pub group_info: Vec<u8>,
    /// The people after the commit.
    pub members_after: Members,
}

impl Bundle {
    /// The Welcome: of a commit that added somebody.
    pub fn welcome(&self) -> &[u8] {
        self.welcomes.first().map(|(welcome, _)| welcome.as_slice()).expect("a Welcome")
    }

    /// The bundle as the server takes it.
    pub fn json(&self) -> Value {
        let welcomes: Vec<_> = self.welcomes.iter().map(|(welcome, to)| {
            json!({"welcome": BASE64URL_NOPAD.encode(welcome), "to": to.iter().map(Leaf::json).collect::<Vec<_>>()})
        }).collect();
        json!({
            "id": self.id,
            "epoch": self.epoch,
            "commit": BASE64URL_NOPAD.encode(&self.commit),
            "welcomes": welcomes,
            "group_info": BASE64URL_NOPAD.encode(&self.group_info),
            "members_after": self.members_after,
        })
    }
}

impl Leaf {
    pub(super) fn of(credential: &Credential) -> Self {
        let basic = BasicCredential::try_from(credential.clone()).expect("a basic credential");
        let certificate = DeviceCertificate::parse(basic.identity()).expect("a device certificate");
        Self { primary: certificate.primary(), device_id: certificate.device_id() }
    }

    fn json(&self) -> Value {
        json!({"primary": self.primary, "device_id": self.device_id})
    }
}
