//! Weir's agent under test: started on a free port, killed, started again on the same.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::metrics::Page;
use crate::processes::{Program, free_address};
use crate::{binaries, http, wait};

const UP_WITHIN: Duration = Duration::from_secs(60);

/// An agent; its folder is the caller's.
pub struct Agent {
    program: Program,
    address: SocketAddr,
    folder: PathBuf,
    /// Where its configuration comes from.
    origin: Vec<String>,
}

impl Agent {
    /// Starts one with this configuration, and waits until it is ready.
    pub fn start(config: &str, folder: &Path) -> Self {
        Self::start_with(config, folder, &[])
    }

    /// As [`Agent::start`], with more flags.
    pub fn start_with(config: &str, folder: &Path, flags: &[&str]) -> Self {
        fs::write(folder.join("weir-agent.yml"), config).expect("configuration is written");
        let file = folder.join("weir-agent.yml").display().to_string();
        let mut origin = vec!["--config.file".to_owned(), file];
        origin.extend(flags.iter().map(|&flag| flag.to_owned()));
        let agent = Self::spawn(origin, folder);
        agent.wait_ready();
        agent
    }

    /// [`Agent::start`] for one of several on this host.
    pub fn start_named(name: &str, config: &str, folder: &Path) -> Self {
        fs::write(folder.join("weir-agent.yml"), config).expect("configuration is written");
        let file = folder.join("weir-agent.yml").display().to_string();
        let origin = ["--config.file", &file, "--agent.name", name].map(String::from);
        let agent = Self::spawn(origin.into(), folder);
        agent.wait_ready();
        agent
    }

    /// Starts one of this name and these labels that gets its configuration from a gateway, and waits
    /// until it is ready; which does not mean that it has one.
    pub fn start_central(gateway: &str, name: &str, labels: &[&str], folder: &Path) -> Self {
        let mut origin: Vec<String> =
            ["--gateway", gateway, "--agent.name", name].map(Into::into).into();
        origin.extend(["--gateway.poll-interval=1s", "--buffer.max-size=16MiB"].map(Into::into));
        origin.extend(labels.iter().map(|label| format!("--agent.label={label}")));
        // Where there are many, an address that was free may be taken by a connection meanwhile.
        wait::until("an agent starts", UP_WITHIN, || {
            let mut agent = Self::spawn(origin.clone(), folder);
            wait::until("the agent is ready, or has ended", UP_WITHIN, || {
                let ready = http::get(agent.address, "/-/ready").is_ok_and(|a| a.status == 200);
                let known = ready || !agent.program.is_running();
                known.then_some(ready).ok_or_else(|| "neither".to_owned())
            })
            .then_some(agent)
            .ok_or_else(|| "its address is taken".to_owned())
        })
    }

    fn spawn(origin: Vec<String>, folder: &Path) -> Self {
        let address = free_address();
        let program = spawn(address, folder, &origin);
        Self { program, address, folder: folder.to_owned(), origin }
    }

    /// SIGKILL, and a new process on the same buffer and address.
    pub fn crash_and_restart(&mut self) {
        self.program.kill();
        self.program = spawn(self.address, &self.folder, &self.origin);
        self.wait_ready();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) {
        self.program.signal(Signal::TERM);
        wait::until_true("the agent ends", UP_WITHIN, || !self.program.is_running());
    }

    /// Bytes of memory that it holds now.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("VmRSS in kB") << 10
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its `/metrics`.
    pub fn metrics(&self) -> Page {
        let answer = http::get(self.address, "/metrics").expect("/metrics answers");
        Page::parse(&answer.text())
    }

    fn wait_ready(&self) {
        wait::until("the agent is ready", UP_WITHIN, || {
            let answer = http::get(self.address, "/-/ready").map_err(|e| e.to_string())?;
            (answer.status == 200).then_some(()).ok_or_else(|| answer.text())
        });
    }
}

fn spawn(address: SocketAddr, folder: &Path, origin: &[String]) -> Program {
    let mut command = Command::new(binary());
    command.args(origin);
    command.arg("--storage.agent.path").arg(folder.join("weir-agent"));
    command.arg("--web.listen-address").arg(address.to_string());
    command.args(["--push.enable", "--web.enable-remote-write-receiver", "--web.enable-lifecycle"]);
    Program::start("weir-agent-lite", &mut command, folder)
}

/// The agent's binary: `WEIR_AGENT_BIN`, or the one that cargo builds beside the tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| binaries::find("weir-agent-lite", "WEIR_AGENT_BIN"))
}
