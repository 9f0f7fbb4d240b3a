//! Expositions compared with texts written by hand from the two specifications.

use proptest::prelude::*;

use super::*;
use ExpositionFormat::{OpenMetrics, Text};

#[test]
fn an_empty_registry_is_a_valid_scrape() {
    assert_eq!(Registry::new().encode(Text), "");
    assert_eq!(Registry::new().encode(OpenMetrics), "# EOF\n");
}

#[test]
fn counters_differ_between_the_formats_in_the_family_name() {
    let registry = Registry::new();
    let requests = registry.counter_family("http_requests_total", "The total number of requests.");
    requests.with(&[("method", "post"), ("code", "200")]).add(1027);
    requests.with(&[("code", "400"), ("method", "post")]).inc();
    requests.with(&[("code", "400"), ("method", "post")]).add(2);
    let samples = "http_requests_total{code=\"200\",method=\"post\"} 1027\n\
                   http_requests_total{code=\"400\",method=\"post\"} 3\n";
    let text = "# HELP http_requests_total The total number of requests.\n\
                # TYPE http_requests_total counter\n";
    assert_eq!(registry.encode(Text), format!("{text}{samples}"));
    let open = "# HELP http_requests The total number of requests.\n\
                # TYPE http_requests counter\n";
    assert_eq!(registry.encode(OpenMetrics), format!("{open}{samples}# EOF\n"));
}

#[test]
fn a_counter_registered_without_total_gets_it() {
    let registry = Registry::new();
    registry.counter("samples", "").add(u64::MAX);
    let expected = "# TYPE samples_total counter\nsamples_total 18446744073709551615\n";
    assert_eq!(registry.encode(Text), expected);
}

#[test]
fn label_values_and_help_are_escaped() {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "back\\slash, \"quotes\"\nand a line");
    family.with(&[("path", "C:\\DIR\\\"FILE\".TXT\n")]).set(0.5);
    // Format 0.0.4 escapes no quotes in help; OpenMetrics does.
    let text = "# HELP g back\\\\slash, \"quotes\"\\nand a line\n# TYPE g gauge\n";
    let open = "# HELP g back\\\\slash, \\\"quotes\\\"\\nand a line\n# TYPE g gauge\n";
    let sample = "g{path=\"C:\\\\DIR\\\\\\\"FILE\\\".TXT\\n\"} 0.5\n";
    assert_eq!(registry.encode(Text), format!("{text}{sample}"));
    assert_eq!(registry.encode(OpenMetrics), format!("{open}{sample}# EOF\n"));
}

#[test]
fn special_values_are_written_as_the_formats_name_them() {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "");
    for (key, value) in [
        ("a", f64::NAN),
        ("b", f64::INFINITY),
        ("c", f64::NEG_INFINITY),
        ("d", -1.5),
        ("e", 1e6),
        ("f", 1.0 / 3.0),
    ] {
        family.with(&[("k", key)]).set(value);
    }
    let expected = "# TYPE g gauge\n\
        g{k=\"a\"} NaN\ng{k=\"b\"} +Inf\ng{k=\"c\"} -Inf\ng{k=\"d\"} -1.5\ng{k=\"e\"} 1000000\n\
        g{k=\"f\"} 0.3333333333333333\n";
    assert_eq!(registry.encode(Text), expected);
}

#[test]
fn histogram_buckets_are_cumulative_and_inclusive() {
    let registry = Registry::new();
    let seconds = registry.histogram("rpc_seconds", "Time.", &[0.5, 1.0, 1e6]);
    for value in [0.25, 0.5, 0.75, 1.0, 4.0, 2e6] {
        seconds.observe(value);
    }
    let text = "# HELP rpc_seconds Time.\n# TYPE rpc_seconds histogram\n\
        rpc_seconds_bucket{le=\"0.5\"} 2\nrpc_seconds_bucket{le=\"1\"} 4\n\
        rpc_seconds_bucket{le=\"1e+06\"} 5\nrpc_seconds_bucket{le=\"+Inf\"} 6\n\
        rpc_seconds_sum 2.0000065e+06\nrpc_seconds_count 6\n";
    assert_eq!(registry.encode(Text), text);
    let open = text.replace("le=\"1\"", "le=\"1.0\"") + "# EOF\n";
    assert_eq!(registry.encode(OpenMetrics), open);
    assert_eq!(seconds.count(), 6);
}

#[test]
fn a_labelled_histogram_puts_le_last() {
    let registry = Registry::new();
    registry.histogram_family("h", "", &[1.0]).with(&[("rule", "x")]).observe(f64::NAN);
    let expected = "# TYPE h histogram\nh_bucket{rule=\"x\",le=\"1\"} 0\n\
        h_bucket{rule=\"x\",le=\"+Inf\"} 1\nh_sum{rule=\"x\"} NaN\nh_count{rule=\"x\"} 1\n";
    assert_eq!(registry.encode(Text), expected);
}

/// Expected texts are what Go 1's `strconv.FormatFloat(f, 'g', -1, 64)` printed.
#[test]
fn bounds_are_written_as_go_writes_them() {
    let cases = [
        (0.0, "0"),
        (0.0005, "0.0005"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.000_012_345, "1.2345e-05"),
        (100_000.0, "100000"),
        (1e6, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (123_456.789, "123456.789"),
        (1e100, "1e+100"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (-1e6, "-1e+06"),
        (-0.0, "-0"),
    ];
    for (bound, expected) in cases {
        let mut scrape = Scrape::default();
        let snapshot = HistogramSnapshot { bounds: [bound].into(), buckets: vec![0, 0], sum: 0.0 };
        scrape.push("h", "", Kind::Histogram, &[], Value::Histogram(snapshot));
        let text = expose::encode(scrape, Text);
        assert!(text.contains(&format!("h_bucket{{le=\"{expected}\"}} 0\n")), "{bound}: {text}");
    }
}

#[test]
fn a_summary_has_its_sum_and_its_count_and_nothing_else() {
    let registry = Registry::new();
    let collect = |s: &mut Scrape| s.summary("s", "How long.", &[("a", "b")], (2, 0.75));
    registry.set_collector("s", Arc::new(collect));
    let samples = "s_sum{a=\"b\"} 0.75\ns_count{a=\"b\"} 2\n";
    let text = registry.encode(Text);
    assert_eq!(text, format!("# HELP s How long.\n# TYPE s summary\n{samples}"));
}

#[test]
fn families_are_sorted_and_collectors_join_them() {
    let registry = Registry::new();
    registry.gauge("z", "").set(1.0);
    registry.gauge_family("m", "Both.").with(&[("from", "handle")]).set(2.0);
    registry.set_collector(
        "queue",
        Arc::new(|scrape: &mut Scrape| {
            scrape.gauge("m", "Both.", &[("from", "collector")], 3.0);
            scrape.gauge("m", "Both.", &[("from", "handle")], 99.0);
            scrape.counter("a_total", "", &[], 4);
            scrape.counter_f64("b_seconds_total", "", &[], 0.5);
        }),
    );
    let expected = "# TYPE a_total counter\na_total 4\n\
        # TYPE b_seconds_total counter\nb_seconds_total 0.5\n\
        # HELP m Both.\n# TYPE m gauge\nm{from=\"collector\"} 3\nm{from=\"handle\"} 2\n\
        # TYPE z gauge\nz 1\n";
    assert_eq!(registry.encode(Text), expected);
    registry
        .set_collector("queue", Arc::new(|scrape: &mut Scrape| scrape.gauge("y", "", &[], 5.0)));
    assert!(!registry.encode(Text).contains("a_total"));
    registry.remove_collector("queue");
    assert!(!registry.encode(Text).contains("y 5"));
}

#[test]
fn the_same_name_is_the_same_metric_and_two_registries_share_none() {
    let registry = Registry::new();
    registry.counter("c_total", "").add(2);
    registry.clone().counter("c_total", "").add(3);
    assert_eq!(registry.counter("c", "").get(), 5);
    assert_eq!(Registry::new().counter("c_total", "").get(), 0);
    let gauge = Gauge::default();
    gauge.set(2.0);
    gauge.add(-0.5);
    assert_eq!(gauge.get(), 1.5);
}

#[test]
fn label_sets_past_the_bound_share_one_series_and_removed_ones_are_gone() {
    let registry = Registry::new();
    let family = registry.counter_family("c_total", "");
    for index in 0..LABEL_SETS_MAX + 5 {
        family.with(&[("tenant", &index.to_string())]).inc();
    }
    let text = registry.encode(Text);
    assert!(text.contains("c_total{tenant=\"__overflow__\"} 5\n"));
    assert_eq!(text.lines().count(), LABEL_SETS_MAX + 2);
    family.remove(&[("tenant", "7")]);
    assert!(!registry.encode(Text).contains("\"7\""));
}

#[test]
fn the_format_is_the_one_that_the_scraper_prefers() {
    let of = |accept| ExpositionFormat::negotiate(Some(accept));
    // What Prometheus 2.42 and 3 send, a browser, and curl.
    let two = "application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert_eq!(of(two), OpenMetrics);
    assert_eq!(of(three), OpenMetrics);
    assert_eq!(of("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Text);
    assert_eq!(of("*/*"), Text);
    assert_eq!(of("application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.9"), Text);
    assert_eq!(of("application/openmetrics-text;version=2.0.0"), Text);
    assert_eq!(ExpositionFormat::negotiate(None), Text);
    assert!(OpenMetrics.content_type().contains("version=1.0.0"));
    assert!(Text.content_type().contains("version=0.0.4"));
}

/// Reads a label value back as the 0.0.4 format defines it.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next().unwrap() {
                'n' => '\n',
                other => other,
            }),
            c => out.push(c),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_label_value_stays_on_its_line_and_reads_back(value in "\\PC*|[\\\\\"\n\r,{} =]*") {
        let registry = Registry::new();
        registry.gauge_family("g", "").with(&[("l", &value)]).set(1.0);
        let text = registry.encode(Text);
        prop_assert_eq!(text.matches('\n').count(), 2);
        let sample = text.split_once('\n').unwrap().1;
        let inner = sample.strip_prefix("g{l=\"").unwrap().strip_suffix("\"} 1\n").unwrap();
        prop_assert_eq!(unescape(inner), value);
    }

    #[test]
    fn any_float_reads_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let registry = Registry::new();
        registry.gauge("g", "").set(value);
        let text = registry.encode(Text);
        let read: f64 = text.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        prop_assert!(read == value || (read.is_nan() && value.is_nan()), "{} {}", text, value);
    }
}
