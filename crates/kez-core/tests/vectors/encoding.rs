//! Texts that hold documents in every form, damaged ones, and ones that hold none.

use kez_core::encoding::{Damage, FindError, Form};
use kez_core::{Artifact, Envelope};
use serde::Deserialize;

use super::each;

#[derive(Deserialize)]
struct Valid {
    text: String,
    form: String,
    envelopes: Vec<String>,
}

#[derive(Deserialize)]
struct Invalid {
    text: String,
    error: String,
    what: Option<String>,
    /// Refused for its size, not by luck.
    #[serde(default)]
    too_large: bool,
}

#[test]
fn texts() {
    each("encoding", "valid", |case: Valid| {
        let found = Artifact::find(&case.text).unwrap();
        let is_chain = matches!(found, Artifact::Chain(_));
        assert_eq!(is_chain, matches!(case.form.as_str(), "jsonl" | "bundle"), "{}", case.form);
        let envelopes = found.into_envelopes();
        assert_eq!(envelopes.iter().map(Envelope::canonical).collect::<Vec<_>>(), case.envelopes);
    });
    each("encoding", "invalid", |case: Invalid| {
        let error = Artifact::find(&case.text).unwrap_err();
        let what = match &error {
            FindError::Corrupt { what, .. } => Some(what.to_string()),
            _ => None,
        };
        assert_eq!((error.code(), &what), (case.error.as_str(), &case.what), "{error}");
        let is_too_large = matches!(error, FindError::Corrupt { damage: Damage::TooLarge { .. }, .. });
        assert_eq!(is_too_large, case.too_large, "{error}");
    });
}

/// The limit of bundles is the caller's.
#[test]
fn a_bundle_is_held_to_the_given_limit() {
    each("encoding", "valid", |case: Valid| {
        if case.form == "bundle" {
            let length: usize = case.envelopes.iter().map(|line| line.len() + 1).sum();
            assert!(Artifact::find_within(&case.text, length).is_ok());
            let corrupt = Artifact::find_within(&case.text, length - 2).unwrap_err();
            let damage = Damage::TooLarge { bytes_max: length - 2 };
            assert_eq!(corrupt, FindError::Corrupt { what: Form::Bundle, damage });
        }
    });
}
