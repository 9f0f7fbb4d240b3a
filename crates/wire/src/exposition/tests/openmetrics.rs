//! OpenMetrics. The verdicts and contents in the tables are those of Prometheus 3.16
//! (`model/textparse`); only the wording of the errors is our own.

use crate::exposition::{Format, Options, ParseError};
use crate::oracle::exposition::dump;

fn read(page: &str) -> Result<Vec<String>, ParseError> {
    dump(page.as_bytes(), Format::OpenMetrics, Options::default())
}

fn read_with_starts(page: &str) -> Result<Vec<String>, ParseError> {
    let options = Options { created_as_start: true, ..Options::default() };
    dump(page.as_bytes(), Format::OpenMetrics, options)
}

#[test]
fn what_prometheus_accepts_is_read_alike() {
    for (page, lines) in ACCEPTED {
        assert_eq!(read(page).unwrap(), *lines, "{page}");
    }
}

#[test]
fn what_prometheus_refuses_is_refused() {
    for (page, message) in REFUSED {
        let error = read(page).unwrap_err();
        assert_eq!(error.kind.to_string(), *message, "{page}");
    }
}

#[test]
fn created_lines_become_start_timestamps_where_asked_for() {
    for (page, lines) in STARTS {
        assert_eq!(read_with_starts(page).unwrap(), *lines, "{page}");
    }
}

#[test]
fn a_start_belongs_to_the_series_of_the_same_labels() {
    // Out of order, labels turned round, none for the third, and those of another family.
    let page = "# TYPE a counter\na_created{x=\"2\",y=\"1\"} 2\na_total{x=\"1\"} 1\n\
        a_total{y=\"1\",x=\"2\"} 1\na_total{x=\"3\"} 1\na_created{x=\"1\"} 1.5\n\
        # TYPE b counter\nb_total{x=\"1\"} 1\n# EOF";
    let lines = [
        "TYPE a Counter",
        "a_total{x=\"1\"} 1.0 since 1500",
        "a_total{x=\"2\",y=\"1\"} 1.0 since 2000",
        "a_total{x=\"3\"} 1.0",
        "TYPE b Counter",
        "b_total{x=\"1\"} 1.0",
    ];
    assert_eq!(read_with_starts(page).unwrap(), lines);
}

#[test]
fn an_error_behind_a_look_ahead_is_found_in_its_turn() {
    let page = "# TYPE a counter\na_total 1\na_created x\n# EOF";
    let error = read_with_starts(page).unwrap_err();
    assert_eq!(error.to_string(), "line 3 (\"a_created x\"): \"x\" is no number");
}

#[test]
fn a_timestamp_past_64_bits_stays_at_their_end() {
    // What Go makes of it depends on the processor.
    assert_eq!(read("m 1 1e30\n# EOF").unwrap(), [format!("m{{}} 1.0 @{}", i64::MAX)]);
}

#[test]
fn labels_of_exemplars_are_unescaped() {
    // As the specification has it; Prometheus keeps the backslash.
    assert_eq!(read("m 5 # {a=\"b\\n\"} 1\n# EOF").unwrap(), ["m{} 5.0 # {a=\"b\\n\"} 1.0"]);
}

/// Pages, and what they hold.
const ACCEPTED: &[(&str, &[&str])] = &[
    ("m 1\n# EOF", &["m{} 1.0"]),
    ("m 1\n# EOF\n", &["m{} 1.0"]),
    ("m 1 1395066363\n# EOF\n", &["m{} 1.0 @1395066363000"]),
    ("m 1 1395066363.5\n# EOF\n", &["m{} 1.0 @1395066363500"]),
    ("m{a=\"1\",} 1\n# EOF", &["m{a=\"1\"} 1.0"]),
    ("# HELP m \n# EOF", &["HELP m "]),
    ("# HELP m a\\\\b\\nc \\\"q\\\"\n# EOF", &["HELP m a\\b\nc \"q\""]),
    ("# TYPE m unknown\n# EOF", &["TYPE m Unknown"]),
    (
        "# TYPE m stateset\nm 1\n# TYPE n info\n# TYPE o gaugehistogram\n# EOF",
        &["TYPE m StateSet", "m{} 1.0", "TYPE n Info", "TYPE o GaugeHistogram"],
    ),
    ("# UNIT m_seconds seconds\n# EOF", &["UNIT m_seconds seconds"]),
    ("# UNIT m_s \n# EOF", &["UNIT m_s "]),
    (
        "h_bucket{le=\"1\"} 5 # {trace_id=\"abc\"} 0.7 1395066363.5\n# EOF",
        &["h_bucket{le=\"1\"} 5.0 # {trace_id=\"abc\"} 0.7 @1395066363500"],
    ),
    (
        "h_bucket{le=\"1\"} 5 1 # {trace_id=\"abc\"} 0.7\n# EOF",
        &["h_bucket{le=\"1\"} 5.0 @1000 # {trace_id=\"abc\"} 0.7"],
    ),
    ("m 5 # {} 0.7\n# EOF", &["m{} 5.0 # {} 0.7"]),
    ("m 5 # {\"a.b\"=\"c\"} 1\n# EOF", &["m{} 5.0 # {a.b=\"c\"} 1.0"]),
    ("m 5 # {a=\"b\",} 1\n# EOF", &["m{} 5.0 # {a=\"b\"} 1.0"]),
    ("{\"my.metric\",a=\"1\"} 1\n# EOF", &["my.metric{a=\"1\"} 1.0"]),
    (
        "# TYPE \"my.metric\" counter\n{\"my.metric_total\"} 1\n# EOF",
        &["TYPE my.metric Counter", "my.metric_total{} 1.0"],
    ),
    (
        "# TYPE a counter\na_total 1\na_created 2\n# EOF",
        &["TYPE a Counter", "a_total{} 1.0", "a_created{} 2.0"],
    ),
    (
        "# TYPE a counter\na_total{x=\"1\"} 1\na_created{x=\"1\"} 2\na_total{x=\"2\"} 1\na_created{x=\"2\"} 3.5\n# EOF",
        &[
            "TYPE a Counter",
            "a_total{x=\"1\"} 1.0",
            "a_created{x=\"1\"} 2.0",
            "a_total{x=\"2\"} 1.0",
            "a_created{x=\"2\"} 3.5",
        ],
    ),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_created 9\n# EOF",
        &[
            "TYPE h Histogram",
            "h_bucket{le=\"1.0\"} 1.0",
            "h_bucket{le=\"+Inf\"} 1.0",
            "h_sum{} 1.0",
            "h_count{} 1.0",
            "h_created{} 9.0",
        ],
    ),
    (
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_created 1e9\n# EOF",
        &["TYPE s Summary", "s{quantile=\"0.5\"} 1.0", "s_sum{} 1.0", "s_created{} 1000000000.0"],
    ),
    ("# TYPE g gauge\ng 1\ng_created 3\n# EOF", &["TYPE g Gauge", "g{} 1.0", "g_created{} 3.0"]),
    ("m -5 -5.5\n# EOF", &["m{} -5.0 @-5500"]),
];

/// Pages whose `_created` lines are start timestamps.
const STARTS: &[(&str, &[&str])] = &[
    (
        "# TYPE a counter\na_total 1\na_created 2\n# EOF",
        &["TYPE a Counter", "a_total{} 1.0 since 2000"],
    ),
    (
        "# TYPE a counter\na_total{x=\"1\"} 1\na_created{x=\"1\"} 2\na_total{x=\"2\"} 1\na_created{x=\"2\"} 3.5\n# EOF",
        &["TYPE a Counter", "a_total{x=\"1\"} 1.0 since 2000", "a_total{x=\"2\"} 1.0 since 3500"],
    ),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_created 9\n# EOF",
        &[
            "TYPE h Histogram",
            "h_bucket{le=\"1.0\"} 1.0 since 9000",
            "h_bucket{le=\"+Inf\"} 1.0 since 9000",
            "h_sum{} 1.0 since 9000",
            "h_count{} 1.0 since 9000",
        ],
    ),
    (
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_created 1e9\n# EOF",
        &[
            "TYPE s Summary",
            "s{quantile=\"0.5\"} 1.0 since 1000000000000",
            "s_sum{} 1.0 since 1000000000000",
        ],
    ),
];

/// Pages, and what is wrong with them.
const REFUSED: &[(&str, &str)] = &[
    ("m 1\n", "the page does not end with \"# EOF\""),
    ("", "the page does not end with \"# EOF\""),
    ("# EOF\n\n", "there is something after \"# EOF\""),
    ("# EOF\nm 1\n", "there is something after \"# EOF\""),
    ("# EOF\n# EOF\n", "there is something after \"# EOF\""),
    ("m 1 NaN\n# EOF", "\"NaN\" is no timestamp"),
    ("m 1 Inf\n# EOF", "\"Inf\" is no timestamp"),
    ("m  1\n# EOF", "expected a space and a value, found \" \""),
    ("m 1 \n# EOF", "expected a timestamp, found the end of the line"),
    ("m\t1\n# EOF", "expected a space and a value, found \"\\t1\""),
    ("m{a=\"1\"}5\n# EOF", "expected a space and a value, found \"5\""),
    ("m {a=\"1\"} 1\n# EOF", "\"{a=\\\"1\\\"}\" is no number"),
    ("m{a=\"1\", b=\"2\"} 1\n# EOF", "expected a label name, found \" \""),
    ("m{a=\"1\" b=\"2\"} 1\n# EOF", "expected `,` or `}`, found \" \""),
    ("m{a=\"1\"b=\"2\"} 1\n# EOF", "expected `,` or `}`, found \"b=\\\"2\\\"}\""),
    ("m{a=\"x\ny\"} 1\n# EOF", "expected a closing quote, found the end of the line"),
    ("# free comment\n# EOF", "expected `# HELP`, `# TYPE`, `# UNIT` or `# EOF`, found \"#\""),
    ("#\n# EOF", "expected `# HELP`, `# TYPE`, `# UNIT` or `# EOF`, found \"#\""),
    ("\nm 1\n# EOF", "expected a metric name, found the end of the line"),
    ("# HELP m\n# EOF", "expected a space and a text, found the end of the line"),
    ("# TYPE m untyped\n# EOF", "\"untyped\" is no metric type of this format"),
    ("# UNIT m seconds\n# EOF", "the name of \"m\" does not end in its unit, \"_seconds\""),
    (
        "# UNIT seconds seconds\n# EOF",
        "the name of \"seconds\" does not end in its unit, \"_seconds\"",
    ),
    (
        "# UNIT xseconds seconds\n# EOF",
        "the name of \"xseconds\" does not end in its unit, \"_seconds\"",
    ),
    ("m 5 # {a=\"b\"} x\n# EOF", "\"x\" is no number"),
    ("m 5 # {a=\"b\"} 1 NaN\n# EOF", "\"NaN\" is no timestamp"),
    ("m 5 # {a=\"b\"}\n# EOF", "expected a space and a value, found the end of the line"),
    ("m 5 # {\"a\"} 1\n# EOF", "expected `=`, found \"}\""),
    ("m 5 # {a=\"b\"} 1 2 3\n# EOF", "expected the end of the line, found \" \""),
    ("m 5 # {a=\"b\"} 1 ", "expected a timestamp, found the end of the page"),
    ("m 5 #{a=\"b\"} 1\n# EOF", "\"#{a=\\\"b\\\"}\" is no timestamp"),
    ("m 5 # x\n# EOF", "\"#\" is no timestamp"),
    ("m 1 5 6\n# EOF", "expected an exemplar or the end of the line, found \" \""),
    ("m 0x1p3\n# EOF", "\"0x1p3\" is no number"),
    ("# EOFx", "there is something after \"# EOF\""),
    ("# EOF ", "there is something after \"# EOF\""),
    ("m 1\n# EO", "expected `# HELP`, `# TYPE`, `# UNIT` or `# EOF`, found \"#\""),
    ("# TYPE m counter\r\n# EOF", "\"counter\\r\" is no metric type of this format"),
];
