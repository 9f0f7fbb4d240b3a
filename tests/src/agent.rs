//! Weir's agent under test: started on a free port, killed, started again on the same.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::clocks::Clock;
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
    /// Its own, if it is not the host's.
    clock: Option<Clock>,
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

    /// [`Agent::start`] where everything but the agent's own storage is read-only, as in a container
    /// with a read-only root. `None` where the kernel lets nobody make a namespace.
    pub fn start_sealed(config: &str, folder: &Path) -> Option<Self> {
        const SEALED: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];
        let mut probe = Command::new(SEALED[0]);
        let may = probe.args(&SEALED[1..]).arg("true").output().is_ok_and(|o| o.status.success());
        if !may {
            return None;
        }
        fs::write(folder.join("weir-agent.yml"), config).expect("configuration is written");
        fs::create_dir_all(folder.join("weir-agent")).expect("its storage");
        let file = folder.join("weir-agent.yml").display().to_string();
        let origin = vec!["--config.file".to_owned(), file];
        // The folder may lie on another file system than the root does. `exec` keeps the process.
        let seal = "mount --bind \"$0/weir-agent\" \"$0/weir-agent\" && mount --rbind \"$0\" \"$0\" \
                    && mount -o remount,ro,bind \"$0\" && mount -o remount,ro,bind / \
                    && ! touch \"$0/x\" 2>/dev/null && exec \"$@\"";
        let mut sealed = SEALED.map(str::to_owned).to_vec();
        sealed.extend(["sh".to_owned(), "-c".to_owned(), seal.to_owned()]);
        sealed.push(folder.display().to_string());
        let address = free_address();
        let program = spawn_in(&sealed, address, folder, &origin, None);
        let agent = Self { program, address, folder: folder.to_owned(), origin, clock: None };
        agent.wait_ready();
        Some(agent)
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

    /// [`Agent::start`] with a clock of its own.
    pub fn start_with_clock(config: &str, folder: &Path, clock: Clock) -> Self {
        fs::write(folder.join("weir-agent.yml"), config).expect("configuration is written");
        let file = folder.join("weir-agent.yml").display().to_string();
        let origin = vec!["--config.file".to_owned(), file];
        let agent = Self::spawn_with(origin, folder, Some(clock));
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
        Self::spawn_with(origin, folder, None)
    }

    fn spawn_with(origin: Vec<String>, folder: &Path, clock: Option<Clock>) -> Self {
        let address = free_address();
        let program = spawn(address, folder, &origin, clock.as_ref());
        Self { program, address, folder: folder.to_owned(), origin, clock }
    }

    /// SIGKILL, and a new process on the same buffer and address.
    pub fn crash_and_restart(&mut self) {
        self.program.kill();
        self.program = spawn(self.address, &self.folder, &self.origin, self.clock.as_ref());
        self.wait_ready();
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.program.signal(Signal::HUP);
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

fn spawn(address: SocketAddr, folder: &Path, origin: &[String], clock: Option<&Clock>) -> Program {
    spawn_in(&[], address, folder, origin, clock)
}

/// With another command in front.
fn spawn_in(
    front: &[String],
    address: SocketAddr,
    folder: &Path,
    origin: &[String],
    clock: Option<&Clock>,
) -> Program {
    let mut words = front.iter().map(std::ffi::OsStr::new).chain([binary().as_os_str()]);
    let mut command = Command::new(words.next().expect("the binary at least"));
    command.args(words);
    command.args(origin);
    command.arg("--storage.agent.path").arg(folder.join("weir-agent"));
    command.arg("--web.listen-address").arg(address.to_string());
    command.args(["--push.enable", "--web.enable-remote-write-receiver", "--web.enable-lifecycle"]);
    if let Some(clock) = clock {
        clock.rule(&mut command);
    }
    Program::start("weir-agent-lite", &mut command, folder)
}

/// The agent's binary: `WEIR_AGENT_BIN`, or the one that cargo builds beside the tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| binaries::find("weir-agent-lite", "WEIR_AGENT_BIN"))
}
