//! Who gives the server something to keep, and what an acknowledgement promises: the cases are the same for all of them.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kez_testkit::process::{Program, ServerProcess};

use crate::http::{Answer, Connection, Ended};

/// The writers of one case, many at a time: [`People`](crate::people::People) who register, or
/// [`Authors`](crate::authors::Authors) of sigchains. Clones are the same writers.
pub(crate) trait Writers: Clone + Send + Sync + 'static {
    /// What one of them wants to have written. Once acknowledged, it may never be missing again.
    type Written: Clone + Debug + Send + Sync + 'static;
    /// What the oracle has verified before; nothing by default.
    type Verified: Default;
    /// The file that it lies in.
    const DATABASE: &'static str;
    /// Members of the envelope whose values are text.
    const MEMBERS: &'static [&'static str];

    /// `case`: a few letters of which everybody's name and key are made.
    fn new(case: &'static str) -> Self;

    /// The server that they write to, on the files in `dir`.
    fn program(dir: &Path) -> Program;

    /// What somebody wants to have written next, and the signed envelope; to be followed by [`note`](Self::note) or
    /// [`leave`](Self::leave).
    fn next(&self) -> (Self::Written, String);

    /// Where it is sent to.
    fn path(wanted: &Self::Written) -> String;

    /// Takes note of how it went; `None`: nobody knows. An acknowledgement has to name what was wanted.
    fn note(&self, wanted: &Self::Written, answer: Option<&Answer>);

    /// Takes note that it was not sent.
    fn leave(&self, wanted: &Self::Written);

    /// Whether others are shown it.
    fn is_shown(connection: &mut Connection, wanted: &Self::Written) -> impl Future<Output = bool> + Send;

    /// Checks that everything is found, in every way in which it can be looked for.
    fn expect_found(addr: SocketAddr, written: &[Self::Written]) -> impl Future<Output = ()>;

    /// The oracle: see [`dump`](crate::dump). How many are stored.
    fn verify(&self, db: &Path, verified: &mut Self::Verified) -> i64;

    /// [`verify`](Self::verify) over everything that lies in `dir`.
    fn verify_all(&self, dir: &Path) -> i64 {
        self.verify(&Self::database(dir), &mut Self::Verified::default())
    }

    fn database(dir: &Path) -> PathBuf {
        dir.join(Self::DATABASE)
    }

    fn start(dir: &Path) -> ServerProcess {
        Self::program(dir).start().unwrap()
    }
}

/// Sends what somebody wants to have written next.
pub(crate) async fn write<W: Writers>(
    writers: &W,
    connection: &mut Connection,
) -> (W::Written, Result<Answer, Ended>) {
    let (wanted, envelope) = writers.next();
    let answer = connection.post(&W::path(&wanted), envelope.as_bytes()).await;
    writers.note(&wanted, answer.as_ref().ok());
    (wanted, answer)
}

/// Something is acknowledged, on a connection of its own.
pub(crate) async fn expect_written<W: Writers>(addr: SocketAddr, writers: &W) -> W::Written {
    let (written, answer) = write(writers, &mut Connection::open(addr).await.unwrap()).await;
    let answer = answer.unwrap();
    assert!(answer.is_acknowledgement(), "{answer:?}");
    written
}
