//! Pages from frames in a real journal, as text.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Poisoned};
use weir_model::{Label, Metadata, MetricType, STALE_NAN, Sample};
use weir_remote::{FrameHeader, FrameKind};
use weir_telemetry::{ExpositionFormat, Registry};
use weir_wire::encode::v2::Writer;

use super::*;

const SOON: Duration = Duration::from_secs(30);
/// 2024-01-01, in milliseconds.
const T: Timestamp = 1_704_067_200_000;
const PLENTY: u64 = 1 << 30;

struct Queue {
    journal: Arc<Journal>,
    durable: watch::Receiver<u64>,
}

/// One series of a frame: labels, (timestamp, value), metadata.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a [(Timestamp, f64)], Option<&'a Metadata>);

impl Queue {
    fn open(dir: &Path) -> Self {
        let (sender, durable) = watch::channel(0);
        let mut config = Config::new(dir);
        config.segment_bytes = 64 << 10;
        config.on_durable = Some(Arc::new(move |position: Result<u64, Poisoned>| {
            if let Ok(position) = position {
                sender.send_replace(position);
            }
        }));
        let (journal, _) = Journal::open(Arc::new(DiskFs), config).unwrap();
        Self { journal: Arc::new(journal), durable }
    }

    fn start(&self) -> Federate {
        Federate::start(Arc::clone(&self.journal), self.durable.clone(), PLENTY)
    }

    fn append(&self, payload: Vec<u8>) -> u64 {
        let room = loop {
            match self.journal.reserve(payload.len() as u64, Importance::Ordinary) {
                Ok(room) => break room,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let position = self.journal.append(room, 1, vec![payload.into()]).unwrap();
        self.journal.wait_durable(position).unwrap();
        position
    }

    fn push(&self, tenant: &str, written_ms: Timestamp, rows: &[Row<'_>]) -> u64 {
        let mut payload = Vec::new();
        FrameHeader {
            kind: FrameKind::Pass,
            source_position: 1,
            written_ms,
            tenant,
            last_of_position: true,
            recovered: false,
            atomic: false,
            encoding: None,
            lane: None,
            summary: None,
        }
        .write(&mut payload);
        let mut writer = Writer::default();
        for (labels, samples, metadata) in rows {
            let labels = labels.iter().map(|&(n, v)| Label::new(n, v));
            let samples: Vec<Sample> = samples.iter().map(|&(t, v)| Sample::new(t, v)).collect();
            writer.series(labels, &samples, &[], &[], *metadata);
        }
        writer.finish(&mut payload);
        self.append(payload)
    }
}

async fn read_through(federate: &Federate, position: u64) {
    let deadline = Instant::now() + SOON;
    while federate.read_through() < position {
        assert!(Instant::now() < deadline, "never read through {position}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn text(federate: &Federate, tenant: &str, selectors: &[&str]) -> String {
    let selectors: Vec<Selector> = selectors.iter().map(|s| s.parse().unwrap()).collect();
    let (content_type, text) = federate.page(tenant, "one", &selectors, "");
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    text
}

/// Less the empty instance of each series.
fn bare(federate: &Federate) -> String {
    text(federate, "t", &[]).replace("{instance=\"\"}", "")
}

fn said(kind: MetricType, help: &str) -> Metadata {
    Metadata { kind, help: help.to_owned(), ..Metadata::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_samples_stand_on_the_page_by_family_and_labels() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let federate = queue.start();
    let (histogram, counter) =
        (said(MetricType::Histogram, "How long."), said(MetricType::Counter, ""));
    let at = |value: f64| [(T, value)];
    let bucket = |job: &'static str, le: &'static str| {
        [("__name__", "took_seconds_bucket"), ("job", job), ("le", le)]
    };
    let (b10, b2, binf) = (bucket("a", "10"), bucket("a", "2.5"), bucket("a", "+Inf"));
    let other = bucket("b", "+Inf");
    queue.push(
        "t",
        T,
        &[
            (&[("__name__", "up"), ("job", "b")], &[(T - 10, 0.0), (T, 1.0)], None),
            (&[("__name__", "up"), ("job", "a"), ("zone", "z\"1")], &at(1.0), None),
            (&[("__name__", "took_seconds_sum"), ("job", "a")], &at(12.5), Some(&histogram)),
            (&[("__name__", "took_seconds_count"), ("job", "a")], &at(3.0), Some(&histogram)),
            (&binf, &at(3.0), Some(&histogram)),
            (&other, &at(7.0), Some(&histogram)),
            (&b10, &at(2.0), Some(&histogram)),
            (&b2, &at(1.0), Some(&histogram)),
        ],
    );
    let last = queue.push(
        "t",
        T + 5000,
        &[
            (&[("__name__", "requests_total")], &[(T + 5000, 2e6)], Some(&counter)),
            (&[("__name__", "up"), ("job", "b")], &[(T + 5000, 0.0)], None),
            // Older than what is there: it stays.
            (&[("__name__", "took_seconds_sum"), ("job", "a")], &[(T - 1, 1.0)], None),
        ],
    );
    read_through(&federate, last).await;
    let expected = "\
        # TYPE requests_total counter\n\
        requests_total{instance=\"\"} 2e+06 1704067205000\n\
        # HELP took_seconds How long.\n\
        # TYPE took_seconds histogram\n\
        took_seconds_bucket{job=\"a\",le=\"2.5\",instance=\"\"} 1 1704067200000\n\
        took_seconds_bucket{job=\"a\",le=\"10\",instance=\"\"} 2 1704067200000\n\
        took_seconds_bucket{job=\"a\",le=\"+Inf\",instance=\"\"} 3 1704067200000\n\
        took_seconds_sum{job=\"a\",instance=\"\"} 12.5 1704067200000\n\
        took_seconds_count{job=\"a\",instance=\"\"} 3 1704067200000\n\
        took_seconds_bucket{job=\"b\",le=\"+Inf\",instance=\"\"} 7 1704067200000\n\
        up{job=\"a\",zone=\"z\\\"1\",instance=\"\"} 1 1704067200000\n\
        up{job=\"b\",instance=\"\"} 0 1704067199990\n\
        up{job=\"b\",instance=\"\"} 1 1704067200000\n\
        up{job=\"b\",instance=\"\"} 0 1704067205000\n";
    assert_eq!(text(&federate, "t", &[]), expected);
    let some = text(&federate, "t", &["{job=\"b\"}", "requests_total"]);
    let expected = "\
        # TYPE requests_total counter\n\
        requests_total{instance=\"\"} 2e+06 1704067205000\n\
        # HELP took_seconds How long.\n\
        # TYPE took_seconds histogram\n\
        took_seconds_bucket{job=\"b\",le=\"+Inf\",instance=\"\"} 7 1704067200000\n\
        up{job=\"b\",instance=\"\"} 0 1704067205000\n";
    assert_eq!(some, expected);
    let requests = ["requests_total".parse().unwrap()];
    let (content_type, open) = federate.page("t", "one", &requests, "application/openmetrics-text");
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let expected =
        "# TYPE requests counter\nrequests_total{instance=\"\"} 2e+06 1704067205.000\n# EOF\n";
    assert_eq!(open, expected);
    federate.stop().await;
}

/// Windows of ten seconds, one scraper that comes as often, and others that come later.
#[tokio::test(flavor = "multi_thread")]
async fn each_scraper_is_shown_every_window_once() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let federate = queue.start();
    let (sum, wide) = ([("__name__", "sum"), ("instance", "i")], [("__name__", "wide")]);
    let times = |page: (&str, String)| -> Vec<i64> {
        let seconds = |line: &str| (line[line.len() - 13..].parse::<i64>().unwrap() - T) / 1000;
        page.1.lines().map(seconds).collect()
    };
    let of_sum: [Selector; 1] = ["sum".parse().unwrap()];
    for second in (10..=120).step_by(10) {
        let at = T + second * 1000;
        let mut last = queue.push("t", at, &[(&sum, &[(at, second as f64)], None)]);
        if second == 60 {
            // A window of a minute goes out later than one of ten seconds that ends with it.
            last = queue.push("t", at, &[(&wide, &[(T + 1, 0.0), (at, 1.0)], None)]);
        }
        read_through(&federate, last).await;
        assert_eq!(times(federate.page("t", "often", &of_sum, "")), [second]);
    }
    let all: Vec<i64> = (10..=120).step_by(10).collect();
    assert_eq!(times(federate.page("t", "new", &of_sum, "")), all);
    let page = federate.page("t", "seldom", &[], "").1;
    let begin = page.find("wide").unwrap();
    assert_eq!(
        &page[begin..],
        "wide{instance=\"\"} 0 1704067200001\nwide{instance=\"\"} 1 1704067260000\n"
    );
    let unseen = || federate.shared.counts.earlier.load(Ordering::Relaxed);
    assert_eq!(unseen(), 12, "others may be on their way");
    for second in [200, 320] {
        let at = T + second * 1000;
        let last = queue.push("t", at, &[(&sum, &[(at, 1.0)], None)]);
        read_through(&federate, last).await;
        for scraper in ["often", "new"] {
            assert_eq!(times(federate.page("t", scraper, &of_sum, "")), [second]);
        }
        federate.page("t", "seldom", &[], "");
    }
    assert_eq!(unseen(), 0, "all have come, and have seen all");
    for second in [330, 340, 350] {
        let at = T + second * 1000;
        queue.push("t", at, &[(&sum, &[(at, 1.0)], None)]);
    }
    let last = queue.push("t", T + 351_000, &[(&sum, &[(T + 351_000, STALE_NAN)], None)]);
    read_through(&federate, last).await;
    assert_eq!(unseen(), 2);
    assert_eq!(times(federate.page("t", "often", &of_sum, "")), [330, 340, 350]);
    assert_eq!(times(federate.page("t", "often", &of_sum, "")), [] as [i64; 0], "it has ended");
    assert_eq!(times(federate.page("t", "new", &of_sum, "")), [330, 340, 350]);
    assert_eq!(times(federate.page("t", "seldom", &of_sum, ""))[..3], [330, 340, 350]);
    assert_eq!((unseen(), federate.shared.counts.series.load(Ordering::Relaxed)), (0, 1));
    federate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let federate = queue.start();
    queue.push("a", T, &[(&[("__name__", "up")], &[(T, 1.0)], None)]);
    let last = queue.push("b", T, &[(&[("__name__", "up")], &[(T, 2.0)], None)]);
    read_through(&federate, last).await;
    assert_eq!(text(&federate, "a", &[]), "up{instance=\"\"} 1 1704067200000\n");
    assert_eq!(text(&federate, "b", &[]), "up{instance=\"\"} 2 1704067200000\n");
    assert_eq!(text(&federate, "c", &[]), "");
    assert_eq!(federate.page("c", "one", &[], "application/openmetrics-text").1, "# EOF\n");
    federate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_and_silence_end_a_series_and_a_sample_from_the_future_ends_none() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let federate = queue.start();
    let row = |name| [("__name__", name)];
    let (ends, silent, ahead, lives) = (row("ends"), row("silent"), row("ahead"), row("lives"));
    queue.push(
        "t",
        T,
        &[
            (&ends, &[(T, 1.0)], None),
            (&silent, &[(T, 1.0)], None),
            (&lives, &[(T, 1.0)], None),
            (&ahead, &[(T + 600_000, 1.0)], None),
        ],
    );
    let last = queue.push("t", T + 1000, &[(&ends, &[(T + 1000, STALE_NAN)], None)]);
    read_through(&federate, last).await;
    let page = bare(&federate);
    assert_eq!(
        page,
        "ahead 1 1704067800000\nends 1 1704067200000\nlives 1 1704067200000\nsilent 1 1704067200000\n"
    );
    let now = T + SILENCE_MS;
    let last = queue.push("t", now, &[(&lives, &[(now, 2.0)], None)]);
    read_through(&federate, last).await;
    assert_eq!(bare(&federate), "ahead 1 1704067800000\nlives 2 1704067500000\n");
    assert_eq!(federate.shared.counts.series.load(Ordering::Relaxed), 2);
    // A tenant that says nothing at all any more goes as a whole.
    let now = now + SILENCE_MS;
    let last = queue.push("other", now, &[(&lives, &[(now, 3.0)], None)]);
    read_through(&federate, last).await;
    assert_eq!(text(&federate, "t", &[]), "");
    assert_eq!(federate.shared.counts.series.load(Ordering::Relaxed), 1);
    federate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shows_the_same_page_from_what_the_queue_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let federate = queue.start();
    let (old, new) = ([("__name__", "old")], [("__name__", "new")]);
    let mut last = queue.push("t", T, &[(&old, &[(T, 1.0)], None)]);
    for tick in 1..=80 {
        let now = T + tick * 4000;
        last = queue.push("t", now, &[(&new, &[(now, 1.0)], None)]);
    }
    read_through(&federate, last).await;
    let page = bare(&federate);
    assert_eq!(page.lines().count(), 75, "300 s of them");
    assert_eq!(bare(&federate), "new 1 1704067520000\n", "the same scraper has seen the others");
    // 320 s were written; 300 s and at most two distances of marks are kept.
    let kept = last - federate.needed_from();
    assert!((75..=79).contains(&kept), "{kept}");
    assert_eq!(federate.read_through(), last);
    queue.journal.cut_below(federate.needed_from()).unwrap();
    federate.stop().await;
    let federate = queue.start();
    read_through(&federate, last).await;
    assert_eq!(bare(&federate), page);
    federate.stop().await;
    // Without room to keep anything, what was read may go.
    let federate = Federate::start(Arc::clone(&queue.journal), queue.durable.clone(), 0);
    read_through(&federate, last).await;
    assert_eq!(federate.needed_from(), last + 1);
    federate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_frames_are_counted_and_passed() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path());
    let federate = Arc::new(queue.start());
    queue.append(b"no frame".to_vec());
    let last = queue.push("t", T, &[(&[("__name__", "up")], &[(T, 1.0)], None)]);
    read_through(&federate, last).await;
    assert_eq!(text(&federate, "t", &[]), "up{instance=\"\"} 1 1704067200000\n");
    let registry = Registry::new();
    let shown = Arc::clone(&federate);
    registry.set_collector("federate", Arc::new(move |scrape: &mut Scrape| shown.metrics(scrape)));
    let page = registry.encode(ExpositionFormat::Text);
    for line in [
        "weir_federate_series 1",
        "weir_federate_lag_frames 0",
        "weir_federate_lost_frames_total{reason=\"damaged\"} 1",
        "weir_federate_rejected_samples_total{reason=\"series_limit\"} 0",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }
}

#[test]
fn past_the_bound_series_are_counted_and_not_kept() {
    let mut writer = Writer::default();
    for name in ["a", "b"] {
        let labels = [Label::new("__name__", name)];
        writer.series(labels.into_iter(), &[Sample::new(T, 1.0)], &[], &[], None);
    }
    let mut body = Vec::new();
    writer.finish(&mut body);
    let (mut series, counts) = (Series::default(), Counts::default());
    counts.series.store(999_999, Ordering::Relaxed);
    series.take(1, &body, T, &counts).unwrap();
    series.take(1, &body, T, &counts).unwrap();
    assert_eq!(page::render(&series, 0, &[], Format::Text), "a{instance=\"\"} 1 1704067200000\n");
    assert_eq!(counts.over_limit.load(Ordering::Relaxed), 2);
    assert_eq!(counts.series.load(Ordering::Relaxed), 1_000_000);
}
