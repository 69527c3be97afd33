//! The token that lets somebody in where registration is by invitation.

use std::fmt;
use std::str::FromStr;

use reqwest::header::HeaderValue;

/// The longest invite token sent, in bytes. Ours: far above what servers issue, far below what headers hold.
pub const INVITE_BYTES_MAX: usize = 256;

/// An invite token: 1 to [`INVITE_BYTES_MAX`] visible ASCII characters. Prints as `Invite(..)`.
#[derive(Clone)]
pub struct Invite(HeaderValue);

/// The text is not an invite token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an invite is 1 to 256 letters, digits and signs without spaces")]
pub struct BadInvite;

impl Invite {
    /// The token as a header that no log prints.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for Invite {
    type Err = BadInvite;

    fn from_str(text: &str) -> Result<Self, BadInvite> {
        let fits = (1..=INVITE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let mut header = fits.then(|| HeaderValue::from_str(text).ok()).flatten().ok_or(BadInvite)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_fits_in_one_header_line_and_never_prints() {
        assert_eq!(format!("{:?}", "k7Q-x_9".parse::<Invite>().unwrap()), "Invite(..)");
        for text in ["", "two words", "line\nend", "ümlaut", &"x".repeat(INVITE_BYTES_MAX + 1)] {
            assert_eq!(text.parse::<Invite>().unwrap_err(), BadInvite);
        }
    }
}
