//! A wall clock that is one process's alone, and can be set.
//!
//! Debian's libfaketime stands between the process and the kernel's clock; how far it is off stands in
//! a file that it reads again, at the latest after a second. The monotonic clocks stay true. So no program
//! has a seam for it, and the host's clock is everybody's still.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library for programs with threads, where Debian's package puts it.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// A clock of its own.
#[derive(Clone, Debug)]
pub struct Clock {
    library: &'static str,
    offset: PathBuf,
}

impl Clock {
    /// A clock that is right, kept in this folder; none where the library is not installed.
    pub fn find(folder: &Path) -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists())?;
        let clock = Self { library, offset: folder.join("clock") };
        clock.set(0).ok().map(|()| clock)
    }

    /// Sets it so many seconds ahead, or behind where that is negative.
    pub fn set(&self, seconds: i64) -> Result<(), String> {
        // Whole or not at all.
        let beside = self.offset.with_extension("new");
        fs::write(&beside, format!("{seconds:+}\n"))
            .and_then(|()| fs::rename(&beside, &self.offset))
            .map_err(|e| e.to_string())
    }

    /// Gives it to a process that is about to start.
    pub fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        command.env("FAKETIME_CACHE_DURATION", "1");
        for monotonic in ["FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"] {
            command.env(monotonic, "1");
        }
    }
}
