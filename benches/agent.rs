//! What an agent costs its host: the real binary beside Debian's Prometheus in agent mode and
//! vmagent, in the same run, each scraping the same targets and sending to a gateway of its own.
//!
//! 20 targets of 2,000 series every 5 s (`benches/src/targets.rs`). CPU is the process's own, by
//! `/proc`, over a minute in which all three run; resident memory is the highest of a reading a
//! second; bytes on the wire are the gateway's count. Then how large the binary is, and how long
//! after its start a target is asked. Needs builds of both programs: `cargo build --release --workspace
//! --bin weir-gateway`, `cargo build --profile small --workspace --bin weir-agent-lite`, then
//! `WEIR_AGENT_BIN=$PWD/target/small/weir-agent-lite cargo bench -p weir-benches --bench agent`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use weir_benches::measuring;
use weir_benches::targets::Targets;
use weir_tests::gateway::Gateway;
use weir_tests::processes::{Program, free_address};
use weir_tests::{agent, peers, wait};

/// What one program used.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    cpu: Duration,
    pages: usize,
    wire_bytes: f64,
    samples: f64,
}

/// A scraper under measurement.
struct Scraper {
    name: &'static str,
    path: &'static str,
    process: u32,
    gateway: Gateway,
    before: Use,
    resident_max_bytes: u64,
}

impl Scraper {
    fn reading(&self, targets: &Targets) -> Use {
        let page = self.gateway.metrics();
        Use {
            cpu: cpu_time(self.process),
            pages: targets.scrapes(self.path).map_or(0, |s| s.pages),
            wire_bytes: page.count("weir_received_bytes_total", &[]),
            samples: page.count("weir_received_samples_total", &[]),
        }
    }
}

#[expect(clippy::print_stdout, reason = "a bench's result")]
fn main() {
    let (count, series, interval, warm_up, measured) = if measuring() {
        (20, 2_000, "5s", Duration::from_secs(20), Duration::from_secs(60))
    } else {
        (2, 100, "1s", Duration::from_secs(1), Duration::from_secs(7))
    };
    let targets = Targets::start(count, series);
    let folder = tempfile::tempdir().expect("a folder");
    let config = |path| targets.scrape_config(path, interval);
    let gateway = || Gateway::start("", "");
    let scraper = |name, path, process, gateway| Scraper {
        name,
        path,
        process,
        gateway,
        before: Use::default(),
        resident_max_bytes: 0,
    };
    let (to_us, to_them, to_vm) = (gateway(), gateway(), gateway());
    let url = |gateway: &Gateway| format!("http://{}/api/v1/write", gateway.address());
    let ours = start_agent(&config("/weir"), &url(&to_us), folder.path());
    let theirs = peers::prometheus_agent(
        free_address(),
        &config("/prometheus"),
        &[url(&to_them)],
        folder.path(),
    );
    let vm = peers::vmagent(free_address(), &config("/vmagent"), &[url(&to_vm)], folder.path());
    let mut all = [
        scraper("weir-agent-lite", "/weir", ours.id(), to_us),
        scraper("prometheus --agent", "/prometheus", theirs.program.id(), to_them),
        scraper("vmagent", "/vmagent", vm.program.id(), to_vm),
    ];
    for one in &all {
        wait::until_true(one.name, Duration::from_secs(60), || {
            targets.scrapes(one.path).is_some_and(|s| s.pages > count)
        });
    }
    std::thread::sleep(warm_up);
    for one in &mut all {
        one.before = one.reading(&targets);
    }
    let end = Instant::now() + measured;
    while Instant::now() < end {
        for one in &mut all {
            one.resident_max_bytes = one.resident_max_bytes.max(resident_bytes(one.process));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("{count} targets of {series} series every {interval}, {measured:?} measured");
    println!("program               CPU µs a sample   resident MiB   bytes a sample on the wire");
    for one in &all {
        let (now, before) = (one.reading(&targets), one.before);
        let scraped = ((now.pages - before.pages) * series) as f64;
        let sent = now.samples - before.samples;
        assert!(scraped > 0.0 && sent > 0.0, "{}: {now:?} after {before:?}", one.name);
        println!(
            "{:<20} {:>16.3} {:>14.1} {:>28.2}",
            one.name,
            (now.cpu - before.cpu).as_secs_f64() * 1e6 / scraped,
            one.resident_max_bytes as f64 / f64::from(1 << 20),
            (now.wire_bytes - before.wire_bytes) / sent,
        );
    }
    drop((ours, theirs, vm));
    println!("binary, stripped: {:.1} MB", stripped_bytes(folder.path()) as f64 / 1e6);
    println!("start to first scrape: {:.0} ms", first_scrape().as_secs_f64() * 1e3);
}

fn start_agent(scrape_config: &str, url: &str, folder: &Path) -> Program {
    let file = folder.join("weir.yml");
    let config = format!("{scrape_config}remote_write: [{{url: '{url}'}}]\n");
    std::fs::write(&file, config).expect("configuration is written");
    let mut command = Command::new(agent::binary());
    command.arg("--config.file").arg(file);
    command.arg("--storage.agent.path").arg(folder.join("weir"));
    command.arg("--web.listen-address").arg(free_address().to_string());
    Program::start("weir-agent-lite", &mut command, folder)
}

/// From the start of the process to a target's first request, the median of five. Its place within
/// the interval is a hash, so the interval is short.
fn first_scrape() -> Duration {
    let mut all: Vec<Duration> = (0..5)
        .map(|_| {
            let targets = Targets::start(1, 100);
            let folder = tempfile::tempdir().expect("a folder");
            let nowhere = format!("http://{}/", free_address());
            let config = targets.scrape_config("/first", "10ms");
            let begin = Instant::now();
            let _agent = start_agent(&config, &nowhere, folder.path());
            let first = wait::until("the first scrape", Duration::from_secs(30), || {
                targets.scrapes("/first").ok_or_else(|| "none yet".to_owned())
            });
            first.first - begin
        })
        .collect();
    all.sort();
    all[all.len() / 2]
}

fn stripped_bytes(folder: &Path) -> u64 {
    let copy = folder.join("stripped");
    let status = Command::new("strip").arg("-o").arg(&copy).arg(agent::binary()).status();
    assert!(status.is_ok_and(|s| s.success()), "strip (binutils) does not run");
    std::fs::metadata(&copy).expect("the stripped binary").len()
}

/// User and system time of a process: `utime` and `stime` of proc(5), in ticks of 10 ms.
fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields = stat.rsplit(") ").next().expect("fields after the name").split(' ');
    let ticks: u64 = fields.skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB");
    kib << 10
}
