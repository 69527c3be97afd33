//! Failures about documents in files, in words.

use kez_core::encoding::FindError;
use serde_json::json;

use super::{Exit, Failure};
use crate::document::DocumentError;

/// How a failure about a document is shown.
pub(super) fn failure(error: &DocumentError, message: String) -> Failure {
    let other = |code: &str, message| Failure::new(Exit::Other, code, message);
    let untrusted = |code: &str, message| Failure::new(Exit::Verification, code, message);
    match error {
        DocumentError::Io { .. } => {
            other("io", message).help("check the name of the file; - stands for standard input")
        }
        DocumentError::TooLarge { .. } => {
            other("too_large", message).help("no KEZ document is that large: cut it out of the file")
        }
        DocumentError::Find { fault: FindError::NotFound, .. } => {
            Failure::new(Exit::NotFound, "no_document", message)
                .help("there is no claim, sigchain or other KEZ document in it; is it the right file?")
        }
        DocumentError::Find { fault, .. } => untrusted(fault.code(), message)
            .help("it was cut off or changed on its way: get it again from where it came"),
        DocumentError::Untrusted { fault, .. } => untrusted(fault.code(), message)
            .help("it was changed, or somebody else made it: do not believe what it says"),
        DocumentError::BrokenChain { seq, fault } => untrusted("sigchain_broken", message)
            .help("it was changed, or is not whole: do not believe what it says")
            .detail("seq", json!(seq))
            .detail("fault", fault.code().into()),
        DocumentError::Expired { subject, .. } => untrusted("expired", message)
            .help("ask for a new one, if it is still true")
            .detail("subject", json!(subject)),
        DocumentError::OtherKind { .. } => {
            other("wrong_type", message).help("kez verify file takes any kind of document")
        }
        DocumentError::UnknownKind => other("unknown_kind", message).help("update kez"),
    }
}
