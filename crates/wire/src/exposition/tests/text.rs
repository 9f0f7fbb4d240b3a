//! Text 0.0.4, by hand.

use weir_model::LabelsBuilder;

use crate::exposition::{Entry, Format, Options, ParseError, Parser};

/// The series of a page: labels, bits of the value, timestamp.
fn series(page: &str) -> Result<Vec<(String, u64, Option<i64>)>, ParseError> {
    let mut parser = Parser::new(page.as_bytes(), Format::Text, Options::default());
    let (mut out, mut labels) = (Vec::new(), LabelsBuilder::default());
    while let Some(entry) = parser.next()? {
        if let Entry::Series(series) = entry {
            series.labels(&mut labels)?;
            out.push((labels.build().to_string(), series.value.to_bits(), series.timestamp));
        }
    }
    Ok(out)
}

#[test]
fn a_page() {
    let page = "# HELP m Some \\\\ help\\n\n# TYPE m histogram\n# a comment\n\n\
        m_bucket{le=\"1\", x = \"a,\\\"b\\n\" ,} 1 1395066363000\nm_sum -0.5\n  n\t+Inf \n\
        {\"my.metric\",a=\"1\"} NaN";
    let expected = [
        ("m_bucket{le=\"1.0\",x=\"a,\\\"b\\n\"}", 1f64.to_bits(), Some(1_395_066_363_000)),
        ("m_sum{}", (-0.5f64).to_bits(), None),
        ("n{}", f64::INFINITY.to_bits(), None),
        ("my.metric{a=\"1\"}", 0x7ff8_0000_0000_0001, None),
    ];
    let expected = expected.map(|(labels, bits, ts)| (labels.to_owned(), bits, ts));
    assert_eq!(series(page).unwrap(), expected);
}

#[test]
fn an_error_names_its_line() {
    let error = series("a 1\n\nb{x=\"1\" 2\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3 (\"b{x=\\\"1\\\" 2\"): expected a label name, found \"2\""
    );
}
