//! The byte stream of one connection, between the socket and hyper: watched in both directions.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::heads::Heads;
use super::refusal::Refusals;
use super::watch::Watch;

/// A socket whose progress is noted in a [`Watch`], and on which hyper's bare refusals become problem bodies.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    watch: Arc<Watch>,
    heads: Heads,
    refusals: Arc<Refusals>,
    /// Bytes taken by the client since it last blocked.
    taken: usize,
    progress_bytes: usize,
    /// What is sent in place of hyper's refusal, and how much of it is left.
    instead: Option<Vec<u8>>,
}

impl Wire {
    pub(super) fn new(
        stream: TcpStream,
        watch: Arc<Watch>,
        refusals: Arc<Refusals>,
        progress_bytes: usize,
    ) -> Self {
        Self { stream, watch, heads: Heads::new(), refusals, taken: 0, progress_bytes, instead: None }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Pending => {
                if self.watch.write_blocked() {
                    self.taken = 0;
                }
            }
            Poll::Ready(Ok(bytes)) => {
                self.taken = self.taken.saturating_add(*bytes);
                if self.taken >= self.progress_bytes {
                    self.taken = 0;
                    self.watch.write_moved();
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    /// When `buf` is a refusal of hyper's own making, sends ours, and claims `buf` as written once that is done.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_none() {
            self.instead = Some(self.refusals.instead_of(buf)?);
        }
        let left = self.instead.as_mut()?;
        while !left.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(cx, left);
            match outcome {
                Poll::Ready(Ok(written)) if written > 0 => drop(left.drain(..written)),
                other => {
                    self.wrote(&other);
                    return Some(other);
                }
            }
        }
        self.instead = None;
        Some(Poll::Ready(Ok(buf.len())))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            if let Err(flaw) = this.heads.feed(new) {
                this.watch.found(flaw);
            }
            this.watch.received(this.heads.unfinished());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.poll_refuse(cx, buf) {
            return refused;
        }
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.first()
            && let Some(refused) = self.poll_refuse(cx, first)
        {
            return refused;
        }
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty: nothing waits for the client any more.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.taken = 0;
        self.watch.write_moved();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
