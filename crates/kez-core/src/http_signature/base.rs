//! The signature base: the bytes that are signed (RFC 9421 section 2.5).

use std::fmt::Write as _;

use super::error::SignatureError;
use super::fields::{Item, Parameter};

/// The parts of a request that a signature covers, on either side of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestParts<'a> {
    /// As sent: `GET` (RFC 9421 section 2.2.1).
    pub method: &'a str,
    /// Host and port in lower case, the port left out when it is the scheme's default (section 2.2.3). A server takes it
    /// from the request and has checked that it is one of its own.
    pub authority: &'a str,
    /// As sent, with percent-encoding; empty stands for `/` (section 2.2.6).
    pub path: &'a str,
    /// As sent, without its `?`. None and empty are the same: `?` (section 2.2.7).
    pub query: Option<&'a str>,
    /// The header `Content-Digest`, exactly when there is a body; several lines joined with `, `. A server has checked it
    /// by [`check_content_digest`](super::check_content_digest).
    pub content_digest: Option<&'a str>,
}

/// A component of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Method,
    Authority,
    Path,
    Query,
    ContentDigest,
}

impl Component {
    /// In the order in which we sign them; the last only with a body.
    pub(super) const ALL: [Self; 5] =
        [Self::Method, Self::Authority, Self::Path, Self::Query, Self::ContentDigest];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Method => "@method",
            Self::Authority => "@authority",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::ContentDigest => "content-digest",
        }
    }
}

impl<'a> RequestParts<'a> {
    /// The value of a component, in two pieces so that the query need not be copied.
    fn value(&self, component: Component) -> [&'a str; 2] {
        match component {
            Component::Method => [self.method, ""],
            Component::Authority => [self.authority, ""],
            Component::Path if self.path.is_empty() => ["/", ""],
            Component::Path => [self.path, ""],
            Component::Query => ["?", self.query.unwrap_or_default()],
            Component::ContentDigest => {
                [self.content_digest.unwrap_or_default().trim_matches([' ', '\t']), ""]
            }
        }
    }
}

/// The base of a signature over `parts`. `components` are those of the profile, each at most once.
pub(super) fn profile_base(
    components: &[Component],
    signature_params: &str,
    parts: &RequestParts<'_>,
) -> Result<String, SignatureError> {
    if components.contains(&Component::ContentDigest) != parts.content_digest.is_some() {
        return Err(SignatureError::Body);
    }
    let lines = components.iter().map(|component| (component.name(), parts.value(*component)));
    signature_base(lines, signature_params)
}

/// The base of any signature whose components have no parameters (RFC 9421 section 2.5): a line each, and the last line
/// without an end.
fn signature_base<'a>(
    lines: impl Iterator<Item = (&'a str, [&'a str; 2])> + Clone,
    signature_params: &str,
) -> Result<String, SignatureError> {
    const PUNCTUATION_BYTES: usize = 5;
    const LAST: &str = "\"@signature-params\": ";
    let length = |(name, value): (&str, [&str; 2])| {
        name.len() + value.map(str::len).iter().sum::<usize>() + PUNCTUATION_BYTES
    };
    let mut base =
        String::with_capacity(lines.clone().map(length).sum::<usize>() + LAST.len() + signature_params.len());
    for (name, value) in lines {
        if !value.iter().all(|piece| piece.bytes().all(is_signable)) {
            return Err(SignatureError::RequestParts);
        }
        for piece in ["\"", name, "\": ", value[0], value[1], "\n"] {
            base.push_str(piece);
        }
    }
    base.push_str(LAST);
    base.push_str(signature_params);
    Ok(base)
}

/// The base is ASCII, and a line end in a value would begin a component of the caller's choice.
fn is_signable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// `@signature-params` (RFC 9421 section 2.3): names and parameters written again by RFC 8941 section 4.1, in their
/// order, whatever spaces and zeros they came with. `None` for items that are not a string or an integer.
pub(super) fn signature_params<'a>(
    names: impl Iterator<Item = &'a str>,
    parameters: &[Parameter<'_>],
) -> Option<String> {
    const TYPICAL_BYTES: usize = 384;
    let mut text = String::with_capacity(TYPICAL_BYTES);
    text.push('(');
    for (at, name) in names.enumerate() {
        for piece in [if at == 0 { "\"" } else { " \"" }, name, "\""] {
            text.push_str(piece);
        }
    }
    text.push(')');
    for (key, item) in parameters {
        match item {
            Item::Integer(number) => write!(text, ";{key}={number}").ok()?,
            Item::String(escaped) => write!(text, ";{key}=\"{escaped}\"").ok()?,
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
