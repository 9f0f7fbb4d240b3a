//! What scrapes say, worked out from Prometheus's scrape loop, and read back from the bodies.

mod edges;
mod twin;

use std::sync::Arc;
use std::time::Duration;

use weir_model::sample::STALE_NAN_BITS;
use weir_model::{BlockHasher, Label, Labels, Timestamp};
use weir_relabel::{Program, RelabelConfig};
use weir_wire::exposition::Format;
use weir_wire::records::decode_series;
use weir_wire::{Decompressor, Encoding, Version};

use super::*;

/// A series, a timestamp, a value's bits.
pub(super) type Said = (String, Timestamp, u64);

pub(super) struct Target {
    pub(super) scraper: Scraper,
    scratch: Scratch,
    pub(super) bodies: Vec<Body>,
}

impl Target {
    pub(in crate::scrape) fn new(settings: Settings, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|&(name, value)| Label::new(name, value));
        let labels = Labels::from_pairs(labels).unwrap();
        let scratch = Scratch::new(BlockHasher::new(7));
        Self { scraper: Scraper::new(Arc::new(settings), labels), scratch, bodies: Vec::new() }
    }

    pub(super) fn page(&mut self, time: Timestamp, page: &str) -> Outcome {
        let (scraper, scratch) = (&mut self.scraper, &mut self.scratch);
        let bodies = &mut self.bodies;
        let outcome =
            scraper.page(&attempt(time), Format::Text, page.as_bytes(), scratch, bodies).unwrap();
        scratch.flush(bodies).unwrap();
        outcome
    }

    pub(super) fn failure(&mut self, time: Timestamp, error: ScrapeError) -> Outcome {
        let (scraper, scratch) = (&mut self.scraper, &mut self.scratch);
        let outcome = scraper.failure(&attempt(time), error, scratch, &mut self.bodies).unwrap();
        scratch.flush(&mut self.bodies).unwrap();
        outcome
    }

    pub(super) fn end(&mut self, time: Timestamp) {
        self.scraper.end(time, &mut self.scratch, &mut self.bodies).unwrap();
        self.scratch.flush(&mut self.bodies).unwrap();
    }

    /// All that was said since the last time, sorted.
    pub(super) fn said(&mut self) -> Vec<Said> {
        let mut said = read(&self.bodies);
        self.bodies.clear();
        said.sort();
        said
    }

    /// The same without the report series, written to be compared.
    fn samples(&mut self) -> Vec<String> {
        let reports = |series: &String| series.starts_with("scrape_") || series.starts_with("up{");
        let said = self.said().into_iter().filter(|(series, ..)| !reports(series));
        said.map(|(series, time, bits)| format!("{series} {} {time}", number(bits))).collect()
    }

    /// The report series in their order: up, scraped, post relabelling, added.
    fn report(&self) -> Vec<f64> {
        let said = read(&self.bodies);
        let names = [
            "up",
            "scrape_samples_scraped",
            "scrape_samples_post_metric_relabeling",
            "scrape_series_added",
        ];
        let value = |name: &str| {
            let prefix = format!("{name}{{");
            let found = said.iter().rev().find(|(series, ..)| series.starts_with(&prefix));
            f64::from_bits(found.unwrap().2)
        };
        names.iter().map(|name| value(name)).collect()
    }
}

fn attempt(time: Timestamp) -> Attempt<'static> {
    Attempt { time, elapsed: &|| Duration::from_millis(250), timeout: Duration::from_secs(10) }
}

fn number(bits: u64) -> String {
    if bits == STALE_NAN_BITS { "stale".into() } else { f64::from_bits(bits).to_string() }
}

pub(super) fn read(bodies: &[Body]) -> Vec<Said> {
    let mut said = Vec::new();
    for body in bodies {
        let before = said.len();
        let mut plain = Vec::new();
        Decompressor::default()
            .decompress(Encoding::Zstd, &body.bytes, 64 << 20, &mut plain)
            .unwrap();
        decode_series(Version::V2, &plain, &mut |view| {
            let labels = Labels::from_pairs(view.labels.iter().copied()).unwrap().to_string();
            for sample in view.samples {
                said.push((labels.clone(), sample.timestamp, sample.value.to_bits()));
            }
        })
        .unwrap();
        assert_eq!(said.len() - before, body.summary.samples as usize);
    }
    said
}

pub(super) fn relabel(yaml: &str) -> Program {
    let configs: Vec<RelabelConfig> = serde_saphyr::from_str(yaml).unwrap();
    Program::compile(&configs).unwrap()
}

fn plain() -> Target {
    Target::new(Settings::default(), &[("job", "j")])
}

#[test]
fn a_first_scrape_says_its_samples_and_its_report() {
    let mut target = plain();
    let outcome = target.page(1_000, "# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} NaN\nb 2.5\n");
    assert_eq!(outcome.error, None);
    let expected = [
        ("a{job=\"j\",x=\"1\"}", 1.0),
        ("a{job=\"j\",x=\"2\"}", f64::from_bits(0x7ff8_0000_0000_0001)),
        ("b{job=\"j\"}", 2.5),
        ("scrape_duration_seconds{job=\"j\"}", 0.25),
        ("scrape_samples_post_metric_relabeling{job=\"j\"}", 3.0),
        ("scrape_samples_scraped{job=\"j\"}", 3.0),
        ("scrape_series_added{job=\"j\"}", 3.0),
        ("up{job=\"j\"}", 1.0),
    ];
    let expected = expected.map(|(series, value)| (series.to_owned(), 1_000, value.to_bits()));
    assert_eq!(target.said(), expected);
    target.page(2_000, "a{x=\"1\"} 2\na{x=\"2\"} 3\nb 4\n");
    assert_eq!(target.report(), [1.0, 3.0, 3.0, 0.0]);
    assert_eq!(
        target.samples(),
        ["a{job=\"j\",x=\"1\"} 2 2000", "a{job=\"j\",x=\"2\"} 3 2000", "b{job=\"j\"} 4 2000"]
    );
}

#[test]
fn a_series_that_vanishes_is_ended_once_and_may_come_back() {
    let mut target = plain();
    target.page(1, "a 1\nb 1\nc 1\n");
    target.said();
    target.page(2, "a 2\nc 2\n");
    assert_eq!(target.samples(), ["a{job=\"j\"} 2 2", "b{job=\"j\"} stale 2", "c{job=\"j\"} 2 2"]);
    target.page(3, "a 3\nc 3\n");
    assert_eq!(target.samples(), ["a{job=\"j\"} 3 3", "c{job=\"j\"} 3 3"]);
    let outcome = target.page(4, "a 4\nb 4\nc 4\n");
    assert_eq!(outcome.counts.series_added, 1);
    assert_eq!(target.samples(), ["a{job=\"j\"} 4 4", "b{job=\"j\"} 4 4", "c{job=\"j\"} 4 4"]);
}

#[test]
fn a_scrape_without_a_page_ends_everything_and_reports() {
    let mut target = plain();
    target.page(1, "a 1\nb 1\n");
    target.said();
    let refused = || ScrapeError::Fetch(FetchError::Status(hyper::StatusCode::NOT_FOUND));
    let outcome = target.failure(2, refused());
    assert_eq!(outcome.error.unwrap().to_string(), "server returned HTTP status 404 Not Found");
    assert_eq!(target.report(), [0.0, 0.0, 0.0, 0.0]);
    assert_eq!(target.samples(), ["a{job=\"j\"} stale 2", "b{job=\"j\"} stale 2"]);
    target.failure(3, refused());
    assert!(target.samples().is_empty());
    // As in Prometheus, what comes back is known.
    let outcome = target.page(4, "a 4\nb 4\n");
    assert_eq!(outcome.counts.series_added, 0);
    assert_eq!(target.samples(), ["a{job=\"j\"} 4 4", "b{job=\"j\"} 4 4"]);
}

#[test]
fn a_page_with_an_error_in_it_is_not_taken_at_all() {
    let mut target = plain();
    target.page(1, "a 1\nb 1\n");
    target.said();
    let outcome = target.page(2, "a 2\nnew 2\nb two\n");
    assert!(outcome.error.unwrap().to_string().starts_with("line 3"));
    // Prometheus reports what was read up to the error.
    assert_eq!(target.report(), [0.0, 2.0, 2.0, 1.0]);
    assert_eq!(target.samples(), ["a{job=\"j\"} stale 2", "b{job=\"j\"} stale 2"]);
    target.page(3, "a 3\nb 3\n");
    assert_eq!(target.samples(), ["a{job=\"j\"} 3 3", "b{job=\"j\"} 3 3"]);
}

#[test]
fn an_empty_page_is_no_failure() {
    let mut target = plain();
    target.page(1, "a 1\n");
    target.said();
    assert_eq!(target.page(2, "").error, None);
    assert_eq!(target.report(), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(target.samples(), ["a{job=\"j\"} stale 2"]);
}

#[test]
fn timestamps_of_the_page_bypass_staleness_unless_tracked() {
    let settings = |track| Settings { track_timestamps_staleness: track, ..Settings::default() };
    for (track, expected) in [(false, &[][..]), (true, &["a{} stale 60000"][..])] {
        let mut target = Target::new(settings(track), &[]);
        target.page(50_000, "a 1 49000\n");
        assert_eq!(target.samples(), ["a{} 1 49000"]);
        target.page(60_000, "b 1\n");
        assert_eq!(target.samples(), [expected, &["b{} 1 60000"]].concat());
    }
    let settings = Settings { honor_timestamps: false, ..Settings::default() };
    let mut target = Target::new(settings, &[]);
    target.page(50_000, "a 1 49000\n");
    target.page(60_000, "b 1\n");
    assert_eq!(target.samples(), ["a{} 1 50000", "a{} stale 60000", "b{} 1 60000"]);
}

#[test]
fn a_series_twice_on_a_page_counts_once() {
    let mut target = plain();
    for time in 1..3 {
        let outcome = target.page(time, "a 1\na 2\nb{x=\"1\",y=\"2\"} 3\nb{y=\"2\",x=\"1\"} 4\n");
        assert_eq!(outcome.counts.duplicates, 2);
        assert_eq!(target.report()[..3], [1.0, 4.0, 4.0]);
        let expected = [
            format!("a{{job=\"j\"}} 1 {time}"),
            format!("b{{job=\"j\",x=\"1\",y=\"2\"}} 3 {time}"),
        ];
        assert_eq!(target.samples(), expected);
    }
}

#[test]
fn another_spelling_of_a_series_is_the_same_series() {
    let mut target = plain();
    let spellings = ["a{x=\"1\",y=\"2\"}", "a{y=\"2\",x=\"1\"}", "a{ x=\"1\", y=\"2\" }"];
    for (time, spelling) in (1..).zip(spellings.iter().cycle().take(12)) {
        target.page(time, &format!("{spelling} {time}\n"));
        let expected = format!("a{{job=\"j\",x=\"1\",y=\"2\"}} {time} {time}");
        assert_eq!(target.samples(), [expected], "a marker, or a second sample");
    }
    target.page(20, "b 1\n");
    assert_eq!(target.samples(), ["a{job=\"j\",x=\"1\",y=\"2\"} stale 20", "b{job=\"j\"} 1 20"]);
}

#[test]
fn the_end_of_a_target_ends_its_report_too() {
    let mut target = plain();
    assert!(!target.scraper.has_spoken());
    target.end(1);
    assert!(target.said().is_empty(), "nothing was said that could end");
    target.page(2, "a 1\n");
    target.said();
    target.end(3);
    let said = target.said();
    assert!(said.iter().all(|&(_, time, bits)| time == 3 && bits == STALE_NAN_BITS));
    let names: Vec<&str> = said.iter().map(|(series, ..)| series.as_str()).collect();
    assert_eq!(names.len(), 6);
    assert!(names.contains(&"up{job=\"j\"}") && names.contains(&"a{job=\"j\"}"));
    target.end(4);
    assert!(target.said().is_empty());
}
