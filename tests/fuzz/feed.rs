//! Some series over three windows, as targets begin with them.

#[path = "../../crates/aggregate/tests/shard/harness.rs"]
#[allow(dead_code, reason = "made for more than fuzz targets")]
mod harness;

pub(crate) use harness::Gate;
use harness::series;

/// A node of these rules that was fed; `after` is called behind each time of samples.
pub(crate) fn fed(rules: &str, after: impl Fn(&mut Gate, i64)) -> Gate {
    let mut gate = Gate::with_rules(rules);
    for (at, t) in [1_001_000i64, 1_009_000, 1_014_000].into_iter().enumerate() {
        let value = (at * 5) as f64;
        let sent =
            ["a job=j instance=i pod=1", "b job=j instance=i pod=2", "g job=j instance=i zone=z"]
                .map(|text| series(text, &[(t, value)]));
        gate.send("t", &sent);
        after(&mut gate, t);
    }
    gate
}
