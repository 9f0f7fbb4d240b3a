//! What tests send and get back: label sets, samples, and all samples of a run by series.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::oracle::NativeHistogram;

/// A series' labels, `__name__` among them.
pub type Labels = BTreeMap<String, String>;

/// The bits of Prometheus's stale marker.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker.
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// Whether a value is the stale marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Labels from a metric name and pairs.
pub fn labels(name: &str, pairs: &[(&str, &str)]) -> Arc<Labels> {
    let mut labels = Labels::from([("__name__".to_owned(), name.to_owned())]);
    labels.extend(pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())));
    Arc::new(labels)
}

/// The metric's name.
pub fn name(labels: &Labels) -> &str {
    labels.get("__name__").map_or("", String::as_str)
}

/// As PromQL writes a series.
pub fn display(labels: &Labels) -> String {
    let pairs = labels.iter().filter(|(k, _)| *k != "__name__");
    let pairs: Vec<String> = pairs.map(|(k, v)| format!("{k}={v:?}")).collect();
    format!("{}{{{}}}", name(labels), pairs.join(","))
}

/// One sample of a series.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The series.
    pub labels: Arc<Labels>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Value; may be the stale marker.
    pub value: f64,
    /// Start timestamp, 0 for none (remote write 2.0 only).
    pub start: i64,
    /// The native histogram that it is instead of a float.
    pub histogram: Option<Arc<NativeHistogram>>,
}

impl Sample {
    /// A sample without start timestamp.
    pub fn new(labels: &Arc<Labels>, timestamp: i64, value: f64) -> Self {
        let labels = Arc::clone(labels);
        Self { labels, timestamp, value, start: 0, histogram: None }
    }

    /// A native histogram; its value is no number, and the stale marker where its sum is.
    pub fn native(labels: &Arc<Labels>, histogram: NativeHistogram) -> Self {
        let value = if is_stale(histogram.sum) { stale_marker() } else { f64::NAN };
        let timestamp = histogram.timestamp;
        Self { histogram: Some(Arc::new(histogram)), ..Self::new(labels, timestamp, value) }
    }
}

/// All samples of a run: series → timestamp → value. Each (series, timestamp) counts once.
#[derive(Clone, Debug, Default)]
pub struct History(pub BTreeMap<Arc<Labels>, BTreeMap<i64, f64>>);

impl History {
    /// Adds samples; the first one of a (series, timestamp) stays.
    pub fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            let series = self.0.entry(Arc::clone(&sample.labels)).or_default();
            series.entry(sample.timestamp).or_insert(sample.value);
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
