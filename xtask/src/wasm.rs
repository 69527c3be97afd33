//! The build for browsers: the pure crates for wasm32, in a target directory of their own.
//!
//! Two ways to a standard library for that target: rustup's, or Debian's sources, which cargo compiles.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    counts::Counts,
    failure::Failure,
    process::{Log, answer, visibly},
    project::Project,
    setup::{Found, ensure, report},
    tools::{WASM, tool, version_in},
};

/// The target of browsers.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// The crates that must build for it.
const CRATES: &[&str] = &["kez-core"];
/// Where Debian's rustc-web is.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How wasm can be built here.
pub(crate) enum Way {
    /// The toolchain has the standard library for the target.
    Target,
    /// Debian's compiler and the standard library's sources, with the linker of the toolchain.
    Debian { linker: PathBuf, version: String },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => write!(f, "the toolchain's {TARGET}"),
            Self::Debian { version, .. } => write!(f, "Debian's {version} and its sources"),
        }
    }
}

impl Way {
    /// Looks for a standard library.
    pub(crate) fn find(project: &Project) -> Option<Self> {
        let libdir = rustc(project, &["--print", "target-libdir", "--target", TARGET])?;
        if Path::new(&libdir).is_dir() { Some(Self::Target) } else { Self::debian(project) }
    }

    fn debian(project: &Project) -> Option<Self> {
        let version = answer(Command::new(DEBIAN_RUSTC).arg("--version"))?;
        // Debian 12's own rustc, which may lie there as well, is years older than this workspace.
        if version_in(&version)? < version_in(&format!("{}.0", env!("CARGO_PKG_RUST_VERSION")))? {
            return None;
        }
        let sysroot = answer(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]))?;
        if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir() {
            return None;
        }
        let toolchain = rustc(project, &["--print", "sysroot"])?;
        let host = rustc(project, &["--print", "host-tuple"])?;
        let linker = Path::new(&toolchain).join("lib/rustlib").join(host).join("bin/rust-lld");
        linker.is_file().then_some(Self::Debian { linker, version })
    }

    /// The build of `package`.
    fn build(&self, project: &Project, package: &str) -> Command {
        let mut cargo = project.cargo();
        cargo.arg("build");
        // Randomness comes from the browser; nothing in kez-core asks for any, later crates do.
        let mut flags = r#"--cfg getrandom_backend="wasm_js""#.to_owned();
        if let Self::Debian { linker, .. } = self {
            cargo.args(["-Z", "build-std=std,panic_abort"]);
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").env_remove("LD_LIBRARY_PATH");
            flags = format!("-Clinker={} {flags}", linker.display());
        }
        cargo.args(["--package", package, "--lib", "--target", TARGET]);
        cargo.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", project.target.join("wasm"));
        cargo
    }
}

/// `cargo xtask wasm`.
pub(crate) fn wasm(project: &Project) -> Result<ExitCode, Failure> {
    let missing =
        || Failure::Missing { tool: WASM, cure: tool(WASM).map_or("", |tool| tool.cure).to_owned() };
    let tool = tool(WASM).ok_or_else(missing)?;
    let found = ensure(project, tool);
    if matches!(found, Found::Now(_)) {
        report(tool, &found);
    }
    let way = Way::find(project).ok_or_else(missing)?;
    if matches!(way, Way::Debian { .. }) && fs::metadata(project.target.join("wasm")).is_err() {
        println!("First build: compiles the standard library too, about a minute of CPU.");
    }
    for package in CRATES {
        visibly(&mut way.build(project, package))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The step: each crate is one test.
pub(crate) fn step(project: &Project, log: &mut Log) -> Result<Counts, Failure> {
    let way = Way::find(project)
        .ok_or_else(|| Failure::Missing { tool: WASM, cure: "cargo xtask setup wasm".to_owned() })?;
    let mut counts = Counts::default();
    for package in CRATES {
        counts += Counts::one(log.run(&mut way.build(project, package))?.ok);
    }
    Ok(counts)
}

fn rustc(project: &Project, arguments: &[&str]) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    answer(Command::new(rustc).current_dir(&project.root).args(arguments))
}
