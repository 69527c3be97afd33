//! File systems of our own, mounted by root and always given back.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::form::may_go_on;

/// Whether file systems can be mounted here; says so when not.
pub(crate) fn can_mount() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    may_go_on("root", is_root)
}

/// A mounted file system; unmounted when dropped, also by a panic. Servers on it must be dropped before.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: TempDir,
}

impl Disk {
    /// A file system in memory that holds `mebibytes`.
    pub(crate) fn tmpfs(mebibytes: u32) -> Self {
        let disk = Self::unmounted();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]), &disk);
        disk
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
        let disk = Self::unmounted();
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop,commit=600"]).arg(image), &disk);
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// From now on nothing on it can be changed.
    pub(crate) fn make_read_only(&self) {
        run(Command::new("mount").args(["-o", "remount,ro"]), self);
    }

    fn unmounted() -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.path()).unwrap();
        disk
    }
}

#[track_caller]
fn run(mount: &mut Command, disk: &Disk) {
    let output = mount.arg(disk.path()).output().unwrap();
    assert!(output.status.success(), "{mount:?}: {}", String::from_utf8_lossy(&output.stderr));
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
