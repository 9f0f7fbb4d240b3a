//! Pages of real programs: read as Prometheus reads them, and alike in every format.

use std::collections::BTreeSet;

use weir_model::LabelsBuilder;

use crate::exposition::{Entry, Format, Options, Parser};
use crate::oracle::exposition::check_protobuf;

const CORTEX_TEXT: &[u8] = include_bytes!("../../../tests/fixtures/exposition/cortex-2026-08.txt");
const CORTEX_OPENMETRICS: &[u8] =
    include_bytes!("../../../tests/fixtures/exposition/cortex-2026-08.openmetrics.txt");
const CORTEX_PROTOBUF: &[u8] =
    include_bytes!("../../../tests/fixtures/exposition/cortex-2026-08.metricfamily.bin");
const NODE_EXPORTER: &[u8] =
    include_bytes!("../../../tests/fixtures/exposition/node_exporter-1.5.txt");
const PROMETHEUS: &[u8] = include_bytes!("../../../tests/fixtures/exposition/prometheus-2.42.txt");
const VICTORIA_METRICS: &[u8] =
    include_bytes!("../../../tests/fixtures/exposition/victoria-metrics-1.79.txt");
const VMAGENT: &[u8] = include_bytes!("../../../tests/fixtures/exposition/vmagent-1.150.txt");

/// The series of a page, with classic histograms only.
fn names(page: &[u8], format: Format) -> BTreeSet<String> {
    let options = Options { ignore_native: true, ..Options::default() };
    let (mut parser, mut out) = (Parser::new(page, format, options), BTreeSet::new());
    let mut labels = LabelsBuilder::default();
    while let Some(entry) = parser.next().unwrap() {
        if let Entry::Series(series) = entry {
            series.labels(&mut labels).unwrap();
            out.insert(labels.build().to_string());
        }
    }
    out
}

/// FNV-1a over the series, each with the bits of its value.
fn digest(page: &[u8], format: Format) -> (usize, u64) {
    let (mut hash, mut count) = (0xcbf2_9ce4_8422_2325_u64, 0);
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let mut parser = Parser::new(page, format, Options::default());
    let mut labels = LabelsBuilder::default();
    while let Some(entry) = parser.next().unwrap() {
        let Entry::Series(series) = entry else { continue };
        series.labels(&mut labels).unwrap();
        for label in labels.iter() {
            take(label.name.as_bytes());
            take(b"\xff");
            take(label.value.as_bytes());
            take(b"\xff");
        }
        take(&series.value.to_bits().to_be_bytes());
        count += 1;
    }
    (count, hash)
}

#[test]
fn pages_are_read_as_prometheus_reads_them() {
    // Counts and hashes are those of Prometheus 3.16 (`model/textparse`) over the same bytes.
    for (name, page, format, expected) in [
        ("cortex text", CORTEX_TEXT, Format::Text, (2437, 0xbfd1_dfbf_e325_2b28)),
        (
            "cortex openmetrics",
            CORTEX_OPENMETRICS,
            Format::OpenMetrics,
            (2437, 0x5460_5f11_751a_8263),
        ),
        ("cortex protobuf", CORTEX_PROTOBUF, Format::Protobuf, (906, 0x5660_c24f_27a8_6c78)),
        ("node exporter", NODE_EXPORTER, Format::Text, (507, 0xdb98_1049_86d9_0a79)),
        ("prometheus", PROMETHEUS, Format::Text, (317, 0xca41_4cd5_9f67_e7dc)),
        ("victoria metrics", VICTORIA_METRICS, Format::Text, (464, 0xca77_fdeb_c149_64bf)),
        ("vmagent", VMAGENT, Format::Text, (622, 0xe34d_b8a4_8fee_4ca1)),
    ] {
        assert_eq!(digest(page, format), expected, "{name}");
    }
}

#[test]
fn one_program_says_the_same_in_every_format() {
    // Three scrapes one after the other: values move on, series do not.
    let text = names(CORTEX_TEXT, Format::Text);
    assert_eq!(text.len(), 2437);
    assert_eq!(text, names(CORTEX_OPENMETRICS, Format::OpenMetrics));
    assert_eq!(text, names(CORTEX_PROTOBUF, Format::Protobuf));
}

#[test]
fn protobuf_agrees_with_prost() {
    assert!(check_protobuf(CORTEX_PROTOBUF));
}
