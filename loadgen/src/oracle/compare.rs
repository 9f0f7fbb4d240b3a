//! Expected against received: what is lost, doubled, wrong, late, or should not be there.

use std::collections::BTreeMap;
use std::fmt;

use super::{Expected, Outputs};
use crate::samples::{Labels, Sample, display, name};

/// All that differs.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// Expected, and never came.
    pub lost: Vec<String>,
    /// Came more than once, with different bits.
    pub doubled: Vec<String>,
    /// Came with another value.
    pub wrong: Vec<String>,
    /// A running total that lacked something and had it in a later window.
    pub late: Vec<String>,
    /// Came, and was not expected.
    pub unexpected: Vec<String>,
    /// New samples of a series behind ones that it already had.
    pub disordered: Vec<String>,
    /// How many were compared.
    pub compared: usize,
    /// How many came again with the same bits, which resending may do.
    pub resent: usize,
    /// How many were left out, because what they must be cannot be known.
    pub unjudged: usize,
}

impl Differences {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.kinds().iter().all(|(_, list)| list.is_empty())
    }

    /// The kinds of differences, with their names.
    pub fn kinds(&self) -> [(&'static str, &Vec<String>); 6] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("wrong", &self.wrong),
            ("late", &self.late),
            ("unexpected", &self.unexpected),
            ("disordered", &self.disordered),
        ]
    }

    /// Adds another comparison's.
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.resent += other.resent;
        self.unjudged += other.unjudged;
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.wrong.extend(other.wrong);
        self.late.extend(other.late);
        self.unexpected.extend(other.unexpected);
        self.disordered.extend(other.disordered);
    }

    /// As a condition to wait for.
    pub fn into_result(self) -> Result<Self, String> {
        if self.is_empty() { Ok(self) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} compared, {} resent", self.compared, self.resent)?;
        if self.unjudged > 0 {
            write!(f, ", {} not judged", self.unjudged)?;
        }
        for (what, list) in self.kinds() {
            if !list.is_empty() {
                write!(f, "\n{} {what}:", list.len())?;
                list.iter().take(8).try_for_each(|entry| write!(f, "\n  {entry}"))?;
            }
        }
        Ok(())
    }
}

/// Compares what a backend received, in its order, with what it must have received. `relevant`
/// says which received samples are meant at all (a series and a timestamp).
pub fn compare(
    expected: &Outputs,
    received: &[Sample],
    relevant: impl Fn(&Labels, i64) -> bool,
) -> Differences {
    let mut differences = Differences::default();
    let mut got: BTreeMap<&Labels, BTreeMap<i64, f64>> = BTreeMap::new();
    for sample in received.iter().filter(|s| relevant(&s.labels, s.timestamp)) {
        let series = got.entry(&sample.labels).or_default();
        let newest = series.keys().next_back().copied();
        let at = || format!("{} at {}", display(&sample.labels), sample.timestamp);
        match series.insert(sample.timestamp, sample.value) {
            Some(before) if before.to_bits() == sample.value.to_bits() => differences.resent += 1,
            Some(before) => {
                differences.doubled.push(format!("{}: {before}, then {}", at(), sample.value));
            }
            None => {
                if let Some(newest) = newest.filter(|&n| n > sample.timestamp) {
                    differences.disordered.push(format!("{} after {newest}", at()));
                }
            }
        }
    }
    let got: BTreeMap<&Labels, &BTreeMap<i64, f64>> = got.iter().map(|(l, s)| (*l, s)).collect();
    compare_series(expected, &got, &mut differences);
    differences
}

/// Compares stored values with what must be stored.
pub fn compare_values(
    expected: &Outputs,
    stored: &crate::samples::History,
    relevant: impl Fn(&Labels, i64) -> bool,
) -> Differences {
    let mut differences = Differences::default();
    let mut got: BTreeMap<&Labels, BTreeMap<i64, f64>> = BTreeMap::new();
    for (labels, samples) in &stored.0 {
        let meant = samples.iter().filter(|&(&t, _)| relevant(labels, t));
        got.entry(labels).or_default().extend(meant.map(|(&t, &v)| (t, v)));
    }
    let got: BTreeMap<&Labels, &BTreeMap<i64, f64>> = got.iter().map(|(l, s)| (*l, s)).collect();
    compare_series(expected, &got, &mut differences);
    differences
}

fn compare_series(
    expected: &Outputs,
    got: &BTreeMap<&Labels, &BTreeMap<i64, f64>>,
    differences: &mut Differences,
) {
    for (labels, samples) in expected {
        let series = got.get(labels).copied();
        // Where the series was right for the last time.
        let right = samples.iter().rev().find(|(timestamp, wanted)| {
            let value = series.and_then(|s| s.get(timestamp));
            value.is_some_and(|value| wanted.is_met(*value))
        });
        let right_until = right.map_or(i64::MIN, |(&timestamp, _)| timestamp);
        for (&timestamp, wanted) in samples {
            differences.compared += 1;
            let at = || format!("{} at {timestamp}: expected {wanted:?}", display(labels));
            match series.and_then(|s| s.get(&timestamp)) {
                None if wanted.may_be_absent() => {}
                None => differences.lost.push(at()),
                Some(&value) if !wanted.is_met(value) => {
                    let runs = ["_total", "_total_prometheus"]
                        .iter()
                        .any(|end| name(labels).contains(':') && name(labels).ends_with(end));
                    let behind = matches!(*wanted, Expected::Value(wanted) if value < wanted);
                    let caught_up = runs && behind && timestamp < right_until;
                    let list =
                        if caught_up { &mut differences.late } else { &mut differences.wrong };
                    list.push(format!("{}, got {value}", at()));
                }
                Some(_) => {}
            }
        }
    }
    for (labels, samples) in got {
        let wanted = expected.get(*labels);
        for (timestamp, value) in *samples {
            if !wanted.is_some_and(|w| w.contains_key(timestamp)) {
                let series = display(labels);
                differences.unexpected.push(format!("{series} at {timestamp}: {value}"));
            }
        }
    }
}
