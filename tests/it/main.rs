//! The home server over real HTTP. The tree of these modules is the tree of its URLs.

mod elsewhere;
mod framing;
mod internal;
mod methods;
mod model;
mod nats;
mod openapi;
mod program;
mod routes;
mod shutdown;
mod support;
mod v1;
mod web;
mod well_known;
