//! One agent among faults: its process, its buffer's disk, its configuration, and when it may have lost
//! what it had scraped.
//!
//! A kill costs what was not in the buffer yet, a full disk what finds no room, a stop in order the
//! scrape in hand. Invariant: every such time is noted, and none beside them.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::disk::Disk;
use super::pause;
use super::processes::{Process, WITHIN};
use super::target::Target;
use crate::clock::now_ms;
use crate::ports::lasting_address;

/// What the buffer may take where it is a disk of its own.
const DISK_MIB: u32 = 8;
/// How much of what was scraped before a kill may not be in the buffer: the beat of a second, how long
/// it waits for scrapes, and its sync.
const BEAT_MS: i64 = 3_000;
/// The same of an orderly end: a scrape.
const SCRAPE_MS: i64 = 1_000;
/// What the agent's sending is told, beside where to.
const QUICK: &str = "remote_timeout: 3s, queue_config: {batch_send_deadline: 100ms, \
                     min_backoff: 30ms, max_backoff: 300ms}";
/// Of targets; a timeout is half.
pub(super) const INTERVAL_MS: i64 = 500;

/// An agent and its folder.
pub(super) struct Agent {
    // Before its disk: it is gone when that is unmounted.
    pub(super) process: Process,
    disk: Disk,
    /// Its configuration.
    file: PathBuf,
    /// Where it sends.
    sending: String,
    /// From when to when what was scraped may be lost, milliseconds.
    gaps: Vec<(i64, i64)>,
}

impl Agent {
    /// One that scrapes these targets and sends to a tier and to a witness; not started yet.
    pub(super) fn prepare(
        binary: &Path,
        folder: &Path,
        targets: &[(String, &Target)],
        (tier, witness): (SocketAddr, &str),
    ) -> Result<Self, String> {
        let buffer = folder.join("buffer");
        let disk = Disk::mount(&buffer, DISK_MIB)?;
        let (file, sending) = (folder.join("agent.yml"), sending(tier, witness));
        fs::write(&file, scraping(targets) + &sending).map_err(|e| e.to_string())?;
        let listen = lasting_address().map_err(|e| format!("no free port: {e}"))?;
        let name = folder.file_name().unwrap_or_default().display().to_string();
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.agent.path={}", buffer.display()),
            format!("--web.listen-address={listen}"),
            format!("--agent.name={name}"),
            // Segments of 1 MiB.
            "--buffer.max-size=16MiB".to_owned(),
            "--storage.remote.flush-deadline=60s".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = Process::new(binary, &arguments, folder.join("agent.log"), listen);
        Ok(Self { process, disk, file, sending, gaps: Vec::new() })
    }

    /// Whether its disk can be filled.
    pub(super) fn disk_can_be_filled(&self) -> bool {
        self.disk.can_be_filled()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        let before = now_ms() - BEAT_MS;
        self.process.kill();
        self.gaps.push((before, now_ms()));
    }

    /// SIGTERM, and waits for its end: it delivers what it can, and keeps the rest in its buffer.
    pub(super) fn terminate(&mut self) -> Result<(), String> {
        let before = now_ms() - SCRAPE_MS;
        let ended = self.process.terminate();
        self.gaps.push((before, now_ms()));
        ended
    }

    /// Starts one that has ended without targets, until it has delivered what was left in its buffer.
    pub(super) fn deliver(&mut self) -> Result<(), String> {
        fs::write(&self.file, &self.sending).map_err(|e| e.to_string())?;
        self.process.start()?;
        self.process.wait_ready()?;
        let began = Instant::now();
        while self.process.metric("weir_agent_send_lag_frames") != Some(0.0) {
            if began.elapsed() > WITHIN {
                return Err("an agent does not deliver what it has".into());
            }
            pause(100);
        }
        self.terminate()
    }

    /// Fills its disk for some time.
    pub(super) fn fill_disk(&mut self, wait: impl Fn()) -> Result<(), String> {
        let before = now_ms() - BEAT_MS;
        self.disk.fill()?;
        wait();
        let freed = self.disk.free();
        self.gaps.push((before, now_ms() + BEAT_MS));
        freed
    }

    /// Whether what was scraped in this time may be lost.
    pub(super) fn may_lack(&self, from: i64, to: i64) -> bool {
        self.gaps.iter().any(|&(begin, end)| from <= end && to >= begin)
    }
}

fn scraping(targets: &[(String, &Target)]) -> String {
    let mut config = format!(
        "global: {{scrape_interval: {INTERVAL_MS}ms, scrape_timeout: {}ms}}\n\
         scrape_configs:\n  - job_name: field\n    static_configs:\n",
        INTERVAL_MS / 2
    );
    for (number, (instance, target)) in targets.iter().enumerate() {
        let zone = if number % 2 == 0 { "even" } else { "odd" };
        let labels = format!("{{instance: {instance:?}, zone: {zone}}}");
        // A string takes all.
        writeln!(
            config,
            "      - {{targets: [{:?}], labels: {labels}}}",
            target.address.to_string()
        )
        .ok();
    }
    config
}

fn sending(tier: SocketAddr, witness: &str) -> String {
    format!(
        "remote_write:\n  - {{name: tier, url: 'http://{tier}/api/v1/write', {QUICK}}}\n  \
         - {{name: witness, url: '{witness}', {QUICK}}}\n"
    )
}
