//! What a client needs of the machine it runs on.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use kez_core::Timestamp;

/// A wait that is under way.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Time and chance, which this crate never takes by itself.
pub trait Machine: Debug + Send + Sync {
    /// The wall clock. It may be wrong: a [`DeviceClient`](crate::DeviceClient) corrects it by the server's.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` so that nobody can guess them.
    fn fill(&self, bytes: &mut [u8]);

    /// Waits.
    fn sleep(&self, time: Duration) -> Sleep;
}

/// `N` bytes that nobody can guess.
pub(crate) fn random<const N: usize>(machine: &dyn Machine) -> [u8; N] {
    let mut bytes = [0; N];
    machine.fill(&mut bytes);
    bytes
}
