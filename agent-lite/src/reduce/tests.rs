//! Expected values are worked out by hand; bodies are read with prost's types.

use prost::Message;
use weir_model::{Label, STALE_NAN, Sample};
use weir_remote::Summary;
use weir_rules::RuleText;
use weir_wire::Compressor;
use weir_wire::encode::v2::Writer;
use weir_wire::oracle::v2;

use super::*;

const T: Timestamp = 1_700_000_000_000;
const GRACE: Millis = Millis(5_000);

/// What has been sent: lane, series, timestamp, value.
type Sent = Arc<Mutex<Vec<(u64, String, Timestamp, f64)>>>;

struct Recorder(Sent);

impl Sink for Recorder {
    fn take(&self, lane: u64, _: Timestamp, bodies: Vec<Body>) -> Result<(), SinkError> {
        for body in bodies {
            let mut plain = Vec::new();
            let zstd = Encoding::Zstd;
            let read = Decompressor::default().decompress(zstd, &body.bytes, 1 << 20, &mut plain);
            read.expect("zstd");
            let request = v2::Request::decode(&plain[..]).expect("a 2.0 request");
            let mut sent = self.0.lock().expect("no panic before");
            for series in request.timeseries {
                let symbol = |&at: &u32| request.symbols[at as usize].clone();
                let labels = series.labels_refs.chunks(2);
                let labels =
                    labels.map(|pair| format!("{}={}", symbol(&pair[0]), symbol(&pair[1])));
                let name = labels.collect::<Vec<_>>().join(",");
                for sample in series.samples {
                    sent.push((lane, name.clone(), sample.timestamp, sample.value));
                }
            }
        }
        Ok(())
    }
}

fn rules(text: &str) -> Decisions {
    let file = RuleText { file: "rules.yml".into(), text: text.into() };
    Decisions::new(0, weir_rules::read(&[file]).expect("good rules").rules)
}

fn reducer(text: &str) -> (Arc<Reducer>, Sent) {
    let sent = Sent::default();
    let reducer =
        Reducer::new(Box::new(Recorder(Arc::clone(&sent))), rules(text), region(), GRACE, 7);
    (Arc::new(reducer), sent)
}

fn region() -> Vec<(String, String)> {
    vec![("region".into(), "r1".into())]
}

/// A scrape's body.
fn scrape(at: Timestamp, series: &[(&[(&str, &str)], f64)]) -> Body {
    let mut writer = Writer::default();
    for (labels, value) in series {
        let labels = labels.iter().map(|&(name, value)| Label { name, value });
        writer.series(labels, &[Sample::new(at, *value)], &[], &[], None);
    }
    let (mut plain, mut packed) = (Vec::new(), Vec::new());
    writer.finish(&mut plain);
    Compressor::default().compress(Encoding::Zstd, &plain, &mut packed).expect("memory");
    Body { bytes: packed, summary: Summary::default(), owner: None, draft: 0 }
}

fn cpu(core: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("__name__", "cpu_total"), ("core", core), ("instance", "h"), ("job", "j")]
}

const PER_HOST: &str = "- match: cpu_total\n  interval: 10s\n  without: [core]\n  \
    outputs: [total]\n  keep_metric_names: true\n";
const LOAD: &[(&str, &str)] = &[("__name__", "load"), ("instance", "h"), ("job", "j")];

/// Five scrapes, 5 s apart from second 1 on: increases of 1 in the first window, and of 2 + 3 + 10
/// in the second.
fn feed(reducer: &Arc<Reducer>) {
    let values = [(1, 100.0, 10.0), (6, 101.0, 10.0), (11, 103.0, 20.0), (16, 106.0, 20.0)];
    for (second, first, other) in values {
        let (a, b) = (cpu("0"), cpu("1"));
        let at = T + second * 1000;
        let body = scrape(at, &[(&a, first), (&b, other), (LOAD, 0.5)]);
        reducer.take(42, at, vec![body]).expect("taken");
    }
}

#[test]
fn cores_become_one_series_and_the_rest_passes_in_its_lane() {
    let (reducer, sent) = reducer(PER_HOST);
    feed(&reducer);
    reducer.advance(T + 21_000 + GRACE.0);
    let sent = sent.lock().expect("no panic before");
    let passed: Vec<_> = sent.iter().filter(|(lane, ..)| *lane == 42).collect();
    assert_eq!(passed.len(), 4);
    assert!(passed.iter().all(|(_, name, ..)| name == "__name__=load,instance=h,job=j"));
    let outputs: Vec<_> = sent.iter().filter(|(lane, ..)| *lane == LANE).collect();
    let name = "__name__=cpu_total,instance=h,job=j,region=r1";
    assert!(outputs.iter().all(|(_, n, ..)| n == name), "{outputs:?}");
    let at_ends: Vec<_> = outputs.iter().map(|&&(_, _, at, value)| (at - T, value)).collect();
    assert_eq!(at_ends[at_ends.len() - 2..], [(10_000, 1.0), (20_000, 16.0)], "{at_ends:?}");
    assert!(at_ends[..at_ends.len() - 2].iter().all(|&(_, value)| value == 0.0), "{at_ends:?}");
}

#[test]
fn a_window_waits_for_the_grace() {
    let (reducer, sent) = reducer(PER_HOST);
    feed(&reducer);
    reducer.advance(T + 10_000 + GRACE.0 - 1);
    assert!(sent.lock().expect("no panic before").iter().all(|(lane, ..)| *lane == 42));
}

#[test]
fn a_reload_keeps_rules_that_stay_and_ends_the_series_of_those_that_go() {
    let (reducer, sent) = reducer(PER_HOST);
    feed(&reducer);
    let more = "- match: load\n  interval: 10s\n  by: [job]\n  outputs: [max]\n";
    reducer.reload(rules(&format!("{PER_HOST}{more}")), region(), T + 17_000);
    reducer.advance(T + 21_000 + GRACE.0);
    let total = |sent: &Sent| {
        let sent = sent.lock().expect("no panic before");
        let last = sent.iter().rfind(|(lane, ..)| *lane == LANE).expect("an output");
        (last.1.clone(), last.2 - T, last.3)
    };
    assert_eq!(
        total(&sent),
        ("__name__=cpu_total,instance=h,job=j,region=r1".into(), 20_000, 16.0)
    );
    reducer.end(T + 30_000);
    let (name, at, value) = total(&sent);
    assert_eq!((name.as_str(), at), ("__name__=cpu_total,instance=h,job=j,region=r1", 30_000));
    assert_eq!(value.to_bits(), STALE_NAN.to_bits());
}

#[test]
fn a_body_that_cannot_be_read_is_an_error() {
    let (reducer, _) = reducer(PER_HOST);
    let body =
        Body { bytes: b"no zstd".to_vec(), summary: Summary::default(), owner: None, draft: 0 };
    assert!(reducer.take(1, T, vec![body]).is_err());
}
