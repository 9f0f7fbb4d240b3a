//! Arithmetic against three judges: results of Prometheus itself, values by hand, and a naive
//! twin that knows only the bounds of buckets.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::histogram::CUSTOM_BUCKETS_SCHEMA;
use crate::histogram::bounds::{index_of, upper_bound};

/// Made by `FloatHistogram.Add`, `Sub` (both then `Compact(0)`) and `DetectReset` of
/// github.com/prometheus/prometheus v0.316.0 on random histograms. One histogram a line:
/// schema;zero threshold;zero count;count;sum;spans;counts;spans;counts;bounds;reset hint.
const PROMETHEUS: &str = include_str!("../../../tests/fixtures/histogram-prometheus-0.316.txt");

fn floats(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|n| n.parse().unwrap()).collect()
}

fn spans(text: &str) -> Vec<Span> {
    let span = |s: &str| {
        let (offset, length) = s.split_once(':').unwrap();
        Span { offset: offset.parse().unwrap(), length: length.parse().unwrap() }
    };
    text.split_whitespace().map(span).collect()
}

fn parse(line: &str) -> NativeHistogram {
    let fields: Vec<&str> = line.split(';').collect();
    let number = |at: usize| fields[at].parse::<f64>().unwrap();
    NativeHistogram {
        schema: fields[0].parse().unwrap(),
        zero_threshold: number(1),
        zero_count: number(2),
        count: number(3),
        sum: number(4),
        positive_spans: spans(fields[5]),
        positive: floats(fields[6]),
        negative_spans: spans(fields[7]),
        negative: floats(fields[8]),
        custom_values: floats(fields[9]),
        reset_hint: match fields[10] {
            "0" => ResetHint::Unknown,
            "1" => ResetHint::Yes,
            "2" => ResetHint::No,
            _ => ResetHint::Gauge,
        },
        ..NativeHistogram::default()
    }
}

#[test]
fn prometheus_adds_subtracts_and_sees_resets_the_same_way() {
    let mut lines = PROMETHEUS.lines();
    let mut cases = 0;
    while let Some(what) = lines.next() {
        let (one, two) = (parse(lines.next().unwrap()), parse(lines.next().unwrap()));
        let expected = lines.next().unwrap();
        let (mut sum, mut difference) = (one.clone(), one.clone());
        match what {
            "add" => {
                sum.add(&two).unwrap();
                assert_same(&sum, &parse(expected), cases);
            }
            "sub" => {
                difference.sub(&two).unwrap();
                assert_same(&difference, &parse(expected), cases);
            }
            _ => assert_eq!(two.is_reset(&one).to_string(), expected, "{one:?} {two:?}"),
        }
        cases += 1;
    }
    assert_eq!(cases, 350);
}

#[track_caller]
fn assert_same(ours: &NativeHistogram, theirs: &NativeHistogram, case: usize) {
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "case {case}");
}

fn histogram(schema: i32, threshold: f64, zero: f64, side: &[(i32, f64)]) -> NativeHistogram {
    let mut histogram = NativeHistogram {
        count: zero + side.iter().map(|b| b.1).sum::<f64>(),
        integer: true,
        ..NativeHistogram::default()
    };
    let flat = Flat {
        schema,
        zero_threshold: threshold,
        zero_count: zero,
        positive: side.to_vec(),
        negative: Vec::new(),
        bounds: Vec::new(),
    };
    flat.store(&mut histogram);
    histogram
}

/// From the specification: schema 1 has bounds at powers of √2, schema 0 at powers of 2; bucket
/// 1 and 2 of schema 1, (1, √2] and (√2, 2], make up bucket 1 of schema 0, (1, 2].
#[test]
fn the_finer_is_brought_to_the_coarser() {
    let mut fine = histogram(1, 0.0, 0.0, &[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)]);
    let coarse = histogram(0, 0.0, 0.0, &[(1, 16.0), (5, 32.0)]);
    fine.add(&coarse).unwrap();
    let expected = histogram(0, 0.0, 0.0, &[(0, 1.0), (1, 22.0), (2, 8.0), (5, 32.0)]);
    assert_same(&fine, &expected, 0);
    assert_eq!(fine.positive_spans[1], Span { offset: 2, length: 1 });
}

#[test]
fn a_wider_zero_bucket_takes_in_what_it_covers_and_grows_to_a_bucket_that_it_cuts() {
    // Schema 0: bucket -1 is (1/4, 1/2], bucket 0 is (1/2, 1], bucket 1 is (1, 2].
    let mut narrow = histogram(0, 0.0, 1.0, &[(-1, 2.0), (0, 4.0), (1, 8.0)]);
    narrow.add(&histogram(0, 0.75, 16.0, &[(1, 32.0)])).unwrap();
    assert_same(&narrow, &histogram(0, 1.0, 23.0, &[(1, 40.0)]), 0);
    // An empty bucket may be cut.
    let mut empty = histogram(0, 0.0, 1.0, &[(1, 8.0)]);
    empty.add(&histogram(0, 0.75, 16.0, &[])).unwrap();
    assert_same(&empty, &histogram(0, 0.75, 17.0, &[(1, 8.0)]), 1);
}

#[test]
fn downscaling_widens_a_zero_threshold_to_the_next_bound() {
    let mut fine = histogram(3, 0.6, 1.0, &[(-1, 2.0), (1, 4.0)]);
    fine.downscale(0).unwrap();
    // Buckets -7 to 0 of schema 3 are (1/2, 1], which holds 0.6.
    assert_same(&fine, &histogram(0, 1.0, 3.0, &[(1, 4.0)]), 0);
    let refused = HistogramError::Resolution { from: 0, to: 1 };
    assert_eq!(fine.downscale(1), Err(refused));
}

#[test]
fn custom_buckets_meet_on_the_bounds_that_both_have() {
    let custom = |bounds: &[f64], counts: &[f64]| NativeHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.to_vec(),
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive: counts.to_vec(),
        count: counts.iter().sum(),
        ..NativeHistogram::default()
    };
    let mut one = custom(&[1.0, 2.0, 5.0], &[1.0, 2.0, 4.0, 8.0]);
    let two = custom(&[2.0, 4.0, 5.0], &[16.0, 32.0, 64.0, 128.0]);
    one.add(&two).unwrap();
    assert_same(&one, &custom(&[2.0, 5.0], &[19.0, 100.0, 136.0]), 0);

    let standard = histogram(0, 0.0, 0.0, &[(1, 1.0)]);
    assert_eq!(one.add(&standard), Err(HistogramError::MixedKinds));
    assert_eq!(standard.clone().add(&one), Err(HistogramError::MixedKinds));
    assert!(one.is_reset(&standard));
}

#[test]
fn a_stale_marker_is_neither_added_nor_compared() {
    let stale = NativeHistogram { sum: crate::STALE_NAN, ..NativeHistogram::default() };
    let mut one = histogram(0, 0.0, 0.0, &[(1, 1.0)]);
    assert_eq!(one.add(&stale), Err(HistogramError::Stale));
    assert!(one.is_reset(&stale));
}

#[test]
fn a_fall_of_the_sum_is_no_reset_and_a_hint_decides() {
    let before = histogram(0, 0.0, 1.0, &[(1, 1.0)]);
    let mut now = before.clone();
    now.sum = -100.0;
    assert!(!now.is_reset(&before));
    now.reset_hint = ResetHint::Yes;
    assert!(now.is_reset(&before));
    now.count = 0.0;
    now.reset_hint = ResetHint::No;
    assert!(!now.is_reset(&before));
}

/// What all of `parts` come to, by the bounds of buckets alone.
fn naive_sum(parts: &[NativeHistogram]) -> (i32, f64, f64, BTreeMap<i32, f64>) {
    let schema = parts.iter().map(|p| p.schema).min().unwrap();
    let moved = |value: f64, from: i32| match value {
        0.0 => 0.0,
        _ if from == schema => value,
        _ => upper_bound(i64::from(index_of(value, schema)), schema),
    };
    let own: Vec<f64> = parts.iter().map(|p| moved(p.zero_threshold, p.schema)).collect();
    let mut zero: f64 = parts.iter().map(|p| p.zero_count).sum();
    let mut opened = Vec::new();
    for part in parts {
        opened.push(rebucket(part, schema, &mut zero));
    }
    let range = |i: i32| (upper_bound(i64::from(i) - 1, schema), upper_bound(i64::from(i), schema));
    let mut threshold = own.iter().copied().fold(0.0, f64::max);
    loop {
        let narrower = opened.iter().zip(&own).filter(|&(_, &own)| own < threshold);
        let cut = narrower
            .flat_map(|(buckets, _)| buckets.keys())
            .find(|&&i| range(i).0 < threshold && threshold < range(i).1);
        let Some(&cut) = cut else { break };
        threshold = range(cut).1;
    }
    let mut buckets = BTreeMap::new();
    for ((part, own), source) in opened.iter().zip(&own).zip(parts) {
        for (&index, &count) in part {
            let rounded = source.schema != schema;
            if range(index).0 < threshold && (*own < threshold || rounded) {
                zero += count;
            } else {
                *buckets.entry(index).or_insert(0.0) += count;
            }
        }
    }
    (schema, threshold, zero, buckets)
}

fn rebucket(part: &NativeHistogram, schema: i32, zero: &mut f64) -> BTreeMap<i32, f64> {
    let mut out = BTreeMap::new();
    let mut counts = part.positive.iter();
    let mut index = 0;
    for span in &part.positive_spans {
        index += span.offset;
        for _ in 0..span.length {
            let count = counts.next().unwrap();
            let upper = upper_bound(i64::from(index), part.schema);
            if upper <= part.zero_threshold {
                *zero += count;
            } else {
                *out.entry(index_of(upper, schema)).or_insert(0.0) += count;
            }
            index += 1;
        }
    }
    out
}

fn any_histogram() -> impl Strategy<Value = NativeHistogram> {
    let buckets = proptest::collection::btree_map(-12i32..12, 0u8..4, 0..8);
    let threshold =
        prop_oneof![Just(0.0), (-6i64..2).prop_map(|i| upper_bound(i, 0)), 0.001f64..3.0];
    (-2i32..5, threshold, 0u8..3, buckets).prop_map(|(schema, threshold, zero, buckets)| {
        let side: Vec<(i32, f64)> = buckets.into_iter().map(|(i, c)| (i, f64::from(c))).collect();
        histogram(schema, threshold, f64::from(zero), &side)
    })
}

fn added(one: &NativeHistogram, two: &NativeHistogram) -> NativeHistogram {
    let mut sum = one.clone();
    sum.add(two).unwrap();
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn merging_is_associative_and_commutative_and_what_the_bounds_say(
        parts in proptest::collection::vec(any_histogram(), 3..6),
    ) {
        let forth = parts[1..].iter().fold(parts[0].clone(), |sum, part| added(&sum, part));
        let back = parts[..parts.len() - 1].iter().rev()
            .fold(parts[parts.len() - 1].clone(), |sum, part| added(part, &sum));
        prop_assert_eq!(format!("{forth:?}"), format!("{back:?}"));
        let swapped = added(&parts[1], &parts[0]);
        prop_assert_eq!(format!("{swapped:?}"), format!("{:?}", added(&parts[0], &parts[1])));

        let (schema, threshold, zero, buckets) = naive_sum(&parts);
        let side: Vec<(i32, f64)> = buckets.into_iter().collect();
        let mut expected = histogram(schema, threshold, zero, &side);
        expected.sum = forth.sum;
        prop_assert_eq!(format!("{forth:?}"), format!("{expected:?}"));
        prop_assert!(forth.validate().is_ok());
    }

    #[test]
    fn a_counter_that_only_grows_is_no_reset_and_its_increase_is_what_was_added(
        before in any_histogram(), increase in any_histogram(),
    ) {
        // A client that changes resolution by itself has its zero bucket on a bound or unmoved.
        let mut increase = increase;
        increase.zero_threshold = before.zero_threshold;
        increase.schema = before.schema;
        let now = added(&before, &increase);
        prop_assert!(!now.is_reset(&before));
        let mut difference = now.clone();
        difference.sub(&before).unwrap();
        prop_assert_eq!(difference.count, increase.count);
        prop_assert_eq!(format!("{difference:?}"), format!("{:?}", added(&increase, &histogram(
            before.schema, before.zero_threshold, 0.0, &[]))));
        if increase.count > 0.0 {
            prop_assert!(before.is_reset(&now));
        }
    }

    #[test]
    fn values_folded_apart_and_merged_are_values_folded_together(
        values in proptest::collection::vec(prop_oneof![-1e6f64..1e6, Just(0.0), 1e-12..1e12f64], 0..600),
        cut in 0usize..600,
    ) {
        use crate::histogram::HistogramBuilder;
        let fold = |values: &[f64]| {
            let mut builder = HistogramBuilder::default();
            values.iter().for_each(|&value| builder.fold(value));
            builder.build()
        };
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged = added(&fold(left), &fold(right));
        merged.limit_buckets(crate::histogram::builder::BUCKETS_MAX).unwrap();
        let mut whole = fold(&values);
        prop_assert!(whole.validate().is_ok());
        prop_assert!((merged.sum - whole.sum).abs() <= 1e-9 * values.iter().map(|v| v.abs()).sum::<f64>());
        merged.sum = 0.0;
        whole.sum = 0.0;
        prop_assert_eq!(format!("{merged:?}"), format!("{whole:?}"));
        let mut resumed = HistogramBuilder::resume(&fold(left)).unwrap();
        right.iter().for_each(|&value| resumed.fold(value));
        let mut resumed = resumed.build();
        resumed.sum = 0.0;
        prop_assert_eq!(format!("{resumed:?}"), format!("{whole:?}"));
    }

    #[test]
    fn bytes_come_back(part in any_histogram()) {
        let mut bytes = Vec::new();
        part.encode(&mut bytes);
        let back = NativeHistogram::decode(&mut &bytes[..]).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{part:?}"));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Some(histogram) = NativeHistogram::decode(&mut &bytes[..]) {
            let mut twice = histogram.clone();
            let _judged = (twice.add(&histogram).is_ok(), histogram.is_reset(&twice));
        }
    }
}
