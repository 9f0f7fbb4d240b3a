//! Ranges against the original library and a capture of vmagent.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A value and its range a line, from github.com/VictoriaMetrics/metrics v1.35.1: all ranges,
/// the powers of ten, and the floats on both sides of them.
const ORIGINAL: &str = include_str!("../../tests/fixtures/vmrange-metrics-1.35.txt");

/// What vmagent 1.150 received (zone, value, timestamp), and what it wrote at each window's
/// end (zone, range, cumulative count, timestamp).
const CAPTURE: &str = include_str!("../../tests/fixtures/vmrange-vmagent-1.150.txt");

#[test]
fn values_fall_where_the_original_puts_them() {
    let mut seen = std::collections::BTreeSet::new();
    for line in ORIGINAL.lines() {
        let (value, expected) = line.split_once(' ').unwrap();
        let value: f64 = value.replace("+Inf", "inf").parse().unwrap();
        let range = range_of(value).unwrap();
        assert_eq!(label(range), expected, "{value}");
        seen.insert(range);
    }
    assert_eq!(seen.len(), usize::from(RANGES));
    assert_eq!(label(RANGES), "");
}

#[test]
fn the_capture_of_vmagent_comes_out_again() {
    let mut samples = Vec::new();
    let mut windows = BTreeMap::<(i64, &str), BTreeMap<&str, u64>>::new();
    for line in CAPTURE.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let timestamp: i64 = fields[fields.len() - 1].parse().unwrap();
        if fields[0] == "sample" {
            samples.push((fields[1], fields[2].parse::<f64>().unwrap(), timestamp));
        } else {
            let window = windows.entry((timestamp, fields[1])).or_default();
            window.insert(fields[2], fields[3].parse().unwrap());
        }
    }
    assert_eq!(windows.len(), 16);
    for ((end, zone), expected) in windows {
        let mut ranges = VmRanges::default();
        for &(_, value, _) in samples.iter().filter(|s| s.0 == zone && s.2 <= end) {
            ranges.fold(value);
        }
        assert_eq!(ranges.iter().collect::<BTreeMap<_, _>>(), expected, "{zone} {end}");
    }
}

#[test]
fn negative_values_and_nan_are_ignored() {
    let mut ranges = VmRanges::default();
    assert!(!ranges.fold(-1.0) && !ranges.fold(f64::NAN) && ranges.is_empty());
    assert!(ranges.fold(-0.0) && ranges.fold(f64::INFINITY));
    let all: Vec<_> = ranges.iter().collect();
    assert_eq!(all, [("0...1.000e-09", 1), ("1.000e+18...+Inf", 1)]);
}

proptest! {
    #[test]
    fn merging_is_folding_everything(
        values in proptest::collection::vec(0.0f64..1e4, 0..100), cut in 0usize..100,
    ) {
        let fold = |values: &[f64]| {
            let mut ranges = VmRanges::default();
            for &value in values {
                ranges.fold(value);
            }
            ranges
        };
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged = fold(left);
        merged.merge(&fold(right));
        prop_assert_eq!(&merged, &fold(&values));
        let mut other_way = fold(right);
        other_way.merge(&fold(left));
        prop_assert_eq!(&merged, &other_way);

        let mut bytes = Vec::new();
        merged.encode(&mut bytes);
        let mut rest = &bytes[..];
        prop_assert_eq!(VmRanges::decode(&mut rest), Some(merged));
        prop_assert!(rest.is_empty());
        for end in 0..bytes.len() {
            prop_assert_eq!(VmRanges::decode(&mut &bytes[..end]), None);
        }
    }

    #[test]
    fn foreign_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
        bytes[0] = VERSION;
        if let Some(ranges) = VmRanges::decode(&mut &bytes[..]) {
            prop_assert!(ranges.iter().all(|(label, n)| !label.is_empty() && n > 0));
        }
    }
}
