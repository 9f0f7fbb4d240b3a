//! A process among faults: started, signalled, killed, and gone when this is dropped.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::clocks::Clock;
use crate::receiver::http;

/// A gateway or an agent, and how it is started again.
pub(super) struct Process {
    binary: PathBuf,
    arguments: Vec<String>,
    /// Where it writes its address once it listens; without one, nothing is waited for.
    told: Option<PathBuf>,
    log: PathBuf,
    clock: Option<Clock>,
    child: Option<Child>,
    /// Where it listens, over all its starts.
    pub(super) address: SocketAddr,
}

/// How long it may take to start, replay included, to end in order, or to close windows after the longest pause.
pub(super) const WITHIN: Duration = Duration::from_secs(180);

impl Process {
    /// A gateway that is not started yet. The folder has `weir.yml` and `data/`.
    pub(super) fn gateway(binary: &Path, folder: &Path, address: SocketAddr) -> Self {
        let data = folder.join("data");
        let arguments = [
            "--config.file",
            &folder.join("weir.yml").display().to_string(),
            "--listen",
            &address.to_string(),
            "--data-dir",
            &data.display().to_string(),
        ];
        let mut gateway = Self::new(binary, &arguments, folder.join("gateway.log"), address);
        gateway.told = Some(data.join("listen.addr"));
        gateway
    }

    /// A program that is not started yet, listens there, and writes its log here.
    pub(super) fn new(
        binary: &Path,
        arguments: &[&str],
        log: PathBuf,
        address: SocketAddr,
    ) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let binary = binary.to_owned();
        Self { binary, arguments, told: None, log, clock: None, child: None, address }
    }

    /// With a clock of its own, from the next start on.
    pub(super) fn with_clock(mut self, clock: Option<Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Its clock, if it has one of its own.
    pub(super) fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// Starts it, and waits until it has told where it listens.
    pub(super) fn start(&mut self) -> Result<(), String> {
        if let Some(told) = &self.told {
            fs::remove_file(told).ok();
        }
        let log = || -> Result<File, String> {
            let mut options = OpenOptions::new();
            options.create(true).append(true).open(&self.log).map_err(|e| e.to_string())
        };
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        let child = command.spawn().map_err(|e| format!("{}: {e}", self.binary.display()))?;
        self.child = Some(child);
        let Some(told) = self.told.clone() else { return Ok(()) };
        self.until("it tells its address", |process| match told.exists() {
            _ if !process.is_running() => Err(Wait::Ended),
            true => Ok(()),
            false => Err(Wait::NotYet),
        })
    }

    /// SIGKILL, and a new start.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.start()
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
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The first line in which it panicked.
    pub(super) fn panic(&self) -> Option<String> {
        self.log().lines().find(|line| line.contains("panicked at")).map(str::to_owned)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
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
                    return Err(format!("it has ended; its log:\n{}", self.log_end()));
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
