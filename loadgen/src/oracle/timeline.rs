//! A series as a whole: what each of its samples brings, over the one before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{NativeHistogram, World};
use crate::samples::{Labels, is_stale};

/// A sample as it was taken.
#[derive(Clone, Default)]
pub(super) struct Raw {
    pub(super) value: f64,
    /// Start timestamp, 0 for none.
    pub(super) start: i64,
    /// What it is instead of a number.
    pub(super) histogram: Option<Arc<NativeHistogram>>,
    /// Where the frontier stood, if it was late.
    pub(super) late: Option<i64>,
    /// It began since the target's previous scrape.
    pub(super) born: bool,
    /// The target's last two scrapes had been seen.
    pub(super) observed: bool,
    /// It is the first of the replica that took over.
    pub(super) switched: bool,
}

/// A sample in its place.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) at: i64,
    pub(super) value: f64,
    pub(super) late: Option<i64>,
    /// By how much a counter grew.
    pub(super) increase: f64,
    /// Its whole value, if it is the first.
    pub(super) first: Option<f64>,
    pub(super) born: bool,
    pub(super) observed: bool,
    /// When the number before it was.
    pub(super) since: Option<i64>,
    /// Of a native histogram.
    pub(super) histogram: Option<Grown>,
}

/// By how much a native histogram grew: births in full, and never.
#[derive(Clone)]
pub(super) struct Grown {
    pub(super) full: NativeHistogram,
    pub(super) prometheus: NativeHistogram,
}

impl Grown {
    /// Adds another series'.
    pub(super) fn add(&mut self, other: &Self) {
        self.full.add(&other.full);
        self.prometheus.add(&other.prometheus);
    }
}

/// A series.
pub(super) struct Member {
    pub(super) labels: Arc<Labels>,
    /// Numbers of the rules that take it.
    pub(super) rules: Vec<usize>,
    /// In the order of timestamps.
    pub(super) steps: Vec<Step>,
    /// How long it is remembered in silence.
    pub(super) memory_ms: i64,
    /// Whether that mattered and was not certain.
    pub(super) unsure: bool,
}

/// What came before a sample.
#[derive(Default)]
struct Before {
    /// Number and time; a replica that lags does not lower it.
    base: Option<(i64, f64)>,
    lagging: bool,
    /// The native histogram before it.
    histogram: Option<(i64, Arc<NativeHistogram>)>,
    /// The last numbers, the latest at the end.
    numbers: Vec<f64>,
    newest: Option<i64>,
}

/// A series from its samples. It is forgotten after a silence of `memory`, or up to `slack` later.
pub(super) fn member(
    labels: Arc<Labels>,
    rules: Vec<usize>,
    raw: &BTreeMap<i64, Raw>,
    (memory, slack): (i64, i64),
    world: World,
) -> Member {
    let memory_ms = if world == World::Early { memory + slack } else { memory };
    let (mut before, mut unsure) = (Before::default(), false);
    let mut steps = Vec::with_capacity(raw.len());
    for (&at, sample) in raw {
        let silence = before.newest.map_or(0, |newest| at - newest);
        unsure |= silence > memory && silence <= memory + slack;
        if silence > memory_ms {
            before = Before::default();
        }
        before.newest = Some(at);
        steps.push(before.step(at, sample));
    }
    Member { labels, rules, steps, memory_ms, unsure }
}

impl Before {
    fn step(&mut self, at: i64, raw: &Raw) -> Step {
        let &Raw { value, late, born, observed, .. } = raw;
        let since = self.base.map(|(at, _)| at);
        let (increase, first, histogram) = (0.0, None, self.histogram_grown(at, raw));
        let mut step = Step { at, value, late, increase, first, born, observed, since, histogram };
        if value.is_nan() {
            return step;
        }
        let Some((base_at, base)) = self.base else {
            step.first = Some(value);
            self.base = Some((at, value));
            self.numbers.push(value);
            return step;
        };
        let restarted = raw.start > base_at && raw.start <= at;
        self.lagging = self.lags(raw);
        let kept = if value >= base && !restarted {
            step.increase = value - base;
            value
        } else if self.lagging {
            base
        } else {
            step.increase = value;
            value
        };
        self.base = Some((at, kept));
        self.numbers.push(value);
        step
    }

    fn histogram_grown(&mut self, at: i64, raw: &Raw) -> Option<Grown> {
        let next = raw.histogram.as_ref().filter(|_| !is_stale(raw.value))?;
        let before = self.histogram.replace((at, Arc::clone(next)));
        let Some((base_at, base)) = before else {
            let full = if raw.born { (**next).clone() } else { next.nothing() };
            return Some(Grown { full, prometheus: next.nothing() });
        };
        let restarted = raw.start > base_at && raw.start <= at;
        let grown = if restarted { None } else { next.less(&base) };
        let full = grown.unwrap_or_else(|| (**next).clone());
        Some(Grown { prometheus: full.clone(), full })
    }

    /// A fall at a switch of replicas, or while the new one still catches up, that is no larger than
    /// the last two increases is lag.
    fn lags(&self, raw: &Raw) -> bool {
        let recent = &self.numbers[self.numbers.len().saturating_sub(3)..];
        let highest = self.base.map_or(f64::NEG_INFINITY, |(_, value)| value);
        let Some(last) = recent.last() else { return false };
        let risen: f64 = recent.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).sum();
        (raw.switched || self.lagging) && raw.value < highest && last - raw.value <= risen
    }
}
