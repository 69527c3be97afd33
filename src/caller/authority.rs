//! The names under which this server takes signed calls.

use std::net::SocketAddr;

use crate::base_url::BaseUrl;

/// The only values of `@authority` that this server takes: a call that was signed for another server is none of ours,
/// whoever passes it on, and whatever `Host` says.
#[derive(Debug)]
pub(crate) struct Authorities {
    public: Vec<Authority>,
    /// For programs on this machine.
    loopback: Vec<Authority>,
}

/// A host and port in the form that is signed (RFC 9421 section 2.2.3).
#[derive(Debug)]
struct Authority {
    /// In lower case, without the scheme's default port.
    normal: String,
    /// The same with that port.
    with_default_port: Option<String>,
}

impl Authorities {
    /// Of the public URLs, and of this machine's own names with the port that is listened on.
    pub(crate) fn new(public_urls: &[BaseUrl], listens_on: SocketAddr) -> Self {
        let public = public_urls.iter().map(|url| Authority::new(url.host(), url.port(), url.default_port()));
        let loopback =
            ["localhost", "127.0.0.1", "[::1]"].map(|host| Authority::new(host, Some(listens_on.port()), 80));
        Self { public: public.collect(), loopback: loopback.into() }
    }

    /// What a request for `host` is signed with, if this server takes it; `local`: it comes from this machine itself.
    pub(crate) fn accepted(&self, host: &str, local: bool) -> Option<&str> {
        let loopback = if local { self.loopback.as_slice() } else { &[] };
        self.public
            .iter()
            .chain(loopback)
            .find(|authority| authority.is(host))
            .map(|authority| &*authority.normal)
    }
}

impl Authority {
    fn new(host: &str, port: Option<u16>, default_port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        match port.filter(|port| *port != default_port) {
            Some(port) => Self { normal: format!("{host}:{port}"), with_default_port: None },
            None => Self { with_default_port: Some(format!("{host}:{default_port}")), normal: host },
        }
    }

    fn is(&self, host: &str) -> bool {
        self.normal.eq_ignore_ascii_case(host)
            || self.with_default_port.as_ref().is_some_and(|long| long.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorities(listens_on: &str) -> Authorities {
        let urls = ["https://Chat.example.org", "https://kez.lat:8443/kez", "http://intern.example.org"];
        Authorities::new(&urls.map(|url| url.parse().unwrap()), listens_on.parse().unwrap())
    }

    #[test]
    fn public_names_count_for_everybody_in_one_form() {
        let names = authorities("0.0.0.0:6969");
        for (host, normal) in [
            ("chat.example.org", "chat.example.org"),
            ("CHAT.Example.org:443", "chat.example.org"),
            ("kez.lat:8443", "kez.lat:8443"),
            ("intern.example.org:80", "intern.example.org"),
        ] {
            assert_eq!(names.accepted(host, false), Some(normal), "{host}");
        }
        for host in ["", "kez.lat", "kez.lat:443", "chat.example.org.", "chat.example.org:80", "example.org"]
        {
            assert_eq!(names.accepted(host, true), None, "{host}");
        }
    }

    #[test]
    fn loopback_names_count_for_this_machine_with_its_port() {
        let names = authorities("0.0.0.0:6969");
        for host in ["localhost:6969", "127.0.0.1:6969", "[::1]:6969"] {
            assert_eq!(names.accepted(host, true), Some(host));
            assert_eq!(names.accepted(host, false), None, "{host}");
        }
        for host in ["localhost", "127.0.0.1", "127.0.0.2:6969", "localhost:6970", "::1:6969"] {
            assert_eq!(names.accepted(host, true), None, "{host}");
        }
        assert_eq!(authorities("0.0.0.0:80").accepted("localhost:80", true), Some("localhost"));
    }
}
