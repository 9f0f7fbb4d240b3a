//! A real etcd, in its own folder, on addresses that were free.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::processes::{Program, free_address};
use crate::{http, packages, wait};

const UP_WITHIN: Duration = Duration::from_secs(60);

/// One etcd.
pub struct Etcd {
    program: Option<Program>,
    client: SocketAddr,
    peer: SocketAddr,
    folder: TempDir,
    is_secured: bool,
}

impl Etcd {
    /// Starts one, and waits until it is healthy.
    pub fn start() -> Self {
        Self::launch(None)
    }

    /// Starts one that speaks TLS, and only with clients that this authority has signed.
    pub fn start_secured(authority: &Authority) -> Self {
        Self::launch(Some(authority))
    }

    fn launch(authority: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(authority) = authority {
            authority.issue(folder.path());
        }
        let (client, peer) = (free_address(), free_address());
        let is_secured = authority.is_some();
        let mut etcd = Self { program: None, client, peer, folder, is_secured };
        etcd.start_again();
        etcd
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// A start on the same data and addresses.
    pub fn start_again(&mut self) {
        let (url, peer) = (self.url(), format!("http://{}", self.peer));
        let mut command = Command::new(packages::find("etcd"));
        command.current_dir(self.folder.path()).args(["--data-dir", "data", "--name", "only"]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("only={peer}")]);
        // Its health without TLS, too.
        let health = if self.is_secured { free_address() } else { self.client };
        if self.is_secured {
            command.args(["--listen-metrics-urls", &format!("http://{health}")]);
            command.args(["--cert-file", "own.crt", "--key-file", "own.key"]);
            command.args(["--trusted-ca-file", "ca.crt", "--client-cert-auth"]);
        }
        self.program = Some(Program::start("etcd", &mut command, self.folder.path()));
        wait::until("etcd is healthy", UP_WITHIN, || {
            let answer = http::get(health, "/health").map_err(|e| e.to_string())?;
            let text = answer.text();
            text.contains("true").then_some(()).ok_or(text)
        });
    }

    /// SIGSTOP: it holds its connections, and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.program.as_ref().expect("it runs").signal(signal);
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        let scheme = if self.is_secured { "https" } else { "http" };
        format!("{scheme}://{}", self.client)
    }

    /// Asks its JSON gateway; panics if it refuses.
    pub fn ask(&self, path: &str, body: &str) -> String {
        let answer = http::post(self.client, path, &[], body.as_bytes()).expect("etcd answers");
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.text()
    }
}
