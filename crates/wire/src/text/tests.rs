//! Exposition text against what the format's specification says.

use super::*;

/// Values as the Go programs node_exporter 1.5 and Cortex wrote them.
const FLOATS: &str = include_str!("../../tests/fixtures/floats.txt");

#[test]
fn floats_are_written_as_go_writes_them() {
    for text in FLOATS.lines() {
        let mut page = String::new();
        push_float(&mut page, text.parse().unwrap());
        assert_eq!(page, text);
    }
    // strconv's own test table, format 'g' and shortest.
    for (value, text) in [
        (1.0, "1"),
        (20.0, "20"),
        (1_234_567.8, "1.2345678e+06"),
        (200_000.0, "200000"),
        (2_000_000.0, "2e+06"),
        (1e23, "1e+23"),
        (5e-324, "5e-324"),
        (-0.0, "-0"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        let mut page = String::new();
        push_float(&mut page, value);
        assert_eq!(page, text);
    }
}

fn series(format: Format, labels: &[(&str, &str)], value: f64) -> String {
    let mut writer = Writer::new(format);
    let labels: Vec<Label<'_>> = labels.iter().map(|&(n, v)| Label::new(n, v)).collect();
    let samples = [Sample::new(1_520_879_607_089, value)];
    writer.series(labels.into_iter(), &samples, &[]);
    writer.finish()
}

#[test]
fn series_in_both_formats() {
    let labels = [("__name__", "up"), ("job", "a\"b\\c\nd")];
    assert_eq!(series(Format::Text, &labels, 1.0), "up{job=\"a\\\"b\\\\c\\nd\"} 1 1520879607089\n");
    assert_eq!(series(Format::OpenMetrics, &labels[..1], 1.0), "up 1.0 1520879607.089\n# EOF\n");
}

#[test]
fn names_of_the_new_alphabet_are_quoted() {
    let labels = [("__name__", "http.requests"), ("région", "eu")];
    assert_eq!(
        series(Format::Text, &labels, 2.5),
        "{\"http.requests\",\"région\"=\"eu\"} 2.5 1520879607089\n"
    );
    let odd = [("__name__", "http.requests")];
    assert!(series(Format::Text, &odd, 0.0).starts_with("{\"http.requests\"} 0 "));
    assert!(series(Format::Text, &[("a", "b")], 0.0).starts_with("{a=\"b\"} 0 "));
    assert!(series(Format::Text, &[], 0.0).starts_with("{} 0 "));
}

#[test]
fn families_have_help_and_type() {
    let mut text = Writer::new(Format::Text);
    text.family("a_total", MetricType::Counter, "say \"a\"\nb");
    text.family("b", MetricType::Unknown, "");
    assert_eq!(
        text.finish(),
        "# HELP a_total say \"a\"\\nb\n# TYPE a_total counter\n# TYPE b untyped\n"
    );
    let mut open = Writer::new(Format::OpenMetrics);
    open.family("a_total", MetricType::Counter, "say \"a\"");
    open.family("b", MetricType::Counter, "");
    assert_eq!(
        open.finish(),
        "# HELP a say \\\"a\\\"\n# TYPE a counter\n# TYPE b unknown\n# EOF\n"
    );
}

#[test]
fn stale_markers_and_native_histograms_are_left_out() {
    let mut writer = Writer::new(Format::Text);
    let stale = [Sample::new(1, weir_model::STALE_NAN)];
    let labels = [Label::new("__name__", "a")].into_iter();
    writer.series(labels, &stale, &[NativeHistogram::default()]);
    assert_eq!(writer.skipped_histograms(), 1);
    assert_eq!(writer.finish(), "");
}

#[test]
fn accept_headers_choose_the_format() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::from_accept(prometheus), Format::OpenMetrics);
    assert_eq!(Format::from_accept("text/html, */*"), Format::Text);
    let text_first = "text/plain;q=0.9, application/openmetrics-text;q=0.2";
    assert_eq!(Format::from_accept(text_first), Format::Text);
}
