//! A gateway that is away for longer than windows wait: they go out without its part and say so, and
//! what they lacked of a counter joins a later one, so that the running total is right again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_tests::backend::Backend;
use weir_tests::gateway::sending_to;
use weir_tests::oracle::{Expected, Oracle};
use weir_tests::samples::{History, Labels, Sample, labels, name};
use weir_tests::sender::Places;
use weir_tests::tier::Tier;
use weir_tests::wait;

use super::{GATEWAYS, MISSING, SOON, say};

const RULES: &str = "- {match: requests_total, interval: 2s, by: [group], outputs: [total]}\n";
const TICK_MS: i64 = 500;
const TARGETS: i64 = 18;
/// Windows wait a minute for a member.
const AWAY_MS: i64 = 72_000;
const ABSENT: usize = GATEWAYS - 1;

/// A target's counter at each tick, sent in order until acknowledged; what could not be sent waits.
fn send(to: &[SocketAddr], target: i64, begin: i64, stopping: &AtomicBool) -> Vec<Sample> {
    let (instance, group) = (format!("host-{target}:9100"), format!("g{}", target % 6));
    let pairs = [("group", group.as_str()), ("instance", &instance), ("job", "absent")];
    let series = labels("requests_total", &pairs);
    let mut places = Places::new(to, target as u64);
    let mut sent = Vec::new();
    for tick in 0.. {
        let at = begin + tick * TICK_MS;
        wait::for_clock(at);
        let sample = Sample::new(&series, at, (tick * (1 + target)) as f64);
        places.send_until_acknowledged(std::slice::from_ref(&sample), Duration::from_secs(150));
        sent.push(sample);
        // All end at the same tick, however far behind they are.
        if stopping.load(Ordering::SeqCst) && at + 2 * TICK_MS > wait::now_ms() {
            break;
        }
    }
    sent
}

#[test]
fn windows_do_not_wait_for_ever_and_totals_are_right_in_the_end() {
    let backend = Backend::start();
    let mut tier = Tier::start(GATEWAYS, &sending_to(&backend.url(), "4s", ""), RULES);
    let live = tier.addresses()[..ABSENT].to_vec();
    let (begin, stopping) = (wait::now_ms(), AtomicBool::new(false));
    let mut history = History::default();
    std::thread::scope(|scope| {
        let sender = |target| {
            let (live, stopping) = (&live, &stopping);
            scope.spawn(move || send(live, target, begin, stopping))
        };
        let senders: Vec<_> = (0..TARGETS).map(sender).collect();
        wait::for_clock(begin + 6_000);
        tier.kill(ABSENT);
        let gone_at = wait::now_ms();
        wait::for_clock(gone_at + AWAY_MS);
        let newest = newest(&backend);
        assert!(newest > gone_at, "nothing was said past {gone_at}, {newest} is the newest");
        tier.restart(ABSENT);
        wait::for_clock(wait::now_ms() + 6_000);
        stopping.store(true, Ordering::SeqCst);
        senders.into_iter().for_each(|s| history.add(&s.join().expect("a sender ends well")));
    });
    let through = wait::now_ms() / 2_000 * 2_000;
    // What it was away for rests for a minute.
    tier.wait_frontier(through, 3 * SOON);
    let expected = Oracle::read(RULES).expect("rules").expected(&history.in_time(), through);
    let verdict = wait::until("totals are right in the end", MISSING, || {
        let said = said(&backend)?;
        let wrong = expected.iter().filter_map(|(labels, samples)| {
            let (at, wanted) = samples.range(..=through).next_back()?;
            let got = said.get(labels).and_then(|values| values.get(at)).copied();
            let right = matches!(wanted, Expected::Value(wanted) if got == Some(*wanted));
            (!right).then(|| format!("{labels:?} at {at}: {wanted:?}, got {got:?}"))
        });
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() { Ok(expected.len()) } else { Err(wrong.join("\n")) }
    });
    let pages = &tier.metrics()[..ABSENT];
    let incomplete = pages.iter().map(|p| p.count("weir_windows_incomplete_total", &[]));
    let incomplete: Vec<f64> = incomplete.collect();
    assert!(incomplete.iter().all(|&windows| windows > 0.0), "{incomplete:?}");
    say(&format!("{verdict} totals are right after {incomplete:?} windows without a part\n"));
}

fn newest(backend: &Backend) -> i64 {
    backend.samples().iter().map(|s| s.timestamp).max().unwrap_or_default()
}

/// Values by series and time; an error where a running total falls, or says two things at once.
fn said(backend: &Backend) -> Result<BTreeMap<Labels, BTreeMap<i64, f64>>, String> {
    let mut said: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
    for sample in backend.samples().iter().filter(|s| name(&s.labels).contains(':')) {
        let series = said.entry((*sample.labels).clone()).or_default();
        let before = series.insert(sample.timestamp, sample.value);
        if before.is_some_and(|before| before.to_bits() != sample.value.to_bits()) {
            return Err(format!("{sample:?}, and {before:?} before"));
        }
    }
    for (labels, values) in &said {
        let falls = values.values().zip(values.values().skip(1)).any(|(a, b)| b < a);
        if falls {
            return Err(format!("{labels:?} falls: {values:?}"));
        }
    }
    Ok(said)
}
