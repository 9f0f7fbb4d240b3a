//! Random traffic through the state machine and through its twin: every value equal, markers
//! where they belong, every sample in one class; with restarts on other workers in between.

use proptest::prelude::*;
use weir_aggregate::decisions::Decisions;
use weir_model::{Class, STALE_NAN, Sample};

use crate::harness::{Gate, Said, Sent, rules};
use crate::twin::{Grouped, Twin, TwinRule};

/// What one series of a scraped target says.
#[derive(Clone, Copy, Debug)]
enum Says {
    Nothing,
    Up(u16),
    Down(u16),
    Nan,
    Marker,
    /// Restarted so many ms before the scrape.
    Began(u16, u32),
}

#[derive(Clone, Debug)]
enum Op {
    Scrape {
        target: usize,
        back_ms: i64,
        says: [Says; 3],
    },
    Wait {
        ms: i64,
    },
    Frontier {
        lag_ms: i64,
    },
    Repeat {
        nth: usize,
    },
    Late {
        target: usize,
        series: usize,
        back_ms: i64,
        up: u16,
    },
    Restart {
        workers: usize,
    },
    /// The same rules in another order.
    Reload,
}

const BEGIN: i64 = 1_700_000_000_000;
/// (tenant, job, instance): two targets of one job, one of another tenant, one without a target.
const TARGETS: [(&str, &str, &str); 4] =
    [("t", "j", "a:1"), ("t", "j", "b:1"), ("u", "j", "a:1"), ("t", "", "")];

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        8 => (0u16..50).prop_map(Says::Up),
        2 => Just(Says::Nothing),
        1 => (0u16..50).prop_map(Says::Down),
        1 => Just(Says::Nan),
        1 => Just(Says::Marker),
        1 => (0u16..50, 0u32..30_000).prop_map(|(v, ms)| Says::Began(v, ms)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let target = 0..TARGETS.len();
    let back = prop_oneof![3 => Just(0i64), 1 => 0i64..9000];
    prop_oneof![
        10 => (target.clone(), back, [says(), says(), says()])
            .prop_map(|(target, back_ms, says)| Op::Scrape { target, back_ms, says }),
        6 => (100i64..15_000).prop_map(|ms| Op::Wait { ms }),
        1 => (15_000i64..400_000).prop_map(|ms| Op::Wait { ms }),
        5 => (5_000i64..45_000).prop_map(|lag_ms| Op::Frontier { lag_ms }),
        1 => (0usize..8).prop_map(|nth| Op::Repeat { nth }),
        1 => (target, 0usize..3, 10_000i64..100_000, 0u16..50)
            .prop_map(|(target, series, back_ms, up)| Op::Late { target, series, back_ms, up }),
        1 => (1usize..4).prop_map(|workers| Op::Restart { workers }),
        1 => Just(Op::Reload),
    ]
}

const COUNTERS: [&str; 6] =
    ["total", "total_prometheus", "increase", "increase_prometheus", "rate_sum", "rate_avg"];
const SAMPLES: [&str; 10] = [
    "sum_samples",
    "sum_samples_total",
    "count_samples",
    "unique_samples",
    "last",
    "min",
    "max",
    "avg",
    "stddev",
    "stdvar",
];
const LIVE: [&str; 5] = ["count_series", "sum_last", "avg_last", "min_last", "max_last"];

fn rule() -> impl Strategy<Value = TwinRule> {
    let every: Vec<&'static str> = [&COUNTERS[..], &SAMPLES, &LIVE].concat();
    let outputs = prop_oneof![
        prop::sample::subsequence(every.clone(), 1..4),
        Just(every),
        Just(vec!["total"]),
        Just(vec!["sum_last"]),
    ];
    let by = prop_oneof![
        Just(Grouped::Series),
        Just(Grouped::By(vec!["job"])),
        Just(Grouped::Without(vec!["pod"])),
        Just(Grouped::Without(vec!["instance", "pod"])),
    ];
    let interval = prop_oneof![Just(10i64), Just(20), Just(60), Just(7)];
    let metric = prop_oneof![3 => Just("c"), 1 => Just("g")];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>());
    let staleness = prop_oneof![3 => Just(None), 1 => Just(Some(60i64))];
    (metric, interval, staleness, prop::bool::weighted(0.3), by, outputs, flags).prop_map(
        |(
            metric,
            interval_s,
            staleness_s,
            dedup,
            by,
            outputs,
            (keep_input, late_drop, observed),
        )| {
            let dedup_s = dedup.then_some(if interval_s == 7 { 7 } else { 5 });
            TwinRule {
                metric,
                interval_s,
                staleness_s,
                dedup_s,
                by,
                outputs,
                keep_input,
                late_drop,
                observed,
            }
        },
    )
}

/// Turns operations into requests, for both sides alike.
struct Traffic {
    clock: i64,
    values: [[f64; 3]; TARGETS.len()],
    known: [[Vec<i64>; 3]; TARGETS.len()],
    sent: Vec<(&'static str, Sent)>,
    /// Whether series also say what is no number.
    odd: bool,
}

impl Traffic {
    fn labels(target: usize, series: usize) -> Vec<(String, String)> {
        let (_, job, instance) = TARGETS[target];
        let name = ["c", "c", "g"][series];
        let pod = ["1", "2", "1"][series];
        let mut labels = vec![("__name__", name), ("pod", pod)];
        if job.is_empty() {
            labels.push(("zone", "z"));
        } else {
            labels.extend([("job", job), ("instance", instance)]);
        }
        labels.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    fn scrape(&mut self, target: usize, back_ms: i64, says: [Says; 3]) -> Vec<Sent> {
        let timestamp = self.clock - back_ms;
        let mut request = Vec::new();
        for (series, says) in says.into_iter().enumerate() {
            let known = &mut self.known[target][series];
            let newer = known.iter().filter(|&&t| t > timestamp).count();
            let in_order = known.iter().all(|&t| t < timestamp);
            // Markers take room among the remembered samples, so fewer numbers can wait.
            if self.odd && newer > 2 {
                continue;
            }
            let value = &mut self.values[target][series];
            let mut start = 0;
            match says {
                Says::Nothing => continue,
                // What is no number comes in order, as scrapers send it.
                Says::Nan | Says::Marker if !in_order || !self.odd => continue,
                Says::Up(by) => *value += f64::from(by),
                Says::Down(to) => *value = f64::from(to),
                Says::Began(to, ago) => {
                    *value = f64::from(to);
                    start = timestamp - i64::from(ago);
                }
                Says::Nan | Says::Marker => {}
            }
            let value = match says {
                Says::Nan => f64::NAN,
                Says::Marker => STALE_NAN,
                _ => *value,
            };
            known.push(timestamp);
            let labels = Self::labels(target, series);
            let samples = vec![Sample { timestamp, value, start }];
            request.push(Sent { labels, samples, histograms: Vec::new() });
        }
        let tenant = TARGETS[target].0;
        self.sent.extend(request.iter().cloned().map(|s| (tenant, s)));
        request
    }
}

fn close_to(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

/// Where two accounts differ.
fn difference(left: &Said, right: &Said) -> Option<String> {
    let empty = Default::default();
    for key in left.keys().chain(right.keys()) {
        let (a, b) = (left.get(key).unwrap_or(&empty), right.get(key).unwrap_or(&empty));
        for at in a.keys().chain(b.keys()) {
            let (x, y) = (a.get(at), b.get(at));
            let same = match (x, y) {
                (Some(x), Some(y)) => x.len() == 1 && y.len() == 1 && close_to(x[0], y[0]),
                _ => false,
            };
            if !same {
                return Some(format!("{key:?} at {at}: machine {x:?}, twin {y:?}"));
            }
        }
    }
    None
}

fn run(
    twin_rules: Vec<TwinRule>,
    ops: &[Op],
    workers: usize,
    odd: bool,
) -> Result<(), TestCaseError> {
    let text: String = twin_rules.iter().map(TwinRule::yaml).collect();
    let mut in_file = twin_rules.clone();
    let mut gate = Gate::new(Decisions::new(1, rules(&text)), workers);
    let mut twin = Twin::new(twin_rules, BEGIN - 60_000);
    gate.advance(BEGIN - 60_000);
    let mut traffic = Traffic {
        clock: BEGIN,
        values: Default::default(),
        known: Default::default(),
        sent: Vec::new(),
        odd,
    };
    let mut samples = 0;
    let end = [Op::Frontier { lag_ms: 0 }, Op::Wait { ms: 900_000 }, Op::Frontier { lag_ms: 0 }];
    for op in ops.iter().chain(&end) {
        let (tenant, request) = match *op {
            Op::Wait { ms } => {
                traffic.clock += ms;
                continue;
            }
            Op::Frontier { lag_ms } => {
                gate.advance(traffic.clock - lag_ms);
                twin.advance(traffic.clock - lag_ms);
                continue;
            }
            Op::Restart { workers } => {
                gate.restart(workers);
                continue;
            }
            Op::Reload => {
                in_file.rotate_left(1);
                let version = gate.config.version + 1;
                let text: String = in_file.iter().map(TwinRule::yaml).collect();
                gate.reload(Decisions::new(version, rules(&text)));
                twin.reload();
                continue;
            }
            Op::Scrape { target, back_ms, says } => {
                (TARGETS[target].0, traffic.scrape(target, back_ms, says))
            }
            Op::Repeat { nth } => match traffic.sent.len().checked_sub(nth + 1) {
                Some(at) => (traffic.sent[at].0, vec![traffic.sent[at].1.clone()]),
                None => continue,
            },
            Op::Late { target, series, back_ms, up } => {
                let mut says = [Says::Nothing; 3];
                says[series] = Says::Up(up);
                (TARGETS[target].0, traffic.scrape(target, back_ms, says))
            }
        };
        samples += request.len() as u64;
        twin.send(tenant, &request);
        gate.send(tenant, &request);
    }
    let classes: u64 = gate.counts.values().sum();
    prop_assert_eq!(classes, samples, "each sample has one class");
    prop_assert_eq!(gate.count(Class::Folded), twin.counts.folded);
    // A repeat of a marker that passes may be known or not.
    let markers = twin.counts.marker..=twin.counts.marker + twin.counts.raw_markers;
    prop_assert!(markers.contains(&gate.count(Class::Marker)));
    if let Some(text) = difference(&gate.said(), &twin.said()) {
        return Err(TestCaseError::fail(text));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_iters: 4000, ..Default::default() })]

    #[test]
    fn the_twin_says_the_same(
        rules in prop::collection::vec(rule(), 1..4),
        ops in prop::collection::vec(op(), 1..120),
        workers in 1usize..4,
        odd: bool,
    ) {
        let mut rules = rules;
        // Two rules that say the same series would be one too many.
        let mut names = std::collections::BTreeSet::new();
        rules.retain(|r| names.insert((r.metric, r.interval_s, format!("{:?}", r.by))));
        run(rules, &ops, workers, odd)?;
    }
}
