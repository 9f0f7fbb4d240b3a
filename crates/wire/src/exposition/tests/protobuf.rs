//! Protobuf: by hand, and against prost over families of all kinds.

use proptest::prelude::*;
use prost::Message as _;

use crate::exposition::{Entry, Format, Options, ParseError, Parser};
use crate::oracle::BucketSpan;
use crate::oracle::exposition::messages::{
    Bucket, Exemplar, Histogram, LabelPair, Metric, MetricFamily, Quantile, Simple, Summary,
    Timestamp,
};
use crate::oracle::exposition::{check_protobuf, dump};

fn page(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(MetricFamily::encode_length_delimited_to_vec).collect()
}

fn family(name: &str, kind: i32, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.into(), help: "help".into(), kind, metric, unit: String::new() }
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair { name: name.into(), value: value.into() }
}

fn read(families: &[MetricFamily], options: Options) -> Result<Vec<String>, ParseError> {
    dump(&page(families), Format::Protobuf, options)
}

/// Classic and native at once.
fn histogram() -> Metric {
    let bucket = |cumulative_count, upper_bound| Bucket {
        cumulative_count,
        upper_bound,
        exemplar: None,
        cumulative_count_float: 0.0,
    };
    let histogram = Histogram {
        sample_count: 6,
        sample_sum: 18.5,
        bucket: vec![bucket(2, 1.0), bucket(5, 10.0)],
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 1,
        positive_span: vec![
            BucketSpan { offset: 0, length: 2 },
            BucketSpan { offset: 1, length: 1 },
        ],
        positive_delta: vec![2, -2, 3],
        start: Some(Timestamp { seconds: 7, nanos: 500_000_000 }),
        ..Histogram::default()
    };
    Metric { label: vec![label("a", "b")], histogram: Some(histogram), ..Metric::default() }
}

#[test]
fn a_classic_histogram_falls_into_series() {
    let lines = read(
        &[family("h", 4, vec![histogram()])],
        Options { ignore_native: true, ..Options::default() },
    );
    let expected = [
        "HELP h help",
        "TYPE h Histogram",
        "h_count{a=\"b\"} 6.0 since 7500",
        "h_sum{a=\"b\"} 18.5 since 7500",
        "h_bucket{a=\"b\",le=\"1.0\"} 2.0 since 7500",
        "h_bucket{a=\"b\",le=\"10.0\"} 5.0 since 7500",
        "h_bucket{a=\"b\",le=\"+Inf\"} 6.0 since 7500",
    ];
    assert_eq!(lines.unwrap(), expected);
}

#[test]
fn a_native_histogram_stays_whole() {
    let bytes = page(&[family("h", 4, vec![histogram()])]);
    for (classic_too, series) in [(false, 0), (true, 5)] {
        let options = Options { classic_too, ..Options::default() };
        let mut parser = Parser::new(&bytes, Format::Protobuf, options);
        let (mut natives, mut floats) = (0, 0);
        while let Some(entry) = parser.next().unwrap() {
            match entry {
                Entry::Histogram(series) => {
                    let histogram = &series.value;
                    assert_eq!(series.start, Some(7500));
                    assert_eq!((histogram.count, histogram.sum), (6.0, 18.5));
                    // The empty bucket is left out.
                    assert_eq!(histogram.positive, [2.0, 3.0]);
                    let spans = histogram.positive_spans.iter().map(|s| (s.offset, s.length));
                    assert_eq!(spans.collect::<Vec<_>>(), [(0, 1), (2, 1)]);
                    natives += 1;
                }
                Entry::Series(_) => floats += 1,
                _ => {}
            }
        }
        assert_eq!((natives, floats), (1, series));
    }
}

#[test]
fn every_series_of_a_page_has_bytes_of_its_own() {
    let metric =
        |a: &str, b: &str| Metric { label: vec![label("a", a), label("b", b)], ..histogram() };
    let families = [
        family("h", 4, vec![metric("1", "2"), metric("12", ""), metric("", "12"), histogram()]),
        family("h_sum", 1, vec![Metric { label: vec![label("a", "b")], ..Metric::default() }]),
        family("h_count", 3, vec![Metric::default()]),
    ];
    let bytes = page(&families);
    let options = Options { classic_too: true, ..Options::default() };
    let mut parser = Parser::new(&bytes, Format::Protobuf, options);
    let (mut seen, mut count) = (std::collections::BTreeSet::new(), 0);
    while let Some(entry) = parser.next().unwrap() {
        let raw = match &entry {
            Entry::Series(series) => series.raw,
            Entry::Histogram(series) => series.raw,
            _ => continue,
        };
        assert!(seen.insert(raw.to_vec()), "{entry:?}");
        count += 1;
    }
    assert_eq!(count, 4 * 6 + 2);
}

#[test]
fn what_is_wrong_is_refused() {
    let mut inconsistent = histogram();
    if let Some(histogram) = &mut inconsistent.histogram {
        histogram.positive_delta.pop();
    }
    let twice = Metric { label: vec![label("a", "1"), label("a", "2")], ..Metric::default() };
    for (family, message) in [
        (family("", 1, vec![Metric::default()]), "byte 1: an empty name"),
        (family("m", 6, vec![Metric::default()]), "byte 1: \"6\" is no metric type of this format"),
        (family("m", 1, vec![twice]), "byte 14: label \"a\" occurs twice"),
        (
            family("h", 4, vec![inconsistent]),
            "byte 14: the spans of the native histogram announce 3 buckets, it has 2",
        ),
    ] {
        let error = read(&[family], Options::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let whole = page(&[family("h", 4, vec![histogram()])]);
    let cut = dump(&whole[..whole.len() - 1], Format::Protobuf, Options::default()).unwrap_err();
    assert!(cut.to_string().starts_with("byte 0: a length of "), "{cut}");
}

fn labels() -> impl Strategy<Value = Vec<LabelPair>> {
    let pair = ("[a-c]", "[x-z]{0,3}").prop_map(|(name, value)| label(&name, &value));
    prop::collection::vec(pair, 0..3)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        any::<f64>(),
        (0u32..1000).prop_map(f64::from)
    ]
}

fn moment() -> impl Strategy<Value = Option<Timestamp>> {
    let moment = (any::<i32>(), any::<i32>())
        .prop_map(|(seconds, nanos)| Timestamp { seconds: seconds.into(), nanos });
    prop::option::of(moment)
}

fn exemplar() -> impl Strategy<Value = Option<Exemplar>> {
    let exemplar = (labels(), number(), moment()).prop_map(|(label, value, timestamp)| Exemplar {
        label,
        value,
        timestamp,
    });
    prop::option::of(exemplar)
}

prop_compose! {
    fn classic_bucket()(
        cumulative_count in 0u64..9,
        upper_bound in prop_oneof![Just(1.0), Just(2.5), Just(f64::INFINITY)],
        exemplar in exemplar(),
        cumulative_count_float in prop_oneof![Just(0.0), Just(2.5)],
    ) -> Bucket {
        Bucket { cumulative_count, upper_bound, exemplar, cumulative_count_float }
    }
}

prop_compose! {
    /// Sound as a rule, and unsound now and then.
    fn any_histogram()(
        sample_count in 20u64..40,
        sample_sum in number(),
        bucket in prop::collection::vec(classic_bucket(), 0..4),
        float in any::<bool>(),
        zero_count in 0u64..3,
        schema in -4i32..10,
        positive in prop::collection::vec(0u64..4, 0..4),
        offset in -3i32..3,
        spare in prop::bool::weighted(0.1),
        start in moment(),
        exemplars in prop::collection::vec(exemplar(), 0..3),
    ) -> Histogram {
        let length = positive.len() as u32 + u32::from(spare);
        let mut out = Histogram {
            sample_sum, bucket, schema, start,
            exemplars: exemplars.into_iter().flatten().collect(),
            positive_span: vec![BucketSpan { offset, length }; usize::from(length > 0)],
            ..Histogram::default()
        };
        if float {
            out.sample_count_float = sample_count as f64;
            out.zero_count_float = zero_count as f64;
            out.positive_count = positive.iter().map(|&n| n as f64 + 0.5).collect();
        } else {
            (out.sample_count, out.zero_count) = (sample_count, zero_count);
            let before = [0].into_iter().chain(positive.iter().copied());
            out.positive_delta =
                positive.iter().zip(before).map(|(&n, before)| n as i64 - before as i64).collect();
        }
        out
    }
}

prop_compose! {
    fn any_metric()(
        label in labels(),
        simple in (number(), exemplar(), moment()),
        quantile in prop::collection::vec((0.0..1.0, number()), 0..3),
        histogram in any_histogram(),
        timestamp_ms in prop_oneof![Just(0i64), any::<i64>()],
        holes in any::<u8>(),
    ) -> Metric {
        let (value, exemplar, start) = simple;
        let quantile =
            quantile.into_iter().map(|(quantile, value)| Quantile { quantile, value }).collect();
        let summary = Summary { sample_count: 3, sample_sum: value, quantile, start };
        let counter = Simple { value, exemplar, start };
        let plain = Simple { value, exemplar: None, start: None };
        let there = |bit: u8| holes & bit != 0 || holes & 1 != 0;
        Metric {
            label,
            timestamp_ms,
            gauge: Some(plain.clone()).filter(|_| there(2)),
            counter: Some(counter).filter(|_| there(4)),
            summary: Some(summary).filter(|_| there(8)),
            untyped: Some(plain).filter(|_| there(16)),
            histogram: Some(histogram).filter(|_| there(32)),
        }
    }
}

fn any_family() -> impl Strategy<Value = MetricFamily> {
    let metrics = prop::collection::vec(any_metric(), 0..3);
    ("[a-z.]{1,3}", 0i32..6, metrics, "[a-z]{0,2}")
        .prop_map(|(name, kind, metric, unit)| MetricFamily { unit, ..family(&name, kind, metric) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn families_of_all_kinds_agree_with_prost(
        families in prop::collection::vec(any_family(), 0..3),
        flip in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = page(&families);
        if let Some((at, byte)) = flip && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_protobuf(&bytes);
    }
}
