//! `io.prometheus.client`, written by hand from Prometheus's
//! `prompb/io/prometheus/client/metrics.proto`.

use super::super::BucketSpan;

/// A family.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricFamily {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Help text.
    #[prost(string, tag = "2")]
    pub help: String,
    /// 0 counter, 1 gauge, 2 summary, 3 untyped, 4 histogram, 5 gauge histogram.
    #[prost(int32, tag = "3")]
    pub kind: i32,
    /// Metrics.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    /// Unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// A metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// Labels.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// Value of a gauge.
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Simple>,
    /// Value of a counter.
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Simple>,
    /// Value of a summary.
    #[prost(message, optional, tag = "4")]
    pub summary: Option<Summary>,
    /// Value of an untyped metric.
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Simple>,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "6")]
    pub timestamp_ms: i64,
    /// Value of either kind of histogram.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelPair {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `Counter`; a gauge and an untyped metric have its first field only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Simple {
    /// Value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Exemplar of a counter.
    #[prost(message, optional, tag = "2")]
    pub exemplar: Option<Exemplar>,
    /// When a counter began.
    #[prost(message, optional, tag = "3")]
    pub start: Option<Timestamp>,
}

/// `Summary`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// Observations.
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    /// Their sum.
    #[prost(double, tag = "2")]
    pub sample_sum: f64,
    /// Quantiles.
    #[prost(message, repeated, tag = "3")]
    pub quantile: Vec<Quantile>,
    /// When it began.
    #[prost(message, optional, tag = "4")]
    pub start: Option<Timestamp>,
}

/// `Quantile`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Quantile {
    /// Which.
    #[prost(double, tag = "1")]
    pub quantile: f64,
    /// Value.
    #[prost(double, tag = "2")]
    pub value: f64,
}

/// `Histogram`, classic, native or both.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Observations.
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    /// Their sum.
    #[prost(double, tag = "2")]
    pub sample_sum: f64,
    /// Classic buckets.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    /// Overrides the integer if it is not 0.
    #[prost(double, tag = "4")]
    pub sample_count_float: f64,
    /// Resolution.
    #[prost(sint32, tag = "5")]
    pub schema: i32,
    /// Width of the zero bucket.
    #[prost(double, tag = "6")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(uint64, tag = "7")]
    pub zero_count: u64,
    /// Float kind of it.
    #[prost(double, tag = "8")]
    pub zero_count_float: f64,
    /// Where the negative buckets are.
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<BucketSpan>,
    /// Integer kind: differences of counts.
    #[prost(sint64, repeated, tag = "10")]
    pub negative_delta: Vec<i64>,
    /// Float kind: counts.
    #[prost(double, repeated, tag = "11")]
    pub negative_count: Vec<f64>,
    /// Where the positive buckets are.
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    /// Integer kind: differences of counts.
    #[prost(sint64, repeated, tag = "13")]
    pub positive_delta: Vec<i64>,
    /// Float kind: counts.
    #[prost(double, repeated, tag = "14")]
    pub positive_count: Vec<f64>,
    /// When it began.
    #[prost(message, optional, tag = "15")]
    pub start: Option<Timestamp>,
    /// Exemplars of a native histogram.
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<Exemplar>,
}

/// `Bucket`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bucket {
    /// Observations up to the bound.
    #[prost(uint64, tag = "1")]
    pub cumulative_count: u64,
    /// The bound, inclusive.
    #[prost(double, tag = "2")]
    pub upper_bound: f64,
    /// Its exemplar.
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<Exemplar>,
    /// Overrides the integer if it is not 0.
    #[prost(double, tag = "4")]
    pub cumulative_count_float: f64,
}

/// `Exemplar`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Labels.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// Value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// When it was observed.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Since the epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// On top of them.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
