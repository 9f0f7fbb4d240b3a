//! What is shown and counted of a destination, with a backend that is not there and then is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_config::{Check, Source};
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Journal, Poisoned};
use weir_model::{Label, Sample};
use weir_remote::config::{PROMETHEUS, raw, validate};
use weir_remote::destinations::JournalQueue;
use weir_remote::{FrameHeader, FrameKind};
use weir_telemetry::{ExpositionFormat, Registry};
use weir_wire::encode::v2::Writer;

use super::*;

const SOON: Duration = Duration::from_secs(30);

/// A backend that answers 204, or 503 while it is away.
struct Backend;

static AWAY: AtomicBool = AtomicBool::new(true);

impl Transport for Backend {
    async fn post(&self, _: Post) -> Result<Reply, PostError> {
        let status = if AWAY.load(Ordering::SeqCst) { 503 } else { 204 };
        Ok(Reply::new(status, &|_| None, b""))
    }
}

fn destination() -> Destination {
    let block = raw::RemoteWrite {
        url: "http://user:secret@a.example/push?key=secret".to_owned(),
        name: Some("a".to_owned()),
        queue_config: raw::QueueConfig {
            batch_send_deadline: Some("10ms".to_owned()),
            max_backoff: Some("100ms".to_owned()),
            ..raw::QueueConfig::default()
        },
        ..raw::RemoteWrite::default()
    };
    let source = Source::none();
    validate(&[block], &PROMETHEUS, &mut Check::new(&source)).remove(0)
}

fn frame(timestamp: i64) -> Vec<u8> {
    let mut payload = Vec::new();
    FrameHeader {
        kind: FrameKind::Pass,
        source_position: 1,
        written_ms: crate::frontier::wall_ms(),
        tenant: "t",
        last_of_position: true,
        recovered: false,
        atomic: false,
        encoding: None,
        lane: None,
        summary: None,
    }
    .write(&mut payload);
    let mut writer = Writer::default();
    let labels = [Label::new("__name__", "m")];
    writer.series(labels.into_iter(), &[Sample::new(timestamp, 1.0)], &[], &[], None);
    writer.finish(&mut payload);
    payload
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_shown_and_what_is_sent_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, durable) = watch::channel(0);
    let mut config = Config::new(dir.path().join("queue"));
    config.on_durable = Some(Arc::new(move |position: Result<u64, Poisoned>| {
        sender.send_replace(position.unwrap());
    }));
    let (journal, _) = Journal::open(Arc::new(DiskFs), config).unwrap();
    let journal = Arc::new(journal);
    let queue = JournalQueue {
        journal: Arc::clone(&journal),
        durable,
        fs: &DiskFs,
        dir: dir.path(),
        blocked: Arc::default(),
    };
    let all = Destinations::start(&[destination()], &BTreeMap::new(), queue, |_| Ok(Backend));
    let all = Arc::new(all.unwrap());
    for timestamp in 1..=5 {
        let payload = frame(timestamp);
        let room = journal.reserve(payload.len() as u64, Importance::Ordinary).unwrap();
        journal.append(room, 1, vec![payload.into()]).unwrap();
    }
    until("it is tried again", || shown(&all)[0].state == "retrying").await;
    until("all is known", || shown(&all)[0].lag_frames == 5).await;
    let row = shown(&all).remove(0);
    assert_eq!((row.name.as_str(), row.sent), ("a", 0));
    assert!(row.last_error.is_some() && row.last_error_ms > 0);
    assert_eq!(row.url, "http://a.example/push");

    AWAY.store(false, Ordering::SeqCst);
    until("all are sent", || shown(&all)[0].lag_frames == 0 && shown(&all)[0].sent == 5).await;
    let registry = Registry::new();
    let counted = Arc::clone(&all);
    registry
        .set_collector("remote", Arc::new(move |scrape: &mut Scrape| collect(&counted, scrape)));
    let page = registry.encode(ExpositionFormat::Text);
    for line in [
        "weir_remote_samples_total{destination=\"a\"} 5",
        "weir_remote_up{destination=\"a\"} 1",
        "weir_remote_lag_frames{destination=\"a\"} 0",
        "weir_remote_lag_seconds{destination=\"a\"} 0",
        "weir_remote_set_aside_samples_total{destination=\"a\",reason=\"out_of_order\"} 0",
        "weir_remote_given_up_samples_total{destination=\"a\",reason=\"queue_full\"} 0",
        "weir_remote_failed_samples_total{destination=\"a\",reason=\"unwritten\"} 0",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }
    assert!(page.contains("weir_remote_requests_total{code_class=\"5xx\",destination=\"a\"}"));
    all.stop(SOON).await;
}
