//! Debian's programs as senders and backends, each with its own folder and a free address.
//!
//! Each function starts one and, for backends, waits until it answers. What they are told is as
//! little as they need.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::processes::{Program, free_address};
use crate::{http, packages, wait};

const UP_WITHIN: Duration = Duration::from_secs(60);

/// For Prometheus and the gateway: sends at once and tries again soon.
pub const EAGER_QUEUE: &str =
    "queue_config: {batch_send_deadline: 500ms, min_backoff: 30ms, max_backoff: 500ms}";

/// A real program and where it listens.
pub struct Peer {
    /// The process.
    pub program: Program,
    /// Its HTTP address.
    pub address: SocketAddr,
}

impl Peer {
    fn start(
        name: &str,
        program: &str,
        address: SocketAddr,
        args: &[String],
        folder: &Path,
    ) -> Self {
        // Prometheus serves its metrics before it takes anything.
        let ready = if program == "prometheus" { "/-/ready" } else { "/metrics" };
        let mut command = Command::new(packages::find(program));
        let program = Program::start(name, command.args(args), folder);
        wait::until(&format!("{name} is ready at {address}"), UP_WITHIN, || {
            let answer = http::get(address, ready).map_err(|e| e.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        });
        Self { program, address }
    }

    /// Where it takes remote write.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }
}

/// A Prometheus that takes remote write, and scrapes what this configuration says.
pub fn prometheus(name: &str, config: &str, folder: &Path) -> Peer {
    let address = free_address();
    let args = [
        format!("--config.file={}", file(folder, &format!("{name}.yml"), config)),
        format!("--storage.tsdb.path={}", folder.join(name).display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".into(),
    ];
    Peer::start(name, "prometheus", address, &args, folder)
}

/// A Prometheus in agent mode at this address.
pub fn prometheus_agent(
    address: SocketAddr,
    scrape_config: &str,
    urls: &[String],
    folder: &Path,
) -> Peer {
    let mut config = format!("{scrape_config}remote_write:\n");
    for url in urls {
        config.push_str(&format!("  - {{url: '{url}', {EAGER_QUEUE}}}\n"));
    }
    let args = [
        "--enable-feature=agent".into(),
        format!("--config.file={}", file(folder, "agent.yml", &config)),
        format!("--storage.agent.path={}", folder.join("agent").display()),
        format!("--web.listen-address={address}"),
    ];
    Peer::start("agent", "prometheus", address, &args, folder)
}

/// A vmagent at this address.
pub fn vmagent(address: SocketAddr, scrape_config: &str, urls: &[String], folder: &Path) -> Peer {
    let mut args = vec![
        format!("-promscrape.config={}", file(folder, "vmagent.yml", scrape_config)),
        format!("-remoteWrite.tmpDataPath={}", folder.join("vmagent").display()),
        "-remoteWrite.flushInterval=1s".into(),
        // With more of them it sends blocks out of order after an outage, which Prometheus refuses.
        "-remoteWrite.queues=1".into(),
        format!("-httpListenAddr={address}"),
    ];
    args.extend(urls.iter().map(|url| format!("-remoteWrite.url={url}")));
    Peer::start("vmagent", "vmagent", address, &args, folder)
}

/// A VictoriaMetrics.
pub fn victoria_metrics(name: &str, folder: &Path) -> Peer {
    let address = free_address();
    let args = [
        format!("-httpListenAddr={address}"),
        format!("-storageDataPath={}", folder.join(name).display()),
        "-search.latencyOffset=0s".into(),
        "-retentionPeriod=1".into(),
    ];
    Peer::start(name, "victoria-metrics", address, &args, folder)
}

/// A node_exporter.
pub fn node_exporter(folder: &Path) -> Peer {
    let address = free_address();
    let args = [format!("--web.listen-address={address}")];
    Peer::start("node_exporter", "prometheus-node-exporter", address, &args, folder)
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}
