//! A disk of its own for a folder, small enough to be filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, unmounted in the end.
pub struct SmallDisk(Option<PathBuf>);

impl SmallDisk {
    /// Mounts one of so many MiB at this folder. Who may not mount (no root) gets none: see
    /// [`SmallDisk::is_mounted`].
    pub fn mount(at: &Path, mib: u32) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        Self(mounted.then(|| at.to_owned()))
    }

    /// Whether there is a disk that can be filled.
    pub fn is_mounted(&self) -> bool {
        self.0.is_some()
    }

    /// Takes all that is left.
    pub fn fill(&self) {
        if let Some(folder) = &self.0 {
            let mut ballast = File::create(folder.join("ballast")).expect("a file");
            while ballast.write_all(&[1; 64 << 10]).is_ok() {}
            while ballast.write_all(&[1; 512]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        if let Some(folder) = &self.0 {
            fs::remove_file(folder.join("ballast")).expect("it was there");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // Lazily: the process may still be about to end.
            drop(Command::new("umount").arg("-l").arg(folder).output());
        }
    }
}
