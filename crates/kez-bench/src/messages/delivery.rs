//! How long a frame takes from its sender's request to its listener's stream, at a given rate.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep_until, timeout_at},
};

use super::side::Talk;
use crate::{
    error::Error,
    load::{converse, read_answer},
    process::Server,
};

/// How long events may still come after the last frame was sent.
const GRACE: Duration = Duration::from_secs(2);

/// What stands before a message id in an event.
const MID: &[u8] = b"\"mid\":\"";

/// What stands before the number of the last event in a page of an inbox.
const HEAD: &[u8] = b"\"head\":";

/// One measurement.
pub(crate) struct Delivery {
    /// Connections that send, and as many that listen.
    pub(crate) clients: u32,
    /// Frames a second, of all senders together.
    pub(crate) rate: f64,
    /// Sending before the window, not counted.
    pub(crate) warm_up: Duration,
    /// Frames sent in it are counted.
    pub(crate) window: Duration,
}

/// Milliseconds from the first byte of the request to the event, whole.
#[derive(Clone, Copy)]
pub(crate) struct Delays {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// What one connection found.
enum Found {
    Sent(u32, Vec<Instant>),
    Heard(Vec<(u32, u32, Instant)>),
}

impl Delivery {
    /// Runs it against a server: every frame that was counted has to arrive, once.
    pub(crate) fn run(&self, server: &Server, talk: &Talk) -> Result<Delays, Error> {
        let start = Instant::now();
        let from = start + self.warm_up;
        let (addr, until, clients) = (server.addr, from + self.window, self.clients);
        let pace = Duration::from_secs_f64(f64::from(clients) / self.rate);
        let one = |number: u32| {
            let talk = talk.clone();
            async move {
                if number < clients {
                    let begin = start + pace.mul_f64(f64::from(number) / f64::from(clients));
                    send(talk, addr, number, begin, pace, until).await
                } else {
                    listen(talk, addr, number - clients, until + GRACE).await
                }
            }
        };
        let found = converse(2 * clients, one).map_err(Error::io("measure"))?;
        let delays = delays(found, from).ok_or(Error::Deliveries { name: server.name })?;
        eprintln!(
            "{}: {:.0} per second, delivered p50 {:.2} ms, p99 {:.2} ms",
            server.name, self.rate, delays.p50_ms, delays.p99_ms
        );
        Ok(delays)
    }
}

/// Sends a frame each `pace`; a late one at once.
async fn send(
    talk: Talk,
    addr: SocketAddr,
    client: u32,
    begin: Instant,
    pace: Duration,
    until: Instant,
) -> io::Result<Found> {
    let mut stream = connect(addr).await?;
    let (mut request, mut answer, mut sent) = (Vec::new(), vec![0; 16 * 1024], Vec::new());
    for index in 0.. {
        let at = begin + pace.mul_f64(f64::from(index));
        if at >= until {
            break;
        }
        sleep_until(at.into()).await;
        talk.send(client, index, &mut request);
        sent.push(Instant::now());
        stream.write_all(&request).await?;
        match read_answer(&mut stream, &mut answer).await? {
            201 => {}
            status => return Err(io::Error::other(format!("{status} instead of 201"))),
        }
    }
    Ok(Found::Sent(client, sent))
}

/// Notes when which frame of the measurement came.
async fn listen(talk: Talk, addr: SocketAddr, client: u32, until: Instant) -> io::Result<Found> {
    let after = end_of_inbox(&talk, addr, client).await?;
    let mut stream = open(&talk, addr, client, 1, after).await?;
    let (mut buffer, mut heard) = (Vec::with_capacity(64 * 1024), Vec::new());
    while let Ok(read) = timeout_at(until.into(), stream.read_buf(&mut buffer)).await {
        if read? == 0 {
            return Err(io::Error::other("the server ended a stream of events"));
        }
        let now = Instant::now();
        let mut rest = &buffer[..];
        // An event is whole with the empty line behind its message id.
        while let Some(end) = find(rest, b"\n\n") {
            if let Some(at) = find(&rest[..end], MID)
                && let Some((client, index)) =
                    rest.get(at + MID.len()..at + MID.len() + 32).and_then(|mid| talk.read_mid(mid))
            {
                heard.push((client, index, now));
            }
            rest = &rest[end + 2..];
        }
        let done = buffer.len() - rest.len();
        buffer.drain(..done);
    }
    Ok(Found::Heard(heard))
}

/// The number of the last event of who listens: what was sent before is not to be read now.
async fn end_of_inbox(talk: &Talk, addr: SocketAddr, client: u32) -> io::Result<u64> {
    let mut request = Vec::new();
    if !talk.end_of_inbox(client, 1, &mut request) {
        return Ok(0);
    }
    let mut stream = connect(addr).await?;
    stream.write_all(&request).await?;
    let mut answer = vec![0; 16 * 1024];
    let status = read_answer(&mut stream, &mut answer).await?;
    let number = |at: usize| {
        let digits = &answer[at + HEAD.len()..];
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        str::from_utf8(&digits[..end]).ok()?.parse().ok()
    };
    let head = find(&answer, HEAD).and_then(number).filter(|_| status == 200);
    head.ok_or_else(|| io::Error::other(format!("{status} and no end of the inbox")))
}

/// Opens a stream of the events after a number, of which the head has come.
pub(crate) async fn open(
    talk: &Talk,
    addr: SocketAddr,
    client: u32,
    who: usize,
    after: u64,
) -> io::Result<TcpStream> {
    let mut stream = connect(addr).await?;
    let mut request = Vec::new();
    talk.listen(client, who, after, &mut request);
    stream.write_all(&request).await?;
    let mut head = Vec::new();
    while find(&head, b"\r\n\r\n").is_none() {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if head.get(9..12) == Some(b"200") {
        Ok(stream)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()))
    }
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// `None`: a frame came never, or twice, or nothing was sent.
fn delays(found: Vec<Found>, from: Instant) -> Option<Delays> {
    let (mut sent, mut heard) = (HashMap::new(), HashMap::new());
    for one in found {
        match one {
            Found::Sent(client, at) => drop(sent.insert(client, at)),
            Found::Heard(all) => {
                for (client, index, at) in all {
                    if heard.insert((client, index), at).is_some() {
                        return None;
                    }
                }
            }
        }
    }
    let mut took_us = Vec::new();
    for (client, all) in sent {
        for (index, at) in (0..).zip(all) {
            // What was sent before the window may have been sent before anybody listened.
            if at >= from {
                let arrived = heard.get(&(client, index))?;
                took_us.push(u32::try_from((*arrived - at).as_micros()).unwrap_or(u32::MAX));
            }
        }
    }
    took_us.sort_unstable();
    let at_most_ms = |percent: usize| {
        let place = (took_us.len() * percent).div_ceil(100).checked_sub(1)?;
        Some(f64::from(*took_us.get(place)?) / 1000.0)
    };
    Some(Delays { p50_ms: at_most_ms(50)?, p99_ms: at_most_ms(99)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_delivered_once_or_nothing_is_said() {
        let from = Instant::now();
        let after = |ms| from + Duration::from_millis(ms);
        let sent = || Found::Sent(3, vec![after(0), after(10)]);
        let heard = |frames: &[(u32, u64)]| {
            Found::Heard(frames.iter().map(|&(index, ms)| (3, index, after(ms))).collect())
        };
        let whole = delays(vec![heard(&[(1, 14), (0, 2)]), sent()], from).expect("all came");
        assert_eq!([whole.p50_ms, whole.p99_ms].map(|ms| ms.to_string()), ["2", "4"]);
        assert!(delays(vec![heard(&[(0, 2)]), sent()], from).is_none());
        assert!(delays(vec![heard(&[(0, 2), (1, 14), (1, 15)]), sent()], from).is_none());
    }
}
