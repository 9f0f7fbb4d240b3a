//! Scripts of answers and times, and what many senders choose.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("http://gateway-{n}:9201/api/v1/write")).collect()
}

/// Sends a request at `now_ms` that ends at once.
fn send(endpoints: &mut Endpoints, is_well: bool, now_ms: u64) -> (String, Option<Moved>) {
    let name = endpoints.poll_endpoint(now_ms).to_owned();
    let moved = endpoints.handle_end(&name, is_well, now_ms, now_ms, 1.0);
    (name, moved)
}

#[test]
fn three_failures_in_a_row_lead_on_and_a_success_in_between_does_not() {
    let mut endpoints = Endpoints::new(&names(2), 7);
    let best = endpoints.in_use().to_owned();
    for is_well in [false, false, true, false, false] {
        assert_eq!(send(&mut endpoints, is_well, 0), (best.clone(), None));
    }
    let (asked, moved) = send(&mut endpoints, false, 0);
    let to = endpoints.in_use().to_owned();
    assert_eq!((asked, moved), (best.clone(), Some(Moved { from: best.clone(), to: to.clone() })));
    assert_ne!(to, best);
    assert_eq!(endpoints.failovers(), 1);
}

#[test]
fn one_timeout_that_took_long_leads_on() {
    let mut endpoints = Endpoints::new(&names(2), 7);
    let best = endpoints.in_use().to_owned();
    assert_eq!(endpoints.handle_end(&best, false, 0, 9_999, 1.0), None);
    let mut endpoints = Endpoints::new(&names(2), 7);
    assert!(endpoints.handle_end(&best, false, 0, 10_000, 1.0).is_some());
}

#[test]
fn the_better_one_is_asked_again_by_one_request_after_a_pause_that_doubles() {
    let mut endpoints = Endpoints::new(&names(2), 7);
    let best = endpoints.in_use().to_owned();
    (0..3).for_each(|_| drop(send(&mut endpoints, false, 0)));
    let other = endpoints.in_use().to_owned();
    assert_eq!(send(&mut endpoints, true, 29_999).0, other);
    assert_eq!(endpoints.poll_endpoint(30_000), best);
    assert_eq!(endpoints.poll_endpoint(30_000), other, "one probe at a time");
    assert_eq!(endpoints.handle_end(&best, false, 30_000, 30_010, 1.0), None);
    assert_eq!(send(&mut endpoints, true, 90_009).0, other, "twice as long");
    assert_eq!(endpoints.poll_endpoint(90_010), best);
    let back = endpoints.handle_end(&best, true, 90_010, 90_020, 1.0);
    assert_eq!(back, Some(Moved { from: other, to: best.clone() }));
    assert_eq!(send(&mut endpoints, true, 90_030).0, best);
    assert_eq!(endpoints.failovers(), 1, "the way back is none");
}

#[test]
fn where_all_are_down_each_is_tried_in_turn() {
    let mut endpoints = Endpoints::new(&names(3), 7);
    let mut asked = BTreeMap::new();
    for now_ms in 0..18 {
        *asked.entry(send(&mut endpoints, false, now_ms).0).or_insert(0) += 1;
    }
    assert_eq!(asked.into_values().collect::<Vec<_>>(), [6, 6, 6]);
}

#[test]
fn a_sole_endpoint_is_never_left() {
    let mut endpoints = Endpoints::new(&names(1), 7);
    for now_ms in [0, 1, 2, 50_000] {
        let (asked, moved) = send(&mut endpoints, false, now_ms);
        assert_eq!((asked, moved), (names(1)[0].clone(), None));
    }
    assert_eq!(endpoints.failovers(), 0);
}

#[test]
fn a_late_failure_of_one_that_was_left_changes_nothing() {
    let mut endpoints = Endpoints::new(&names(2), 7);
    let best = endpoints.in_use().to_owned();
    (0..3).for_each(|_| drop(send(&mut endpoints, false, 0)));
    let other = endpoints.in_use().to_owned();
    assert_eq!(endpoints.handle_end("http://unknown", false, 0, 10, 1.0), None);
    assert_eq!(endpoints.handle_end(&best, false, 0, 10, 1.0), None);
    assert_eq!(endpoints.in_use(), other);
}

#[test]
fn another_list_keeps_what_stays() {
    let all = names(4);
    let mut endpoints = Endpoints::new(&all[..3], 7);
    (0..3).for_each(|_| drop(send(&mut endpoints, false, 0)));
    let in_use = endpoints.in_use().to_owned();
    endpoints.set_names(&all);
    assert_eq!(endpoints.in_use(), in_use);
    endpoints.set_names(&[]);
    assert_eq!(endpoints.in_use(), in_use, "a name that resolves to nothing changes nothing");
    let others: Vec<String> = all.into_iter().filter(|name| *name != in_use).collect();
    endpoints.set_names(&others);
    assert!(others.iter().any(|name| name == endpoints.in_use()));
}

/// 3,000 senders on 3 endpoints: each gets its third, give or take what chance allows, and one that
/// fails leaves its senders to both others.
#[test]
fn senders_spread_and_so_do_those_of_one_that_fails() {
    let (mut at_first, mut afterwards) = (BTreeMap::new(), BTreeMap::new());
    let failed = &names(3)[0];
    for seed in 0..3000 {
        let mut endpoints = Endpoints::new(&names(3), seed);
        *at_first.entry(endpoints.in_use().to_owned()).or_insert(0) += 1;
        if endpoints.in_use() == failed {
            (0..3).for_each(|_| drop(send(&mut endpoints, false, 0)));
            *afterwards.entry(endpoints.in_use().to_owned()).or_insert(0) += 1;
        }
    }
    assert!(at_first.values().all(|n| (900..1100).contains(n)), "{at_first:?}");
    assert!(afterwards.values().all(|n| (400..600).contains(n)), "{afterwards:?}");
}

proptest! {
    /// Whatever the answers: a request always has somewhere to go, and where exactly one endpoint
    /// answers it is found within the failures that the others are allowed.
    #[test]
    fn the_one_that_answers_is_found(
        seed: u64, count in 1usize..6, well in 0usize..6, noise in prop::collection::vec(any::<(bool, u16)>(), 0..50),
    ) {
        let all = names(count);
        let well = &all[well % count];
        let mut endpoints = Endpoints::new(&all, seed);
        let mut now_ms = 0;
        for (is_well, wait) in noise {
            now_ms += u64::from(wait);
            prop_assert!(all.contains(&send(&mut endpoints, is_well, now_ms).0));
        }
        for _ in 0..4 * count {
            now_ms += 1;
            let name = endpoints.poll_endpoint(now_ms).to_owned();
            endpoints.handle_end(&name, name == *well, now_ms, now_ms, 0.5);
        }
        prop_assert_eq!(endpoints.in_use(), well);
    }
}
