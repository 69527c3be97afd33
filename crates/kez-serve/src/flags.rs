//! Parts of a command line that every server has.

use std::path::Path;

use clap::ValueEnum;

use crate::client_addr::{BadProxy, TrustedProxies};

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Switched on.
    On,
    /// Switched off.
    Off,
}

/// Reads comma-separated addresses and networks.
pub fn trusted_proxies(text: &str) -> Result<TrustedProxies, BadProxy> {
    TrustedProxies::parse(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()))
}

/// Whether the folder that `file` lies in, or will, exists.
pub fn has_folder(file: &Path) -> bool {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).is_dir()
}
