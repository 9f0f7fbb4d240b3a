//! Facts about this process from `/proc`, under the names that every Prometheus client uses.
//!
//! Invariant: what cannot be read is left out of the scrape, not shown as 0. It deliberately knows
//! no allocator: a program that has one adds its figures as a collector of its own
//! ([`crate::Registry::set_collector`] with a closure).

use std::fs;

use crate::registry::{Collect, Registry, Scrape};

/// Reads `/proc` at each scrape. Elsewhere than on Linux it exposes nothing.
#[derive(Debug)]
pub struct ProcessCollector {
    ticks_per_second: f64,
    page_bytes: f64,
}

impl ProcessCollector {
    /// Asks the system for its units.
    pub fn new() -> Self {
        Self {
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as f64,
        }
    }
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self::new()
    }
}

/// Exposes `<program>_build_info{version,revision} 1`.
pub fn build_info(registry: &Registry, program: &str, version: &str, revision: &str) {
    registry
        .gauge_family(&format!("{program}_build_info"), "What runs: always 1.")
        .with(&[("version", version), ("revision", revision)])
        .set(1.0);
}

impl Collect for ProcessCollector {
    fn collect(&self, scrape: &mut Scrape) {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|s| Stat::parse(&s))
        {
            self.stat(&stat, scrape);
        }
        // The listing holds one descriptor itself.
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let open = open.count().saturating_sub(1) as f64;
            scrape.gauge("process_open_fds", "Number of open file descriptors.", &[], open);
        }
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        if let Some(max) = max_open_files(&limits) {
            let help = "Maximum number of open file descriptors.";
            scrape.gauge("process_max_fds", help, &[], max);
        }
    }
}

impl ProcessCollector {
    fn stat(&self, stat: &Stat, scrape: &mut Scrape) {
        let seconds = |ticks: u64| ticks as f64 / self.ticks_per_second;
        let help = "Total user and system CPU time spent in seconds.";
        let cpu = seconds(stat.cpu_ticks);
        scrape.counter_f64("process_cpu_seconds_total", help, &[], cpu);
        let help = "Resident memory size in bytes.";
        let resident = stat.resident_pages as f64 * self.page_bytes;
        scrape.gauge("process_resident_memory_bytes", help, &[], resident);
        let help = "Virtual memory size in bytes.";
        scrape.gauge("process_virtual_memory_bytes", help, &[], stat.virtual_bytes as f64);
        let help = "Number of OS threads in the process.";
        scrape.gauge("process_threads", help, &[], stat.threads as f64);
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        if let Some(boot) = boot_seconds(&boot) {
            let help = "Start time of the process since unix epoch in seconds.";
            let start = boot + seconds(stat.start_ticks);
            scrape.gauge("process_start_time_seconds", help, &[], start);
        }
    }
}

/// The fields wanted of `/proc/self/stat`; proc_pid_stat(5) numbers them from 1.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The soft limit, which is the one that bites.
fn max_open_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        soft => soft.parse().ok(),
    }
}

fn boot_seconds(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ExpositionFormat;

    #[test]
    fn reads_stat_though_the_name_holds_spaces_and_parentheses() {
        let text = "42 (we) ir (x) S 1 42 42 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 7 0 12345 \
                    1048576 33 18446744073709551615 1 1 0\n";
        let stat = Stat::parse(text).unwrap();
        let expected = Stat {
            cpu_ticks: 300,
            threads: 7,
            start_ticks: 12345,
            virtual_bytes: 1_048_576,
            resident_pages: 33,
        };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse("42 (cut) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn reads_the_soft_limit_and_the_boot_time() {
        let limits = "Limit           Soft Limit   Hard Limit   Units\n\
                      Max processes   63432        63432        processes\n\
                      Max open files  1024         524288       files\n";
        assert_eq!(max_open_files(limits), Some(1024.0));
        assert_eq!(max_open_files("Max open files unlimited unlimited files"), Some(f64::INFINITY));
        assert_eq!(max_open_files(""), None);
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }

    /// The value of an unlabelled sample in the text.
    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn tells_the_truth_about_this_process() {
        let registry = Registry::new();
        registry.set_collector("process", std::sync::Arc::new(ProcessCollector::new()));
        let text = registry.encode(ExpositionFormat::Text);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - value(&text, "process_start_time_seconds");
        assert!((-5.0..3600.0).contains(&age), "started {age} s ago");
        assert!(value(&text, "process_cpu_seconds_total") >= 0.0);
        // Three standard streams; a test binary is between 1 MiB and 4 GiB.
        assert!(value(&text, "process_open_fds") >= 3.0);
        assert!(value(&text, "process_max_fds") >= value(&text, "process_open_fds"));
        let resident = value(&text, "process_resident_memory_bytes");
        assert!((1e6..4e9).contains(&resident), "{resident}");
        assert!(value(&text, "process_virtual_memory_bytes") >= resident);
    }

    #[test]
    fn says_what_runs() {
        let registry = Registry::new();
        build_info(&registry, "weir", "1.2.3", "abc");
        let text = registry.encode(ExpositionFormat::Text);
        assert!(
            text.ends_with("weir_build_info{revision=\"abc\",version=\"1.2.3\"} 1\n"),
            "{text}"
        );
    }
}
