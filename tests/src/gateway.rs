//! The program under test: built once, started on a free port, killed, started again on the same.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::metrics::Page;
use crate::processes::Program;
use crate::wait;
use crate::{binaries, http};

/// How long a start may take, replay included, on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(60);

/// A gateway and its folder.
pub struct Gateway {
    // Before its folder, so that the log is still there when the process is dropped.
    program: Option<Program>,
    address: SocketAddr,
    folder: TempDir,
    mutation: Option<&'static str>,
}

impl Gateway {
    /// Starts one with this configuration (without `listen`, `data_dir` and `rule_files`, which
    /// are added) and these rules, and waits until it is ready.
    pub fn start(config: &str, rules: &str) -> Self {
        let mut gateway = Self::prepare(config, rules);
        gateway.launch();
        gateway
    }

    /// Makes its folder, and starts nothing yet.
    pub fn prepare(config: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("data")).expect("data folder");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let gateway = Self { folder, address: nowhere, program: None, mutation: None };
        gateway.configure(config, rules);
        gateway
    }

    /// The first start of one that was prepared; waits until it is ready.
    pub fn launch(&mut self) {
        self.spawn();
        self.wait_started();
    }

    /// Where one that was prepared, and never started, is to be reached.
    pub fn settle(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Waits until one that was spawned has told its address and is ready.
    pub fn wait_started(&mut self) {
        self.address = self.wait_address();
        self.wait_ready();
    }

    /// From its next start on it makes this mistake (`crates/model/src/mutation.rs`).
    pub fn mutate(&mut self, mutation: Option<&'static str>) {
        self.mutation = mutation;
    }

    /// Writes configuration and rules; whoever runs sees them after a reload.
    pub fn configure(&self, config: &str, rules: &str) {
        let rules_file = self.folder.path().join("rules.yml");
        fs::write(&rules_file, rules).expect("rules are written");
        let named = if rules.is_empty() {
            String::new()
        } else {
            format!("rule_files: [{:?}]\n", rules_file)
        };
        fs::write(self.config_file(), format!("{named}{config}"))
            .expect("configuration is written");
    }

    /// Starts the process again (or for the first time), on the address it had. Does not wait.
    pub fn spawn(&mut self) {
        self.spawn_with(&[]);
    }

    /// Starts it so that it ends itself, as by SIGKILL, at its `passes`th pass through a point.
    pub fn spawn_doomed(&mut self, point: &str, passes: i64) {
        self.spawn_with(&[("WEIR_CRASH_AT", format!("{point}:{passes}"))]);
    }

    /// Starts it so that it loses a sample inside at its `passes`th pass through a point, and waits
    /// until it is ready.
    pub fn spawn_losing(&mut self, point: &str, passes: i64) {
        self.spawn_with(&[("WEIR_LOSE_AT", format!("{point}:{passes}"))]);
        self.wait_address();
        self.wait_ready();
    }

    fn spawn_with(&mut self, environment: &[(&str, String)]) {
        fs::remove_file(self.address_file()).ok();
        let mut command = Command::new(binary());
        command.arg("--config.file").arg(self.config_file());
        command.arg("--listen").arg(self.address.to_string());
        command.arg("--data-dir").arg(self.data_dir());
        command.env("RUST_BACKTRACE", "1");
        command.envs(self.mutation.map(|name| ("WEIR_MUTATION", name)));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.program = Some(Program::start("weir-gateway", &mut command, self.folder.path()));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.program().kill();
    }

    /// SIGKILL, and nothing is left of its data.
    pub fn lose_disk(&mut self) {
        self.kill();
        fs::remove_dir_all(self.data_dir()).expect("its data goes");
        fs::create_dir(self.data_dir()).expect("data folder");
    }

    /// SIGKILL, start, wait until ready.
    pub fn crash_and_restart(&mut self) {
        self.kill();
        self.spawn();
        self.wait_started();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of the test's own, beside the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process.
    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("it was started")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }

    /// SIGHUP.
    pub fn hang_up(&mut self) {
        self.program().signal(Signal::HUP);
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        self.program().signal(Signal::TERM);
    }

    /// Its `/metrics`; panics if it does not answer.
    pub fn metrics(&self) -> Page {
        let answer = http::get(self.address, "/metrics").expect("/metrics answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Page::parse(&answer.text())
    }

    /// Waits until a condition on its metrics holds.
    pub fn wait_metrics(
        &self,
        what: &str,
        within: Duration,
        mut holds: impl FnMut(&Page) -> bool,
    ) -> Page {
        wait::until(what, within, || {
            let page = self.metrics();
            if holds(&page) { Ok(page) } else { Err("not yet by its metrics".into()) }
        })
    }

    /// Waits until all windows up to an event time (milliseconds) are closed.
    pub fn wait_frontier(&self, to_ms: i64, within: Duration) {
        let what = format!("the frontier passes {to_ms}");
        wait::until(&what, within, || {
            let frontier = self.metrics().get("weir_frontier_seconds", &[]);
            let reached = frontier.is_some_and(|f| f * 1000.0 >= to_ms as f64);
            reached.then_some(()).ok_or_else(|| format!("it is at {frontier:?}"))
        });
    }

    /// Panics unless the audit adds up. Samples in flight are waited for.
    pub fn assert_audited(&self) {
        wait::until("the audit adds up", Duration::from_secs(60), || {
            match self.metrics().get("weir_audit_imbalance_samples", &[]) {
                Some(0.0) => Ok(()),
                other => Err(format!("weir_audit_imbalance_samples is {other:?}")),
            }
        });
    }

    /// Waits until it is ready.
    pub fn wait_ready(&mut self) {
        let address = self.address;
        wait::until("the gateway is ready", START_WITHIN, || {
            assert!(self.program().is_running(), "the gateway has ended");
            let answer = http::get(address, "/-/ready").map_err(|e| e.to_string())?;
            (answer.status == 200).then_some(()).ok_or_else(|| answer.text())
        });
    }

    fn wait_address(&mut self) -> SocketAddr {
        let file = self.address_file();
        wait::until("the gateway tells its address", START_WITHIN, || {
            assert!(self.program().is_running(), "the gateway has ended");
            let text = fs::read_to_string(&file).map_err(|e| e.to_string())?;
            text.trim().parse().map_err(|e| format!("{text:?}: {e}"))
        })
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("weir.yml")
    }

    fn address_file(&self) -> PathBuf {
        self.data_dir().join("listen.addr")
    }
}

/// A configuration with one destination that is written to at once, and this grace.
pub fn sending_to(url: &str, grace: &str, more_of_the_destination: &str) -> String {
    format!(
        "windows: {{grace: {grace}}}\n\
         remote_write:\n  - url: {url}\n    name: sink\n{more_of_the_destination}    queue_config: \
         {{batch_send_deadline: 100ms, min_backoff: 20ms, max_backoff: 200ms}}\n"
    )
}

/// The gateway's binary: `WEIR_GATEWAY_BIN`, or the one that cargo builds beside the tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| binaries::find("weir-gateway", "WEIR_GATEWAY_BIN"))
}
