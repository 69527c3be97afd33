//! Claims.

use kez_core::{Claim, Envelope, EnvelopeError};
use serde::Deserialize;

use super::each;

#[derive(Deserialize)]
struct Valid {
    envelope: String,
    subject: String,
    primary: String,
    expires_at: Option<String>,
    canonical: String,
    now: Option<String>,
    expired: Option<bool>,
}

#[derive(Deserialize)]
struct Invalid {
    envelope: String,
    error: String,
}

#[test]
fn claims() {
    each("claim", "valid", |case: Valid| {
        let claim = Envelope::parse(case.envelope.as_bytes()).unwrap().verify::<Claim>().unwrap();
        assert_eq!(claim.document().subject.as_str(), case.subject);
        assert_eq!(claim.document().expires_at, case.expires_at.map(|time| time.parse().unwrap()));
        assert_eq!(claim.primary().to_string(), case.primary);
        assert_eq!(claim.canonical(), case.canonical);
        if let Some(now) = case.now {
            assert_eq!(Some(claim.document().is_expired(now.parse().unwrap())), case.expired);
        }
    });
    each("claim", "invalid", |case: Invalid| {
        let verified = Envelope::parse(case.envelope.as_bytes())
            .map_err(EnvelopeError::from)
            .and_then(Envelope::verify::<Claim>);
        assert_eq!(verified.unwrap_err().code(), case.error);
    });
}
