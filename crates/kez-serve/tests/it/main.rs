//! The listener and the edge over real sockets. Limits are short; what is waited for is an event, with a deadline.

mod bodies;
mod edge;
mod framing;
mod places;
mod shutdown;
mod slow;
mod support;
