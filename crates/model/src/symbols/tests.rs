//! The interner against a naive twin, under churn.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn a_pair_is_stored_once_and_goes_with_its_last_reference() {
    let mut table = PairTable::new(1);
    let job = table.intern("job", "node");
    let same = table.intern("job", "node");
    let split_elsewhere = table.intern("jobn", "ode");
    assert_eq!(job, same);
    assert_ne!(job, split_elsewhere);
    assert_eq!(table.get(job), Label::new("job", "node"));
    assert_eq!(table.get(split_elsewhere), Label::new("jobn", "ode"));
    assert_eq!(table.len(), 2);

    table.release(job);
    assert_eq!(table.find("job", "node"), Some(job));
    table.acquire(job);
    table.release(job);
    table.release(job);
    assert_eq!(table.find("job", "node"), None);
    assert_eq!(table.len(), 1);
    assert_eq!(table.intern("zone", ""), job, "a free number is used again");
    assert_eq!(table.get(job), Label::new("zone", ""));
}

#[test]
fn a_guess_changes_nothing_but_the_way() {
    let mut table = PairTable::new(1);
    let job = table.intern("job", "node");
    let zone = table.intern("zone", "a");
    for guess in [job, zone, PairId(7), PairId(u32::MAX)] {
        assert_eq!(table.intern_near("job", "node", guess), job);
        assert_eq!(table.intern_near("jobn", "ode", guess), PairId(2));
    }
    for _ in 0..5 {
        assert_eq!(table.find("job", "node"), Some(job));
        table.release(job);
    }
    assert_eq!(table.find("job", "node"), None, "each was one reference");
    let empty = table.intern_near("", "", job);
    assert_eq!((table.len(), table.get(empty)), (3, Label::new("", "")), "not the freed slot");
}

/// Pods come and go; a few long-lived pairs in between keep their ids and texts.
#[test]
fn churn_leaves_no_memory_behind() {
    let mut table = PairTable::new(2);
    let empty = table.memory_bytes();
    let mut kept = Vec::new();
    let mut peak = 0;
    for round in 0..5 {
        let pods: Vec<PairId> = (0..20_000)
            .map(|n| table.intern("pod", &format!("checkout-7d9f8b6c5d-{round}-{n}")))
            .collect();
        kept.push((round, table.intern("round", &format!("{round}"))));
        let now = table.memory_bytes();
        assert!(peak == 0 || now <= peak * 11 / 10, "{now} after {peak}");
        peak = now.max(peak);
        pods.into_iter().for_each(|id| table.release(id));
        for (round, id) in &kept {
            assert_eq!(table.get(*id), Label::new("round", &round.to_string()));
        }
        assert_eq!(table.len(), kept.len());
    }
    assert!(peak / 20_000 < 120, "{} bytes a pair", peak / 20_000);
    for (_, id) in kept {
        table.release(id);
    }
    assert!(table.is_empty());
    // Refill and empty without the long-lived ones: now all of it goes.
    let pods: Vec<PairId> = (0..20_000).map(|n| table.intern("pod", &n.to_string())).collect();
    pods.into_iter().for_each(|id| table.release(id));
    let left = table.memory_bytes();
    assert!(left < empty + peak / 10, "{left} bytes are left of {peak}");
}

#[derive(Clone, Debug)]
enum Step {
    Intern(u16),
    Acquire(usize),
    Release(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u16..60).prop_map(Step::Intern),
        1 => any::<usize>().prop_map(Step::Acquire),
        3 => any::<usize>().prop_map(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_table_agrees_with_a_naive_twin(
        seed in any::<u128>(), steps in proptest::collection::vec(any_step(), 0..400),
    ) {
        let mut table = PairTable::new(seed);
        let mut twin: BTreeMap<(String, String), (PairId, u32)> = BTreeMap::new();
        for step in steps {
            let chosen = |at: usize| twin.keys().nth(at % twin.len().max(1)).cloned();
            match step {
                Step::Intern(n) => {
                    let (name, value) = (format!("n{}", n % 7), "v".repeat(usize::from(n)));
                    let id = table.intern(&name, &value);
                    let entry = twin.entry((name, value)).or_insert((id, 0));
                    prop_assert_eq!(entry.0, id);
                    entry.1 += 1;
                }
                Step::Acquire(at) => if let Some(key) = chosen(at) {
                    let entry = twin.get_mut(&key).unwrap();
                    table.acquire(entry.0);
                    entry.1 += 1;
                },
                Step::Release(at) => if let Some(key) = chosen(at) {
                    let entry = twin.get_mut(&key).unwrap();
                    table.release(entry.0);
                    entry.1 -= 1;
                    if entry.1 == 0 {
                        twin.remove(&key);
                    }
                },
            }
            prop_assert_eq!(table.len(), twin.len());
            for ((name, value), (id, _)) in &twin {
                prop_assert_eq!(table.get(*id), Label::new(name, value));
                prop_assert_eq!(table.find(name, value), Some(*id));
            }
        }
        for (id, references) in twin.into_values() {
            (0..references).for_each(|_| table.release(id));
        }
        prop_assert!(table.is_empty());
        prop_assert_eq!(table.text_bytes, 0);
        prop_assert_eq!(table.free.len(), table.slots.len());
    }
}
