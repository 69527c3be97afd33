//! File systems of our own, mounted by root and always given back.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::form::may_go_on;

/// Whether file systems can be mounted here; says so when not.
pub(crate) fn can_mount() -> bool {
    let has = |tool: &str, version| Command::new(tool).arg(version).output().is_ok();
    let has_tools =
        has("mkfs.ext4", "-V") && has("losetup", "--version") && Path::new("/dev/loop-control").exists();
    may_go_on("root", has_tools && Disk::try_tmpfs(1).is_ok()) // root of a container may not be allowed to
}

/// A mounted file system; unmounted when dropped, also by a panic. Servers on it must be dropped before.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: TempDir,
}

impl Disk {
    /// A file system in memory that holds `mebibytes`.
    pub(crate) fn tmpfs(mebibytes: u32) -> Self {
        Self::try_tmpfs(mebibytes).unwrap()
    }

    fn try_tmpfs(mebibytes: u32) -> Result<Self, String> {
        Self::mounted(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
    }

    /// A fresh ext4 file system in the file `image`.
    pub(crate) fn ext4(image: &Path, mebibytes: u32) -> Self {
        std::fs::File::create(image).unwrap().set_len(u64::from(mebibytes) << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image).status().unwrap();
        assert!(made.success(), "mkfs.ext4: {made}");
        Self::image(image)
    }

    /// What `image` holds, its journal replayed. The loop device goes with the mount.
    ///
    /// ext4 commits its journal and writes back only when asked (fsync), not also every five seconds: what the server
    /// did not sync is to be lost.
    pub(crate) fn image(image: &Path) -> Self {
        Self::mounted(&["-t", "ext4", "-o", "loop,commit=600", image.to_str().unwrap()]).unwrap()
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// From now on nothing on it can be changed.
    pub(crate) fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], &self.path()).unwrap();
    }

    fn mounted(arguments: &[&str]) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        mount(arguments, &path).map(|()| Self { dir })
    }
}

fn mount(arguments: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(at).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmount = |flags: &[&str]| Command::new("umount").args(flags).arg(self.path()).status();
        let is_done = unmount(&[]).is_ok_and(|status| status.success());
        // A process that still uses it keeps the file system until its end, but not the place.
        if !is_done && !unmount(&["--lazy"]).is_ok_and(|status| status.success()) {
            eprintln!("still mounted: {}", self.path().display());
        }
    }
}
