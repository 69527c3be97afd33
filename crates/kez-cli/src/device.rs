//! This computer as a device of an account: its file, its lock, and where the rest lies. SPEC "Device file".
//!
//! Everything is below `device/` in kez's home: `device.json` (keys), `store.db` (what was said), `lock`.

mod file;
mod lock;

use std::path::PathBuf;

use kez_core::{Fqhn, PublicKey, Seed, ServerName, Timestamp};

use crate::disk::{self, DiskError};
use crate::home::Home;

pub(crate) use self::file::{DeviceFile, DeviceFileError, Enrolled, Secrets};
pub(crate) use self::lock::DeviceLock;

/// The directory below the home.
const DIRECTORY: &str = "device";

/// Why there is no device to work with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DeviceError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is none yet.
    #[error("this computer is not enrolled as a device yet")]
    None,
    /// Keys were made, and the home server has not confirmed them.
    #[error("enrolling this computer has not been finished")]
    Unfinished,
    /// The device's file cannot be used.
    #[error("{path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        source: DeviceFileError,
    },
    /// Other users of the machine may read the file.
    #[error("other users of this computer can read the keys of this device in {path}")]
    OpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// Another process works with the device.
    #[error("another kez is using this device{}", .pid.map_or(String::new(), |pid| format!(" (process {pid})")))]
    InUse {
        /// Its number, where it is known.
        pid: Option<u32>,
    },
    /// The device belongs to another account than the identity of this home.
    #[error("this device belongs to {}", .primary)]
    OfAnother {
        /// Whose it is.
        primary: PublicKey,
    },
    /// The device is enrolled at another server than the one that is used now.
    #[error("this device is enrolled at {server}")]
    Elsewhere {
        /// Where.
        server: ServerName,
    },
}

impl Home {
    /// Where the keys of this computer's device are, or will be.
    pub(crate) fn device_path(&self) -> PathBuf {
        self.path(&format!("{DIRECTORY}/device.json"))
    }

    /// Where what the device knows is kept, or will be.
    pub(crate) fn records_path(&self) -> PathBuf {
        self.path(&format!("{DIRECTORY}/store.db"))
    }

    /// The device of this computer; `None` when there is none.
    pub(crate) fn device(&self) -> Result<Option<DeviceFile>, DeviceError> {
        let path = self.device_path();
        let Some(content) = disk::examine(&path)? else { return Ok(None) };
        if content.is_open_to_others {
            return Err(DeviceError::OpenToOthers { path });
        }
        DeviceFile::parse(&content.bytes).map(Some).map_err(|source| DeviceError::File { path, source })
    }

    /// Puts the device's file in place of the one before.
    pub(crate) fn put_device(&self, device: &DeviceFile) -> Result<(), DeviceError> {
        Ok(disk::write(&self.device_path(), &device.to_text())?)
    }

    /// Keeps everything of a device under a name that tells `now`, so that another one can be made.
    pub(crate) fn set_device_aside(&self, now: Timestamp) -> Result<PathBuf, DeviceError> {
        let stamp = now.truncated().to_string().replace(['-', ':'], "");
        let (from, to) = (self.path(DIRECTORY), self.path(&format!("{DIRECTORY}-replaced-{stamp}")));
        std::fs::rename(&from, &to).map_err(|source| DiskError::written(&from, source))?;
        Ok(to)
    }

    /// Keeps other calls of kez away from the device; fails at once where one is at work.
    pub(crate) fn lock_device(&self) -> Result<DeviceLock, DeviceError> {
        DeviceLock::take(&self.path(&format!("{DIRECTORY}/lock")))
    }
}

/// The key of a person's small store at the home server, from the seed: HKDF-SHA256 (RFC 5869).
pub(crate) fn store_key(seed: &Seed) -> zeroize::Zeroizing<[u8; 32]> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    // invariant: 32 bytes are one block of SHA-256, which HKDF always gives.
    hkdf::Hkdf::<sha2::Sha256>::new(Some(b"kez-chat/v1"), seed.expose())
        .expand(b"kez-chat/self-store/v1", key.as_mut())
        .expect("32 bytes are not too many");
    key
}

/// An account and its server, as far as a device is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) address: Fqhn,
    pub(crate) primary: PublicKey,
}
