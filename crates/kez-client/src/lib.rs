//! A client of KEZ servers: typed calls, bounded answers, and nothing taken on trust that can be checked.
//!
//! [`HomeServer`] speaks to one server at a URL the user gave; [`discover`] finds people of any other domain by
//! WebFinger. Every answer is bounded in size and time, redirects are not followed, and an answer that speaks of
//! somebody else than was asked for is an error. What a record says about a key remains the server's word.
//!
//! [`SigServer`] hands in and reads sigchains, which are the keys' own words: a chain is verified event by event while
//! it comes in, and against what was seen of it before.
//!
//! Nothing here prompts, prints, reads a clock or keeps state on disk, and the servers never import this crate.

mod base_url;
#[cfg(test)]
mod canned;
mod domain;
mod error;
mod events;
mod home_server;
mod invite;
mod sig_server;
mod sig_url;
mod transport;
mod webfinger;

pub use base_url::{BadBaseUrl, BaseUrl};
pub use domain::points_to;
pub use error::{AnswerFault, ClientError, Contradiction, Problem};
pub use events::{CHAIN_BYTES_MAX, Events, LINE_BYTES_MAX, Line};
pub use home_server::{HomeServer, Registered, RegistrationPolicy, ServerInfo};
pub use invite::{BadInvite, INVITE_BYTES_MAX, Invite};
pub use sig_server::{AppendError, Appended, CHAIN_S_MAX, ChainEnd, ChainReadError, SigServer, check_key};
pub use sig_url::{BadChainUrl, BadSigUrl, ChainUrl, SigUrl};
pub use transport::{BODY_BYTES_MAX, CALL_S_MAX};
pub use webfinger::{Discovered, discover};
