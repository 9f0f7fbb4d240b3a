//! Native histograms as input.

use super::*;

/// One of `m` with these buckets above zero.
fn native(instance: &str, at: i64, schema: i32, sum: f64, buckets: &[(i32, f64)]) -> Sample {
    let count = buckets.iter().map(|(_, n)| n).sum();
    let positive = buckets.iter().copied().collect();
    let histogram =
        NativeHistogram { timestamp: at, count, sum, schema, positive, ..Default::default() };
    Sample::native(&labels("m", &[("instance", instance)]), histogram)
}

fn is(schema: i32, sum: f64, buckets: &[(i32, f64)]) -> ExpectedHistogram {
    let sample = native("", 0, schema, sum, buckets);
    let histogram = sample.histogram.as_deref().cloned().unwrap_or_default();
    ExpectedHistogram::Is(NativeHistogram { timestamp: 0, ..histogram })
}

fn undated(expected: &ExpectedHistogram) -> ExpectedHistogram {
    match expected {
        ExpectedHistogram::Is(histogram) => {
            ExpectedHistogram::Is(NativeHistogram { timestamp: 0, ..histogram.clone() })
        }
        of @ ExpectedHistogram::Of(_) => of.clone(),
    }
}

#[test]
fn they_grow_bucket_by_bucket_at_the_coarser_schema() {
    let samples = [
        native("a", 2_000, 1, 6.0, &[(1, 2.0), (2, 1.0)]),
        native("b", 3_000, 0, 15.0, &[(1, 10.0)]),
        // a: 1 and 3 more. Two of its buckets are one of b's: 1 and 2 lie in 1.
        native("a", 8_000, 1, 20.0, &[(1, 3.0), (2, 4.0)]),
        native("b", 9_000, 0, 18.0, &[(1, 12.0)]),
        // A bucket is gone, so it has begun anew.
        native("a", 15_000, 1, 30.0, &[(2, 9.0)]),
    ];
    let arrivals = samples.map(|sample| Arrival::in_time(&sample));
    let oracle = oracle("total, increase_prometheus, count_series", "");
    let expected = oracle.expected_histograms(&arrivals, 20_000);
    let of = |output: &str| {
        let wanted = format!("m:10s_without_instance_{output}");
        let mut found = expected.iter().filter(|(labels, _)| name(labels) == wanted);
        let series = found.next().expect("it is said").1;
        series.iter().map(|(&at, wanted)| (at, undated(wanted))).collect::<Vec<_>>()
    };
    let first = is(0, 17.0, &[(1, 6.0)]);
    assert_eq!(of("total"), [(10_000, first.clone()), (20_000, is(0, 47.0, &[(1, 15.0)]))]);
    let second = is(1, 30.0, &[(2, 9.0)]);
    assert_eq!(of("increase_prometheus"), [(10_000, first), (20_000, second)]);
    let outputs = oracle.expected(&arrivals, 20_000);
    assert_eq!(says(&outputs, "count_series"), values([(10_000, 2.0), (20_000, 2.0)]));
    assert_eq!(outputs.len(), 1, "nothing else is a float");
}

#[test]
fn one_that_no_rule_takes_passes_and_ends_with_a_marker() {
    let sample = native("a", 1_000, 3, 6.0, &[(-4, 2.0), (7, 1.0)]);
    let end = native("a", 5_000, 3, crate::samples::stale_marker(), &[]);
    let arrivals = [&sample, &sample, &end].map(Arrival::in_time);
    let oracle = Oracle::read("").unwrap();
    let got = sample.histogram.as_deref().unwrap();
    let last = end.histogram.as_deref().unwrap();
    let both = [(&*sample.labels, got), (&*sample.labels, last)];
    let found = oracle.judge_histograms(&Doubts::default(), &arrivals, both.into_iter(), 0);
    assert!(found.is_empty() && found.compared == 2, "{found}");
    let other = NativeHistogram { zero_count: 1.0, ..got.clone() };
    let other = [(&*sample.labels, &other)].into_iter();
    let found = oracle.judge_histograms(&Doubts::default(), &arrivals, other, 0);
    assert_eq!((found.wrong.len(), found.lost.len()), (1, 1));
    assert!(oracle.passed(&arrivals).is_empty(), "no floats");
}
