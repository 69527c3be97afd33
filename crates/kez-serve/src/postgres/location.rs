//! Where a database is: a `postgres://` URL, its password from there, the environment or a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

/// A PostgreSQL database by its URL. Printed without password and parameters.
///
/// A server on another machine is spoken to over TLS, and its certificate verified, unless `sslmode=disable` says
/// otherwise; one on this machine in the clear, unless `sslmode=require`. `sslrootcert` names a PEM file of authorities
/// that are asked instead of the machine's.
#[derive(Clone)]
pub struct Location(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    config: Config,
    shown: String,
    sslrootcert: Option<PathBuf>,
}

/// The text is no `postgres://` URL, or not one that can be used. The text itself is not in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write postgres://user@host/database")]
pub struct BadLocation(String);

impl Location {
    /// Whether the text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// With the password that the environment knows, if the URL has none: `PGPASSWORD`, or the file `PGPASSFILE`, or
    /// `~/.pgpass`.
    #[must_use]
    pub fn with_password_of_environment(mut self) -> Self {
        if self.config().get_password().is_none() {
            let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            let home = || variable("HOME").map(|home| Path::new(&home).join(".pgpass"));
            let file = variable("PGPASSFILE").map(PathBuf::from).or_else(home);
            let from_file = || self.password_in(&std::fs::read_to_string(file?).ok()?);
            if let Some(password) = variable("PGPASSWORD").or_else(from_file) {
                Arc::make_mut(&mut self.0).config.password(password);
            }
        }
        self
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    /// The authorities that the URL names.
    pub(super) fn authorities(&self) -> Result<Option<RootCertStore>, String> {
        let Some(path) = &self.0.sslrootcert else { return Ok(None) };
        let named = |reason: String| format!("{}: {reason}", path.display());
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_file_iter(path).map_err(|error| named(error.to_string()))? {
            let authority = authority.map_err(|error| named(error.to_string()))?;
            roots.add(authority).map_err(|error| named(error.to_string()))?;
        }
        if roots.is_empty() { Err(named("no certificate is in it".to_owned())) } else { Ok(Some(roots)) }
    }

    /// The password of the first line that fits: `host:port:database:user:password`, `*` fits all.
    fn password_in(&self, text: &str) -> Option<String> {
        let host = self.config().get_hosts().first().map_or("localhost".to_owned(), |host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(_) => "localhost".to_owned(),
        });
        let port = self.config().get_ports().first().copied().unwrap_or(5432).to_string();
        let user = self.config().get_user()?;
        let wanted = [host.as_str(), &port, self.config().get_dbname().unwrap_or(user), user];
        text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = password_fields(line);
            let (password, who) = fields.split_last()?;
            let fits =
                who.len() == 4 && who.iter().zip(wanted).all(|(has, wants)| has == "*" || has == wants);
            fits.then(|| password.clone())
        })
    }
}

/// The five fields of a line, without the `\` before `:` and `\`.
fn password_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        let is_between = char == ':' && fields.len() < 5;
        let char = if char == '\\' { chars.next() } else { Some(char) };
        match (is_between, fields.last_mut()) {
            (true, _) => fields.push(String::new()),
            (false, Some(field)) => field.extend(char),
            (false, None) => {}
        }
    }
    fields
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let bad = |reason: &str| BadLocation(reason.to_owned());
        if !Self::is_meant(text) {
            return Err(bad("this is no URL of a PostgreSQL database"));
        }
        let mut url = Url::parse(text).map_err(|_| bad("this is no URL"))?;
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut sslrootcert = None;
        let mut sslmode = None;
        url.set_query(None);
        for (name, value) in pairs {
            match name.as_str() {
                "sslrootcert" => sslrootcert = Some(PathBuf::from(value)),
                "sslmode" => {
                    let reason =
                        "sslmode is disable, require or verify-full; a certificate is always verified";
                    sslmode = Some(ssl_mode(&value).ok_or_else(|| bad(reason))?);
                }
                _ => drop(url.query_pairs_mut().append_pair(&name, &value)),
            }
        }
        let mut config: Config =
            url.as_str().parse().map_err(|_| bad("this is no URL that PostgreSQL has"))?;
        if config.get_user().is_none() {
            return Err(bad("it names no user"));
        }
        if config.get_hosts().is_empty() {
            return Err(bad("it names no host"));
        }
        let is_here = config.get_hosts().iter().all(is_this_machine);
        let default = if is_here && sslrootcert.is_none() { SslMode::Disable } else { SslMode::Require };
        config.ssl_mode(sslmode.unwrap_or(default));
        config.application_name("kez");
        Ok(Self(Arc::new(Parts { shown: shown(&url), config, sslrootcert })))
    }
}

fn ssl_mode(value: &str) -> Option<SslMode> {
    match value {
        "disable" => Some(SslMode::Disable),
        "require" | "verify-ca" | "verify-full" => Some(SslMode::Require),
        _ => None,
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// The URL as it may be printed.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    match shown.set_password(None) {
        Ok(()) => shown.into(),
        Err(()) => "postgres://".to_owned(),
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({})", self.0.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        text.parse().expect("a good location")
    }

    #[test]
    fn a_password_is_never_shown() {
        let place =
            location("postgres://kez:hunter2@db.example.org:5433/home?connect_timeout=3&password=hunter2");
        assert_eq!(place.to_string(), "postgres://kez@db.example.org:5433/home");
        assert!(!format!("{place:?}").contains("hunter2"));
        for bad in ["postgres://kez:hunter2@/home?sslmode=perhaps", "postgres://kez:hunter2@h/d?colour=blue"]
        {
            assert!(!bad.parse::<Location>().expect_err("bad").to_string().contains("hunter2"));
        }
    }

    #[test]
    fn who_is_on_another_machine_is_spoken_to_over_tls() {
        let mode = |text| location(text).config().get_ssl_mode();
        assert_eq!(mode("postgres://kez@db.example.org/home"), SslMode::Require);
        assert_eq!(mode("postgres://kez@10.0.0.7/home"), SslMode::Require);
        assert_eq!(mode("postgres://kez@10.0.0.7/home?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://kez@127.0.0.1/home"), SslMode::Disable);
        assert_eq!(mode("postgres://kez@localhost/home?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgresql://kez@%2Frun%2Fpostgresql/home"), SslMode::Disable);
        for refused in
            ["postgres://kez@h/d?sslmode=prefer", "postgres:///d", "mysql://kez@h/d", "kez-chat.db"]
        {
            assert!(refused.parse::<Location>().is_err(), "{refused}");
        }
    }

    #[test]
    fn a_password_file_is_read_as_libpq_does() {
        let place = location("postgres://kez@db.example.org/home");
        let file = "# comment\nother:*:*:*:no\n*:5433:*:*:no\n*:*:home:kez:a\\:b\\\\c:d\n*:*:*:*:late\n";
        assert_eq!(place.password_in(file).as_deref(), Some("a:b\\c:d"));
        assert_eq!(place.password_in("short:line\n"), None);
    }
}
