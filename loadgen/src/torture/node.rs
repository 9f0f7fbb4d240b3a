//! One gateway among faults: its process, its disk, its configuration.
//!
//! Alone, or a member of a tier whose others stand beside it. Invariant: its addresses and its data
//! are the same over all its starts.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::clocks::Clock;
use super::disk::Disk;
use super::processes::Process;
use crate::ports::lasting_address;

/// What the data folder may take where it is a disk of its own.
const DISK_MIB: u32 = 192;

/// A gateway and its folder.
pub(super) struct Node {
    // Before its disk: it is gone when that is unmounted.
    pub(super) process: Process,
    folder: PathBuf,
    /// Under the data folder.
    disk: Disk,
    /// All of its configuration but the rules.
    config: String,
}

impl Node {
    /// Makes folders and configurations below `folder`: one gateway, or several that are one tier.
    pub(super) fn prepare(
        gateway: &Path,
        folder: &Path,
        (count, clocks): (usize, bool),
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
            Self::new(gateway, folder.join(name(number)), config, clocks)
        };
        addresses.iter().enumerate().map(node).collect()
    }

    fn new(gateway: &Path, folder: PathBuf, config: String, clocks: bool) -> Result<Self, String> {
        let disk = Disk::mount(&folder.join("data"), DISK_MIB)?;
        let listen = lasting_address().map_err(|e| format!("no free port: {e}"))?;
        let clock = clocks.then(|| Clock::find(&folder)).flatten();
        let process = Process::gateway(gateway, &folder, listen).with_clock(clock);
        Ok(Self { process, folder, disk, config })
    }

    /// Whether its disk can be filled.
    pub(super) fn disk_can_be_filled(&self) -> bool {
        self.disk.can_be_filled()
    }

    /// Writes its files with these rules; whoever runs sees them after a reload.
    pub(super) fn configure(&self, rules: &str) -> Result<(), String> {
        let rules_file = self.folder.join("rules.yml");
        let config = format!("rule_files: [{rules_file:?}]\n{}", self.config);
        self.write("rules.yml", rules)?;
        self.write("weir.yml", &config)
    }

    /// Whole or not at all: a reload that reads a file which was just emptied finds no rules, and ends all
    /// outputs.
    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let beside = self.folder.join("new");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, self.folder.join(name)))
            .map_err(|e| e.to_string())
    }

    /// Fills its disk for some time; `restarts` it meanwhile, or not.
    pub(super) fn fill_disk(&mut self, restarts: bool, wait: impl Fn()) -> Result<(), String> {
        self.disk.fill()?;
        wait();
        // One that starts on a full disk waits for room.
        let started = if restarts { self.process.restart() } else { Ok(()) };
        if restarts {
            wait();
        }
        self.disk.free()?;
        started.or_else(|_| self.process.restart())
    }
}

/// A member's name.
pub(super) fn name(number: usize) -> String {
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
