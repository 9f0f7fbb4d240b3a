//! What must come out: every output of every window, computed anew from the samples that were sent
//! and acknowledged, under the rule file that the gateway reads.
//!
//! Deliberately naive and deliberately apart: it shares no code with the gateway, looks at whole
//! histories instead of streams, and knows nothing of restarts, shards or sketches. The rules of
//! the game are the documentation's: a sample belongs to the window with start < timestamp ≤ end;
//! an increase to the window of its later sample; a first sample is a baseline unless its birth is
//! proven; a stale marker or `staleness_interval` without samples ends liveness; a group's first
//! total is preceded by a 0; late is what is not past the frontier when it arrives.
//!
//! Where it cannot know on which side of the frontier a sample arrived, it computes both worlds and
//! accepts what lies between them; of native histograms, which it has no bounds for, it takes those that
//! came in doubt for early. It does not know reloads that change a rule, gauge histograms, custom buckets,
//! or zero buckets of several widths in one group; and it takes it that no more than four samples of a
//! series are in the air at once, which is what the gateway remembers.

mod arrival;
mod compare;
mod doubts;
mod group;
mod histogram;
mod intake;
mod overflow;
mod relabel;
mod replicas;
mod rules;
mod selector;
mod speech;
pub mod stored;
mod timeline;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use crate::samples::{Labels, Sample, is_stale};

pub use arrival::Arrival;
pub use compare::{Differences, compare, compare_values};
pub use doubts::Doubts;
pub use histogram::{ExpectedHistogram, HistogramOutputs, NativeHistogram, compare_histograms};
pub use rules::{Grouping, Rule, read_rules};

use intake::Intake;

/// What the oracle is told beside the rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tenant whose samples these are.
    pub tenant: String,
    /// `windows.counter_memory`, milliseconds.
    pub counter_memory_ms: i64,
    /// `windows.grace`, milliseconds: how far the frontier is behind the samples.
    pub grace_ms: i64,
    /// `ha.cluster_label`.
    pub cluster_label: String,
    /// `ha.replica_label`.
    pub replica_label: String,
    /// `ha.mode` is `elect`.
    pub elects: bool,
    /// The labels that tell a target.
    pub target_labels: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: "anonymous".into(),
            counter_memory_ms: 3_600_000,
            grace_ms: 30_000,
            cluster_label: "cluster".into(),
            replica_label: "__replica__".into(),
            elects: false,
            target_labels: vec!["job".into(), "instance".into()],
        }
    }
}

/// The rules of a run.
#[derive(Clone, Debug)]
pub struct Oracle {
    rules: Vec<Rule>,
    settings: Settings,
}

/// What a sample of an output must be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expected {
    /// This, but for rounding.
    Value(f64),
    /// Something from here to there: sketches have an error.
    Between(f64, f64),
    /// A stale marker.
    Marker,
    /// Nothing, a marker, or something from here to there: it depends on what nobody has seen.
    Perhaps(f64, f64),
}

/// Output samples by series and timestamp.
pub type Outputs = BTreeMap<Labels, BTreeMap<i64, Expected>>;

/// Everything that is said.
#[derive(Clone, Debug, Default)]
struct Said {
    floats: Outputs,
    histograms: HistogramOutputs,
}

impl Said {
    /// Adds a sample as it came.
    fn add(&mut self, labels: &Labels, sample: &Sample) {
        let at = sample.timestamp;
        if let Some(histogram) = &sample.histogram {
            let series = self.histograms.entry(labels.clone()).or_default();
            series.entry(at).or_insert_with(|| ExpectedHistogram::Is((**histogram).clone()));
            return;
        }
        let is_marker = is_stale(sample.value);
        let expected = if is_marker { Expected::Marker } else { Expected::Value(sample.value) };
        self.floats.entry(labels.clone()).or_default().entry(at).or_insert(expected);
    }
}

/// Which way doubts are decided: where the frontier stood when a sample came, whether a silent
/// series had been forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum World {
    /// The frontier was as far back as it can have been.
    Early,
    /// It was as far as it can have been.
    Late,
}

impl Oracle {
    /// Reads a rule file; what it cannot compute is an error.
    pub fn read(rule_file: &str) -> Result<Self, String> {
        Ok(Self { rules: read_rules(rule_file)?, settings: Settings::default() })
    }

    /// With other settings.
    #[must_use]
    pub fn with(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Its rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Everything that the rules must have said by the time `through` (milliseconds) was closed, and
    /// everything that passes through raw. Arrivals are in the order in which they came.
    pub fn expected(&self, arrivals: &[Arrival], through: i64) -> Outputs {
        self.expected_beside(arrivals, through, &BTreeSet::new())
    }

    /// The same where `max_groups` may have folded groups: those of `spoken`, the series that were
    /// received, are taken for the ones that had room.
    pub fn expected_beside(
        &self,
        arrivals: &[Arrival],
        through: i64,
        spoken: &BTreeSet<&Labels>,
    ) -> Outputs {
        let (early, unsure) = self.in_world(World::Early, arrivals, through, spoken);
        if !unsure {
            return early.floats;
        }
        merge(early.floats, self.in_world(World::Late, arrivals, through, spoken).0.floats)
    }

    /// Compares what a backend received, in its order, with what it must have received: of the
    /// outputs what has a timestamp up to `through`, and all that passes through raw.
    pub fn judge(&self, arrivals: &[Arrival], received: &[Sample], through: i64) -> Differences {
        self.judge_but(&Doubts::default(), arrivals, received, through)
    }

    /// The same without what cannot be judged.
    pub fn judge_but(
        &self,
        doubts: &Doubts,
        arrivals: &[Arrival],
        received: &[Sample],
        through: i64,
    ) -> Differences {
        let spoken = received.iter().map(|s| &*s.labels).collect();
        let mut expected = self.expected_beside(arrivals, through, &spoken);
        let unjudged = doubts.leave_out(&mut expected);
        let raw = self.passed(arrivals);
        let found = compare(&expected, received, |labels, t| {
            (t <= through || raw.contains_key(labels)) && !doubts.cover(labels, t)
        });
        Differences { unjudged, ..found }
    }

    /// What passes through raw: series that no rule takes, and inputs of rules that keep them.
    pub fn passed(&self, arrivals: &[Arrival]) -> Outputs {
        self.take_in(World::Early, arrivals).passed().floats
    }

    /// All native histograms that must come: those of outputs up to `through`, and those that pass.
    pub fn expected_histograms(&self, arrivals: &[Arrival], through: i64) -> HistogramOutputs {
        self.in_world(World::Early, arrivals, through, &BTreeSet::new()).0.histograms
    }

    /// Compares the native histograms that a backend received with those that must come; outputs up to
    /// `through`, without what cannot be judged.
    pub fn judge_histograms<'a>(
        &self,
        doubts: &Doubts,
        arrivals: &[Arrival],
        received: impl Iterator<Item = (&'a Labels, &'a NativeHistogram)>,
        through: i64,
    ) -> Differences {
        let mut expected = self.expected_histograms(arrivals, through);
        let unjudged = doubts.leave_out(&mut expected);
        let raw = self.take_in(World::Early, arrivals).passed().histograms;
        let received = received.filter(|(labels, h)| {
            (h.timestamp <= through || raw.contains_key(*labels))
                && !doubts.cover(labels, h.timestamp)
        });
        Differences { unjudged, ..compare_histograms(&expected, received, i64::MAX) }
    }

    fn take_in(&self, world: World, arrivals: &[Arrival]) -> Intake<'_> {
        let mut intake = Intake::new(&self.rules, &self.settings, world);
        arrivals.iter().for_each(|arrival| intake.take(arrival));
        intake
    }

    fn in_world(
        &self,
        world: World,
        arrivals: &[Arrival],
        through: i64,
        spoken: &BTreeSet<&Labels>,
    ) -> (Said, bool) {
        let intake = self.take_in(world, arrivals);
        let mut outputs = intake.passed();
        let members = intake.members();
        for (number, rule) in self.rules.iter().enumerate() {
            let groups = group::groups(rule, number, &members);
            for (group, members) in overflow::fold(rule, groups, spoken) {
                group::follow(rule, &group, &members, through, &mut outputs);
            }
        }
        (outputs, intake.is_unsure() || members.iter().any(|m| m.unsure))
    }
}

/// What either world allows.
fn merge(early: Outputs, mut late: Outputs) -> Outputs {
    let mut merged = Outputs::new();
    for (labels, samples) in early {
        let mut others = late.remove(&labels).unwrap_or_default();
        let series = merged.entry(labels).or_default();
        for (timestamp, expected) in samples {
            series.insert(timestamp, either(Some(expected), others.remove(&timestamp)));
        }
        series.extend(others.into_iter().map(|(t, e)| (t, either(None, Some(e)))));
    }
    for (labels, samples) in late {
        let perhaps = samples.into_iter().map(|(t, e)| (t, either(None, Some(e))));
        merged.insert(labels, perhaps.collect());
    }
    merged
}

fn either(a: Option<Expected>, b: Option<Expected>) -> Expected {
    if let (Some(a), Some(b)) = (a, b)
        && (a == b || a.bounds().is_some_and(|(low, _)| low.is_nan()))
    {
        return a;
    }
    let bounds = [a, b].into_iter().flatten().filter_map(|e| e.bounds());
    let (low, high) = bounds
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (l, h)| (low.min(l), high.max(h)));
    let values =
        |e: Option<Expected>| matches!(e, Some(Expected::Value(_) | Expected::Between(..)));
    if values(a) && values(b) { Expected::Between(low, high) } else { Expected::Perhaps(low, high) }
}

impl Expected {
    /// Whether a value is this, to 1e-9: relative, and absolute near zero.
    pub fn is_met(&self, value: f64) -> bool {
        let near = |wanted: f64| (wanted - value).abs() <= 1e-9 * wanted.abs().max(1.0);
        let within = |low: f64, high: f64| (low..=high).contains(&value) || near(low) || near(high);
        match *self {
            Self::Marker => is_stale(value),
            Self::Perhaps(low, high) => is_stale(value) || within(low, high),
            Self::Between(low, high) => within(low, high),
            Self::Value(wanted) if wanted.is_nan() => value.is_nan() && !is_stale(value),
            Self::Value(wanted) => wanted == value || near(wanted),
        }
    }

    /// Whether it need not come at all.
    pub fn may_be_absent(&self) -> bool {
        matches!(self, Self::Perhaps(..))
    }

    fn bounds(&self) -> Option<(f64, f64)> {
        match *self {
            Self::Value(value) => Some((value, value)),
            Self::Between(low, high) | Self::Perhaps(low, high) => Some((low, high)),
            Self::Marker => None,
        }
    }
}

#[cfg(test)]
mod tests;
