//! Bodies as they pass between hyper and the router: a request's has a deadline, a response's tells when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::watch::Watch;

/// A request body did not come to its end in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body took too long")]
pub(crate) struct BodyTimeout;

/// A request body that has to be over by a moment.
pub(super) struct Inbound {
    body: Incoming,
    by: Instant,
    /// Made when the body is first waited for: most bodies are there already.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
    watch: Arc<Watch>,
}

impl Inbound {
    pub(super) fn new(body: Incoming, by: Instant, watch: Arc<Watch>) -> Self {
        Self { body, by, timer: None, ended: false, watch }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let by = self.by;
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(by))).as_mut().poll(cx)
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.poll_late(cx).map(|()| Some(Err(BodyTimeout.into()))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(frame)) => Poll::Ready(Some(frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.watch.body_given_up();
        }
    }
}

/// A response body that tells the watch when hyper is done with it.
pub(super) struct Outbound {
    body: Body,
    watch: Arc<Watch>,
}

impl Outbound {
    pub(super) fn new(body: Body, watch: Arc<Watch>) -> Self {
        Self { body, watch }
    }
}

impl HttpBody for Outbound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.watch.answer_ended();
    }
}
