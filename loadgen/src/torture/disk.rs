//! A small disk of its own for a folder, to be filled.
//!
//! A tmpfs, unmounted in the end. Whoever may not mount (no root) has none to fill.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that may be a disk.
pub(super) struct Disk {
    folder: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes the folder, and gives it a disk of so many MiB where that is allowed.
    pub(super) fn mount(folder: &Path, mib: u32) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        Ok(Self { folder: folder.to_owned(), mounted })
    }

    /// Whether it can be filled.
    pub(super) fn can_be_filled(&self) -> bool {
        self.mounted
    }

    /// Takes all that is left.
    pub(super) fn fill(&self) -> Result<(), String> {
        let mut file = File::create(self.ballast()).map_err(|e| e.to_string())?;
        while file.write_all(&[1; 64 << 10]).is_ok() {}
        while file.write_all(&[1; 512]).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    pub(super) fn free(&self) -> Result<(), String> {
        fs::remove_file(self.ballast()).map_err(|e| e.to_string())
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a process may still be about to end.
            Command::new("umount").arg("-l").arg(&self.folder).output().ok();
        }
    }
}
