//! The build for browsers: kez-wasm for wasm32, in a target directory of its own, and its bindings to JavaScript.
//!
//! Two ways to a standard library for that target: rustup's, or Debian's sources, which cargo compiles.

use std::{
    env, fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
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
/// The crates that must build for it by themselves, with all their features.
const PURE: &[&str] = &["kez-core"];
/// The crate that the web client loads.
const FACE: &str = "kez-wasm";
/// What it is made from.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "crates/kez-core/Cargo.toml",
    "crates/kez-core/src",
    "crates/kez-e2e/Cargo.toml",
    "crates/kez-e2e/src",
    "crates/kez-wasm/Cargo.toml",
    "crates/kez-wasm/src",
    "xtask/bindings/Cargo.lock",
    "xtask/bindings/src",
];
/// The file beside the result that says what it was made from.
const STAMP: &str = "made-from.txt";
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

    /// The build of `package`, optimised as browsers load it.
    fn command(&self, project: &Project, package: &str) -> Command {
        let mut cargo = project.cargo();
        cargo.arg("build");
        // Randomness comes from the browser; nothing in kez-core asks for any, later crates do.
        let mut flags = r#"--cfg getrandom_backend="wasm_js""#.to_owned();
        if let Self::Debian { linker, .. } = self {
            cargo.args(["-Z", "build-std=std,panic_abort"]);
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").env_remove("LD_LIBRARY_PATH");
            flags = format!("-Clinker={} {flags}", linker.display());
        }
        cargo.args(["--package", package, "--lib", "--profile", "wasm", "--target", TARGET]);
        cargo.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", target(project));
        cargo
    }
}

/// `cargo xtask wasm`.
pub(crate) fn wasm(project: &Project) -> Result<ExitCode, Failure> {
    match build(project)? {
        Built::Now => println!("wrote {}", shown(project, &package(project))),
        Built::Before => println!("{} is up to date", shown(project, &package(project))),
    }
    Ok(ExitCode::SUCCESS)
}

/// What [`build`] had to do.
#[derive(PartialEq, Eq)]
pub(crate) enum Built {
    /// It was built now.
    Now,
    /// The sources are those of the last build.
    Before,
}

/// Builds kez-wasm and its JavaScript and TypeScript into the web client's sources, visibly, unless they are there for
/// exactly these sources. Obtains the standard library for the target.
pub(crate) fn build(project: &Project) -> Result<Built, Failure> {
    let way = way(project)?;
    let stamp = stamp(project, &way)?;
    if is_current(project, &stamp) {
        return Ok(Built::Before);
    }
    println!("Building the client's engine for browsers; the first time takes minutes.");
    visibly(&mut way.command(project, FACE))?;
    visibly(&mut bindings(project))?;
    fs::write(package(project).join(STAMP), stamp).map_err(Failure::file(STAMP))?;
    Ok(Built::Now)
}

/// The step: each crate is one test, and so are the bindings.
pub(crate) fn step(project: &Project, log: &mut Log) -> Result<Counts, Failure> {
    let way = Way::find(project)
        .ok_or_else(|| Failure::Missing { tool: WASM, cure: "cargo xtask setup wasm".to_owned() })?;
    let mut counts = Counts::default();
    for package in PURE {
        counts += Counts::one(log.run(way.command(project, package).arg("--quiet"))?.ok);
    }
    let stamp = stamp(project, &way)?;
    if is_current(project, &stamp) {
        log.note("kez-wasm is up to date")?;
        counts += Counts::one(true);
        return Ok(counts);
    }
    let ok = log.run(&mut way.command(project, FACE))?.ok && log.run(&mut bindings(project))?.ok;
    if ok {
        fs::write(package(project).join(STAMP), stamp).map_err(Failure::file(STAMP))?;
    }
    counts += Counts::one(ok);
    Ok(counts)
}

fn way(project: &Project) -> Result<Way, Failure> {
    let missing =
        || Failure::Missing { tool: WASM, cure: tool(WASM).map_or("", |tool| tool.cure).to_owned() };
    let tool = tool(WASM).ok_or_else(missing)?;
    let found = ensure(project, tool);
    if matches!(found, Found::Now(_)) {
        report(tool, &found);
    }
    Way::find(project).ok_or_else(missing)
}

/// The step after the compiler: our small program around wasm-bindgen's library, built apart from everything else.
fn bindings(project: &Project) -> Command {
    let mut cargo = project.cargo();
    let folder = project.root.join("xtask").join("bindings");
    cargo
        .current_dir(&folder)
        .args(["run", "--quiet", "--locked", "--target-dir"])
        .arg(project.target.join("bindings"));
    cargo
        .arg("--")
        .arg(target(project).join(TARGET).join("wasm").join("kez_wasm.wasm"))
        .arg(package(project));
    cargo
}

/// Where the engine's JavaScript, TypeScript and wasm lie.
pub(crate) fn package(project: &Project) -> PathBuf {
    project.root.join("web/src/lib/wasm/pkg")
}

/// A build directory of its own: the other one is locked while cargo runs us from a build.
fn target(project: &Project) -> PathBuf {
    project.target.join("wasm")
}

fn is_current(project: &Project, stamp: &str) -> bool {
    let package = package(project);
    package.join("kez_wasm_bg.wasm").is_file()
        && fs::read_to_string(package.join(STAMP)).is_ok_and(|built| built == stamp)
}

/// Names everything that the engine is made from: sources, lock file, flags, compiler.
fn stamp(project: &Project, way: &Way) -> Result<String, Failure> {
    let mut hasher = DefaultHasher::new();
    way.to_string().hash(&mut hasher);
    rustc(project, &["--version"]).hash(&mut hasher);
    include_str!("wasm.rs").hash(&mut hasher);
    for source in SOURCES {
        for file in files_below(&project.root.join(source)) {
            fs::read(&file).map_err(Failure::file(&file))?.hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// A file, or the files of a folder in order; nothing when there is none.
pub(crate) fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.iter().flat_map(|entry| files_below(entry)).collect()
}

fn shown(project: &Project, path: &Path) -> String {
    path.strip_prefix(&project.root).unwrap_or(path).display().to_string()
}

fn rustc(project: &Project, arguments: &[&str]) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    answer(Command::new(rustc).current_dir(&project.root).args(arguments))
}
