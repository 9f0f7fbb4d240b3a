//! One input through Weir and through vmagent 1.150: what is equal, and why the rest is not.

mod vmagent;

use std::collections::{BTreeMap, BTreeSet};

use weir_aggregate::decisions::Decisions;
use weir_model::Labels;

use crate::harness::{Gate, Sent, rules};

const INPUT: &str = include_str!("../fixtures/stream-aggregation/input.txt");
const RULES: &str = include_str!("../fixtures/stream-aggregation/rules.yml");
const VMAGENT: &str = include_str!("../fixtures/stream-aggregation/vmagent-1.150-output.txt");

type Values = BTreeMap<(String, i64), f64>;

fn parse_labels(text: &str) -> Vec<(String, String)> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let pairs = inner.split(',').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap());
    pairs.map(|(n, v)| (n.to_owned(), v.trim_matches('"').to_owned())).collect()
}

fn canonical(labels: &[(String, String)]) -> String {
    let pairs = labels.iter().map(|(n, v)| weir_model::Label::new(n, v));
    Labels::from_pairs(pairs).unwrap().to_string()
}

fn vmagent() -> Values {
    let line = |line: &str| {
        let mut words = line.rsplitn(3, ' ');
        let t: i64 = words.next().unwrap().parse().unwrap();
        let value: f64 = words.next().unwrap().parse().unwrap();
        ((canonical(&parse_labels(words.next().unwrap())), t), value)
    };
    VMAGENT.lines().map(line).collect()
}

fn weir() -> (Values, Vec<(String, i64)>) {
    let mut gate = Gate::new(Decisions::new(1, rules(RULES)), 2);
    let mut last = 0;
    for line in INPUT.lines() {
        let mut words = line.rsplitn(4, ' ');
        let sent_at: i64 = words.next().unwrap().parse().unwrap();
        let t: i64 = words.next().unwrap().parse().unwrap();
        let value: f64 = words.next().unwrap().parse().unwrap();
        let labels = parse_labels(words.next().unwrap());
        if sent_at != last {
            gate.advance(sent_at - 30_000);
            last = sent_at;
        }
        let sample = weir_model::Sample::new(t, value);
        gate.send("t", &[Sent { labels, samples: vec![sample], histograms: Vec::new() }]);
    }
    gate.advance(last + 30_000);
    let (mut values, mut markers) = (Values::new(), Vec::new());
    for ((_, series), samples) in gate.said() {
        for (t, said) in samples {
            assert_eq!(said.len(), 1, "{series} at {t}");
            if said[0].is_nan() {
                markers.push((series.clone(), t));
            } else {
                values.insert((series.clone(), t), said[0]);
            }
        }
    }
    (values, markers)
}

fn recorded() -> Vec<vmagent::Recorded> {
    let line = |line: &str| {
        let mut words = line.rsplitn(4, ' ');
        words.next();
        let t = words.next().unwrap().parse().unwrap();
        let value = words.next().unwrap().parse().unwrap();
        let labels = parse_labels(words.next().unwrap()).into_iter().collect();
        vmagent::Recorded { labels, t, value }
    };
    INPUT.lines().map(line).collect()
}

fn same(a: Option<&f64>, b: Option<&f64>, relative: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= relative * b.abs().max(1e-3),
        (None, None) => true,
        _ => false,
    }
}

/// The fewest peculiarities without which vmagent would say what Weir says.
fn explain(key: &(String, i64), weir: Option<&f64>, models: &[Values]) -> Option<String> {
    let quantiles = key.0.contains("_quantiles");
    let mut sets: Vec<u8> = (0..128).collect();
    sets.sort_by_key(|set| set.count_ones());
    for (relative, estimate) in [(1e-9, None), (0.01, Some("Estimate".to_owned()))] {
        for &without in &sets {
            let model = &models[usize::from(127 & !without)];
            if same(weir, model.get(key), relative) {
                let named = vmagent::ALL.iter().filter(|p| without & **p as u8 != 0);
                let named = named.map(|p| format!("{p:?}")).chain(estimate);
                return Some(named.collect::<Vec<_>>().join(" + "));
            }
        }
        if !quantiles {
            break;
        }
    }
    None
}

#[test]
fn every_difference_from_vmagent_has_a_known_cause() {
    let (weir, markers) = weir();
    assert_eq!(markers, [], "no series ends within the recording");
    let recorded_values = vmagent();
    let input = recorded();
    let until = 1_795_350_728_501;
    let models: Vec<Values> = (0..128).map(|m| vmagent::outputs(&input, m, until)).collect();
    let mut keys: BTreeSet<_> = weir.keys().chain(recorded_values.keys()).collect();
    keys.extend(models[127].keys());
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for key in keys {
        let (ours, theirs) = (weir.get(key), recorded_values.get(key));
        if !same(models[127].get(key), theirs, 1e-9) {
            let model = models[127].get(key);
            unexplained.push(format!("{key:?}: vmagent {theirs:?}, its model {model:?}"));
        }
        if same(ours, theirs, 1e-9) {
            *causes.entry("equal".into()).or_default() += 1;
            continue;
        }
        match explain(key, ours, &models) {
            Some(cause) => *causes.entry(cause).or_default() += 1,
            None => unexplained.push(format!("{key:?}: Weir {ours:?}, vmagent {theirs:?}")),
        }
    }
    assert!(unexplained.is_empty(), "{causes:#?}\n{}", unexplained.join("\n"));
    // The numbers that docs/DIFFERENCES.md gives.
    let expected = [
        ("Births", 29),
        ("Births + Pauses", 6),
        ("Births + Pauses + Silence", 4),
        ("Births + Silence", 4),
        ("Estimate", 27),
        ("ExtraZero", 2),
        ("NoZero", 6),
        ("Pauses", 7),
        ("Pauses + Silence", 2),
        ("Repeats", 248),
        ("Repeats + Estimate", 3),
        ("Repeats + Silence", 44),
        ("Silence", 36),
        ("Ties", 7),
        ("equal", 343),
    ];
    assert_eq!(causes, expected.map(|(cause, n)| (cause.to_owned(), n)).into());
}
