//! What is sent to the server: bundles and frames.

use data_encoding::BASE64;
use kez_core::{DeviceId, Members, MessageId, PublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A commit with everything that the server stores together with it. SPEC "Conversations".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The commit's message id.
    pub id: MessageId,
    /// The epoch that it ends.
    pub epoch: u64,
    /// The frame.
    #[serde(with = "bytes")]
    pub commit: Vec<u8>,
    /// Welcomes.
    pub welcomes: Vec<Welcome>,
    /// The sealed group information of the new epoch.
    #[serde(with = "bytes")]
    pub group_info: Vec<u8>,
    /// The people afterwards.
    pub members_after: Members,
}

/// A Welcome and the devices that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The MLS message.
    #[serde(with = "bytes")]
    pub welcome: Vec<u8>,
    /// Whose devices.
    pub to: Vec<(PublicKey, DeviceId)>,
}

/// Bytes in stored JSON: as base64, a third longer instead of three times.
pub(crate) mod bytes {
    use super::{BASE64, Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}
