//! The sketch against the sorted values themselves.

use proptest::prelude::*;

use super::*;

fn fold(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::default();
    for &value in values {
        sketch.fold(value);
    }
    sketch
}

/// Nearest rank, as vmagent's reservoir (github.com/valyala/histogram) takes it.
fn exact(values: &[f64], phi: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (phi * (sorted.len() - 1) as f64 + 0.5) as usize;
    sorted[rank.min(sorted.len() - 1)]
}

fn close(estimate: f64, exact: f64) -> bool {
    estimate == exact || (estimate - exact).abs() <= RELATIVE_ERROR * exact.abs() * (1.0 + 1e-9)
}

#[test]
fn quantiles_of_one_to_a_thousand() {
    let sketch = fold(&(1..=1000).map(f64::from).collect::<Vec<_>>());
    assert_eq!(sketch.count(), 1000);
    assert_eq!(sketch.quantile(0.0), Some(1.0));
    assert_eq!(sketch.quantile(1.0), Some(1000.0));
    assert!(close(sketch.quantile(0.5).unwrap(), 501.0));
    assert!(close(sketch.quantile(0.99).unwrap(), 990.0));
    assert_eq!(sketch.quantile(f64::NAN), None);
    assert_eq!(Sketch::default().quantile(0.5), None);
}

#[test]
fn negative_zero_infinite_and_nan_values() {
    let mut sketch = fold(&[-f64::INFINITY, -3.0, -0.0, 0.0, 5e-324, 7.0, f64::INFINITY]);
    assert!(!sketch.fold(f64::NAN));
    assert_eq!(sketch.count(), 7);
    assert_eq!(sketch.quantile(0.0), Some(-f64::INFINITY));
    assert_eq!(sketch.quantile(0.01), Some(-f64::INFINITY));
    assert!(close(sketch.quantile(1.0 / 6.0).unwrap(), -3.0));
    assert_eq!(sketch.quantile(0.5), Some(0.0));
    assert!(close(sketch.quantile(5.0 / 6.0).unwrap(), 7.0));
    assert_eq!(sketch.quantile(1.0), Some(f64::INFINITY));
    let extremes = fold(&[f64::MIN_POSITIVE, f64::MAX, f64::MIN]);
    assert!(close(extremes.quantile(0.5).unwrap(), f64::MIN_POSITIVE));
    assert!(extremes.positive.iter().all(|&(key, _)| key.abs() <= KEY_MAX));
}

/// Bins that no longer fit fall together at the low end; what is above keeps its accuracy.
#[test]
fn a_full_sketch_stays_bounded_and_merges_as_it_folds() {
    let values: Vec<f64> = (0..6000).map(|i| 1e-60 * 1.02f64.powi((i * 37) % 6000)).collect();
    let whole = fold(&values);
    assert_eq!(whole.positive.len(), BINS_MAX);
    assert!(whole.memory_bytes() < 70 << 10);
    assert_eq!(whole.count(), 6000);
    for phi in [0.7, 0.8, 0.95, 0.999] {
        assert!(close(whole.quantile(phi).unwrap(), exact(&values, phi)), "{phi}");
    }
    let (left, right) = values.split_at(2500);
    for (one, two) in [(left, right), (right, left)] {
        let mut merged = fold(one);
        merged.merge(&fold(two));
        assert_eq!(merged, whole);
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e6f64..1e6,
        2 => (-300f64..300.0).prop_map(|e| 10f64.powf(e)),
        1 => Just(0.0),
        1 => Just(-0.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_quantile_is_within_one_percent(
        values in proptest::collection::vec(any_value(), 1..300),
        phis in proptest::collection::vec(0.0f64..=1.0, 10),
    ) {
        let sketch = fold(&values);
        for phi in phis {
            let (estimate, exact) = (sketch.quantile(phi).unwrap(), exact(&values, phi));
            prop_assert!(close(estimate, exact), "{} {} {}", phi, estimate, exact);
        }
        prop_assert_eq!(sketch.quantile(0.0).unwrap(), exact(&values, 0.0));
        prop_assert_eq!(sketch.quantile(1.0).unwrap(), exact(&values, 1.0));
    }

    #[test]
    fn merging_is_folding_everything_in_any_order(
        parts in proptest::collection::vec(proptest::collection::vec(any_value(), 0..60), 3),
    ) {
        let sketches: Vec<Sketch> = parts.iter().map(|values| fold(values)).collect();
        let merge = |one: &Sketch, two: &Sketch| {
            let mut merged = one.clone();
            merged.merge(two);
            merged
        };
        let whole = fold(&parts.concat());
        let left = merge(&merge(&sketches[0], &sketches[1]), &sketches[2]);
        let right = merge(&sketches[0], &merge(&sketches[2], &sketches[1]));
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(&right, &whole);

        let mut bytes = Vec::new();
        whole.encode(&mut bytes);
        let mut rest = &bytes[..];
        prop_assert_eq!(Sketch::decode(&mut rest), Some(whole));
        prop_assert!(rest.is_empty());
        for end in 0..bytes.len() {
            prop_assert_eq!(Sketch::decode(&mut &bytes[..end]), None);
        }
    }

    #[test]
    fn foreign_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
        bytes[0] = VERSION;
        if let Some(sketch) = Sketch::decode(&mut &bytes[..]) {
            let mut twice = sketch.clone();
            twice.merge(&sketch);
            for phi in [0.0, 0.3, 0.5, 1.0] {
                prop_assert_eq!(twice.quantile(phi).is_none(), sketch.is_empty());
            }
        }
    }
}
