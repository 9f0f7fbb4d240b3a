//! What an output group says at a window's end: values, and markers for what ends.
//!
//! Invariant: of one output series a window has a value or a stale marker, never both; a marker
//! comes once, at the first window end at which nothing alive stands behind the series.

use weir_model::mutation::{self, Mutation};
use weir_model::{Labels, LabelsBuilder, STALE_NAN, Sample, Timestamp};

use super::groups::is_overflow;
use super::{Emission, EmissionSource, PendingRow};
use crate::decisions::ActiveRule;
use crate::group::GroupKey;
use crate::output::{Closed, Totals, Value, values};
use crate::rule::OutputKind;

/// An output group at home.
#[derive(Clone, Debug)]
pub struct HomeGroup {
    /// What it is.
    pub key: GroupKey,
    /// Running totals.
    pub totals: Totals,
    /// The start of its first window; 0 before that.
    pub started: Timestamp,
    /// Its series that have said something since their last marker.
    pub speaking: Vec<Labels>,
    /// Numbers of workers that stand for it.
    pub(super) workers: u32,
    /// Other nodes that have series of it, by their numbers, ascending.
    pub(super) origins: Vec<u32>,
    /// Windows that wait with something for it.
    pub(super) pending: u32,
    /// Whether this node is where it speaks.
    pub(super) lives_here: bool,
    /// Whether a worker of this node has had it, so that it counts toward `max_groups`.
    pub(super) was_admitted: bool,
}

impl HomeGroup {
    /// A group as a checkpoint kept it.
    pub fn restored(
        key: GroupKey,
        totals: Totals,
        started: Timestamp,
        speaking: Vec<Labels>,
    ) -> Self {
        Self {
            key,
            totals,
            started,
            speaking,
            workers: 0,
            origins: Vec::new(),
            pending: 0,
            lives_here: true,
            was_admitted: false,
        }
    }

    /// Other nodes that have series of it.
    pub(crate) fn origins(&self) -> &[u32] {
        &self.origins
    }

    /// Whether a worker of this node has had it.
    pub(crate) fn was_admitted(&self) -> bool {
        self.was_admitted
    }

    /// As [`HomeGroup::restored`], with who had it.
    pub(crate) fn had_by(mut self, origins: Vec<u32>, was_admitted: bool) -> Self {
        (self.origins, self.was_admitted) = (origins, was_admitted);
        self
    }

    /// Whether nobody has it and nothing is left to say.
    pub(super) fn is_idle(&self) -> bool {
        let is_had = self.workers > 0 || !self.origins.is_empty();
        !is_had && self.pending == 0 && self.speaking.is_empty()
    }

    /// Whether it counts toward `max_groups`.
    pub(super) fn is_counted(&self) -> bool {
        self.was_admitted && !is_overflow(&self.key)
    }

    /// What the group's outputs say at a window's end: values, and markers for those that end.
    pub(super) fn speak(
        &mut self,
        active: &ActiveRule,
        (rule, number): (u16, u32),
        end: Timestamp,
        part: Option<PendingRow>,
        out: &mut Vec<Emission>,
    ) {
        let layout = &active.layout;
        let alive = part.as_ref().is_some_and(|p| p.alive);
        let mut said = Vec::new();
        if let Some(part) = &part {
            let complex = Some(&part.complex);
            let closed = Closed { layout, row: &part.row, complex, alive, end };
            self.totals.add(&closed);
            let start = end - active.rule.interval().0;
            for (at, output) in active.rule.outputs().iter().enumerate() {
                for value in values(output, &closed, &self.totals) {
                    let source = EmissionSource { rule, group: number, output: at as u16 };
                    let emission = self.emission(active, output, value, (start, end), source);
                    said.extend(emission);
                }
            }
            if self.started == 0 && !said.is_empty() {
                self.started = start;
            }
        }
        self.end_the_silent(alive, end, (rule, number), &said, out);
        out.append(&mut said);
    }

    /// Markers for the series that spoke before, do not now, and have nothing alive behind them.
    fn end_the_silent(
        &mut self,
        alive: bool,
        end: Timestamp,
        (rule, group): (u16, u32),
        said: &[Emission],
        out: &mut Vec<Emission>,
    ) {
        if !alive {
            let speaks = |labels: &Labels| said.iter().any(|e| &e.labels == labels);
            for labels in self.speaking.extract_if(.., |l| !speaks(l)) {
                let source = EmissionSource { rule, group, output: 0 };
                let samples = vec![Sample::new(end, STALE_NAN)];
                let tenant = self.key.tenant;
                if !mutation::is(Mutation::MarkerNotWritten) {
                    out.push(Emission { tenant, labels, samples, histogram: None, source });
                }
            }
        }
        for emission in said {
            if !self.speaking.contains(&emission.labels) {
                self.speaking.push(emission.labels.clone());
            }
        }
    }

    fn emission(
        &self,
        active: &ActiveRule,
        output: &OutputKind,
        value: Value,
        (start, end): (Timestamp, Timestamp),
        source: EmissionSource,
    ) -> Option<Emission> {
        let rule = &active.rule;
        let mut labels = LabelsBuilder::from_labels(self.key.labels.iter());
        let name = rule.output_name(self.key.labels.metric_name(), output);
        labels.set(weir_model::labels::METRIC_NAME, &name);
        if let Value::Labelled(label, text, _) = &value {
            labels.set(label, text);
        }
        if let Some(relabel) = rule.output_relabel()
            && (!relabel.apply(&mut labels) || labels.is_empty())
        {
            return None;
        }
        let began = if self.started == 0 { start } else { self.started };
        let counts_up = matches!(output, OutputKind::Total | OutputKind::TotalPrometheus);
        let stamp = if counts_up { began } else { 0 };
        let mut samples = Vec::new();
        let mut histogram = None;
        match value {
            Value::Float(value) | Value::Labelled(_, _, value) => {
                let zero = !mutation::is(Mutation::TotalWithoutZero);
                if counts_up && self.started == 0 && zero {
                    samples.push(Sample { timestamp: start + 1, value: 0.0, start: stamp });
                }
                samples.push(Sample { timestamp: end, value, start: stamp });
            }
            Value::Histogram(mut value) => {
                value.start = stamp;
                histogram = Some(value);
            }
        }
        let tenant = self.key.tenant;
        Some(Emission { tenant, labels: labels.build(), samples, histogram, source })
    }
}
