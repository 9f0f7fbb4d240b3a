//! The gateway's process: started, signalled, killed, and gone when this is dropped.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::receiver::http;

/// A gateway, its configuration and its folder.
pub(super) struct Process {
    binary: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    /// Where it listens, once it has said so.
    pub(super) address: SocketAddr,
}

/// How long it may take to start, replay included, or to end in order.
pub(super) const WITHIN: Duration = Duration::from_secs(90);

impl Process {
    /// One that is not started yet. The folder has `weir.yml` and `data/`.
    pub(super) fn new(binary: &Path, folder: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { binary: binary.to_owned(), folder: folder.to_owned(), child: None, address }
    }

    /// Starts it, on the address that it had, and waits until it has told where it listens.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let told = self.folder.join("data/listen.addr");
        fs::remove_file(&told).ok();
        let log = || -> Result<File, String> {
            let path = self.folder.join("gateway.log");
            OpenOptions::new().create(true).append(true).open(path).map_err(|e| e.to_string())
        };
        let mut command = Command::new(&self.binary);
        command.arg("--config.file").arg(self.folder.join("weir.yml"));
        command.arg("--listen").arg(self.address.to_string());
        command.arg("--data-dir").arg(self.folder.join("data"));
        command.stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        let child = command.spawn().map_err(|e| format!("{}: {e}", self.binary.display()))?;
        self.child = Some(child);
        self.until("it tells its address", |process| {
            if !process.is_running() {
                return Err(Wait::Ended);
            }
            let text = fs::read_to_string(&told).unwrap_or_default();
            process.address = text.trim().parse().map_err(|_| Wait::NotYet)?;
            Ok(())
        })
    }

    /// Waits until it is ready.
    pub(super) fn wait_ready(&mut self) -> Result<(), String> {
        self.until("it is ready", |process| {
            if !process.is_running() {
                return Err(Wait::Ended);
            }
            match http::get(process.address, "/-/ready") {
                Ok(answer) if answer.status == 200 => Ok(()),
                _ => Err(Wait::NotYet),
            }
        })
    }

    /// SIGKILL, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be gone already, which is what is wanted.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|c| i32::try_from(c.id()).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    }

    /// SIGTERM, and waits for its orderly end.
    pub(super) fn terminate(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM);
        self.until("it ends on SIGTERM", |process| {
            if process.is_running() { Err(Wait::NotYet) } else { Ok(()) }
        })
    }

    /// A number of its `/metrics`, summed over labels.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        let page = http::get(self.address, "/metrics").ok()?.text();
        let of =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values =
            page.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        values.reduce(|a: f64, b: f64| a + b)
    }

    /// The end of what it has logged.
    pub(super) fn log_end(&self) -> String {
        let log = fs::read(self.folder.join("gateway.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Whether it has not ended.
    pub(super) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn until(
        &mut self,
        what: &str,
        mut ask: impl FnMut(&mut Self) -> Result<(), Wait>,
    ) -> Result<(), String> {
        let began = Instant::now();
        loop {
            match ask(self) {
                Ok(()) => return Ok(()),
                Err(Wait::Ended) => {
                    return Err(format!("the gateway has ended; its log:\n{}", self.log_end()));
                }
                Err(Wait::NotYet) if began.elapsed() > WITHIN => {
                    let log = self.log_end();
                    return Err(format!("not within {WITHIN:?}: {what}; its log:\n{log}"));
                }
                Err(Wait::NotYet) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

enum Wait {
    NotYet,
    Ended,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
