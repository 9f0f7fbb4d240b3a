//! Text 0.0.4. The verdicts and contents in the tables are those of Prometheus 3.16
//! (`model/textparse`); only the wording of the errors is our own.

use proptest::prelude::*;

use crate::exposition::{Format, Options, ParseError};
use crate::oracle::exposition::dump;

fn read(page: &str) -> Result<Vec<String>, ParseError> {
    dump(page.as_bytes(), Format::Text, Options::default())
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

proptest! {
    /// Gauges only, so that no line depends on the types before it.
    #[test]
    fn a_line_says_the_same_behind_others_as_alone(
        lines in prop::collection::vec(
            r#"(# (HELP|TYPE) ?)?(a|a_b|a:c|a_b_c_d_e|"a\\\\"|9a)[_:9\.]?( gauge|\{x="a"\} 1| 1|\t2)"#, 1..8,
        ),
    ) {
        let alone: Result<Vec<_>, _> = lines.iter().map(|line| read(line)).collect();
        match (read(&lines.join("\n")), alone) {
            (Ok(all), Ok(alone)) => prop_assert_eq!(all, alone.concat()),
            (Err(all), Err(alone)) => prop_assert_eq!(all.kind, alone.kind),
            (all, alone) => prop_assert!(false, "{all:?} {alone:?}"),
        }
    }
}

#[test]
fn an_error_names_its_line() {
    let error = read("a 1\n\nb{x=\"1\" 2\nc 3\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3 (\"b{x=\\\"1\\\" 2\"): expected a label name, found \"2\""
    );
}

#[test]
fn blanks_before_a_name_are_no_part_of_it() {
    // Prometheus makes a metric named "  m" of it.
    assert_eq!(read("  m 1\n\tn{a=\"b\"} 2").unwrap(), ["m{} 1.0", "n{a=\"b\"} 2.0"]);
}

#[test]
fn a_zero_byte_does_not_end_the_page() {
    // Prometheus leaves out what follows, and says nothing.
    assert!(read("m 1\n\0n 2\n").is_err());
    assert_eq!(read("m{a=\"x\0y\"} 1").unwrap(), ["m{a=\"x\\0y\"} 1.0"]);
}

#[test]
fn bytes_that_are_not_utf8() {
    let read = |page: &[u8]| dump(page, Format::Text, Options::default());
    assert_eq!(read(b"# any \xff comment\nm 1").unwrap(), ["m{} 1.0"]);
    for page in [
        &b"m{a=\"\xff\"} 1"[..],
        b"{\"\xff\"} 1",
        b"m{\"\xff\"=\"a\"} 1",
        b"# HELP m \xff",
        b"\xff 1",
    ] {
        assert!(read(page).is_err(), "{page:?}");
    }
}

/// Pages, and what they hold.
const ACCEPTED: &[(&str, &[&str])] = &[
    ("m{path=\"a,b\",x=\"1\"} 1", &["m{path=\"a,b\",x=\"1\"} 1.0"]),
    ("m{q=\"a=b\",x=\"1\"} 1", &["m{q=\"a=b\",x=\"1\"} 1.0"]),
    ("m{user=\"x,job=admin\",instance=\"i\"} 1", &["m{instance=\"i\",user=\"x,job=admin\"} 1.0"]),
    ("m{e=\"l1\\nl2 \\\"q\\\"\"} 1", &["m{e=\"l1\\nl2 \\\"q\\\"\"} 1.0"]),
    ("m{a=\"1\", b=\"2\" , c = \"3\"} 1", &["m{a=\"1\",b=\"2\",c=\"3\"} 1.0"]),
    ("m{\"my.label\"=\"1\"} 1", &["m{my.label=\"1\"} 1.0"]),
    (
        "# TYPE h histogram\nh_bucket{path=\"a,le=9\",le=\"1\"} 7",
        &["TYPE h Histogram", "h_bucket{le=\"1.0\",path=\"a,le=9\"} 7.0"],
    ),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1 5000\nh_bucket{le=\"+Inf\"} 2 6000",
        &["TYPE h Histogram", "h_bucket{le=\"1.0\"} 1.0 @5000", "h_bucket{le=\"+Inf\"} 2.0 @6000"],
    ),
    (
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"1e0\"} 1",
        &[
            "TYPE h Histogram",
            "h_bucket{le=\"1.0\"} 1.0",
            "h_bucket{le=\"1.0\"} 1.0",
            "h_bucket{le=\"1.0\"} 1.0",
        ],
    ),
    ("m 1 99999999999999999", &["m{} 1.0 @99999999999999999"]),
    ("m 1 1395066363", &["m{} 1.0 @1395066363"]),
    (
        "# HELP job:r rate\n# TYPE job:r gauge\njob:http_requests:rate5m{job=\"a\"} 1",
        &["HELP job:r rate", "TYPE job:r Gauge", "job:http_requests:rate5m{job=\"a\"} 1.0"],
    ),
    ("m{q=\"a}b\"} 1", &["m{q=\"a}b\"} 1.0"]),
    ("m{} 1", &["m{} 1.0"]),
    ("m {a=\"1\"} 1", &["m{a=\"1\"} 1.0"]),
    ("m{a=\"1\"}5", &["m{a=\"1\"} 5.0"]),
    ("{\"my.metric\",a=\"1\"} 1", &["my.metric{a=\"1\"} 1.0"]),
    ("# TYPE h histogram\nh_bucket{x=\"1\"} 1", &["TYPE h Histogram", "h_bucket{x=\"1\"} 1.0"]),
    ("# TYPE h histogram\nh_bucket{le=\"x\"} 1", &["TYPE h Histogram", "h_bucket{le=\"x\"} 1.0"]),
    ("# TYPE s summary\ns{x=\"1\"} 1", &["TYPE s Summary", "s{x=\"1\"} 1.0"]),
    ("# UNIT m_seconds seconds\n# EOF\nm 1", &["m{} 1.0"]),
    (
        "# TYPE a counter\na_total 1\na_created 2",
        &["TYPE a Counter", "a_total{} 1.0", "a_created{} 2.0"],
    ),
    (
        "# TYPE h histogram\nh_sum 1\nh_count 2",
        &["TYPE h Histogram", "h_sum{} 1.0", "h_count{} 2.0"],
    ),
    (
        "h_bucket{le=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"2\"} 1",
        &["h_bucket{le=\"1\"} 1.0", "TYPE h Histogram", "h_bucket{le=\"2.0\"} 1.0"],
    ),
    (
        "# TYPE h histogram\n# TYPE h_bucket gauge\nh_bucket{le=\"1\"} 1",
        &["TYPE h Histogram", "TYPE h_bucket Gauge", "h_bucket{le=\"1\"} 1.0"],
    ),
    (
        "# HELP m a\\\\b\\nc \\\"q\\\"\n# HELP n\n# HELP o ",
        &["HELP m a\\b\nc \\\"q\\\"", "HELP n ", "HELP o "],
    ),
    ("m NaN", &["m{} NaN"]),
    ("m 1 ", &["m{} 1.0"]),
    ("m 1 5 ", &["m{} 1.0 @5"]),
    ("m+5", &["m{} 5.0"]),
    ("m-1", &["m{} -1.0"]),
    ("m.5", &["m{} 0.5"]),
    ("m Inf", &["m{} inf"]),
    ("m +inf", &["m{} inf"]),
    ("m nan", &["m{} NaN"]),
    ("m{a=\"1\" b=\"2\"} 1", &["m{a=\"1\",b=\"2\"} 1.0"]),
    ("m{a=\"1\",} 1", &["m{a=\"1\"} 1.0"]),
    ("{\"m\"} 1", &["m{} 1.0"]),
    ("{a=\"1\",\"m\"} 1", &["m{a=\"1\"} 1.0"]),
    ("{\"m\",} 1", &["m{} 1.0"]),
    ("m{a=\"x\ny\"} 1", &["m{a=\"x\\ny\"} 1.0"]),
    ("m{a=\"\\t\"} 1", &["m{a=\"\\\\t\"} 1.0"]),
    ("# comment\n#\n# \n#HELP m\n# HELP\n# HELPX y\nm 1", &["m{} 1.0"]),
    (
        "# HELP \"q.m\" text\n# TYPE \"q.m\" gauge\n{\"q.m\"} 1",
        &["HELP q.m text", "TYPE q.m Gauge", "q.m{} 1.0"],
    ),
    ("m{a=\"\"} 1", &["m{} 1.0"]),
    ("", &[]),
    ("\n", &[]),
    ("m 1", &["m{} 1.0"]),
    ("m\t1\t5\t", &["m{} 1.0 @5"]),
];

/// Pages, and what is wrong with them.
const REFUSED: &[(&str, &str)] = &[
    ("m{a=\"1\",a=\"2\"} 1", "label \"a\" occurs twice"),
    ("m 1 12x", "expected the end of the line, found \"x\""),
    ("m 1 9223372036854775808", "\"9223372036854775808\" is no timestamp"),
    ("m 1 1395066363.5", "expected the end of the line, found \".5\""),
    ("m{a=\"1\" 2", "expected a label name, found \"2\""),
    ("m{a=\"1\"} abc", "\"abc\" is no number"),
    ("m", "expected a value, found the end of the page"),
    ("!!!", "expected a metric name, found \"!!!\""),
    (
        "h_bucket{le=\"1\"} 5 # {trace_id=\"abc\"} 0.7",
        "expected a timestamp or the end of the line, found \"#\"",
    ),
    ("é 1", "expected a metric name, found \"é\""),
    ("9abc 2", "expected a metric name, found \"9abc\""),
    ("٣abc 2", "expected a metric name, found \"٣abc\""),
    ("m\u{a0}1", "\"\\u{a0}1\" is no number"),
    ("m{a=b} 1", "expected a label value in quotes, found \"b}\""),
    ("m{a=\"b} 2", "expected a closing quote, found the end of the page"),
    ("m 1 2000 garbage here", "expected the end of the line, found \"garbage\""),
    ("m -NaN", "\"-NaN\" is no number"),
    ("m 1e400", "\"1e400\" is no number"),
    ("# TYPE i info\ni 1", "\"info\" is no metric type of this format"),
    ("# TYPE m counter ", "\"counter \" is no metric type of this format"),
    ("# TYPE m  counter", "\" counter\" is no metric type of this format"),
    ("m 1 -5", "expected a timestamp or the end of the line, found \"-5\""),
    ("m 0x1p3", "\"0x1p3\" is no number"),
    ("m 1_0", "\"1_0\" is no number"),
    ("m{,a=\"1\"} 1", "expected a label name, found \",a=\\\"1\\\"}\""),
    ("m{a=\"1\",,} 1", "expected a label name, found \",}\""),
    ("{\"m\",\"n\"} 1", "a second metric name"),
    ("m{\"n\"} 1", "a second metric name"),
    ("{a=\"1\"} 1", "a series without a metric name"),
    ("{} 1", "a series without a metric name"),
    ("m{a=\"x\\\ny\"} 1", "expected a closing quote, found the end of the line"),
    ("m 1\r\n", "\"1\\r\" is no number"),
    ("m{__name__=\"n\"} 1", "label \"__name__\" occurs twice"),
    ("# TYPE m foo", "\"foo\" is no metric type of this format"),
    ("m{a=\"1\"}{b=\"2\"} 1", "expected a value, found \"{b=\\\"2\\\"}\""),
    ("m 1{", "expected a timestamp or the end of the line, found \"{\""),
    ("{\"\"} 1", "an empty name"),
    ("{\"m\",\"\"=\"x\"} 1", "an empty name"),
];
