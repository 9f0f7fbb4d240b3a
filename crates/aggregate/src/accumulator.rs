//! What a window gathers for one output group: a row of numbers and, for few outputs, a sketch.
//!
//! Outputs share primitives: `avg`, `sum_samples` and `count_samples` of one rule need one sum and
//! one count. [`Layout`] says which primitives a rule needs and where they stand in the row; each
//! primitive has one way to merge, so rows of other virtual shards and nodes add up to the same.
//! Invariant: an untouched row is [`Layout::reset`]'s, the neutral element of every merge.

use weir_model::distinct::{Distinct, hash_of_value};
use weir_model::histogram::HistogramBuilder;
use weir_model::mutation::{self, Mutation};
use weir_model::sketch::Sketch;
use weir_model::vmrange::VmRanges;
use weir_model::{NativeHistogram, Timestamp};

use crate::rule::OutputKind;

/// A number (or a few that belong together) that windows gather.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Primitive {
    /// Samples of any kind that touched the window. Always there, at the row's start.
    Touched = 0,
    /// Increases, births in full.
    Increase = 1,
    /// Increases, first samples never.
    IncreasePrometheus = 2,
    /// Sum of rates, and the number of series behind it.
    Rate = 3,
    /// Sum of samples.
    Sum = 4,
    /// Number of samples.
    Samples = 5,
    /// Smallest sample.
    Min = 6,
    /// Largest sample.
    Max = 7,
    /// Count, mean and sum of squared distances from it (Welford, merged by Chan's formula).
    Moments = 8,
    /// Timestamp and value of the newest sample.
    Last = 9,
    /// Series of numbers alive at the window's end.
    Live = 10,
    /// Sum of the live series' latest values.
    LiveSum = 11,
    /// Smallest of them.
    LiveMin = 12,
    /// Largest of them.
    LiveMax = 13,
    /// Series of native histograms alive at the window's end.
    LiveHistograms = 14,
}

const PRIMITIVES: [(Primitive, usize); 15] = [
    (Primitive::Touched, 1),
    (Primitive::Increase, 1),
    (Primitive::IncreasePrometheus, 1),
    (Primitive::Rate, 2),
    (Primitive::Sum, 1),
    (Primitive::Samples, 1),
    (Primitive::Min, 1),
    (Primitive::Max, 1),
    (Primitive::Moments, 3),
    (Primitive::Last, 2),
    (Primitive::Live, 1),
    (Primitive::LiveSum, 1),
    (Primitive::LiveMin, 1),
    (Primitive::LiveMax, 1),
    (Primitive::LiveHistograms, 1),
];

/// So many of [`PRIMITIVES`], the first ones, merge by adding up.
const SUMS: usize = Primitive::Min as usize;

const ABSENT: u8 = u8::MAX;

/// Where a rule's primitives stand in its rows.
#[derive(Clone, Debug)]
pub struct Layout {
    offsets: [u8; PRIMITIVES.len()],
    stride: usize,
    /// So many numbers at a row's start merge by adding up from 0; in most rules that is all.
    sums: usize,
    /// The rule counts distinct values.
    pub distinct: bool,
    /// The rule estimates quantiles.
    pub sketch: bool,
    /// The rule sorts values into ranges.
    pub ranges: bool,
    /// The rule sorts values into a native histogram.
    pub native: bool,
    /// The rule reads increases, also of native histograms.
    pub increases: bool,
    /// Some output looks at samples one by one.
    pub samples: bool,
    /// The rule asks what is alive at a window's end.
    pub live: bool,
}

impl Layout {
    /// The primitives that these outputs need.
    pub fn new(outputs: &[OutputKind]) -> Self {
        let mut wanted = [false; PRIMITIVES.len()];
        wanted[Primitive::Touched as usize] = true;
        for primitive in outputs.iter().flat_map(needs) {
            wanted[*primitive as usize] = true;
        }
        let mut offsets = [ABSENT; PRIMITIVES.len()];
        let mut stride = 0;
        let mut sums = 0;
        for (primitive, width) in PRIMITIVES {
            if wanted[primitive as usize] {
                offsets[primitive as usize] = stride as u8;
                stride += width;
            }
            if (primitive as usize) < SUMS {
                sums = stride;
            }
        }
        let has = |kind: fn(&OutputKind) -> bool| outputs.iter().any(kind);
        let wants = |p: Primitive| wanted[p as usize];
        Self {
            offsets,
            stride,
            sums,
            distinct: has(|o| matches!(o, OutputKind::UniqueSamples)),
            sketch: has(|o| matches!(o, OutputKind::Quantiles(_))),
            ranges: has(|o| matches!(o, OutputKind::HistogramBucket)),
            native: has(|o| matches!(o, OutputKind::NativeHistogram)),
            increases: wants(Primitive::Increase) || wants(Primitive::IncreasePrometheus),
            samples: [Primitive::Samples, Primitive::Moments, Primitive::Last]
                .into_iter()
                .any(wants),
            live: wants(Primitive::Live),
        }
    }

    /// Numbers in a row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Whether a window needs a [`Complex`] beside its row for each sample value.
    pub fn complex(&self) -> bool {
        self.distinct || self.sketch || self.ranges || self.native
    }

    /// Where a primitive stands, if the rule needs it.
    #[inline]
    pub fn offset(&self, primitive: Primitive) -> Option<usize> {
        let at = self.offsets[primitive as usize];
        (at != ABSENT).then_some(usize::from(at))
    }

    /// A primitive's first number; 0 where the rule does not need it.
    pub fn get(&self, row: &[f64], primitive: Primitive) -> f64 {
        self.offset(primitive).map_or(0.0, |at| row[at])
    }

    /// Whether anything was folded into a row.
    pub fn is_touched(&self, row: &[f64]) -> bool {
        let live = self.get(row, Primitive::Live) + self.get(row, Primitive::LiveHistograms);
        row[0] != 0.0 || live != 0.0
    }

    /// Appends untouched rows, up to so many numbers in all.
    pub fn extend(&self, rows: &mut Vec<f64>, len: usize) {
        let from = rows.len();
        rows.resize(len, 0.0);
        if self.sums < self.stride {
            rows[from..].chunks_exact_mut(self.stride).for_each(|row| self.reset(row));
        }
    }

    /// Writes the untouched row.
    pub fn reset(&self, row: &mut [f64]) {
        row.fill(0.0);
        // `f64::min` and `max` prefer a number: NaN is their neutral element.
        for (primitive, neutral) in [
            (Primitive::Min, f64::NAN),
            (Primitive::Max, f64::NAN),
            (Primitive::LiveMin, f64::NAN),
            (Primitive::LiveMax, f64::NAN),
            (Primitive::Last, f64::NEG_INFINITY),
        ] {
            if let Some(at) = self.offset(primitive) {
                row[at] = neutral;
            }
        }
    }

    /// Adds an increase.
    #[inline]
    pub fn fold_increase(&self, row: &mut [f64], with_births: f64, prometheus: f64) {
        if let Some(at) = self.offset(Primitive::Increase) {
            row[at] += with_births;
        }
        if let Some(at) = self.offset(Primitive::IncreasePrometheus) {
            row[at] += prometheus;
        }
    }

    /// Adds one sample's value to every primitive that looks at samples.
    pub fn fold_sample(&self, row: &mut [f64], timestamp: Timestamp, value: f64) {
        if let Some(at) = self.offset(Primitive::Sum) {
            row[at] += value;
        }
        if let Some(at) = self.offset(Primitive::Samples) {
            row[at] += 1.0;
        }
        if let Some(at) = self.offset(Primitive::Min) {
            row[at] = row[at].min(value);
        }
        if let Some(at) = self.offset(Primitive::Max) {
            row[at] = row[at].max(value);
        }
        if let Some(at) = self.offset(Primitive::Moments) {
            merge_moments(&mut row[at..at + 3], &[1.0, value, 0.0]);
        }
        if let Some(at) = self.offset(Primitive::Last) {
            merge_last(&mut row[at..at + 2], &[timestamp as f64, value]);
        }
    }

    /// Adds a series' rate over a window.
    pub fn fold_rate(&self, row: &mut [f64], rate: f64) {
        if let Some(at) = self.offset(Primitive::Rate) {
            row[at] += rate;
            row[at + 1] += 1.0;
        }
    }

    /// Adds a live series' latest value at the window's end.
    pub fn fold_live(&self, row: &mut [f64], value: f64) {
        if let Some(at) = self.offset(Primitive::Live) {
            row[at] += 1.0;
        }
        if let Some(at) = self.offset(Primitive::LiveSum) {
            row[at] += value;
        }
        if let Some(at) = self.offset(Primitive::LiveMin) {
            row[at] = row[at].min(value);
        }
        if let Some(at) = self.offset(Primitive::LiveMax) {
            row[at] = row[at].max(value);
        }
    }

    /// Merges another row of the same group and window into `row`.
    #[inline]
    pub fn merge(&self, row: &mut [f64], other: &[f64]) {
        if self.sums == self.stride {
            return row.iter_mut().zip(other).for_each(|(mine, theirs)| *mine += theirs);
        }
        for (mine, theirs) in row[..self.sums].iter_mut().zip(&other[..self.sums]) {
            *mine += theirs;
        }
        self.merge_others(row, other);
    }

    fn merge_others(&self, row: &mut [f64], other: &[f64]) {
        for &(primitive, width) in &PRIMITIVES[SUMS..] {
            let Some(at) = self.offset(primitive) else {
                continue;
            };
            let (mine, theirs) = (&mut row[at..at + width], &other[at..at + width]);
            match primitive {
                Primitive::Min if mutation::is(Mutation::ExtremesSwapped) => {
                    mine[0] = mine[0].max(theirs[0]);
                }
                Primitive::Min | Primitive::LiveMin => mine[0] = mine[0].min(theirs[0]),
                Primitive::Max | Primitive::LiveMax => mine[0] = mine[0].max(theirs[0]),
                Primitive::Moments => merge_moments(mine, theirs),
                Primitive::Last => merge_last(mine, theirs),
                _ => mine.iter_mut().zip(theirs).for_each(|(m, t)| *m += t),
            }
        }
    }
}

/// The primitives behind an output.
fn needs(output: &OutputKind) -> &'static [Primitive] {
    match output {
        OutputKind::Total | OutputKind::Increase => &[Primitive::Increase],
        OutputKind::TotalPrometheus | OutputKind::IncreasePrometheus => {
            &[Primitive::IncreasePrometheus]
        }
        OutputKind::RateSum | OutputKind::RateAvg => &[Primitive::Rate],
        OutputKind::SumSamples | OutputKind::SumSamplesTotal => {
            &[Primitive::Sum, Primitive::Samples]
        }
        OutputKind::CountSamples => &[Primitive::Samples],
        OutputKind::Avg => &[Primitive::Sum, Primitive::Samples],
        OutputKind::Min => &[Primitive::Min, Primitive::Samples],
        OutputKind::Max => &[Primitive::Max, Primitive::Samples],
        OutputKind::Stddev | OutputKind::Stdvar => &[Primitive::Moments],
        OutputKind::Last => &[Primitive::Last],
        OutputKind::CountSeries => &[Primitive::Live, Primitive::LiveHistograms],
        OutputKind::SumLast | OutputKind::AvgLast => &[Primitive::Live, Primitive::LiveSum],
        OutputKind::MinLast => &[Primitive::Live, Primitive::LiveMin],
        OutputKind::MaxLast => &[Primitive::Live, Primitive::LiveMax],
        OutputKind::UniqueSamples
        | OutputKind::Quantiles(_)
        | OutputKind::HistogramBucket
        | OutputKind::NativeHistogram => &[Primitive::Samples],
    }
}

/// Chan, Golub and LeVeque's pairwise update of (count, mean, sum of squares).
fn merge_moments(mine: &mut [f64], theirs: &[f64]) {
    let (n, m) = (mine[0], theirs[0]);
    if m == 0.0 {
        return;
    }
    let delta = theirs[1] - mine[1];
    let total = n + m;
    mine[0] = total;
    mine[1] += delta * m / total;
    mine[2] += theirs[2] + delta * delta * n * m / total;
}

/// The newer timestamp wins, the larger value among equals: no order of merging matters.
fn merge_last(mine: &mut [f64], theirs: &[f64]) {
    if (theirs[0], theirs[1]) > (mine[0], mine[1]) {
        mine.copy_from_slice(theirs);
    }
}

/// What does not fit in a row.
#[derive(Clone, Debug, Default)]
pub struct Complex {
    /// Distinct values.
    pub distinct: Option<Distinct>,
    /// Quantile sketch of the values.
    pub sketch: Option<Sketch>,
    /// Values by range.
    pub ranges: Option<VmRanges>,
    /// Values as a native histogram.
    pub native: Option<HistogramBuilder>,
    /// Increases of native histograms, births in full.
    pub increase: Option<NativeHistogram>,
    /// The same with first samples never.
    pub increase_prometheus: Option<NativeHistogram>,
}

impl Complex {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        let Self { distinct, sketch, ranges, native, increase, increase_prometheus } = self;
        let values = distinct.is_none() && sketch.is_none() && ranges.is_none();
        values && native.is_none() && increase.is_none() && increase_prometheus.is_none()
    }

    /// Adds one sample's value.
    pub fn fold(&mut self, layout: &Layout, value: f64) {
        if layout.distinct {
            self.distinct.get_or_insert_with(Distinct::default).fold(hash_of_value(value));
        }
        if layout.sketch {
            self.sketch.get_or_insert_with(Sketch::default).fold(value);
        }
        if layout.ranges {
            self.ranges.get_or_insert_with(VmRanges::default).fold(value);
        }
        if layout.native {
            self.native.get_or_insert_with(HistogramBuilder::default).fold(value);
        }
    }

    /// Merges another part of the same group and window.
    pub fn merge(&mut self, other: Self) {
        merge_option(&mut self.distinct, other.distinct, |a, b| a.merge(&b));
        merge_option(&mut self.sketch, other.sketch, |a, b| {
            if !mutation::is(Mutation::SketchMergeLost) {
                a.merge(&b);
            }
        });
        merge_option(&mut self.ranges, other.ranges, |a, b| a.merge(&b));
        merge_option(&mut self.native, other.native, merge_builders);
        merge_histograms(&mut self.increase, other.increase);
        merge_histograms(&mut self.increase_prometheus, other.increase_prometheus);
    }
}

fn merge_option<T>(mine: &mut Option<T>, theirs: Option<T>, merge: impl FnOnce(&mut T, T)) {
    match (mine.as_mut(), theirs) {
        (Some(a), Some(b)) => merge(a, b),
        (None, Some(b)) => *mine = Some(b),
        (_, None) => {}
    }
}

/// Builders are merged as what they have built: both are of standard buckets, so that never fails.
fn merge_builders(mine: &mut HistogramBuilder, theirs: HistogramBuilder) {
    let mut sum = mine.build();
    if sum.add(&theirs.build()).is_ok()
        && let Ok(merged) = HistogramBuilder::resume(&sum)
    {
        *mine = merged;
    }
}

/// Adds a native histogram; one that cannot be reconciled (custom with standard buckets) leaves
/// what is there.
pub fn merge_histograms(mine: &mut Option<NativeHistogram>, theirs: Option<NativeHistogram>) {
    merge_option(mine, theirs, |a, b| {
        let before = a.clone();
        if a.add(&b).is_err() {
            *a = before;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(layout: &Layout, values: &[f64]) -> Vec<f64> {
        let mut row = vec![0.0; layout.stride()];
        layout.reset(&mut row);
        for (at, &value) in values.iter().enumerate() {
            layout.fold_sample(&mut row, at as i64, value);
        }
        row
    }

    #[test]
    fn moments_merge_to_what_all_samples_give() {
        let layout = Layout::new(&[OutputKind::Stdvar, OutputKind::Avg]);
        let mut left = folded(&layout, &[1e9 + 4.0, 1e9 + 7.0]);
        let right = folded(&layout, &[1e9 + 13.0, 1e9 + 16.0]);
        layout.merge(&mut left, &right);
        let at = layout.offset(Primitive::Moments).unwrap();
        // The textbook case for cancellation: population variance 22.5.
        assert!((left[at + 2] / left[at] - 22.5).abs() < 1e-6);
    }

    #[test]
    fn an_untouched_row_changes_nothing() {
        let all = [OutputKind::Min, OutputKind::Max, OutputKind::Last, OutputKind::Stddev];
        let layout = Layout::new(&all);
        let mut row = folded(&layout, &[-3.0, 5.0]);
        let before = row.clone();
        layout.merge(&mut row, &folded(&layout, &[]));
        assert_eq!(row, before);
        let mut empty = folded(&layout, &[]);
        layout.merge(&mut empty, &before);
        assert_eq!(empty, before);
    }

    #[test]
    fn only_what_outputs_need_takes_room() {
        assert_eq!(Layout::new(&[OutputKind::Total]).stride(), 2);
        assert_eq!(Layout::new(&[OutputKind::Total, OutputKind::Increase]).stride(), 2);
        assert!(!Layout::new(&[OutputKind::Total]).complex());
    }
}
