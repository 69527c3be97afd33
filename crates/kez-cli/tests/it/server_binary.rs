//! The home server's program, beside that of `kez`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where it is. The whole workspace's tests build it before; where tests of this crate alone are run, it is built once if it
/// is not there, and may be older than its sources: cargo builds the programs of other packages only with their own tests.
pub(crate) fn server_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let kez = assert_cmd::cargo::cargo_bin("kez");
    let folder = kez.parent().expect("a folder");
    let server = folder.join("kez-chat-server");
    if server.exists() {
        return server;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "kez-chat-server",
            "--bin",
            "kez-chat-server",
            "--target-dir",
        ])
        .arg(folder.parent().expect("the folder of all profiles"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo can be started").success(), "the server was not built");
    server
}
