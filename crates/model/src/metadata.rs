//! What a metric is: type, help, unit. And exemplars, which travel beside samples.
//!
//! Both are passed on, never aggregated.

use crate::Timestamp;

/// Metric types, numbered as in `prompb.MetricMetadata` and `writev2.Metadata`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown = 0,
    /// Counter.
    Counter = 1,
    /// Gauge.
    Gauge = 2,
    /// Classic or native histogram.
    Histogram = 3,
    /// Gauge histogram.
    GaugeHistogram = 4,
    /// Summary.
    Summary = 5,
    /// Info.
    Info = 6,
    /// State set.
    StateSet = 7,
}

impl MetricType {
    /// The type of this number, `Unknown` for numbers without a meaning.
    pub fn from_number(number: u64) -> Self {
        use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary};
        let known = [Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet];
        known.into_iter().find(|&t| t as u64 == number).unwrap_or(Self::Unknown)
    }
}

/// Metadata of one metric family.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// Family name; empty where it stands on a series (remote write 2.0).
    pub family: String,
    /// Type.
    pub kind: MetricType,
    /// Help text.
    pub help: String,
    /// Unit.
    pub unit: String,
}

/// One exemplar of a series.
#[derive(Clone, PartialEq, Debug)]
pub struct Exemplar {
    /// Its labels, as they came.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
    /// When it was observed.
    pub timestamp: Timestamp,
}
