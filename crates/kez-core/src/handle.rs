//! Names: handles, the home servers they live on, and both together. SPEC "Handles".

mod reserved;

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// The shortest handle, in bytes.
pub const HANDLE_BYTES_MIN: usize = 3;
/// The longest handle, in bytes.
pub const HANDLE_BYTES_MAX: usize = 32;
/// The longest DNS name in text form, in bytes (RFC 1035 section 2.3.4).
const SERVER_NAME_BYTES_MAX: usize = 253;
/// The longest label of a DNS name, in bytes (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A person's name on a home server: 3 to 32 bytes of `a-z 0-9 _ -`, first a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Box<str>);

/// What is left of a handle once look-alikes are folded: two handles with one skeleton may not both exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Skeleton(Box<str>);

/// The DNS name that a home server is known by: lower case, no trailing dot, not an IP address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Box<str>);

/// A fully qualified handle name: `alice@example.org`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fqhn {
    handle: Handle,
    server: ServerName,
}

/// The text is not a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHandle {
    /// Shorter than [`HANDLE_BYTES_MIN`] or longer than [`HANDLE_BYTES_MAX`].
    #[error("a handle has 3 to 32 characters")]
    Length,
    /// The first character is `_` or `-`.
    #[error("a handle starts with a letter or a digit")]
    Start,
    /// A character outside `a-z 0-9 _ -`.
    #[error("a handle is made of the letters a to z in lower case, digits, _ and -")]
    Character,
}

/// The text is not a lower-case DNS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case DNS name such as example.org (no port, no scheme, no IP address)")]
pub struct BadServerName;

/// The text is not `handle@server`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFqhn {
    /// There is no `@`.
    #[error("not of the form alice@example.org")]
    Form,
    /// The part before the `@`.
    #[error(transparent)]
    Handle(#[from] BadHandle),
    /// The part after the `@`.
    #[error(transparent)]
    Server(#[from] BadServerName),
}

impl Handle {
    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Drops `-` and `_`, then folds `0` to `o` and `1` to `l`, then `rn` to `m`, then `vv` to `w`.
    ///
    /// `i` is not folded, or `maria` and `marla` would exclude each other.
    pub fn skeleton(&self) -> Skeleton {
        let letters: String = self
            .0
            .chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .map(|c| match c {
                '0' => 'o',
                '1' => 'l',
                other => other,
            })
            .collect();
        Skeleton(letters.replace("rn", "m").replace("vv", "w").into())
    }

    /// Why nobody may take this handle, when it is a reserved word or looks like one.
    pub fn reserved(&self) -> Option<&'static str> {
        reserved::reason(self)
    }
}

impl Skeleton {
    /// The skeleton as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Fqhn {
    /// `handle@server`.
    pub fn new(handle: Handle, server: ServerName) -> Self {
        Self { handle, server }
    }

    /// The part before the `@`.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The part after the `@`.
    pub fn server(&self) -> &ServerName {
        &self.server
    }
}

impl FromStr for Handle {
    type Err = BadHandle;

    fn from_str(text: &str) -> Result<Self, BadHandle> {
        if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
            return Err(BadHandle::Character);
        }
        if !(HANDLE_BYTES_MIN..=HANDLE_BYTES_MAX).contains(&text.len()) {
            return Err(BadHandle::Length);
        }
        if text.starts_with(['_', '-']) {
            return Err(BadHandle::Start);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for ServerName {
    type Err = BadServerName;

    fn from_str(text: &str) -> Result<Self, BadServerName> {
        let labels_fit = text.split('.').all(is_label);
        let is_address = text.rsplit('.').next().is_none_or(is_number);
        if text.len() > SERVER_NAME_BYTES_MAX || !labels_fit || is_address {
            return Err(BadServerName);
        }
        Ok(Self(text.into()))
    }
}

/// A last label that URL readers take for the end of an IPv4 address (`127.0.0.1`, `0x7f.0x1`): all digits (RFC 3696
/// section 2), or hexadecimal.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || label.bytes().all(|b| b.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl FromStr for Fqhn {
    type Err = BadFqhn;

    fn from_str(text: &str) -> Result<Self, BadFqhn> {
        let (handle, server) = text.split_once('@').ok_or(BadFqhn::Form)?;
        Ok(Self { handle: handle.parse()?, server: server.parse()? })
    }
}

impl fmt::Display for Fqhn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.handle, self.server)
    }
}

/// Text in, text out: `Debug` and serde through `Display` and `FromStr`.
macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        serde_as_text!($name);
    };
}

as_text!(Handle);
as_text!(ServerName);
as_text!(Fqhn);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
