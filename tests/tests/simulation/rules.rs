//! The rule files that are simulated.

use std::sync::Arc;

use weir_aggregate::rule::{Rule, load};
use weir_model::Relabel;

/// One of them is a seed's.
pub(crate) const RULES: [&str; 4] = [
    "- {match: requests_total, interval: 5s, without: [instance], outputs: [total, increase, rate_sum]}\n\
     - {match: in_flight, interval: 10s, by: [zone], staleness_interval: 20s, \
     outputs: [sum_last, count_series, max, avg, count_samples]}\n",
    "- {match: requests_total, interval: 10s, by: [job], outputs: [total_prometheus, total], \
     staleness_interval: 30s}\n\
     - {match: in_flight, interval: 5s, without: [instance], \
     outputs: [min_last, max_last, avg_last, sum_samples_total, unique_samples]}\n",
    "- {match: requests_total, interval: 7s, by: [zone], late: drop, outputs: [total, rate_avg]}\n\
     - {match: in_flight, interval: 20s, outputs: [last, stddev, sum_samples, min]}\n",
    "- {match: requests_total, interval: 5s, without: [instance, zone], keep_input: true, \
     outputs: [total]}\n\
     - {match: in_flight, interval: 10s, by: [job], outputs: ['quantiles(0.5)', histogram_bucket, last]}\n",
];

/// The longest interval in them.
pub(crate) const LONGEST_MS: i64 = 20_000;

/// The rules as the gateway reads them; there is no relabelling in them.
pub(crate) fn read(rules: &str) -> Vec<Rule> {
    let compile =
        |_: &[serde_json::Value]| -> Result<Arc<dyn Relabel>, Vec<String>> { Err(Vec::new()) };
    match load(rules, &compile) {
        Ok(file) => file.rules,
        Err(problems) => panic!("{problems:?}"),
    }
}
