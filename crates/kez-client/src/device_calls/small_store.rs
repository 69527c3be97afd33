//! What the devices of an account keep for each other. SPEC "Small store".

use kez_core::EntryName;
use reqwest::Method;
use reqwest::header::{IF_MATCH, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};

use super::LARGE_BYTES_MAX;
use crate::call_error::CallError;
use crate::device_client::{DeviceClient, Request};
use crate::error::Contradiction;

/// A value, which is encrypted where it means anything.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// Its version: 1 for the first write of the name, then one more with each write and each deletion.
    pub version: u64,
    /// At most 64 KiB.
    #[serde(with = "crate::base64url")]
    pub data: Vec<u8>,
}

/// An entry without its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EntryHead {
    /// Its name.
    pub name: EntryName,
    /// Its version.
    pub version: u64,
    /// How many bytes the value has.
    pub bytes: u64,
}

/// What a write takes the place of. Anything else that is stored refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// No value. The name may have had one.
    Nothing,
    /// This version, which may be that of a deletion.
    Version(u64),
}

#[derive(Deserialize)]
struct Entries {
    entries: Vec<EntryHead>,
}

#[derive(Serialize)]
struct Value<'a> {
    #[serde(serialize_with = "crate::base64url::serialize")]
    data: &'a [u8],
}

#[derive(Deserialize)]
struct Written {
    name: EntryName,
    version: u64,
}

impl DeviceClient {
    /// All entries of the account that have a value, by name.
    pub async fn entries(&self) -> Result<Vec<EntryHead>, CallError> {
        let Entries { entries } = self.call(&self.request(Method::GET, &["store"])).await?.json()?;
        Ok(entries)
    }

    /// An entry of the account. Without a value it is [`CallError::NoValue`], which tells the version to replace.
    pub async fn entry(&self, name: &EntryName) -> Result<Entry, CallError> {
        let answer = self.call(&self.entry_call(Method::GET, name).bytes_max(LARGE_BYTES_MAX)).await?;
        let entry: Entry = answer.json()?;
        if entry.name == *name {
            Ok(entry)
        } else {
            Err(answer.contradiction(Contradiction::OtherEntry).into())
        }
    }

    /// Writes a value in the place of what is believed to be stored; its version. [`CallError::VersionMismatch`] when
    /// something else is stored, unless that is this very value in the version that this write makes: then its answer had
    /// been lost.
    pub async fn write_entry(
        &self,
        name: &EntryName,
        data: &[u8],
        replaces: Replaces,
    ) -> Result<u64, CallError> {
        let request = replacing(self.entry_call(Method::PUT, name), replaces).json(&Value { data });
        match self.written(&request, name, replaces).await {
            Err(CallError::VersionMismatch { version }) if replaces.may_have_made(version) => {
                match self.entry(name).await {
                    Ok(entry) if entry.version == version && entry.data == data => Ok(version),
                    Ok(_) | Err(CallError::NoValue { .. }) => Err(CallError::VersionMismatch { version }),
                    Err(fault) => Err(fault),
                }
            }
            written => written,
        }
    }

    /// Deletes a version of an entry; the version of the deletion. Like [`write_entry`](Self::write_entry) it is done when
    /// its answer was lost.
    pub async fn delete_entry(&self, name: &EntryName, version: u64) -> Result<u64, CallError> {
        let replaces = Replaces::Version(version);
        let request = replacing(self.entry_call(Method::DELETE, name), replaces);
        match self.written(&request, name, replaces).await {
            Err(CallError::VersionMismatch { version }) if replaces.may_have_made(version) => {
                match self.entry(name).await {
                    Err(CallError::NoValue { version: stored }) if stored == version => Ok(version),
                    Ok(_) | Err(CallError::NoValue { .. }) => Err(CallError::VersionMismatch { version }),
                    Err(fault) => Err(fault),
                }
            }
            written => written,
        }
    }

    async fn written(
        &self,
        request: &Request,
        name: &EntryName,
        replaces: Replaces,
    ) -> Result<u64, CallError> {
        let answer = self.call(request).await?;
        let written: Written = answer.json()?;
        if written.name == *name && replaces.may_have_made(written.version) {
            Ok(written.version)
        } else {
            Err(answer.contradiction(Contradiction::OtherEntry).into())
        }
    }

    fn entry_call(&self, method: Method, name: &EntryName) -> Request {
        self.request(method, &["store", name.as_str()])
    }
}

fn replacing(request: Request, replaces: Replaces) -> Request {
    match replaces {
        Replaces::Nothing => request.header(IF_NONE_MATCH, "*"),
        Replaces::Version(version) => request.header(IF_MATCH, &format!("\"{version}\"")),
    }
}

impl Replaces {
    /// Whether a write that replaces this makes this version. Of one that replaces nothing it is not known beforehand: a
    /// deleted name goes on counting.
    fn may_have_made(self, version: u64) -> bool {
        match self {
            Self::Nothing => version > 0,
            Self::Version(replaced) => version == replaced.saturating_add(1),
        }
    }
}
