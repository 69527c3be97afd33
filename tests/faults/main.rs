//! What the server does when something breaks: kills, power cuts, full and failing disks, hostile clients, damaged files.
//!
//! Each case runs the real binary. `cargo nextest run` runs a short form with fixed seeds, `KEZ_FULL=1` the full counts
//! of the issue. Cases that mount file systems need root, and are skipped with a line that says so, unless `KEZ_REQUIRE`
//! names `root`.

mod authors;
mod backup;
mod claims;
mod conversations;
mod damaged_chains;
mod damaged_file;
mod devices;
mod disk;
mod disk_full;
mod dump;
mod form;
mod garbage_bodies;
mod http;
mod kill;
mod load;
mod malformed_http;
mod people;
mod power_cut;
mod refused_file;
mod senders;
mod shutdown;
mod slow_clients;
mod sync_failure;
mod town;
mod uploads;
mod writers;

use std::path::Path;
use std::time::Duration;

use kez_testkit::process::{Program, ServerProcess};

/// Nothing that is waited for takes this long, unless it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_kez-chat-server");

/// The binary on the files in `dir`.
fn program(dir: &Path) -> Program {
    Program::new(BINARY, dir)
}

fn start(dir: &Path) -> ServerProcess {
    ServerProcess::start(BINARY, dir, &[]).unwrap()
}

/// The database that [`program`] uses.
fn database(dir: &Path) -> std::path::PathBuf {
    dir.join("kez-chat.db")
}
