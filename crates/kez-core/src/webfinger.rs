//! The names that WebFinger answers use (RFC 7033). SPEC "WebFinger".

/// The property that holds the primary key.
pub const PROPERTY_PRIMARY: &str = "https://kez.lat/ns/primary";
/// The link to the record, of the media type `application/json`.
pub const REL_SELF: &str = "self";
/// The link to the sigchain, of the media type `application/jsonl`.
pub const REL_SIGCHAIN: &str = "https://kez.lat/rel/sigchain";
/// The link to the page about a person, of the media type `text/html`.
pub const REL_PROFILE_PAGE: &str = "http://webfinger.net/rel/profile-page";
