//! Real programs under a test's control: started, signalled, killed when dropped.
//!
//! What a program writes goes to a log file; when a test fails its end is shown. Invariant: no
//! program outlives its [`Program`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program; its output is appended to `<folder>/<name>.log`.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let (out, err): (File, File) = (open().expect("log"), open().expect("log"));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended on its own; whoever cares looks at its exit status.
            kill_process(pid, signal).ok();
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Its exit status, once it has ended on its own.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} exits", self.name);
        wait::until(&what, within, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it still runs".into()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(60)..];
            let text = format!("--- end of {}'s log ---\n{}\n---\n", self.name, end.join("\n"));
            std::io::stderr().write_all(text.as_bytes()).ok();
        }
    }
}

/// An address on loopback for programs that cannot say which one they took; nobody takes it by chance.
/// Each call gives another one.
pub fn free_address() -> SocketAddr {
    weir_loadgen::ports::lasting_address().expect("a free port")
}
