//! Takes the built web client in. ADR 0024: this script builds nothing, so no cargo command waits for it.
//!
//! The first that applies: `KEZ_WEB=<folder>`, a client built elsewhere; `KEZ_WEB=skip` or `DOCS_RS`, none;
//! `web/dist/client`, which `cargo xtask run` (and `web`, `dev`, `test`) builds; none.

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

/// What the client is made from, below the root of the workspace: when one of these is newer, the client is stale.
const SOURCES: [&str; 8] = [
    "web/src",
    "web/public",
    "web/index.html",
    "web/vite.config.ts",
    "web/package-lock.json",
    "crates/kez-core/src",
    "crates/kez-wasm/src",
    "crates/kez-e2e/src",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=KEZ_WEB");
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let folder = client(&root)?;
    let mut code = String::new();
    match &folder {
        Some(folder) => embed(&folder.canonicalize()?, &mut code)?,
        None => code.push_str("None"),
    }
    fs::write(PathBuf::from(variable("OUT_DIR")?).join("client.rs"), code)?;
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo sets {name}"))
}

/// The folder with the client, if there is one.
fn client(root: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let named = env::var("KEZ_WEB").unwrap_or_default();
    if named == "skip" || env::var_os("DOCS_RS").is_some() {
        return Ok(None);
    }
    if !named.is_empty() {
        let folder = root.join(&named);
        println!("cargo::rerun-if-changed={}", folder.display());
        if !folder.join("index.html").is_file() {
            return Err(format!("KEZ_WEB={named}: there is no index.html in {}", folder.display()).into());
        }
        return Ok(Some(folder));
    }
    // A path that does not exist would make cargo run this script each time, so only those that do are watched.
    let dist = root.join("web/dist");
    if dist.is_dir() {
        println!("cargo::rerun-if-changed={}", dist.display());
    }
    let folder = dist.join("client");
    let Some(built) = modified(&folder.join("index.html")) else { return Ok(None) };
    let mut stale = false;
    for source in SOURCES.map(|source| root.join(source)).iter().filter(|source| source.exists()) {
        println!("cargo::rerun-if-changed={}", source.display());
        stale |= newest(source).is_some_and(|changed| changed > built);
    }
    if stale {
        println!(
            "cargo::warning=the web client inside is older than its sources; `cargo xtask web` builds it"
        );
    }
    Ok(Some(folder))
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// When the newest file of a file or folder changed.
fn newest(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return modified(path);
    }
    // What the wasm step makes is not a source.
    let entries = fs::read_dir(path).ok()?.flatten().filter(|entry| entry.file_name() != "pkg");
    entries.filter_map(|entry| newest(&entry.path())).max()
}

/// Writes the expression `Some(Client { … })`.
fn embed(folder: &Path, code: &mut String) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files)?;
    files.sort();
    code.push_str("Some(Client { files: &[\n");
    for name in files.iter().filter(|name| !is_compressed(name, &files)) {
        let mut hasher = DefaultHasher::new();
        fs::read(folder.join(name))?.hash(&mut hasher);
        let compressed = |suffix: &str| {
            let other = format!("{name}{suffix}");
            files
                .contains(&other)
                .then(|| included(&folder.join(other)))
                .map_or("None".to_owned(), |it| format!("Some({it})"))
        };
        writeln!(
            code,
            "File {{ path: {name:?}, etag: \"\\\"{:016x}\\\"\", plain: {}, brotli: {}, gzip: {} }},",
            hasher.finish(),
            included(&folder.join(name)),
            compressed(".br"),
            compressed(".gz"),
        )?;
    }
    code.push_str("] })");
    Ok(())
}

fn included(file: &Path) -> String {
    format!("include_bytes!({:?})", file.display().to_string())
}

/// Whether a file is the compressed form of another.
fn is_compressed(name: &str, files: &[String]) -> bool {
    [".br", ".gz"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .any(|plain| files.iter().any(|file| file == plain))
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            let relative = path.strip_prefix(root)?;
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            files.push(parts.join("/"));
        }
    }
    Ok(())
}
