//! Which route answered, for the log.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use axum::routing::Route as Inner;
use axum::routing::future::RouteFuture;
use tower::{Layer, Service};

/// The pattern a request's path matched, such as `/things/{name}`: says what was called and not about which. In the
/// extensions of an answer that is going to be logged.
#[derive(Debug, Clone)]
pub(super) struct Route(MatchedPath);

impl Route {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Notes a [`Route`] on answers. A layer for the inside of a router, where the pattern is known; the edge is outside.
///
/// By hand, because a middleware function costs two allocations more on every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoteRoute;

#[derive(Clone)]
pub(crate) struct Noting(Inner);

pub(crate) struct NotingFuture {
    answer: RouteFuture<Infallible>,
    route: Option<MatchedPath>,
}

impl Layer<Inner> for NoteRoute {
    type Service = Noting;

    fn layer(&self, inner: Inner) -> Noting {
        Noting(inner)
    }
}

impl Service<Request> for Noting {
    type Response = Response;
    type Error = Infallible;
    type Future = NotingFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request) -> NotingFuture {
        let route = request.extensions().get().cloned();
        NotingFuture { answer: self.0.call(request), route }
    }
}

impl Future for NotingFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(Pin::new(&mut self.answer).poll(cx));
        let logged = response.status().is_server_error() || tracing::enabled!(tracing::Level::DEBUG);
        if logged && let Some(route) = self.route.take() {
            response.extensions_mut().insert(Route(route));
        }
        Poll::Ready(Ok(response))
    }
}
