//! The same input into one gateway and into three: the same outputs, whole numbers to the bit.
//!
//! Every output of the rule language, resets, births, pairs, markers, silence, repeats and disorder
//! (the load of `mutations`); classic and native histograms; sketches past their exact bounds;
//! several tenants. What `max_groups` folds depends on who comes first, and is the oracle's to judge.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::oracle::{
    Arrival, Differences, NativeHistogram, Oracle, Settings, compare_histograms,
};
use weir_tests::samples::{Labels, Sample, display, labels, name};
use weir_tests::sender::{Places, TYPE_V2, message_v2, snappy};
use weir_tests::situations::{self, LONG_MS, TICK_MS, WINDOW_MS};
use weir_tests::tier::Tier;
use weir_tests::{http, sender, wait};
use weir_wire::oracle::{BucketSpan, Count, Histogram, ZeroCount, v2};

use super::{GATEWAYS, MISSING, SOON, say};

/// A tick is some forty answers, each after a sync of a disk that others use, too.
const GRACE_MS: i64 = 30_000;
const TICKS: i64 = 32;
const TARGETS: i64 = 6;
const OTHER_TENANT: &str = "team-b";

/// Beside the rules of the situations.
const MORE_RULES: &str = r#"
- {match: hist_bucket, interval: 2s, staleness_interval: 4s, without: [instance], outputs: [total, increase]}
- {match: hist_bucket, interval: 6s, staleness_interval: 6s, by: [job, le], outputs: [total]}
- {match: nat_latency, interval: 2s, staleness_interval: 4s, without: [instance],
   outputs: [total, increase, count_series]}
- {match: many, interval: 2s, staleness_interval: 4s, without: [instance, n],
   outputs: [unique_samples, "quantiles(0, 0.01, 0.5, 0.99, 1)", sum_samples, avg, stddev, sum_last]}
- {match: many, interval: 2s, staleness_interval: 4s, by: [zone], tenants: [team-b], outputs: [count_series]}
"#;

#[test]
fn one_gateway_and_three_say_the_same() {
    let mut stage = Stage::set();
    // A window's end, so that the grid of ticks has it.
    let begin = (wait::now_ms() / LONG_MS + 1) * LONG_MS;
    for tick in 0..TICKS {
        let now = begin + tick * TICK_MS;
        wait::for_clock(now);
        stage.tick(tick, now);
    }
    stage.judge(begin + TICKS * TICK_MS);
}

/// One gateway and a tier, and what both were sent.
struct Stage {
    one: Gateway,
    three: Tier,
    of_one: Backend,
    of_three: Backend,
    places: Places,
    /// The default tenant's.
    arrivals: Vec<Arrival>,
}

impl Stage {
    fn set() -> Self {
        let (of_one, of_three) = (Backend::start(), Backend::start());
        let config = |backend: &Backend| {
            let more = "    send_native_histograms: true\n    tenant_header: X-Scope-OrgID\n";
            sending_to(&backend.url(), &format!("{GRACE_MS}ms"), more)
        };
        let one = Gateway::start(&config(&of_one), &rules());
        let three = Tier::start(GATEWAYS, &config(&of_three), &rules());
        let places = Places::new(&three.addresses(), 5);
        Self { one, three, of_one, of_three, places, arrivals: Vec::new() }
    }

    fn tick(&mut self, tick: i64, now: i64) {
        let mut samples = situations::samples_at(tick, now);
        for target in 0..TARGETS {
            samples.extend(more_samples(target, tick, now));
        }
        // As targets are scraped: each, and each of a pair, by itself.
        let mut requests: BTreeMap<(Option<&String>, Option<&String>), Vec<Sample>> =
            BTreeMap::new();
        for sample in &samples {
            let target = (sample.labels.get("instance"), sample.labels.get("__replica__"));
            requests.entry(target).or_default().push(sample.clone());
        }
        for samples in requests.values() {
            self.send(None, &message_v2(samples));
            if tick % 5 == 0 {
                // A sender whose answer got lost, and who tries elsewhere.
                self.send(None, &message_v2(samples));
            }
            self.arrivals.extend(samples.iter().map(Arrival::in_time));
        }
        for target in 0..TARGETS {
            self.send(None, &natives(target, tick, now));
            self.send(Some(OTHER_TENANT), &message_v2(&more_samples(target, tick, now)));
        }
    }

    /// To the one, and to any of the three.
    fn send(&mut self, tenant: Option<&str>, message: &v2::Request) {
        let body = snappy(&message.encode_to_vec());
        let mut headers = sender::headers(TYPE_V2, "snappy").to_vec();
        headers.extend(tenant.map(|tenant| ("X-Scope-OrgID", tenant)));
        for to in [self.one.address(), self.places.any()] {
            let answer = http::post(to, "/api/v1/write", &headers, &body).expect("an answer");
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
    }

    fn judge(self, newest: i64) {
        // Two windows more: what is silent ends.
        let through = (newest + 2 * WINDOW_MS) / LONG_MS * LONG_MS + LONG_MS;
        self.one.wait_frontier(through, 2 * SOON);
        self.three.wait_frontier(through, 2 * SOON);
        let compared = wait::until("both say the same", MISSING, || {
            let (one, three) = (said(&self.of_one, through)?, said(&self.of_three, through)?);
            let differ = differences(&one, &three);
            if differ.is_empty() { Ok(one.len()) } else { Err(shown(&differ)) }
        });
        assert!(compared > 3_000, "{compared} compared");
        let verdict = wait::until("both are right", MISSING, || {
            self.verdict(&self.of_one, through)?;
            self.verdict(&self.of_three, through)
        });
        self.one.assert_audited();
        self.three.assert_audited();
        say(&format!("one and three: {compared} samples are the same; {verdict}\n"));
    }

    /// What the oracle says of the default tenant's floats.
    fn verdict(&self, backend: &Backend, through: i64) -> Result<Differences, String> {
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let oracle = Oracle::read(&rules()).expect("rules that the oracle reads").with(settings);
        let requests = backend.accepted();
        let its = requests.iter().filter(|request| tenant(&request.headers) == "anonymous");
        let received: Vec<Sample> = its.flat_map(|request| request.samples.clone()).collect();
        let is_known = |s: &Sample| !name(&s.labels).starts_with("nat_");
        let received: Vec<Sample> = received.into_iter().filter(is_known).collect();
        let mut found = oracle.judge(&self.arrivals, &received, through);
        let histograms = oracle.expected_histograms(&self.arrivals, through);
        let got = backend.histograms();
        let got = got.iter().filter(|(labels, _)| !name(labels).starts_with("nat_"));
        found.add(compare_histograms(&histograms, got.map(|(l, h)| (&**l, h)), through));
        found.into_result()
    }
}

fn rules() -> String {
    format!("{}{MORE_RULES}", situations::RULES)
}

/// Classic buckets, and more distinct values in a window than are counted exactly.
fn more_samples(target: i64, tick: i64, now: i64) -> Vec<Sample> {
    let instance = format!("host-{target}:9100");
    let zone = if target % 2 == 0 { "even" } else { "odd" };
    let pairs = [("instance", instance.as_str()), ("job", "load"), ("zone", zone)];
    let mut samples = Vec::new();
    let grown = (tick % (11 + target)) as f64;
    for (place, le) in ["0.1", "1", "10", "+Inf"].into_iter().enumerate() {
        let labels = labels("hist_bucket", &[&pairs[..], &[("le", le)]].concat());
        samples.push(Sample::new(&labels, now, grown * (1 + place) as f64));
    }
    if (8..20).contains(&tick) {
        for n in 0..400 {
            let labels = labels("many", &[&pairs[..], &[("n", &n.to_string())]].concat());
            let value = (target * 400 + n) as f64 * 1.37 + tick as f64 * 0.001;
            samples.push(Sample::new(&labels, now, value));
        }
    }
    samples
}

/// A native histogram that counts up, resets, and has a schema of its target's own.
fn natives(target: i64, tick: i64, now: i64) -> v2::Request {
    let grown = (tick % (9 + target) + 1) as u64;
    let histogram = Histogram {
        count: Some(Count::Int(6 * grown)),
        sum: (10 * grown) as f64,
        schema: 2 - (target % 3) as i32,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::Int(grown)),
        positive_spans: vec![BucketSpan { offset: target as i32, length: 2 }],
        positive_deltas: vec![2 * grown as i64, grown as i64],
        timestamp: now,
        ..Histogram::default()
    };
    let instance = format!("host-{target}:9100");
    let series = labels("nat_latency", &[("instance", &instance), ("job", "load")]);
    let mut message = message_v2(&[Sample::new(&series, now, 0.0)]);
    message.timeseries[0].samples.clear();
    message.timeseries[0].histograms.push(histogram);
    message
}

/// Tenant, series, timestamp.
type Key = (String, Arc<Labels>, i64);

#[derive(Clone, PartialEq, Debug)]
enum Value {
    Float(u64),
    Native(NativeHistogram),
}

fn tenant(headers: &[(String, String)]) -> String {
    http::header(headers, "x-scope-orgid").unwrap_or_default().to_owned()
}

/// All that a backend was told up to a time; twice is an error unless it is the same.
fn said(backend: &Backend, through: i64) -> Result<BTreeMap<Key, Value>, String> {
    let mut said = BTreeMap::new();
    for request in backend.accepted() {
        let tenant = tenant(&request.headers);
        let floats = request.samples.into_iter().map(|s| {
            let value = Value::Float(s.value.to_bits());
            (s.labels, s.timestamp, value)
        });
        let natives = request.histograms.into_iter().map(|(labels, h)| {
            let native = weir_loadgen::messages::native(&h);
            (labels, h.timestamp, Value::Native(native))
        });
        for (labels, timestamp, value) in floats.chain(natives) {
            if timestamp > through || name(&labels).starts_with("o_count") {
                continue;
            }
            let key = (tenant.clone(), labels, timestamp);
            match said.get(&key) {
                Some(before) if *before != value => {
                    return Err(format!("{}: {before:?}, then {value:?}", text(&key)));
                }
                _ => said.insert(key, value),
            };
        }
    }
    Ok(said)
}

fn text((tenant, labels, timestamp): &Key) -> String {
    format!("{tenant}: {} at {timestamp}", display(labels))
}

/// Whole numbers and markers must be the same bits, others the same to 1e-9.
fn is_same(one: &Value, three: &Value) -> bool {
    match (one, three) {
        (Value::Float(a), Value::Float(b)) => {
            let (x, y) = (f64::from_bits(*a), f64::from_bits(*b));
            let whole = x.fract() == 0.0 || !x.is_finite();
            a == b || !whole && (x - y).abs() <= 1e-9 * x.abs()
        }
        (one, three) => one == three,
    }
}

fn differences(one: &BTreeMap<Key, Value>, three: &BTreeMap<Key, Value>) -> Vec<String> {
    let value = |value: Option<&Value>| match value {
        Some(Value::Float(bits)) => f64::from_bits(*bits).to_string(),
        Some(Value::Native(native)) => format!("{native:?}"),
        None => "nothing".into(),
    };
    let keys: std::collections::BTreeSet<&Key> = one.keys().chain(three.keys()).collect();
    let differ = keys.into_iter().filter(|&key| match (one.get(key), three.get(key)) {
        (Some(a), Some(b)) => !is_same(a, b),
        _ => true,
    });
    let line = |key: &Key| {
        format!("{}: one {}, three {}", text(key), value(one.get(key)), value(three.get(key)))
    };
    differ.map(line).collect()
}

fn shown(differ: &[String]) -> String {
    let first: Vec<&str> = differ.iter().take(12).map(String::as_str).collect();
    format!("{} differ:\n  {}", differ.len(), first.join("\n  "))
}
