//! Bytes that were made to hurt: nothing panics, nothing takes longer than it should.

use proptest::prelude::*;

use crate::exposition::{Format, Options};
use crate::oracle::exposition::{check_protobuf, check_text, dump};

/// Text that is close to a page.
fn page_like() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("m"),
        Just("m_created"),
        Just("{"),
        Just("}"),
        Just("\""),
        Just("\\"),
        Just("\n"),
        Just(" "),
        Just("="),
        Just(","),
        Just("a"),
        Just("le"),
        Just("1"),
        Just("NaN"),
        Just("1e999"),
        Just("# TYPE m counter\n"),
        Just("# HELP m "),
        Just("# UNIT m_s s\n"),
        Just("# EOF\n"),
        Just(" # {"),
        Just("é"),
        Just("\0"),
        Just("m{a=\"b\"} 1\n"),
        Just("{\"m\"} 1 2\n"),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn text_of_any_kind(page in page_like()) {
        check_text(page.as_bytes());
    }

    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_text(&bytes);
        check_protobuf(&bytes);
    }
}

#[test]
fn a_page_cut_off_anywhere_is_refused_in_openmetrics() {
    let page = b"# HELP m help\n# TYPE m counter\nm_total{a=\"b\"} 1 5 # {c=\"d\"} 1 2\n# EOF\n";
    for len in 0..page.len() - 1 {
        assert!(dump(&page[..len], Format::OpenMetrics, Options::default()).is_err(), "{len}");
        check_text(&page[..len]);
    }
}

#[test]
fn a_family_without_created_lines_is_looked_through_once() {
    // Looking ahead from each of these lines would be 4e10 steps.
    let mut page = b"# TYPE m counter\n".to_vec();
    for at in 0..200_000 {
        page.extend_from_slice(format!("m_total{{a=\"{at}\"}} 1\n").as_bytes());
    }
    page.extend_from_slice(b"m_created{a=\"199999\"} 1\n# EOF\n");
    let options = Options { created_as_start: true, ..Options::default() };
    let lines = dump(&page, Format::OpenMetrics, options).unwrap();
    assert_eq!(lines.len(), 200_001);
    assert_eq!(lines[200_000], "m_total{a=\"199999\"} 1.0 since 1000");
}
