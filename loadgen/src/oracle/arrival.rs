//! A sample with where the frontier stood when it came, which decides whether it was late.
//!
//! The frontier moves by its own records, and nobody outside sees where it stood at a request's
//! place in the log. So there are two bounds; a sample past both of them was in time, one behind
//! both was late, and one between them may have been either.

use crate::samples::{History, Sample};

/// An acknowledged sample, as it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The sample.
    pub sample: Sample,
    /// The frontier had reached this at least, in milliseconds.
    pub behind: i64,
    /// The frontier had reached this at most.
    pub before: i64,
}

impl Arrival {
    /// One that was in time.
    pub fn in_time(sample: &Sample) -> Self {
        Self::between(sample, i64::MIN, i64::MIN)
    }

    /// One that came when the frontier stood here.
    pub fn at(sample: &Sample, frontier: i64) -> Self {
        Self::between(sample, frontier, frontier)
    }

    /// One that came when the frontier was past `behind` and not past `before`.
    pub fn between(sample: &Sample, behind: i64, before: i64) -> Self {
        Self { sample: sample.clone(), behind, before }
    }
}

impl History {
    /// All of it in the order of timestamps, and in time.
    pub fn in_time(&self) -> Vec<Arrival> {
        let each = self.0.iter().flat_map(|(labels, samples)| {
            let sample = |(&t, &v): (&i64, &f64)| Arrival::in_time(&Sample::new(labels, t, v));
            samples.iter().map(sample)
        });
        let mut all: Vec<Arrival> = each.collect();
        all.sort_by_key(|arrival| arrival.sample.timestamp);
        all
    }
}
