//! Counts against what was counted.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn of(range: std::ops::Range<u64>) -> Distinct {
    let mut set = Distinct::default();
    range.for_each(|n| set.fold(xxh3_64(&n.to_le_bytes())));
    set
}

#[test]
fn few_are_counted_exactly_and_more_within_the_error() {
    let mut set = of(0..EXACT_MAX as u64);
    assert!(set.is_exact());
    assert_eq!(set.count(), EXACT_MAX as u64);
    set.fold(xxh3_64(&7u64.to_le_bytes()));
    assert!(set.is_exact(), "a repeat is nothing new");
    for n in [4097u64, 6000, 10_000, 40_000, 81_000, 200_000, 1_000_000] {
        let set = of(0..n);
        assert!(!set.is_exact());
        let error = (set.count() as f64 - n as f64) / n as f64;
        assert!(error.abs() < 3.0 * STANDARD_ERROR, "{n}: {error}");
        assert!(set.memory_bytes() < 17 << 10);
    }
}

/// The mean over independent sets has a standard error of 0.81 % / √60.
#[test]
fn the_estimate_has_no_bias_and_the_stated_error() {
    for n in [5000u64, 20_000, 50_000] {
        let errors: Vec<f64> = (0..60u64)
            .map(|seed| of(seed << 32..(seed << 32) + n).count() as f64 / n as f64 - 1.0)
            .collect();
        let mean = errors.iter().sum::<f64>() / 60.0;
        let spread = (errors.iter().map(|e| e * e).sum::<f64>() / 60.0).sqrt();
        assert!(mean.abs() < 0.004, "{n}: {mean}");
        assert!(spread < 1.5 * STANDARD_ERROR, "{n}: {spread}");
    }
}

#[test]
fn merging_is_folding_everything_across_the_change_of_kind() {
    let whole = of(0..9000);
    for [a, b, c] in [[10, 3000, 6000], [100, 5000, 8999], [4096, 4097, 4098]] {
        let parts = [of(0..b), of(a..c), of(b..9000)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut merged = Distinct::default();
            order.iter().for_each(|&part| merged.merge(&parts[part]));
            assert_eq!(merged, whole);
        }
    }
}

#[test]
fn registers_of_known_hashes() {
    let mut registers = [0; REGISTERS];
    raise(&mut registers, 1 << 49);
    assert_eq!(registers[0], 1);
    raise(&mut registers, 0);
    assert_eq!(registers[0], 51);
    raise(&mut registers, (5 << 50) | 1);
    assert_eq!(registers[5], 50);
}

#[test]
fn both_zeros_are_one_value() {
    assert_eq!(hash_of_value(0.0), hash_of_value(-0.0));
    assert_ne!(hash_of_value(0.0), hash_of_value(1.0));
}

#[test]
fn bytes_come_back_dense_too() {
    let set = of(0..70_000);
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    assert_eq!(bytes.len(), 2 + PACKED_BYTES);
    assert_eq!(Distinct::decode(&mut &bytes[..]), Some(set));
    bytes[2..5].fill(0xff);
    assert_eq!(Distinct::decode(&mut &bytes[..]), None, "no rank is 63");
    assert_eq!(Distinct::decode(&mut &bytes[..100]), None);
}

proptest! {
    #[test]
    fn a_set_of_hashes_is_a_set(
        hashes in proptest::collection::vec(0u64..200, 0..300), cut in 0usize..300,
    ) {
        let mixed: Vec<u64> = hashes.iter().map(|h| xxh3_64(&h.to_le_bytes())).collect();
        let twin: BTreeSet<u64> = mixed.iter().copied().collect();
        let (left, right) = mixed.split_at(cut.min(mixed.len()));
        let (mut one, mut two) = (Distinct::default(), Distinct::default());
        left.iter().for_each(|&h| one.fold(h));
        right.iter().for_each(|&h| two.fold(h));
        one.merge(&two);
        prop_assert_eq!(one.count(), twin.len() as u64);
        let mut bytes = Vec::new();
        one.encode(&mut bytes);
        let mut rest = &bytes[..];
        prop_assert_eq!(Distinct::decode(&mut rest), Some(one));
        prop_assert!(rest.is_empty());
        for end in 0..bytes.len() {
            prop_assert_eq!(Distinct::decode(&mut &bytes[..end]), None);
        }
    }

    #[test]
    fn foreign_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 2..60)) {
        bytes[..2].copy_from_slice(&[VERSION, EXACT]);
        if let Some(set) = Distinct::decode(&mut &bytes[..]) {
            prop_assert!(set.count() <= 8);
        }
    }
}
