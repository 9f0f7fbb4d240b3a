//! From a closed window's row to output samples: what each output says of a group.
//!
//! A window has a value or a stale marker for each output series, never both. Invariant: whatever
//! an output needs beyond the window (its running totals) stands in [`Totals`].

use weir_model::histogram::ResetHint;
use weir_model::mutation::{self, Mutation};
use weir_model::vmrange::VmRanges;
use weir_model::{NativeHistogram, Timestamp};

use crate::accumulator::{Complex, Layout, Primitive, merge_histograms};
use crate::rule::{OutputKind, QUANTILE_LABEL, VMRANGE_LABEL, quantile_value};

/// What a group carries from window to window.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// `total`.
    pub total: f64,
    /// `total_prometheus`.
    pub total_prometheus: f64,
    /// `sum_samples_total`.
    pub sum: f64,
    /// `histogram_bucket`: its counts grow while the group lives.
    pub ranges: Option<Box<VmRanges>>,
    /// `total` of native histograms.
    pub histogram: Option<Box<NativeHistogram>>,
    /// `total_prometheus` of native histograms.
    pub histogram_prometheus: Option<Box<NativeHistogram>>,
}

/// A group's window, ready to be read.
pub struct Closed<'a> {
    /// Where the primitives stand.
    pub layout: &'a Layout,
    /// The merged row.
    pub row: &'a [f64],
    /// What does not fit in it.
    pub complex: Option<&'a Complex>,
    /// A series of the group is alive at the window's end.
    pub alive: bool,
    /// The window's end.
    pub end: Timestamp,
}

/// One value of an output.
#[derive(Clone, Debug)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A float of a series with one more label (`quantile`, `vmrange`).
    Labelled(&'static str, String, f64),
    /// A native histogram.
    Histogram(Box<NativeHistogram>),
}

impl Totals {
    /// Adds a window.
    pub fn add(&mut self, closed: &Closed<'_>) {
        let get = |p| closed.layout.get(closed.row, p);
        self.total += get(Primitive::Increase);
        self.total_prometheus += get(Primitive::IncreasePrometheus);
        self.sum += get(Primitive::Sum);
        let Some(complex) = closed.complex else {
            return;
        };
        if let Some(ranges) = &complex.ranges
            && !mutation::is(Mutation::RangesLost)
        {
            self.ranges.get_or_insert_default().merge(ranges);
        }
        for (mine, theirs) in [
            (&mut self.histogram, &complex.increase),
            (&mut self.histogram_prometheus, &complex.increase_prometheus),
        ] {
            let mut sum = mine.take().map(|h| *h);
            merge_histograms(&mut sum, theirs.clone());
            *mine = sum.map(Box::new);
        }
    }
}

/// The values of an output for a closed window, after [`Totals::add`].
pub fn values(output: &OutputKind, closed: &Closed<'_>, totals: &Totals) -> Vec<Value> {
    let get = |p| closed.layout.get(closed.row, p);
    let touched = closed.row[0] > 0.0;
    let going = touched || closed.alive;
    let samples = get(Primitive::Samples);
    let sampled = samples > 0.0;
    let live = get(Primitive::Live);
    let float = |when: bool, value: f64| when.then_some(Value::Float(value)).into_iter().collect();
    match output {
        OutputKind::Total => cumulative(going, totals.total, totals.histogram.as_deref(), closed),
        OutputKind::TotalPrometheus => {
            let histogram = totals.histogram_prometheus.as_deref();
            cumulative(going, totals.total_prometheus, histogram, closed)
        }
        OutputKind::Increase => {
            let histogram = closed.complex.and_then(|c| c.increase.as_ref());
            cumulative(touched, get(Primitive::Increase), histogram, closed)
        }
        OutputKind::IncreasePrometheus => {
            let histogram = closed.complex.and_then(|c| c.increase_prometheus.as_ref());
            cumulative(touched, get(Primitive::IncreasePrometheus), histogram, closed)
        }
        OutputKind::RateSum => float(rates(closed) > 0.0, get(Primitive::Rate)),
        OutputKind::RateAvg => float(rates(closed) > 0.0, get(Primitive::Rate) / rates(closed)),
        OutputKind::SumSamples => float(sampled, get(Primitive::Sum)),
        OutputKind::SumSamplesTotal => float(going, totals.sum),
        OutputKind::CountSamples => float(sampled, samples),
        OutputKind::CountSeries => {
            let all = live + get(Primitive::LiveHistograms);
            float(all > 0.0, all)
        }
        OutputKind::Avg => float(sampled, get(Primitive::Sum) / samples),
        OutputKind::Min => float(sampled, get(Primitive::Min)),
        OutputKind::Max => float(sampled, get(Primitive::Max)),
        OutputKind::Stddev => float(moments(closed).0 > 0.0, variance(closed).sqrt()),
        OutputKind::Stdvar => float(moments(closed).0 > 0.0, variance(closed)),
        OutputKind::Last => last(closed).map(Value::Float).into_iter().collect(),
        OutputKind::SumLast => float(live > 0.0, get(Primitive::LiveSum)),
        OutputKind::AvgLast => float(live > 0.0, get(Primitive::LiveSum) / live),
        OutputKind::MinLast => float(live > 0.0, get(Primitive::LiveMin)),
        OutputKind::MaxLast => float(live > 0.0, get(Primitive::LiveMax)),
        OutputKind::UniqueSamples => {
            let distinct = closed.complex.and_then(|c| c.distinct.as_ref());
            distinct.map(|d| Value::Float(d.count() as f64)).into_iter().collect()
        }
        OutputKind::Quantiles(phis) => quantiles(phis, closed),
        OutputKind::HistogramBucket => ranges(going, totals),
        OutputKind::NativeHistogram => native(closed),
    }
}

/// A counter's floats and histograms: whichever the group's series are made of.
fn cumulative(
    when: bool,
    float: f64,
    histogram: Option<&NativeHistogram>,
    closed: &Closed<'_>,
) -> Vec<Value> {
    if !when {
        return Vec::new();
    }
    match histogram {
        Some(histogram) => {
            let mut histogram = histogram.clone();
            histogram.timestamp = closed.end;
            histogram.start = 0;
            vec![Value::Histogram(Box::new(histogram))]
        }
        None => vec![Value::Float(float)],
    }
}

fn rates(closed: &Closed<'_>) -> f64 {
    closed.layout.offset(Primitive::Rate).map_or(0.0, |at| closed.row[at + 1])
}

fn moments(closed: &Closed<'_>) -> (f64, f64) {
    let at = closed.layout.offset(Primitive::Moments);
    at.map_or((0.0, 0.0), |at| (closed.row[at], closed.row[at + 2]))
}

fn variance(closed: &Closed<'_>) -> f64 {
    let (count, squares) = moments(closed);
    squares / count
}

fn last(closed: &Closed<'_>) -> Option<f64> {
    let at = closed.layout.offset(Primitive::Last)?;
    closed.row[at].is_finite().then_some(closed.row[at + 1])
}

fn quantiles(phis: &[f64], closed: &Closed<'_>) -> Vec<Value> {
    let Some(sketch) = closed.complex.and_then(|c| c.sketch.as_ref()) else {
        return Vec::new();
    };
    let value = |&phi: &f64| {
        let value = sketch.quantile(phi)?;
        Some(Value::Labelled(QUANTILE_LABEL, quantile_value(phi), value))
    };
    phis.iter().filter_map(value).collect()
}

/// A window's values are no counter: the histogram says so.
fn native(closed: &Closed<'_>) -> Vec<Value> {
    let builder = closed.complex.and_then(|c| c.native.as_ref());
    let histogram = builder.map(|builder| NativeHistogram {
        timestamp: closed.end,
        reset_hint: ResetHint::Gauge,
        ..builder.build()
    });
    let value = |histogram| Value::Histogram(Box::new(histogram));
    histogram.map(value).into_iter().collect()
}

fn ranges(going: bool, totals: &Totals) -> Vec<Value> {
    let ranges = totals.ranges.as_deref().filter(|_| going);
    let each = ranges.into_iter().flat_map(|r| r.iter());
    each.map(|(range, count)| Value::Labelled(VMRANGE_LABEL, range.to_owned(), count as f64))
        .collect()
}
