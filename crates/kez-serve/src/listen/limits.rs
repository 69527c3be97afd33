//! What one connection, one network and all of them together may take.

use std::time::Duration;

/// The limits of a listener, each with its reason. Tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte of a request head (for the first one: from accepting) to its last. 10 s: one packet does.
    pub header_timeout: Duration,
    /// From the end of a request head to the end of its body, in total. 15 s: 16 KiB pass over any phone line in that.
    pub body_timeout: Duration,
    /// Between an answer and the next request. 20 s: below the 30 s in which a client that only holds a place must go.
    pub idle_timeout: Duration,
    /// The same for trusted proxies. 150 s: longer than they keep idle connections themselves (2 minutes at most by
    /// default), so that none sends a request into a connection that is being closed.
    pub proxy_idle_timeout: Duration,
    /// How long a client may take to accept `write_progress_bytes`, once its buffers are full. 15 s.
    pub write_stall: Duration,
    /// 16 KiB in 15 s is 9 kbit/s: nobody who wants an answer is slower.
    pub write_progress_bytes: usize,
    /// How long a client may leave sent bytes, or the question whether it is still there, unacknowledged (Linux).
    /// 30 s: a phone that lost its network is gone by then. Quiet connections, such as a stream of events, are asked
    /// once a minute.
    pub silence: Duration,
    /// Connections at once; more are answered 503. 8,192 at about 16 KiB each are 128 MiB. Lowered at start to what the
    /// process may open.
    pub connections_max: usize,
    /// Connections at once from one network (IPv4 /32, IPv6 /64); more are answered 429. An eighth of all: an office
    /// behind one address fits, and eight hostile ones are needed to fill the server. Not for trusted proxies, which
    /// stand for many clients.
    pub connections_per_network_max: usize,
    /// Whether loopback stands for many clients too. True: a proxy on this machine need not be named to be served.
    pub loopback_exempt: bool,
    /// Header fields of a request; more are answered 431. 64: browsers send about 20, proxies add 10.
    pub headers_max: usize,
    /// Bytes of a request head; more are answered 431. 16 KiB: as common proxies. At least 8 KiB (hyper's own floor).
    pub head_bytes_max: usize,
    /// Bytes of a request target; more are answered 414. 4 KiB: twice the longest resource anybody looks up.
    pub target_bytes_max: usize,
    /// How long requests in flight may go on after the shutdown began. 8 s: the process must be gone within 10 s.
    pub drain: Duration,
    /// How long a refused client may go on sending before the connection is cut: closing at once would make TCP throw
    /// away the refusal. 2 s.
    pub linger: Duration,
    /// Bytes that are read and dropped meanwhile. 256 KiB: past this the client is not about to listen.
    pub linger_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(20),
            proxy_idle_timeout: Duration::from_secs(150),
            write_stall: Duration::from_secs(15),
            write_progress_bytes: 16 * 1024,
            silence: Duration::from_secs(30),
            connections_max: 8_192,
            connections_per_network_max: 1_024,
            loopback_exempt: true,
            headers_max: 64,
            head_bytes_max: 16 * 1024,
            target_bytes_max: 4 * 1024,
            drain: Duration::from_secs(8),
            linger: Duration::from_secs(2),
            linger_bytes: 256 * 1024,
        }
    }
}

/// hyper refuses smaller buffers by panicking.
const HEAD_BYTES_FLOOR: usize = 8 * 1024;

impl Limits {
    /// The same, as far as the process and hyper allow.
    pub(super) fn possible(mut self) -> Self {
        self.head_bytes_max = self.head_bytes_max.max(HEAD_BYTES_FLOOR);
        if let Some(files) = open_files_max() {
            self.connections_max = self.connections_max.min(places(files));
        }
        self
    }
}

/// Descriptors kept for the store, logs, outgoing connections and the like.
const FILES_FOR_OTHERS: usize = 128;

/// Connections that fit into a limit of `files`; never all of it.
fn places(files: usize) -> usize {
    files.saturating_sub(FILES_FOR_OTHERS).max(files / 2).max(1)
}

/// Raises the soft limit on open files to the hard one, and gives what it is then; `None` means unlimited.
fn open_files_max() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            tracing::warn!(error = %error, "the limit on open files could not be raised");
            limit.current
        }
    };
    now.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}
