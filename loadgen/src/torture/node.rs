//! One gateway among faults: its process, its disk, its configuration.
//!
//! Alone, or a member of a tier whose others stand beside it. Invariant: its addresses and its data
//! are the same over all its starts.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::processes::Process;
use crate::ports::lasting_address;

/// What the data folder may take where it is a disk of its own.
const DISK_MIB: u32 = 192;

/// A gateway and its folder.
pub(super) struct Node {
    pub(super) process: Process,
    folder: PathBuf,
    /// The data folder is a tmpfs.
    mounted: bool,
    /// All of its configuration but the rules.
    config: String,
}

impl Node {
    /// Makes folders and configurations below `folder`: one gateway, or several that are one tier.
    pub(super) fn prepare(
        gateway: &Path,
        folder: &Path,
        count: usize,
        config: &str,
    ) -> Result<Vec<Self>, String> {
        let addresses: Result<Vec<_>, _> = (0..count).map(|_| lasting_address()).collect();
        let addresses = addresses.map_err(|e| format!("no free port: {e}"))?;
        let members = folder.join("members.yml");
        fs::write(&members, member_file(&addresses)).map_err(|e| e.to_string())?;
        let node = |(number, listen): (usize, &SocketAddr)| {
            let mut config = config.to_owned();
            if count > 1 {
                let name = name(number);
                let cluster =
                    format!("{{name: {name}, listen: {listen:?}, peers_file: {members:?}}}");
                config = format!("{config}cluster: {cluster}\n");
            }
            Self::new(gateway, folder.join(name(number)), config)
        };
        addresses.iter().enumerate().map(node).collect()
    }

    fn new(gateway: &Path, folder: PathBuf, config: String) -> Result<Self, String> {
        let data = folder.join("data");
        fs::create_dir_all(&data).map_err(|e| e.to_string())?;
        let mounted = mount(&data);
        Ok(Self { process: Process::new(gateway, &folder), folder, mounted, config })
    }

    /// Whether its disk can be filled.
    pub(super) fn disk_can_be_filled(&self) -> bool {
        self.mounted
    }

    /// Writes its files with these rules; whoever runs sees them after a reload.
    pub(super) fn configure(&self, rules: &str) -> Result<(), String> {
        let rules_file = self.folder.join("rules.yml");
        let config = format!("rule_files: [{rules_file:?}]\n{}", self.config);
        fs::write(&rules_file, rules).map_err(|e| e.to_string())?;
        fs::write(self.folder.join("weir.yml"), config).map_err(|e| e.to_string())
    }

    /// SIGKILL, and a new start.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.process.kill();
        self.process.start()
    }

    /// Fills its disk for some time; `restarts` it meanwhile, or not.
    pub(super) fn fill_disk(&mut self, restarts: bool, wait: impl Fn()) -> Result<(), String> {
        let ballast = self.folder.join("data/ballast");
        let mut file = File::create(&ballast).map_err(|e| e.to_string())?;
        while file.write_all(&[1; 64 << 10]).is_ok() {}
        drop(file);
        wait();
        // One that starts on a full disk waits for room.
        let started = if restarts { self.restart() } else { Ok(()) };
        if restarts {
            wait();
        }
        fs::remove_file(&ballast).map_err(|e| e.to_string())?;
        started.or_else(|_| self.restart())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill();
        if self.mounted {
            // Lazily: the process may still be about to end.
            Command::new("umount").arg("-l").arg(self.folder.join("data")).output().ok();
        }
    }
}

fn name(number: usize) -> String {
    format!("gw-{number}")
}

fn member_file(addresses: &[SocketAddr]) -> String {
    let mut file = "members:\n".to_owned();
    for (number, address) in addresses.iter().enumerate() {
        // A string takes all.
        writeln!(file, "  - {{name: {}, address: \"{address}\"}}", name(number)).ok();
    }
    file
}

/// Gives the data folder a small disk of its own. Whoever may not mount has none to fill.
fn mount(at: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"]).arg(at);
    mount.output().is_ok_and(|output| output.status.success())
}
