//! The operations of SPEC "NATS calls", each the name of a route. No handler exists twice.

use http::Method;

/// An operation and the route that does it.
#[derive(Debug)]
pub(crate) struct Op {
    /// As in the subject.
    pub name: &'static str,
    /// The route's method.
    pub method: Method,
    /// The route's path, with its parameters in braces.
    pub path: &'static str,
}

const fn op(name: &'static str, method: Method, path: &'static str) -> Op {
    Op { name, method, path }
}

/// All that stand for a route. `hello` is over NATS alone.
pub(crate) const OPS: &[Op] = &[
    op("server", Method::GET, "/v1/server"),
    op("by_handle", Method::GET, "/v1/u/{handle}"),
    op("by_primary", Method::GET, "/v1/by-primary/{primary}"),
    op("resolve", Method::GET, "/v1/resolve"),
    op("devices", Method::GET, "/v1/u/{handle}/devices"),
    op("device_enrol", Method::POST, "/v1/devices"),
    op("device_revoke", Method::POST, "/v1/devices/revoke"),
    op("account_delete", Method::POST, "/v1/account/delete"),
    op("key_packages_upload", Method::PUT, "/v1/keypackages"),
    op("key_packages_count", Method::GET, "/v1/keypackages/count"),
    op("key_packages_claim", Method::POST, "/v1/keypackages/claim"),
    op("conversation_create", Method::POST, "/v1/conversations"),
    op("conversation_list", Method::GET, "/v1/conversations"),
    op("conversation", Method::GET, "/v1/conversations/{cid}"),
    op("commit", Method::POST, "/v1/conversations/{cid}/commit"),
    op("frames_append", Method::POST, "/v1/conversations/{cid}/frames"),
    op("frames", Method::GET, "/v1/conversations/{cid}/frames"),
    op("contacts", Method::GET, "/v1/contacts"),
    op("contact_remove", Method::DELETE, "/v1/contacts/{primary}"),
    op("conversation_accept", Method::POST, "/v1/conversations/{cid}/accept"),
    op("inbox", Method::GET, "/v1/inbox"),
    op("inbox_ack", Method::POST, "/v1/inbox/ack"),
    op("store_list", Method::GET, "/v1/store"),
    op("store_write", Method::PUT, "/v1/store/{name}"),
    op("store_read", Method::GET, "/v1/store/{name}"),
    op("store_delete", Method::DELETE, "/v1/store/{name}"),
];

/// The operation of that name.
pub(super) fn find(name: &str) -> Option<&'static Op> {
    OPS.iter().find(|op| op.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Routes that are over HTTP alone, and why.
    const HTTP_ONLY: &[(&str, &str)] = &[
        ("post /v1/register", "whoever has no account cannot log in"),
        ("post /v1/session", "a connection is a session"),
        ("get /v1/events", "hints come by themselves"),
        ("get /v1/account/export", "a stream of any length"),
        ("put /v1/blobs/{sha256}", "up to 100 MiB"),
        ("get /v1/blobs/{sha256}", "up to 100 MiB"),
        ("delete /v1/blobs/{sha256}", "with its siblings"),
        ("get /v1/healthz", "for operators"),
        ("get /v1/readyz", "for operators"),
        ("post /internal/nats/auth", "for operators"),
        ("get /.well-known/webfinger", "for other servers"),
        ("get /.well-known/host-meta", "for other servers"),
    ];

    #[test]
    fn every_route_is_an_operation_or_says_why_not() {
        let document: serde_json::Value = serde_json::from_str(&crate::router::openapi_json()).unwrap();
        let mut routes = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            if path.starts_with("/v1/sigchains") {
                continue; // chains are read by everybody, and lie elsewhere as well
            }
            for method in methods.as_object().unwrap().keys() {
                if matches!(&**method, "get" | "put" | "post" | "delete") {
                    routes.insert(format!("{method} {path}"));
                }
            }
        }
        let ops: BTreeSet<String> =
            OPS.iter().map(|op| format!("{} {}", op.method.as_str().to_lowercase(), op.path)).collect();
        let others: BTreeSet<String> = HTTP_ONLY.iter().map(|(route, _)| (*route).to_owned()).collect();
        assert!(ops.is_disjoint(&others));
        assert_eq!(ops.union(&others).cloned().collect::<BTreeSet<_>>(), routes);
        let names: BTreeSet<_> = OPS.iter().map(|op| op.name).collect();
        assert_eq!(names.len(), OPS.len());
        assert!(names.iter().all(|name| name.len() <= kez_nats_auth::OP_CHARS_MAX));
    }
}
