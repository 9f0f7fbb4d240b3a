//! Limits of a scrape, and all the reasons for which one fails.
//!
//! Texts are Prometheus's, for people look for them. A limit of 0 is none.

use weir_model::labels::METRIC_NAME;
use weir_model::{LabelsBuilder, NativeHistogram};
use weir_wire::exposition::ParseError;
use weir_wire::exposition::protocol::UnknownFormat;

use super::fetch::FetchError;

/// Limits of each scrape of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// `sample_limit`: samples after relabelling.
    pub samples: usize,
    /// `label_limit`: labels of a series.
    pub labels: usize,
    /// `label_name_length_limit`, bytes.
    pub label_name_bytes: usize,
    /// `label_value_length_limit`, bytes.
    pub label_value_bytes: usize,
    /// `native_histogram_bucket_limit`: buckets of a native histogram, brought down by halving its
    /// resolution.
    pub buckets: usize,
    /// The finest resolution of native histograms, from `native_histogram_min_bucket_factor`.
    pub schema_max: Option<i32>,
    /// `body_size_limit`: bytes of a page after decompression.
    pub body_bytes: usize,
}

/// Why a scrape failed. Nothing of its page is kept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScrapeError {
    /// No page.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A page that cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A page in no format that is known.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// More samples than `sample_limit`.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A native histogram with more buckets than the limit, in its coarsest resolution.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    /// The job has more targets than its `target_limit`.
    #[error("target_limit exceeded (number of targets: {targets}, limit: {limit})")]
    TargetLimit {
        /// Targets after relabelling.
        targets: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Relabelling took the name away.
    #[error("missing metric name (__name__ label)")]
    NoName,
    /// More labels than `label_limit`.
    #[error(
        "label_limit exceeded (metric: {metric:.50}, number of labels: {count}, limit: {limit})"
    )]
    LabelCount {
        /// The series' name.
        metric: String,
        /// Its labels.
        count: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A longer name than `label_name_length_limit`.
    #[error(
        "label_name_length_limit exceeded (metric: {metric:.50}, label name: {name:.50}, length: {}, limit: {limit})", name.len()
    )]
    LabelName {
        /// The series' name.
        metric: String,
        /// The label's name.
        name: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// A longer value than `label_value_length_limit`.
    #[error(
        "label_value_length_limit exceeded (metric: {metric:.50}, label name: {name:.50}, value: \"{value:.50}\", length: {length}, limit: {limit})"
    )]
    LabelValue {
        /// The series' name.
        metric: String,
        /// The label's name.
        name: String,
        /// The value's beginning.
        value: String,
        /// Its bytes.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl ScrapeError {
    /// Whether it is one of the three limits of labels.
    pub fn is_label_limit(&self) -> bool {
        matches!(self, Self::LabelCount { .. } | Self::LabelName { .. } | Self::LabelValue { .. })
    }
}

impl Limits {
    /// Brings a native histogram down to what is allowed.
    pub(super) fn reduce(&self, histogram: &mut NativeHistogram) -> Result<(), ScrapeError> {
        if let Some(schema) = self.schema_max.filter(|&schema| histogram.schema > schema) {
            // One with custom buckets has no resolution to reduce; it stays as it is.
            histogram.downscale(schema).ok();
        }
        if self.buckets == 0 {
            return Ok(());
        }
        let reduced = histogram.limit_buckets(self.buckets);
        let count = histogram.positive.len() + histogram.negative.len();
        if reduced.is_err() || count > self.buckets {
            return Err(ScrapeError::BucketLimit);
        }
        Ok(())
    }

    /// Checks the labels of a series that is new.
    pub(super) fn check(&self, labels: &LabelsBuilder) -> Result<(), ScrapeError> {
        let metric = || labels.get(METRIC_NAME).to_owned();
        let is_over = |len: usize, limit: usize| limit != 0 && len > limit;
        if is_over(labels.len(), self.labels) {
            let (count, limit) = (labels.len(), self.labels);
            return Err(ScrapeError::LabelCount { metric: metric(), count, limit });
        }
        for label in labels.iter() {
            let name = || label.name.to_owned();
            if is_over(label.name.len(), self.label_name_bytes) {
                let limit = self.label_name_bytes;
                return Err(ScrapeError::LabelName { metric: metric(), name: name(), limit });
            }
            if is_over(label.value.len(), self.label_value_bytes) {
                return Err(ScrapeError::LabelValue {
                    metric: metric(),
                    name: name(),
                    value: label.value.chars().take(50).collect(),
                    length: label.value.len(),
                    limit: self.label_value_bytes,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Label;

    /// Texts worked out from Prometheus's format strings (`verifyLabelLimits`).
    #[test]
    fn limits_of_labels_speak_prometheus() {
        let labels = LabelsBuilder::from_labels([
            Label::new(METRIC_NAME, "requests_total"),
            Label::new("code", "200"),
        ]);
        let error = |limits: Limits| limits.check(&labels).unwrap_err();
        let count = error(Limits { labels: 1, ..Limits::default() });
        assert_eq!(
            count.to_string(),
            "label_limit exceeded (metric: requests_total, number of labels: 2, limit: 1)"
        );
        let name = error(Limits { label_name_bytes: 7, ..Limits::default() });
        assert_eq!(
            name.to_string(),
            "label_name_length_limit exceeded (metric: requests_total, label name: __name__, length: 8, limit: 7)"
        );
        let value = error(Limits { label_value_bytes: 13, ..Limits::default() });
        assert_eq!(
            value.to_string(),
            "label_value_length_limit exceeded (metric: requests_total, label name: __name__, value: \"requests_total\", length: 14, limit: 13)"
        );
        assert!(count.is_label_limit() && name.is_label_limit() && value.is_label_limit());
        assert!(!ScrapeError::SampleLimit.is_label_limit());
        let just =
            Limits { labels: 2, label_name_bytes: 8, label_value_bytes: 14, ..Limits::default() };
        assert_eq!(just.check(&labels), Ok(()));
        assert_eq!(Limits::default().check(&labels), Ok(()));
    }
}
