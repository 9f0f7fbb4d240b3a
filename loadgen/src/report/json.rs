//! A report for programs: its fields as they are named in [`Report`], times in seconds.

use super::Report;

/// As JSON, with a line's end.
pub fn write(report: &Report) -> String {
    // Maps have keys that JSON can say and numbers are finite, so there is nothing to fail.
    serde_json::to_string_pretty(report).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::report::tests::example;

    #[test]
    fn it_parses_and_says_what_the_report_says() {
        let report = example();
        let value: serde_json::Value = serde_json::from_str(&super::write(&report)).expect("JSON");
        assert_eq!(value["totals"]["acknowledged"], report.totals.acknowledged);
        assert_eq!(value["latency"]["p99"], report.latency.p99);
        assert_eq!(value["totals"]["answers"]["204"], 300);
        let timeline = value["timeline"].as_array().expect("a list");
        assert_eq!(timeline.len(), report.timeline.len());
        assert_eq!(timeline[0]["acknowledged"], report.timeline[0].acknowledged);
        assert_eq!(value["bounds"][0]["met"], true);
    }
}
