//! What this computer has seen of sigchains: the longest verified end of each. SPEC "Seen sigchains".
//!
//! It is what makes a server that holds events back, or shows two people two chains, stand out.

use kez_core::sigchain::{Chain, Comparison, EventHash, Head};
use kez_core::{PrimaryKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::home::{Home, HomeError};

/// The directory below the home: one file per chain, and a lock.
const DIRECTORY: &str = "seen";

/// The longest verified chain that was seen under a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    chain: PrimaryKey,
    primary: PrimaryKey,
    seq: u64,
    hash: EventHash,
    /// When it was seen to end so, by this computer's clock.
    at: Timestamp,
}

impl Seen {
    /// The end of the chain that was seen.
    pub(crate) fn head(&self) -> Head {
        Head { chain: self.chain, primary: self.primary, seq: self.seq, hash: self.hash }
    }
}

/// What was seen of the chain `id`; `None`: nothing.
pub(crate) fn recall(home: &Home, id: PrimaryKey) -> Result<Option<Seen>, HomeError> {
    let path = home.path(&name(id));
    let Some(bytes) = disk::read(&path)? else { return Ok(None) };
    let seen = serde_json::from_slice::<Seen>(&bytes).ok().filter(|seen| seen.chain == id);
    seen.map(Some).ok_or(HomeError::Seen { path })
}

/// Remembers a verified chain if it goes on from what was seen of it. Another call of kez may have seen more meanwhile.
pub(crate) fn remember(home: &Home, chain: &Chain, now: Timestamp) -> Result<(), HomeError> {
    let _lock = disk::lock(&home.path(&format!("{DIRECTORY}/lock")), || {})?;
    let known = recall(home, chain.id())?;
    if known.is_some_and(|seen| chain.compare_to_head(&seen.head()) != Comparison::Longer) {
        return Ok(());
    }
    let Head { chain: id, primary, seq, hash } = *chain.head();
    let path = home.path(&name(id));
    let mut text = serde_json::to_vec_pretty(&Seen { chain: id, primary, seq, hash, at: now })
        .map_err(|error| DiskError::written(&path, error.into()))?;
    text.push(b'\n');
    Ok(disk::write(&path, &text)?)
}

fn name(id: PrimaryKey) -> String {
    format!("{DIRECTORY}/{}-{}.json", id.system(), id.value())
}
