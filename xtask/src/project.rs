//! Where things are, and cargo as this workspace calls it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::failure::Failure;

/// The checkout and its build directory.
pub(crate) struct Project {
    /// The workspace root.
    pub(crate) root: PathBuf,
    /// Where the development profile puts binaries, `target/debug`.
    pub(crate) bin: PathBuf,
    /// The build directory, `target`.
    pub(crate) target: PathBuf,
}

impl Project {
    /// Finds the checkout this program was built from.
    pub(crate) fn find() -> Result<Self, Failure> {
        // At run time cargo says where the package is; the compiled-in place serves a binary started by hand.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().map(Path::to_path_buf).unwrap_or_default();
        // This program lies in the build directory whatever flag, variable or configuration chose it.
        let exe = env::current_exe().map_err(Failure::file("xtask"))?;
        let bin = exe.parent().map(Path::to_path_buf).unwrap_or_default();
        let target = bin.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { root, bin, target })
    }

    /// Fetched tools.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Logs and scratch files of steps.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// Where `cargo build` leaves a program of ours.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// cargo, at the root, as if typed by hand.
    ///
    /// `cargo run` describes the xtask package to us in variables; build scripts that watch such variables would
    /// otherwise run again each time somebody changes between `cargo xtask` and plain cargo.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        without_package_variables(&mut cargo);
        cargo
    }
}

/// Removes from `command`'s environment what `cargo run` put there about the xtask package.
pub(crate) fn without_package_variables(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let about_us = text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || matches!(text, "CARGO_PRIMARY_PACKAGE" | "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "OUT_DIR");
        if about_us {
            command.env_remove(name);
        }
    }
}
