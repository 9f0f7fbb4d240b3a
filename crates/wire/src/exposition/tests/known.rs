//! Lines that were read before: passed over, they say what they say when they are read.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::exposition::{Entry, Format, Options, Parser};

/// What a page says, and how often a line was known. Stops at the first error.
#[derive(Debug, Default, PartialEq)]
struct Read {
    values: Vec<(Vec<u8>, u64, Option<i64>)>,
    types: Vec<String>,
    is_good: bool,
}

/// Reads all lines.
fn read(page: &[u8], format: Format) -> (Read, HashSet<Vec<u8>>, HashSet<Vec<u8>>) {
    let mut parser = Parser::new(page, format, Options::default());
    let (mut read, mut raws, mut comments) = (Read::default(), HashSet::new(), HashSet::new());
    loop {
        comments.extend(parser.comment().map(<[u8]>::to_vec));
        match parser.next() {
            Err(_) => break,
            Ok(None) => {
                read.is_good = true;
                break;
            }
            Ok(Some(Entry::Series(series))) => {
                raws.insert(series.raw.to_vec());
                read.values.push((series.raw.to_vec(), series.value.to_bits(), series.timestamp));
            }
            Ok(Some(Entry::Type { family, kind })) => read.types.push(format!("{family} {kind:?}")),
            Ok(Some(_)) => {}
        }
    }
    (read, raws, comments)
}

/// Reads a page of which these are known; also how many lines were passed over.
fn read_known(
    page: &[u8],
    format: Format,
    raws: &HashSet<Vec<u8>>,
    comments: &HashSet<Vec<u8>>,
) -> (Read, usize) {
    let mut parser = Parser::new(page, format, Options::default());
    let (mut read, mut known) = (Read::default(), 0);
    loop {
        let is_known = parser.comment().is_some_and(|line| comments.contains(line));
        match if is_known { parser.pass_comment() } else { Ok(false) } {
            Err(_) => break,
            Ok(true) => {
                known += 1;
                continue;
            }
            Ok(false) => {}
        }
        let mut raw = Vec::new();
        let value = parser.next_known(|bytes| {
            raw = bytes.to_vec();
            raws.contains(bytes)
        });
        if let Some(value) = value {
            read.values.push((raw, value.to_bits(), None));
            known += 1;
            continue;
        }
        match parser.next() {
            Err(_) => break,
            Ok(None) => {
                read.is_good = true;
                break;
            }
            Ok(Some(Entry::Series(series))) => {
                read.values.push((series.raw.to_vec(), series.value.to_bits(), series.timestamp));
            }
            Ok(Some(_)) => {}
        }
    }
    (read, known)
}

#[test]
fn pages_of_real_programs_are_known_to_their_last_line() {
    let text: [&[u8]; 3] = [
        include_bytes!("../../../tests/fixtures/exposition/cortex-2026-08.txt"),
        include_bytes!("../../../tests/fixtures/exposition/node_exporter-1.5.txt"),
        include_bytes!("../../../tests/fixtures/exposition/prometheus-2.42.txt"),
    ];
    let openmetrics: &[u8] =
        include_bytes!("../../../tests/fixtures/exposition/cortex-2026-08.openmetrics.txt");
    let pages = text.map(|page| (page, Format::Text)).into_iter();
    for (page, format) in pages.chain([(openmetrics, Format::OpenMetrics)]) {
        let (all, raws, comments) = read(page, format);
        let (known, passed) = read_known(page, format, &raws, &comments);
        assert_eq!(known.values, all.values);
        assert!(all.is_good && known.is_good);
        let lines = page.iter().filter(|&&byte| byte == b'\n').count();
        let with_exemplars = page.windows(4).filter(|window| window == b" # {").count();
        let ends = usize::from(format == Format::OpenMetrics);
        assert_eq!(passed, lines - with_exemplars - ends);
    }
}

#[test]
fn names_in_quotes_go_over_lines_where_they_are_known_too() {
    let page = b"# HELP \"a gauge\nb\" help\n# TYPE \"a gauge\nb\" histogram\nup 1\n# EOF\n";
    for format in [Format::Text, Format::OpenMetrics] {
        let (all, raws, comments) = read(page, format);
        assert!(all.is_good);
        assert_eq!(read_known(page, format, &raws, &comments).0.values, all.values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Pages of lines that are good and bad, of which another page's lines are known.
    #[test]
    fn a_page_says_the_same_whatever_is_known(
        pages in [page(), page()],
        format in prop_oneof![Just(Format::Text), Just(Format::OpenMetrics)],
    ) {
        let (_, raws, comments) = read(pages[0].as_bytes(), format);
        // A comment is known from a page that was good up to it.
        let (all, ..) = read(pages[1].as_bytes(), format);
        let (known, _) = read_known(pages[1].as_bytes(), format, &raws, &HashSet::new());
        prop_assert_eq!((&known.values, known.is_good), (&all.values, all.is_good));
        let (_, own, _) = read(pages[1].as_bytes(), format);
        let (known, _) = read_known(pages[1].as_bytes(), format, &own, &comments);
        if all.is_good {
            prop_assert_eq!((&known.values, known.is_good), (&all.values, all.is_good));
        }
    }
}

fn page() -> impl Strategy<Value = String> {
    let line = r#"(up|a|up_b|"a")?[ ]?(\{(a="[bc ,}]?",?){0,2}[ ]?("q")?\})?[ ]{0,2}([0-9]{1,2}|-?1\.5|NaN|1e|\{)?([ ]{0,2}[0-9])?[ ]?"#;
    let line = prop_oneof![4 => line.prop_map(String::from), 1 => Just("# TYPE a counter".into()),
        1 => Just("# HELP a b".to_owned()), 1 => Just("up 1".to_owned()), 1 => Just("#".to_owned())];
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n") + "\n# EOF\n")
}
