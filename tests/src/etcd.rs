//! A real etcd, in its own folder, on addresses that were free.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::processes::{Program, free_address};
use crate::{http, packages, wait};

const UP_WITHIN: Duration = Duration::from_secs(60);

/// One etcd.
pub struct Etcd {
    program: Program,
    client: SocketAddr,
    peer: SocketAddr,
    folder: TempDir,
}

impl Etcd {
    /// Starts one, and waits until it is healthy.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (client, peer) = (free_address(), free_address());
        let program = launch(&folder, client, peer);
        Self { program, client, peer, folder }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// A start on the same data and addresses.
    pub fn start_again(&mut self) {
        self.program = launch(&self.folder, self.client, self.peer);
    }

    /// SIGSTOP: it holds its connections, and answers nothing.
    pub fn freeze(&self) {
        self.program.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.program.signal(Signal::CONT);
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.client)
    }

    /// Asks its JSON gateway; panics if it refuses.
    pub fn ask(&self, path: &str, body: &str) -> String {
        let answer = http::post(self.client, path, &[], body.as_bytes()).expect("etcd answers");
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.text()
    }
}

fn launch(folder: &TempDir, client: SocketAddr, peer: SocketAddr) -> Program {
    let mut command = Command::new(packages::find("etcd"));
    let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
    command.arg("--data-dir").arg(folder.path().join("data"));
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--name", "only", "--initial-cluster", &format!("only={peer_url}")]);
    let program = Program::start("etcd", &mut command, folder.path());
    wait::until("etcd is healthy", UP_WITHIN, || {
        let answer = http::get(client, "/health").map_err(|e| e.to_string())?;
        let text = answer.text();
        text.contains("true").then_some(()).ok_or(text)
    });
    program
}
