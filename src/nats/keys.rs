//! The keys of the NATS side: secret files that `nats-config` makes, and what NATS knows of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use kez_core::Seed;
use kez_nats_auth::{CurveSeed, Nkey, NkeySeed, Role};
use kez_serve::rng::{self, Rng};
use zeroize::Zeroizing;

/// The public keys as they stand in nats.conf, one a line: `issuer A…`.
const PUBLIC: &str = "public.keys";
/// More than any of the files has.
const FILE_BYTES_MAX: u64 = 1024;

/// The five secrets. Print as `NatsKeys(..)`.
pub(crate) struct NatsKeys {
    /// Signs whom the callout lets in. Whoever has it is anybody, in any account.
    pub issuer: NkeySeed,
    /// Requests of the callout are sealed to it.
    pub xkey: CurveSeed,
    /// Logs in to AUTH, to answer the callout.
    pub auth: NkeySeed,
    /// Logs in to HOME, to serve.
    pub home: NkeySeed,
    /// Logs in to SYS, to find and kick connections.
    pub sys: NkeySeed,
}

/// Why the keys cannot be used; the text names the flag and the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsKeyError {
    /// Reading or writing failed.
    #[error("--nats-keys: {path}: {source}; `kez-chat-server nats-config` makes the folder")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read a secret.
    #[error("--nats-keys: {path}: other users can read it (mode {mode:o}); run: chmod 600 {path}")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds no key of its kind.
    #[error("--nats-keys: {path}: no key of its kind; restore the file from a backup")]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// A key is 32 zero bytes, as in examples.
    #[error(
        "--nats-keys: {path}: the key `{name}` is a placeholder that everybody knows; make real ones with `kez-chat-server nats-config`"
    )]
    Placeholder {
        /// The file.
        path: PathBuf,
        /// Whose.
        name: &'static str,
    },
    /// The public key that NATS is configured with is not that of the secret.
    #[error(
        "--nats-keys: {path}: the public key of `{name}` does not fit the secret in {name}.seed; take nats.conf, public.keys and the secrets from one run of `kez-chat-server nats-config`"
    )]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Whose.
        name: &'static str,
    },
}

impl NatsKeys {
    /// Fresh ones.
    pub(crate) fn fresh(rng: &dyn Rng) -> Self {
        let key = |role| NkeySeed::new(role, Seed::from_bytes(rng::bytes(rng)));
        Self {
            issuer: key(Role::Account),
            xkey: CurveSeed::from_bytes(rng::bytes(rng)),
            auth: key(Role::User),
            home: key(Role::User),
            sys: key(Role::User),
        }
    }

    /// Writes them into a folder that exists: the secrets 0600, and their public keys. Never over other files.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), NatsKeyError> {
        for (name, _, secret) in self.parts() {
            create(&folder.join(format!("{name}.seed")), 0o600, &secret)?;
        }
        let mut text = String::new();
        for (name, key, _) in self.parts() {
            // A String takes all that is written into it.
            let _ = writeln!(text, "{name} {key}");
        }
        create(&folder.join(PUBLIC), 0o644, &text)
    }

    /// Reads them, and checks that each public key is that of its secret and none is a placeholder.
    pub(crate) fn load(folder: &Path) -> Result<Self, NatsKeyError> {
        let keys = Self {
            issuer: of_role(folder, "issuer", Role::Account)?,
            xkey: secret(folder, "xkey")?,
            auth: of_role(folder, "auth", Role::User)?,
            home: of_role(folder, "home", Role::User)?,
            sys: of_role(folder, "sys", Role::User)?,
        };
        let path = folder.join(PUBLIC);
        let text = read(&path)?;
        let public: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.trim().split_once(' ')).collect();
        for (name, key, _) in keys.parts() {
            let known = public.get(name).and_then(|text| text.trim().parse::<Nkey>().ok());
            let known = known.ok_or_else(|| NatsKeyError::Content { path: path.clone() })?;
            if known.is_placeholder() || key.is_placeholder() {
                return Err(NatsKeyError::Placeholder { path, name });
            }
            if known != key {
                return Err(NatsKeyError::Unfit { path, name });
            }
        }
        Ok(keys)
    }

    fn parts(&self) -> [(&'static str, Nkey, Zeroizing<String>); 5] {
        let pair = |name, seed: &NkeySeed| (name, seed.public_key(), seed.expose());
        [
            pair("issuer", &self.issuer),
            ("xkey", self.xkey.public_key(), self.xkey.expose()),
            pair("auth", &self.auth),
            pair("home", &self.home),
            pair("sys", &self.sys),
        ]
    }
}

impl std::fmt::Debug for NatsKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsKeys(..)")
    }
}

fn of_role(folder: &Path, name: &str, role: Role) -> Result<NkeySeed, NatsKeyError> {
    let seed: NkeySeed = secret(folder, name)?;
    if seed.public_key().role() == role {
        Ok(seed)
    } else {
        Err(NatsKeyError::Content { path: folder.join(format!("{name}.seed")) })
    }
}

fn secret<T: std::str::FromStr>(folder: &Path, name: &str) -> Result<T, NatsKeyError> {
    let path = folder.join(format!("{name}.seed"));
    let mode = fs::metadata(&path).map_err(|source| NatsKeyError::Io { path: path.clone(), source })?;
    let mode = mode.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(NatsKeyError::TooOpen { path, mode });
    }
    read(&path)?.trim().parse().map_err(|_| NatsKeyError::Content { path })
}

fn read(path: &Path) -> Result<Zeroizing<String>, NatsKeyError> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|source| NatsKeyError::Io { path: path.to_owned(), source })?;
    Ok(text)
}

/// Writes a new file, durably.
pub(super) fn create(path: &Path, mode: u32, text: &str) -> Result<(), NatsKeyError> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            if !text.ends_with('\n') {
                file.write_all(b"\n")?;
            }
            file.sync_all()
        });
    written.map_err(|source| NatsKeyError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use kez_serve::rng::SystemRng;

    use super::*;

    fn written() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        NatsKeys::fresh(&SystemRng).write(dir.path()).unwrap();
        dir
    }

    fn public(dir: &Path, change: impl Fn(&str) -> String) {
        let path = dir.join(PUBLIC);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.lines().map(|line| change(line) + "\n").collect::<String>()).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_never_written_over() {
        let dir = written();
        let keys = NatsKeys::load(dir.path()).unwrap();
        assert_eq!(keys.issuer.public_key().role(), Role::Account);
        assert!(matches!(keys.write(dir.path()), Err(NatsKeyError::Io { .. })));
        let mode = fs::metadata(dir.path().join("issuer.seed")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_placeholder_a_foreign_key_and_an_open_file_are_refused() {
        let dir = written();
        let placeholder = |line: &str| match line.strip_prefix("issuer ") {
            Some(_) => format!("issuer {}", "A".repeat(56)),
            None => line.to_owned(),
        };
        public(dir.path(), placeholder);
        let refused = NatsKeys::load(dir.path()).unwrap_err();
        assert!(matches!(refused, NatsKeyError::Placeholder { name: "issuer", .. }), "{refused}");

        let (dir, other) = (written(), written());
        fs::copy(other.path().join("xkey.seed"), dir.path().join("xkey.seed")).unwrap();
        let refused = NatsKeys::load(dir.path()).unwrap_err();
        assert!(matches!(refused, NatsKeyError::Unfit { name: "xkey", .. }), "{refused}");

        let dir = written();
        fs::copy(dir.path().join("home.seed"), dir.path().join("issuer.seed")).unwrap();
        assert!(matches!(NatsKeys::load(dir.path()), Err(NatsKeyError::Content { .. })));

        let dir = written();
        fs::set_permissions(dir.path().join("sys.seed"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(NatsKeys::load(dir.path()), Err(NatsKeyError::TooOpen { .. })));
    }
}
