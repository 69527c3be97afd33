//! Readers of long answers: each asks for the same thing again as soon as it has it whole.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    error::Error,
    load::{AnswerHead, converse},
    people,
    process::Server,
};

/// What a reader takes at once.
const READ_BYTES: usize = 256 * 1024;

/// One measurement.
#[derive(Clone)]
pub(crate) struct Readers {
    /// Connections.
    pub(crate) count: u32,
    /// Reading before the window, not counted.
    pub(crate) warm_up: Duration,
    /// Bytes that arrive in it are counted.
    pub(crate) window: Duration,
    /// What is asked for.
    pub(crate) path: String,
    /// The length of a right answer.
    pub(crate) bytes: usize,
}

impl Readers {
    /// Runs it against a server, on one thread per core: 1,000,000 bytes of bodies a second.
    pub(crate) fn run(&self, server: &Server) -> Result<f64, Error> {
        let (addr, from) = (server.addr, Instant::now() + self.warm_up);
        let readers = Arc::new(self.clone());
        let read = |_| read(Arc::clone(&readers), addr, from);
        let bytes: u64 = converse(self.count, read).map_err(Error::io("measure"))?.into_iter().sum();
        let megabytes = f64::from(u32::try_from(bytes / 1_000).unwrap_or(u32::MAX)) / 1e3;
        let per_s = megabytes / self.window.as_secs_f64();
        eprintln!("{}: {per_s:.0} MB/s", server.name);
        Ok(per_s)
    }

    fn check(&self, head: &AnswerHead) -> io::Result<()> {
        let AnswerHead { status, body_bytes, .. } = *head;
        if (status, body_bytes) == (200, self.bytes) {
            return Ok(());
        }
        let expected = self.bytes;
        Err(io::Error::other(format!("{status} with {body_bytes} bytes instead of 200 with {expected}")))
    }
}

/// One reader, from its connection to the end of the window: how many bytes of bodies came in it.
async fn read(readers: Arc<Readers>, addr: SocketAddr, from: Instant) -> io::Result<u64> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", readers.path, people::SERVER);
    let mut buffer = vec![0; READ_BYTES];
    let mut counted = 0;
    loop {
        stream.write_all(request.as_bytes()).await?;
        let mut came = begin(&readers, &mut stream, &mut buffer).await?;
        let mut left = readers.bytes;
        loop {
            let now = Instant::now();
            if now >= from + readers.window {
                return Ok(counted);
            }
            if now >= from {
                counted += came as u64;
            }
            left = left.checked_sub(came).ok_or_else(|| io::Error::other("an answer longer than it says"))?;
            if left == 0 {
                break;
            }
            came = some(&mut stream, &mut buffer).await?;
        }
    }
}

/// Reads the head of an answer: how many bytes of the body came with it.
async fn begin(readers: &Readers, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        filled += some(stream, &mut buffer[filled..]).await?;
        if let Some(head) = AnswerHead::read(&buffer[..filled])? {
            readers.check(&head)?;
            return Ok(filled - head.bytes);
        }
    }
}

/// Reads what is there, at least one byte.
async fn some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
