//! The series of families that prost has read, as lines.

use weir_model::histogram::{ResetHint, Span};
use weir_model::sample::NORMAL_NAN_BITS;
use weir_model::{Exemplar, Label, Labels, MetricType, NativeHistogram};

use super::messages::{self, Histogram, Metric, MetricFamily, Timestamp};
use super::{NO_TIMESTAMP, Options, push_exemplars, type_line, with_times};
use crate::exposition::bound_text;
use crate::oracle::BucketSpan;

/// The lines of a page; `None` if it is to be refused.
pub(super) fn lines(families: &[MetricFamily], options: Options) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for family in families.iter().filter(|f| !f.metric.is_empty()) {
        let kind = [
            MetricType::Counter,
            MetricType::Gauge,
            MetricType::Summary,
            MetricType::Unknown,
            MetricType::Histogram,
            MetricType::GaugeHistogram,
        ];
        let kind = *kind.get(usize::try_from(family.kind).ok()?)?;
        if family.name.is_empty() {
            return None;
        }
        out.push(format!("HELP {} {}", family.name, family.help));
        if !family.unit.is_empty() {
            out.push(format!("UNIT {} {}", family.name, family.unit));
        }
        out.push(type_line(&family.name, kind));
        for metric in &family.metric {
            let series = Series { name: &family.name, metric, start: None };
            series.push(kind, options, &mut out)?;
        }
    }
    Some(out)
}

struct Series<'a> {
    name: &'a str,
    metric: &'a Metric,
    start: Option<i64>,
}

impl Series<'_> {
    fn push(mut self, kind: MetricType, options: Options, out: &mut Vec<String>) -> Option<()> {
        let metric = self.metric;
        match kind {
            MetricType::Counter => {
                let counter = metric.counter.clone().unwrap_or_default();
                self.start = millis(counter.start);
                out.push(self.line("", None, counter.value, counter.exemplar.as_ref())?);
            }
            MetricType::Gauge => {
                let value = metric.gauge.as_ref().map_or(0.0, |gauge| gauge.value);
                out.push(self.line("", None, value, None)?);
            }
            MetricType::Summary => {
                let summary = metric.summary.clone().unwrap_or_default();
                self.start = millis(summary.start);
                out.push(self.line("_count", None, summary.sample_count as f64, None)?);
                out.push(self.line("_sum", None, summary.sample_sum, None)?);
                for quantile in &summary.quantile {
                    let label = Some(("quantile", quantile.quantile));
                    out.push(self.line("", label, quantile.value, None)?);
                }
            }
            MetricType::Histogram | MetricType::GaugeHistogram => {
                let histogram = metric.histogram.clone().unwrap_or_default();
                self.start = millis(histogram.start);
                let native = !options.ignore_native && is_native(&histogram);
                if native {
                    out.push(self.native_line(&histogram, kind)?);
                }
                if !native || (options.classic_too && !histogram.bucket.is_empty()) {
                    self.push_classic(&histogram, out)?;
                }
            }
            _ => {
                let value = metric.untyped.as_ref().map_or(0.0, |untyped| untyped.value);
                out.push(self.line("", None, value, None)?);
            }
        }
        Some(())
    }

    fn push_classic(&self, histogram: &Histogram, out: &mut Vec<String>) -> Option<()> {
        let choose = |float: f64, int: u64| if float == 0.0 { int as f64 } else { float };
        let count = choose(histogram.sample_count_float, histogram.sample_count);
        out.push(self.line("_count", None, count, None)?);
        out.push(self.line("_sum", None, histogram.sample_sum, None)?);
        for bucket in &histogram.bucket {
            let count = choose(bucket.cumulative_count_float, bucket.cumulative_count);
            let le = Some(("le", bucket.upper_bound));
            out.push(self.line("_bucket", le, count, bucket.exemplar.as_ref())?);
            if bucket.upper_bound == f64::INFINITY {
                return Some(());
            }
        }
        out.push(self.line("_bucket", Some(("le", f64::INFINITY)), count, None)?);
        Some(())
    }

    fn native_line(&self, histogram: &Histogram, kind: MetricType) -> Option<String> {
        let timestamp = Some(self.metric.timestamp_ms).filter(|&ms| ms != 0);
        let mut native = native(histogram, kind);
        native.timestamp = timestamp.unwrap_or_default();
        native.start = self.start.unwrap_or_default();
        native.validate().ok()?;
        drop_empty(&mut native.positive_spans, &mut native.positive);
        drop_empty(&mut native.negative_spans, &mut native.negative);
        let line = format!("{} {native:?}", self.labels("", None)?);
        let mut line = with_times(line, timestamp, self.start);
        let own: Vec<&messages::Exemplar> = if histogram.exemplars.is_empty() {
            histogram.bucket.iter().filter_map(|b| b.exemplar.as_ref()).collect()
        } else {
            histogram.exemplars.iter().collect()
        };
        let timed = own.into_iter().filter(|e| e.timestamp.is_some()).map(exemplar);
        push_exemplars(&mut line, &timed.collect::<Vec<_>>());
        Some(line)
    }

    fn line(
        &self,
        suffix: &str,
        bound: Option<(&str, f64)>,
        value: f64,
        taken: Option<&messages::Exemplar>,
    ) -> Option<String> {
        let value = if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value };
        let timestamp = Some(self.metric.timestamp_ms).filter(|&ms| ms != 0);
        let line = format!("{} {value:?}", self.labels(suffix, bound)?);
        let mut line = with_times(line, timestamp, self.start);
        push_exemplars(&mut line, &taken.map(exemplar).into_iter().collect::<Vec<_>>());
        Some(line)
    }

    fn labels(&self, suffix: &str, bound: Option<(&str, f64)>) -> Option<Labels> {
        let name = format!("{}{suffix}", self.name);
        let bound = bound.map(|(name, bound)| (name, bound_text(bound)));
        let own = self.metric.label.iter().map(|l| Label::new(&l.name, &l.value));
        let magic = bound.iter().map(|(name, value)| Label::new(name, value));
        // An empty label twice is none, as everywhere behind the parser.
        let own = own.filter(|label| label.name.is_empty() || !label.value.is_empty());
        Labels::from_pairs([Label::new("__name__", &name)].into_iter().chain(own).chain(magic)).ok()
    }
}

fn is_native(histogram: &Histogram) -> bool {
    !histogram.positive_span.is_empty()
        || !histogram.negative_span.is_empty()
        || histogram.zero_threshold > 0.0
        || histogram.zero_count > 0
}

fn native(histogram: &Histogram, kind: MetricType) -> NativeHistogram {
    let float = histogram.sample_count_float > 0.0
        || histogram.zero_count_float > 0.0
        || !histogram.positive_count.is_empty()
        || !histogram.negative_count.is_empty();
    let running = |deltas: &[i64]| {
        let sums = deltas.iter().scan(0i64, |sum, delta| {
            *sum = sum.wrapping_add(*delta);
            Some(*sum as f64)
        });
        sums.collect::<Vec<f64>>()
    };
    let spans = |spans: &[BucketSpan]| {
        spans.iter().map(|s| Span { offset: s.offset, length: s.length }).collect::<Vec<Span>>()
    };
    let sum = histogram.sample_sum;
    let mut native = NativeHistogram {
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count as f64,
        count: histogram.sample_count as f64,
        sum: if sum.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { sum },
        positive_spans: spans(&histogram.positive_span),
        positive: running(&histogram.positive_delta),
        negative_spans: spans(&histogram.negative_span),
        negative: running(&histogram.negative_delta),
        integer: !float,
        ..NativeHistogram::default()
    };
    if float {
        native.zero_count = histogram.zero_count_float;
        native.count = histogram.sample_count_float;
        native.positive = histogram.positive_count.clone();
        native.negative = histogram.negative_count.clone();
    }
    if kind == MetricType::GaugeHistogram {
        native.reset_hint = ResetHint::Gauge;
    }
    native
}

/// Buckets by their indexes, less the empty ones, and back.
fn drop_empty(spans: &mut Vec<Span>, counts: &mut Vec<f64>) {
    let mut buckets = Vec::new();
    let mut index = 0i64;
    for span in spans.iter() {
        index += i64::from(span.offset);
        buckets.extend((0..i64::from(span.length)).map(|at| index + at));
        index += i64::from(span.length);
    }
    let full = buckets.into_iter().zip(counts.iter().copied()).filter(|&(_, count)| count != 0.0);
    let full: Vec<(i64, f64)> = full.collect();
    *counts = full.iter().map(|&(_, count)| count).collect();
    spans.clear();
    let mut end = 0;
    for run in full.chunk_by(|one, next| one.0 + 1 == next.0) {
        spans.push(Span { offset: (run[0].0 - end) as i32, length: run.len() as u32 });
        end = run[0].0 + run.len() as i64;
    }
}

fn millis(timestamp: Option<Timestamp>) -> Option<i64> {
    let Timestamp { seconds, nanos } = timestamp?;
    let millis = seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000));
    Some(millis).filter(|&millis| millis != 0)
}

fn exemplar(message: &messages::Exemplar) -> Exemplar {
    let labels = message.label.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
    let timestamp = message.timestamp.map_or(NO_TIMESTAMP, |t| {
        t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos / 1_000_000))
    });
    let value = message.value;
    let value = if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value };
    Exemplar { labels, value, timestamp }
}
