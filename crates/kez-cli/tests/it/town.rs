//! A home server and computers of people who use it.

use std::time::{SystemTime, UNIX_EPOCH};

use kez_core::{Phrase, Timestamp};
use kez_testkit::{Net, Setup};

use crate::kez::{Computer, Ran};

/// A server whose clock shows the time by which kez signs: that of this machine.
pub(crate) async fn server() -> Net {
    server_with(|_| {}).await
}

/// The same, with changed settings.
pub(crate) async fn server_with(change: impl FnOnce(&mut Setup)) -> Net {
    let net = Net::with(change).await;
    net.clock.set(machine_time());
    net
}

/// A computer with the identity of the testkit's person by that name.
pub(crate) fn computer_of(net: &Net, name: &str) -> Computer {
    let computer = Computer::new();
    let words = Phrase::from_seed(net.actor(name).seed()).words();
    computer.kez_reading("identity restore", &words).exits(0);
    computer
}

impl Computer {
    /// `kez --json register <handle> --server <net>`.
    pub(crate) fn register(&self, handle: &str, net: &Net) -> Ran {
        self.kez(&format!("--json register {handle} --server {}", net.url()))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "kez signs by this machine's clock, and the server has to agree"
)]
fn machine_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix(since.as_secs().try_into().unwrap(), 0).unwrap()
}
