//! What cannot be judged: outputs that a sample reaches of which nobody knows whether it was taken.
//!
//! Such a sample may be the base of the next increase, keep a series alive, hand a target to its other
//! replica, or be in every later total. So from the window that it would be in on, none of its group's outputs
//! is judged, and none of what any series of its target reaches. Invariant: what is not named here does not
//! depend on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::overflow::overflow_of;
use super::{Arrival, Oracle, World, group};
use crate::samples::{Labels, Sample};

/// Labels that tell an output's series of one group apart.
const EXTRAS: [&str; 2] = ["vmrange", "quantile"];

/// Series that are not judged, each from a timestamp on.
#[derive(Clone, Debug, Default)]
pub struct Doubts(BTreeMap<Labels, i64>);

/// A series that a doubtful sample reaches.
pub(super) struct Reached {
    pub(super) labels: Arc<Labels>,
    pub(super) rules: Vec<usize>,
    pub(super) passes: bool,
    /// The sample's timestamp.
    pub(super) from: i64,
}

impl Doubts {
    /// Whether a sample is not judged.
    pub fn cover(&self, labels: &Labels, timestamp: i64) -> bool {
        !self.0.is_empty() && self.0.get(&bare(labels)).is_some_and(|&from| timestamp >= from)
    }

    /// Takes out of what is expected what is not judged; gives how much that was.
    pub fn leave_out<T>(&self, expected: &mut BTreeMap<Labels, BTreeMap<i64, T>>) -> usize {
        let mut left_out = 0;
        expected.retain(|labels, samples| {
            let before = samples.len();
            samples.retain(|&timestamp, _| !self.cover(labels, timestamp));
            left_out += before - samples.len();
            !samples.is_empty()
        });
        left_out
    }

    fn add(&mut self, labels: &Labels, from: i64) {
        let known = self.0.entry(bare(labels)).or_insert(from);
        *known = from.min(*known);
    }
}

/// The labels but for those that tell an output's series apart.
fn bare(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.retain(|name, _| !EXTRAS.contains(&name.as_str()));
    labels
}

impl Oracle {
    /// What cannot be judged where these samples may have arrived too, or not.
    pub fn doubts(&self, arrivals: &[Arrival], perhaps: &[Sample]) -> Doubts {
        let mut doubts = Doubts::default();
        if perhaps.is_empty() {
            return doubts;
        }
        let with_them: Vec<Arrival> =
            arrivals.iter().cloned().chain(perhaps.iter().map(Arrival::in_time)).collect();
        let intake = self.take_in(World::Early, &with_them);
        let reached = intake.reached(perhaps);
        for series in reached.iter().filter(|series| series.passes) {
            doubts.add(&series.labels, series.from);
        }
        let members = intake.members();
        for (number, rule) in self.rules.iter().enumerate() {
            let theirs: Vec<&Reached> =
                reached.iter().filter(|series| series.rules.contains(&number)).collect();
            let Some(first) = theirs.iter().map(|series| series.from).min() else { continue };
            let begin = |at: i64| rule.window_end(at) - rule.interval_ms + 1;
            let mut add = |group: &Labels, from: i64| {
                let outputs = rule.outputs.iter();
                for labels in outputs.filter_map(|o| rule.output_labels(group, o, None)) {
                    doubts.add(&labels, begin(from));
                }
            };
            theirs.iter().for_each(|series| add(&rule.group(&series.labels), series.from));
            let groups = group::groups(rule, number, &members);
            if groups.len() > rule.max_groups {
                // A group that may not be there may have taken the room of any other.
                for group in groups.keys() {
                    add(group, first);
                    add(&overflow_of(group), first);
                }
            }
        }
        doubts
    }
}
