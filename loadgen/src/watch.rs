//! Looking at the gateway while it works: its CPU, its memory, its queues, what it saves.
//!
//! Reads `/metrics` of the target, and `/proc` where the process is on this machine. What cannot be
//! seen is absent, never 0; of several gateways it is the sum, if all of them can be seen. Invariant: looking never delays the load; it has a thread of its own,
//! and a metrics page that hangs costs two seconds of not seeing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use weir_http::{Client, ClientConfig, HeaderMap, Uri};

use crate::sender::Endpoint;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
const PAGE_WITHIN: Duration = Duration::from_secs(2);

/// What was seen at one moment. Counters count from the process's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sight {
    /// CPU time, seconds.
    pub cpu: Option<f64>,
    /// Resident memory, bytes.
    pub resident: Option<f64>,
    /// Age of the oldest sample that a destination has not got, seconds.
    pub queue_lag: Option<f64>,
    /// Samples that the gateway counted.
    pub received: Option<f64>,
    /// Samples that it sends on: outputs of rules, and what no rule takes.
    pub sent_on: Option<f64>,
    /// Series that it knows to be alive.
    pub active_series: Option<f64>,
}

impl Sight {
    /// Both together; absent is what either does not show.
    fn and(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self {
            cpu: sum(self.cpu, other.cpu),
            resident: sum(self.resident, other.resident),
            queue_lag: self.queue_lag.zip(other.queue_lag).map(|(a, b)| a.max(b)),
            received: sum(self.received, other.received),
            sent_on: sum(self.sent_on, other.sent_on),
            active_series: sum(self.active_series, other.active_series),
        }
    }
}

/// Looks until it is dropped.
pub struct Watcher {
    newest: Arc<Mutex<Sight>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Begins; comes back after a first look.
    pub fn start(endpoint: &Endpoint, metrics: Option<Uri>, pid: Option<u32>) -> Self {
        let (newest, stopping) = (Arc::<Mutex<Sight>>::default(), Arc::<AtomicBool>::default());
        let mut eyes: Vec<Eyes> =
            endpoint.places().map(|place| Eyes::new(&place, metrics.clone(), pid)).collect();
        let keep = |newest: &Mutex<Sight>, sight| {
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = sight;
        };
        keep(&newest, look(&mut eyes));
        let (shown, stop) = (Arc::clone(&newest), Arc::clone(&stopping));
        let work = move || {
            let mut next = Instant::now() + EVERY;
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                if Instant::now() >= next {
                    keep(&shown, look(&mut eyes));
                    next += EVERY;
                }
            }
        };
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(work).ok();
        Self { newest, stopping, thread }
    }

    /// What it saw last.
    pub fn sight(&self) -> Sight {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic could have hurt.
            thread.join().ok();
        }
    }
}

fn look(eyes: &mut [Eyes]) -> Sight {
    eyes.iter_mut().map(Eyes::look).reduce(Sight::and).unwrap_or_default()
}

struct Eyes {
    pid: Option<u32>,
    page: Option<(tokio::runtime::Runtime, Client, Uri)>,
    headers: HeaderMap,
}

impl Eyes {
    fn new(endpoint: &Endpoint, metrics: Option<Uri>, pid: Option<u32>) -> Self {
        let url = metrics.or_else(|| {
            let scheme = endpoint.url.scheme_str()?;
            format!("{scheme}://{}/metrics", endpoint.authority()).parse().ok()
        });
        let config = ClientConfig { reply_bytes_max: 16 << 20, ..ClientConfig::default() };
        let client = endpoint.client(config).ok();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        let page =
            runtime.zip(client).zip(url).map(|((runtime, client), url)| (runtime, client, url));
        Self { pid, page, headers: endpoint.header_map() }
    }

    fn look(&mut self) -> Sight {
        let mut sight = self.page().map(|page| read_page(&page)).unwrap_or_default();
        if let Some((cpu, resident)) = self.pid.and_then(process) {
            sight.cpu = Some(cpu);
            sight.resident = Some(resident);
        }
        sight
    }

    fn page(&self) -> Option<String> {
        let (runtime, client, url) = self.page.as_ref()?;
        let reply = runtime.block_on(client.get(url, self.headers.clone(), PAGE_WITHIN)).ok()?;
        let is_page = reply.status.as_u16() == 200;
        is_page.then(|| String::from_utf8_lossy(&reply.body).into_owned())
    }
}

/// Sums over labels, but for the lag, where the greatest counts.
fn read_page(page: &str) -> Sight {
    let mut sums: HashMap<&str, f64> = HashMap::new();
    let (mut passed, mut lag) = (None, None::<f64>);
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let name = series.split('{').next().unwrap_or_default();
        *sums.entry(name).or_default() += value;
        if name == "weir_samples_total" && series.contains("class=\"passed\"") {
            *passed.get_or_insert(0.0) += value;
        }
        if name == "weir_remote_lag_seconds" {
            lag = Some(lag.unwrap_or(0.0).max(value));
        }
    }
    let get = |name: &str| sums.get(name).copied();
    let emitted = get("weir_emitted_samples_total");
    Sight {
        cpu: get("process_cpu_seconds_total"),
        resident: get("process_resident_memory_bytes"),
        queue_lag: lag,
        received: get("weir_received_samples_total"),
        sent_on: emitted.map(|emitted| emitted + passed.unwrap_or(0.0)),
        active_series: get("weir_active_series"),
    }
}

/// CPU seconds and resident bytes of a process on this machine.
pub fn process(pid: u32) -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows does not.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let cpu = (ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64;
    let pages = ticks(21)?;
    Some((cpu, pages * rustix::param::page_size() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_summed() {
        let page = "# TYPE x counter\nweir_received_samples_total{tenant=\"a\"} 10\n\
            weir_received_samples_total{tenant=\"b\"} 5\nweir_emitted_samples_total 2\n\
            weir_samples_total{tenant=\"a\",class=\"passed\"} 3\n\
            weir_samples_total{tenant=\"a\",class=\"folded\"} 12\n\
            weir_remote_lag_seconds{destination=\"a\"} 1\n\
            weir_remote_lag_seconds{destination=\"b\"} 4\nprocess_cpu_seconds_total 1.5\n";
        let sight = read_page(page);
        assert_eq!((sight.received, sight.sent_on), (Some(15.0), Some(5.0)));
        assert_eq!((sight.queue_lag, sight.cpu, sight.resident), (Some(4.0), Some(1.5), None));
        assert_eq!(read_page("<html>"), Sight::default());
    }

    #[test]
    fn several_are_summed_where_all_are_seen() {
        let one = Sight { cpu: Some(1.0), queue_lag: Some(4.0), ..Sight::default() };
        let other = Sight { cpu: Some(2.0), queue_lag: Some(3.0), resident: Some(5.0), ..one };
        let both = one.and(other);
        assert_eq!((both.cpu, both.queue_lag, both.resident), (Some(3.0), Some(4.0), None));
    }

    #[test]
    fn this_process_uses_memory() {
        let (cpu, resident) = process(std::process::id()).expect("Linux");
        assert!(cpu >= 0.0 && resident > 1e6);
        assert_eq!(process(u32::MAX), None);
    }
}
