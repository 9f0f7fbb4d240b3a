//! Scrape targets for whole programs: pages of counters, gauges and classic histograms that move,
//! served over HTTP/1.1 with kept connections, each scrape counted by who asked.
//!
//! A scraper is told apart by its path (`/weir`, `/prometheus`, …). Pages are written before
//! anything is measured, `ROUNDS` for each target, and served in turn. Served plain, without gzip:
//! whoever runs beside the scraper takes none of its CPU for packing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Different pages of a target, served one after the other.
const ROUNDS: usize = 6;
/// Lines of a histogram: buckets, sum and count.
const HISTOGRAM_SERIES: usize = 12;

/// Some targets, each on its own port of loopback. They serve until the process ends.
#[derive(Debug)]
pub struct Targets {
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    scrapes: Arc<Mutex<BTreeMap<String, Scrapes>>>,
}

/// What a scraper has asked for.
#[derive(Clone, Copy, Debug)]
pub struct Scrapes {
    /// Pages served.
    pub pages: usize,
    /// When it asked first.
    pub first: Instant,
}

impl Targets {
    /// Starts `count` targets of `series` series each.
    pub fn start(count: usize, series: usize) -> Self {
        let scrapes = Arc::default();
        let serve = |target| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("its address");
            let pages: Vec<String> = (0..ROUNDS).map(|round| page(target, series, round)).collect();
            let (pages, scrapes) = (Arc::new(pages), Arc::clone(&scrapes));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (pages, scrapes) = (Arc::clone(&pages), Arc::clone(&scrapes));
                    // A scraper that goes away ends its connection only.
                    std::thread::spawn(move || answer_all(stream, &pages, &scrapes).ok());
                }
            });
            address
        };
        Self { addresses: (0..count).map(serve).collect(), scrapes }
    }

    /// What a scraper has asked for; `None` before it came.
    pub fn scrapes(&self, path: &str) -> Option<Scrapes> {
        self.scrapes.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied()
    }

    /// A `scrape_configs` section for them, by this path.
    pub fn scrape_config(&self, path: &str, interval: &str) -> String {
        let targets: Vec<String> = self.addresses.iter().map(|a| format!("'{a}'")).collect();
        format!(
            "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n\
             scrape_configs:\n  - {{job_name: service, metrics_path: {path}, \
             static_configs: [{{targets: [{}]}}]}}\n",
            targets.join(", ")
        )
    }
}

fn answer_all(
    mut stream: TcpStream,
    pages: &[String],
    scrapes: &Mutex<BTreeMap<String, Scrapes>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line.trim_end() != "" {
            line.clear();
            if from.by_ref().read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let turn = {
            let mut all = scrapes.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = all.entry(path).or_insert(Scrapes { pages: 0, first: Instant::now() });
            mine.pages += 1;
            mine.pages
        };
        let page = &pages[turn % pages.len()];
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n",
            page.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(page.as_bytes())?;
    }
}

/// A third of the series each counters, gauges and histograms; about a third of the values stay
/// between rounds.
fn page(target: usize, series: usize, round: usize) -> String {
    let mut page = String::new();
    let histograms = series / 3 / HISTOGRAM_SERIES;
    let plain = series - histograms * HISTOGRAM_SERIES;
    for i in 0..plain {
        let (family, child) = (i / 20, i % 20);
        let is_counter = family % 2 == 0;
        if child == 0 {
            let (name, kind) = family_of(family, is_counter);
            line(&mut page, format_args!("# HELP {name} What part {family} of the service did."));
            line(&mut page, format_args!("# TYPE {name} {kind}"));
        }
        let (name, _) = family_of(family, is_counter);
        let grown = if i % 3 == 0 { 0 } else { round * (i % 89 + target) };
        let labels = format_args!(
            "method=\"GET\",handler=\"/api/v1/resource/{child}\",code=\"{}\"",
            200 + child % 4
        );
        if is_counter {
            line(&mut page, format_args!("{name}{{{labels}}} {}", i * 7919 + grown));
        } else {
            let value = (i as f64).sqrt() * 1e-3 + grown as f64 * 0.125;
            line(&mut page, format_args!("{name}{{{labels}}} {value}"));
        }
    }
    for histogram in 0..histograms {
        histogram_lines(&mut page, histogram, round * (histogram % 3));
    }
    page
}

fn family_of(family: usize, is_counter: bool) -> (String, &'static str) {
    if is_counter {
        (format!("service_part_{family}_requests_total"), "counter")
    } else {
        (format!("service_part_{family}_queue_seconds"), "gauge")
    }
}

fn histogram_lines(page: &mut String, histogram: usize, round: usize) {
    const BOUNDS: [&str; 10] =
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "5", "+Inf"];
    const NAME: &str = "service_latency_seconds";
    if histogram == 0 {
        line(page, format_args!("# HELP {NAME} How long an answer took."));
        line(page, format_args!("# TYPE {NAME} histogram"));
    }
    let handler = format!("handler=\"/api/v1/resource/{histogram}\"");
    let mut count = 0;
    for (i, bound) in BOUNDS.iter().enumerate() {
        count += 100 * i + round * i;
        line(page, format_args!("{NAME}_bucket{{{handler},le=\"{bound}\"}} {count}"));
    }
    let sum = count as f64 * 0.0625 + 0.001;
    line(page, format_args!("{NAME}_sum{{{handler}}} {sum}"));
    line(page, format_args!("{NAME}_count{{{handler}}} {count}"));
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).and_then(|()| page.write_char('\n')).expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_series_that_were_asked_for() {
        for (series, round) in [(2_000, 0), (2_000, 5), (100, 1)] {
            let page = page(3, series, round);
            let lines: Vec<&str> = page.lines().filter(|l| !l.starts_with('#')).collect();
            assert_eq!(lines.len(), series);
            let names = lines.iter().filter_map(|l| l.split(' ').next());
            assert_eq!(names.collect::<std::collections::BTreeSet<_>>().len(), series);
        }
    }
}
