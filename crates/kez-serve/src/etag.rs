//! Conditional requests: does the client have it already? RFC 9110 section 13.1.2.

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};

/// Whether `If-None-Match` names `etag` (with its quotes), weakly or not, or is `*`.
pub fn is_known(request: &HeaderMap, etag: &str) -> bool {
    request.get_all(IF_NONE_MATCH).iter().any(|line| names(line, etag))
}

fn names(line: &HeaderValue, etag: &str) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/") == etag;
    line.to_str().is_ok_and(|line| line.trim() == "*" || line.split(',').any(weak))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_tags_is_enough() {
        let known = |line: &'static str| {
            is_known(&HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(line))]), "\"a\"")
        };
        for line in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", " * "] {
            assert!(known(line), "{line}");
        }
        for line in ["", "a", "\"b\"", "\"A\"", "\"a"] {
            assert!(!known(line), "{line}");
        }
    }
}
