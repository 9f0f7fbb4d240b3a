//! Series that are met one after the other in one request are what they are on their own.

use proptest::prelude::*;
use weir_aggregate::decisions::Decisions;

use crate::harness::{Gate, Sent, rules};

const T: i64 = 1_000_000_000;

/// A series most of whose labels are as any other's: some have other values, some of them are
/// empty or too long, some names are missing, doubled or in another place.
fn labels() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let value = prop_oneof![
        20 => Just("a".to_owned()),
        5 => "[b-d]",
        1 => Just(String::new()),
        1 => Just("x".repeat(5000)),
    ];
    let change = prop_oneof![8 => Just(None), 1 => (0usize..5, 0usize..5, 0u8..4).prop_map(Some)];
    (proptest::collection::vec(value, 5), change).prop_map(|(values, change)| {
        let names = ["__name__", "instance", "job", "pod", "zone"];
        let mut labels: Vec<(&str, String)> = names.into_iter().zip(values).collect();
        match change {
            Some((at, _, 0)) => drop(labels.remove(at)),
            Some((at, other, 1)) => labels.swap(at, other),
            Some((at, other, 2)) => labels[at].0 = labels[other].0,
            Some((at, _, _)) => labels.insert(at, ("cluster", "e".into())),
            None => {}
        }
        labels
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_request_of_many_is_as_many_requests(
        all in proptest::collection::vec(labels(), 1..12),
        full_from in 0usize..16,
    ) {
        let text = "
- {match: a, interval: 10s, without: [instance], drop_input_labels: [job], outputs: [count_samples], keep_input: true}
- {match: '{pod=\"b\"}', interval: 10s, by: [zone, job], outputs: [sum_samples], keep_input: true}
";
        let gate = || Gate::new(Decisions::new(1, rules(text)), 1);
        let (mut together, mut apart) = (gate(), gate());
        let sent: Vec<Sent> = (all.iter().zip(0i64..))
            .map(|(labels, at)| {
                let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
                Sent::new(&labels, &[(T + at, at as f64)])
            })
            .collect();
        // From some place on the tenant is at its limit.
        let (old, new) = sent.split_at(full_from.min(sent.len()));
        let mut refused = [Vec::new(), Vec::new()];
        for (sent, full) in [(old, false), (new, true), (old, false), (sent.as_slice(), false)] {
            for outcome in together.send_limited("t", sent, full) {
                refused[0].extend(outcome.refusals.into_iter().map(|(_, why, count)| (why, count)));
            }
            for one in sent.chunks(1) {
                for outcome in apart.send_limited("t", one, full) {
                    refused[1].extend(outcome.refusals.into_iter().map(|(_, why, count)| (why, count)));
                }
            }
        }
        let [a, b] = refused;
        prop_assert_eq!(a, b);
        prop_assert_eq!(&together.passed, &apart.passed);
        for gate in [&mut together, &mut apart] {
            gate.advance(T + 60_000);
        }
        prop_assert_eq!(together.said(), apart.said());
        // What was referred to is given back.
        for gate in [&mut together, &mut apart] {
            gate.advance(T + 100_000_000);
            prop_assert_eq!(gate.workers[0].series_by_tenant().values().sum::<u64>(), 0);
            prop_assert_eq!(gate.workers[0].label_pairs(), 0);
        }
    }
}
