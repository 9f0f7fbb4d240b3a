//! The machine against a model of a receiver, without a network and without a clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use weir_model::Millis;

use super::*;
use crate::retry::Backoff;
use crate::unit::tests::{series, unit};
use crate::unit::{Cut, into_units};
use crate::verdict::{Reason, Written};

fn settings() -> Settings {
    Settings {
        name: "test".into(),
        kind: Kind::Auto,
        protocol: Version::V1,
        compression: Encoding::Snappy,
        queue: Queue {
            capacity: 100,
            max_shards: 4,
            max_samples_per_send: 20,
            batch_send_deadline: Duration::from_secs(5),
            backoff: Backoff { min: Duration::from_millis(30), max: Duration::from_secs(5) },
            retry_on_429: true,
            sample_age_limit: None,
            on_full: OnFull::Block,
            max_bytes: 100,
            max_age: None,
            backlog_speed_max: 0,
        },
    }
}

struct Bench {
    outbox: Outbox,
    metrics: Arc<Metrics>,
    status: Arc<StatusCell>,
    now: Now,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let (metrics, status) = (Arc::<Metrics>::default(), Arc::<StatusCell>::default());
        Self {
            outbox: Outbox::new(settings, 0, 7, metrics.clone(), status.clone()),
            metrics,
            status,
            now: Now { mono_ms: 0, wall_ms: 1_000_000 },
        }
    }

    /// A frame of these series at this position, 10 bytes long, written now.
    fn frame(&mut self, position: u64, names: &[(&str, &[i64])]) {
        self.take(unit(position, vec![]), names);
    }

    /// The same, of a frame that an earlier process may have sent.
    fn queued(&mut self, position: u64, names: &[(&str, &[i64])]) {
        self.take(Unit { recovered: true, maybe_stored: true, ..unit(position, vec![]) }, names);
    }

    fn take(&mut self, template: Unit, names: &[(&str, &[i64])]) {
        let position = template.position;
        let all = names.iter().map(|(name, times)| series(name, times));
        let how = Cut { lane: None, atomic: false, samples_max: 20 };
        let units = into_units(all.collect(), &template, how);
        let frame = OpenFrame {
            position,
            next: position + 1,
            bytes: 10,
            written_ms: self.now.wall_ms,
            parts: 0,
        };
        self.outbox.handle_frame(frame, units, self.now);
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
    }

    fn request(&mut self) -> Option<Request> {
        self.outbox.poll_request(self.now)
    }

    fn end(&mut self, request: &Request, outcome: Outcome) {
        let sent_as = SentAs { protocol: request.protocol, compression: request.compression };
        self.outbox.handle_outcome(request.id, sent_as, outcome, self.now);
    }

    /// Sends the next request after any wait and answers it.
    fn answer(&mut self, status: u16, text: &str) -> Request {
        self.wait(5000);
        let request = self.request().expect("a request is due");
        self.end(&request, answered(status, text));
        request
    }

    fn sent(&self) -> u64 {
        self.metrics.samples_sent.load(Ordering::Relaxed)
    }

    fn set_aside(&self, reason: Reason) -> u64 {
        self.metrics.set_aside[reason as usize].load(Ordering::Relaxed)
    }
}

fn answered(status: u16, text: &str) -> Outcome {
    Outcome::Answered { status, retry_after: None, written: Written::default(), text: text.into() }
}

/// (series, timestamp) of everything in a request, in its order.
fn content(request: &Request) -> Vec<(String, i64)> {
    let all = request.units.iter().flat_map(|u| &u.series);
    all.flat_map(|s| s.samples.iter().map(|x| (s.labels.to_string(), x.timestamp))).collect()
}

#[test]
fn a_failed_request_comes_back_after_its_backoff_and_says_so() {
    let mut bench = Bench::new(settings());
    bench.frame(0, &[("a", &[1, 2])]);
    let first = bench.answer(503, "away");
    assert_eq!(first.attempt, 0);
    assert_eq!(bench.status.snapshot().last_error.unwrap(), "503 away");
    assert!(bench.request().is_none());
    let wait = bench.outbox.next_deadline_ms().unwrap() - bench.now.mono_ms;
    assert!((15..=30).contains(&wait), "{wait}");
    bench.wait(wait);
    let again = bench.request().unwrap();
    assert_eq!((again.attempt, content(&again)), (1, content(&first)));
    bench.end(&again, answered(204, ""));
    assert_eq!((bench.outbox.position(), bench.sent()), (1, 2));
    assert_eq!(bench.metrics.samples_retried.load(Ordering::Relaxed), 2);
}

#[test]
fn a_compression_that_was_refused_is_tried_again_after_an_hour() {
    let mut bench = Bench::new(Settings { compression: Encoding::Zstd, ..settings() });
    let mut seen = Vec::new();
    for (position, (wait_ms, status)) in
        [(0, 400), (0, 204), (3_580_000, 204), (20_000, 415), (0, 204)].into_iter().enumerate()
    {
        bench.frame(position as u64, &[("a", &[position as i64])]);
        bench.wait(wait_ms);
        seen.push(bench.answer(status, "no such encoding").compression);
    }
    let (zstd, snappy) = (Encoding::Zstd, Encoding::Snappy);
    assert_eq!(seen, [zstd, snappy, snappy, zstd, snappy]);
}

#[test]
fn a_backend_that_refuses_us_is_asked_slowly_and_loses_nothing() {
    let mut bench = Bench::new(settings());
    bench.frame(0, &[("a", &[1])]);
    bench.answer(401, "no org id");
    let wait = bench.outbox.next_deadline_ms().unwrap() - bench.now.mono_ms;
    assert!((15_000..=30_000).contains(&wait), "{wait}");
    assert_eq!(bench.status.snapshot().state, crate::metrics::State::Blocked);
    bench.wait(30_000);
    bench.answer(200, "");
    assert_eq!(bench.sent(), 1);
}

#[test]
fn an_unknown_storage_policy_does_not_loop_for_ever() {
    let mut bench = Bench::new(settings());
    bench.frame(0, &[("a", &[1])]);
    for _ in 0..20 {
        bench.answer(503, "");
    }
    for _ in 0..11 {
        assert_eq!(bench.outbox.position(), 0);
        bench.answer(500, "no configured cluster namespace for: retention=1h, resolution=1m");
    }
    assert_eq!(bench.outbox.position(), 1);
    assert_eq!(bench.set_aside(Reason::UnknownStoragePolicy), 1);
}

#[test]
fn two_point_oh_falls_back_and_sends_the_same_again() {
    let mut settings = settings();
    settings.protocol = Version::V2;
    let mut bench = Bench::new(settings);
    bench.frame(0, &[("a", &[1])]);
    let first = bench.answer(204, "");
    assert_eq!(bench.outbox.position(), 0, "no Written header: not stored");
    let second = bench.answer(204, "");
    assert_eq!((first.protocol, second.protocol), (Version::V2, Version::V1));
    assert_eq!(content(&first), content(&second));
    assert_eq!((bench.outbox.position(), bench.sent()), (1, 1));
}

#[test]
fn out_of_order_counts_as_stored_only_after_an_earlier_send() {
    let mut bench = Bench::new(settings());
    bench.frame(0, &[("a", &[1])]);
    bench.answer(400, "out of order sample");
    assert_eq!(bench.set_aside(Reason::OutOfOrder), 1);
    bench.frame(1, &[("a", &[2])]);
    bench.answer(504, "");
    bench.answer(400, "out of order sample");
    assert_eq!(bench.metrics.samples_repeated.load(Ordering::Relaxed), 1);
    assert_eq!((bench.set_aside(Reason::OutOfOrder), bench.outbox.position()), (1, 2));
    let shown = bench.status.snapshot().set_aside;
    assert_eq!((shown.len(), shown[0].series.as_str()), (1, "a{}"));
}

#[test]
fn a_full_queue_gives_up_its_oldest_frames_and_counts_them() {
    let mut settings = settings();
    settings.queue.on_full = OnFull::DropOldest;
    let mut bench = Bench::new(settings);
    for position in 0..13 {
        let t = position as i64;
        bench.frame(position, &[("a", &[t]), ("b", &[t, t])]);
    }
    let backlog = |from: u64| (13 - from) * 10;
    bench.wait(5000);
    let request = bench.request().unwrap();
    bench.outbox.give_up(bench.now, &backlog);
    assert_eq!(bench.outbox.position(), 0, "what is on its way stays");
    bench.end(&request, answered(503, ""));
    bench.outbox.give_up(bench.now, &backlog);
    assert_eq!(bench.outbox.position(), 3);
    assert_eq!(bench.metrics.given_up(GivenUp::QueueFull), 9);
    for _ in 0..2 {
        bench.answer(200, "");
    }
    assert_eq!((bench.outbox.position(), bench.sent()), (13, 30));
}

#[test]
fn a_blocking_queue_gives_up_nothing() {
    let mut bench = Bench::new(settings());
    for position in 0..13 {
        bench.frame(position, &[("a", &[1])]);
    }
    bench.outbox.give_up(bench.now, &|from| (13 - from) * 10);
    assert_eq!(bench.outbox.position(), 0);
}

#[test]
fn old_frames_and_old_samples_are_given_up() {
    let mut settings = settings();
    settings.queue.max_age = Some(Millis(60_000));
    settings.queue.sample_age_limit = Some(Millis(10_000));
    let mut bench = Bench::new(settings);
    bench.frame(0, &[("a", &[1, 2])]);
    bench.wait(60_001);
    let fresh = bench.now.wall_ms;
    bench.frame(1, &[("a", &[fresh - 10_001, fresh]), ("b", &[3])]);
    bench.outbox.give_up(bench.now, &|_| 0);
    assert_eq!(bench.metrics.given_up(GivenUp::MaxAge), 2);
    bench.outbox.stop();
    let request = bench.request().unwrap();
    assert_eq!(content(&request), [("a{}".into(), fresh)]);
    bench.end(&request, answered(204, ""));
    assert_eq!(bench.metrics.given_up(GivenUp::SampleAge), 2);
    assert_eq!(bench.outbox.position(), 2);
}

#[test]
fn at_a_stop_what_is_held_goes_out_once_and_failures_stay() {
    let mut bench = Bench::new(settings());
    bench.frame(0, &[("a", &[1])]);
    assert!(bench.request().is_none(), "not due yet");
    bench.outbox.stop();
    assert!(!bench.outbox.has_room());
    let request = bench.request().unwrap();
    bench.end(&request, answered(503, ""));
    bench.wait(10_000);
    assert!(bench.request().is_none());
    assert_eq!((bench.outbox.position(), bench.outbox.next_deadline_ms()), (0, None));
}

#[test]
fn a_backend_that_refuses_everything_costs_a_bounded_number_of_requests() {
    let mut settings = settings();
    settings.queue.max_samples_per_send = 2000;
    settings.queue.capacity = 2000;
    let mut bench = Bench::new(settings);
    for position in 0..2000 {
        bench.frame(position, &[(&format!("m{position}"), &[1])]);
    }
    let mut requests = 0;
    while bench.outbox.position() < 2000 {
        bench.answer(400, "label name too bad");
        requests += 1;
    }
    assert!(requests <= 1 + 2 * crate::split::budget(2000), "{requests}");
    assert_eq!(bench.metrics.set_aside_total(), 2000);
    assert_eq!(bench.sent(), 0);
}

/// A kill while a backlog drained: Prometheus has the older half of what comes again, ten samples
/// of each series, and refuses a request for each of them but the newest. Up to 1,000 fresh samples
/// were set aside as `unsplit` when the search was bounded by their number.
#[test]
fn after_a_kill_nothing_is_set_aside_however_much_was_stored_before() {
    let mut settings = settings();
    settings.kind = Kind::Prometheus;
    settings.queue.max_samples_per_send = 2000;
    settings.queue.capacity = 2000;
    let mut bench = Bench::new(settings);
    let mut stored: BTreeMap<String, i64> = BTreeMap::new();
    for number in 0..100 {
        let name = format!("m{number}");
        let times: Vec<i64> = (1..=20).collect();
        stored.insert(format!("{name}{{}}"), if number < 50 { 10 } else { 0 });
        bench.queued(number, &[(&name, &times)]);
    }
    while bench.outbox.oldest().is_some() {
        bench.wait(5000);
        let request = bench.request().expect("a request is due");
        let all = content(&request);
        let outcome = if all.iter().any(|(name, t)| *t < stored[name]) {
            answered(400, "out of order sample")
        } else {
            stored.extend(all);
            answered(204, "")
        };
        bench.end(&request, outcome);
    }
    assert!(stored.values().all(|newest| *newest == 20), "{stored:?}");
    assert_eq!(bench.metrics.set_aside_total(), 0);
    // The newest that it had is taken as the same sample.
    let repeated = bench.metrics.samples_repeated.load(Ordering::Relaxed);
    assert_eq!((repeated, bench.sent()), (50 * 9, 2000 - 50 * 9));
}

#[test]
fn good_samples_among_many_bad_ones_arrive() {
    let mut settings = settings();
    settings.queue.max_samples_per_send = 2000;
    settings.queue.capacity = 2000;
    let mut bench = Bench::new(settings);
    for position in 0..2000 {
        bench.frame(position, &[(&format!("m{position}"), &[position as i64])]);
    }
    while bench.outbox.position() < 2000 {
        bench.wait(5000);
        let request = bench.request().expect("a request is due");
        let refused = content(&request).iter().any(|(_, t)| t % 10 == 3);
        bench.end(&request, if refused { answered(400, "label") } else { answered(204, "") });
    }
    assert_eq!((bench.sent(), bench.set_aside(Reason::Labels)), (1800, 200));
}

/// What a receiver does with the next request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Take,
    /// Stores it, but the answer is lost.
    TakeAndBreak,
    /// Refuses it whole, for now.
    Refuse,
}

/// A receiver that keeps series in order: like Prometheus it rolls a request back for one bad
/// sample, or like Cortex it stores the others.
struct Receiver {
    rolls_back: bool,
    poison: BTreeSet<(String, i64)>,
    stored: BTreeMap<String, Vec<i64>>,
    doubled: usize,
}

impl Receiver {
    fn take(&mut self, all: &[(String, i64)]) -> Outcome {
        let is_poisoned = all.iter().any(|s| self.poison.contains(s));
        if is_poisoned && self.rolls_back {
            return answered(400, "invalid label");
        }
        for sample in all.iter().filter(|s| !self.poison.contains(s)) {
            let series = self.stored.entry(sample.0.clone()).or_default();
            if series.contains(&sample.1) {
                self.doubled += 1;
            } else {
                series.push(sample.1);
            }
        }
        if is_poisoned { answered(400, "invalid label") } else { answered(204, "") }
    }
}

/// Runs frames through a receiver that follows a script, with requests ending in any order.
fn run(
    frames: &[Vec<(u8, u8)>],
    script: &[(Act, bool)],
    receiver: &mut Receiver,
) -> (Bench, usize) {
    let mut settings = settings();
    settings.kind = if receiver.rolls_back { Kind::Prometheus } else { Kind::Cortex };
    let mut bench = Bench::new(settings);
    let mut clock = 0;
    let mut pending: VecDeque<_> = frames.iter().enumerate().collect();
    let mut open: Vec<Request> = Vec::new();
    let mut script = script.iter().cycle();
    let mut ambiguous = 0;
    while !pending.is_empty() || bench.outbox.oldest().is_some() {
        while bench.outbox.has_room()
            && let Some((position, frame)) = pending.pop_front()
        {
            let times: Vec<(String, Vec<i64>)> = frame
                .iter()
                .map(|&(name, count)| {
                    clock += 100;
                    (format!("m{name}"), (0..i64::from(count)).map(|t| clock + t).collect())
                })
                .collect();
            let times: Vec<(&str, &[i64])> =
                times.iter().map(|(n, t)| (n.as_str(), t.as_slice())).collect();
            bench.frame(position as u64, &times);
        }
        while let Some(request) = bench.request() {
            open.push(request);
        }
        assert!(open.len() <= 4, "max_shards");
        if open.is_empty() {
            bench.wait(5000);
            continue;
        }
        let (act, from_the_end) = script.next().copied().unwrap_or((Act::Take, false));
        let request = open.remove(if from_the_end { open.len() - 1 } else { 0 });
        let outcome = match act {
            Act::Take => receiver.take(&content(&request)),
            Act::TakeAndBreak => {
                receiver.take(&content(&request));
                ambiguous += content(&request).len();
                Outcome::Failed { text: "connection broke".into(), maybe_sent: true }
            }
            Act::Refuse => answered(503, ""),
        };
        bench.end(&request, outcome);
        bench.wait(7);
    }
    (bench, ambiguous)
}

fn acts() -> impl Strategy<Value = Vec<(Act, bool)>> {
    let act = prop_oneof![
        4 => Just(Act::Take),
        1 => Just(Act::TakeAndBreak),
        2 => Just(Act::Refuse),
    ];
    prop::collection::vec((act, any::<bool>()), 1..40).prop_map(|mut acts| {
        acts.push((Act::Take, false));
        acts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_fails_each_series_arrives_whole_and_in_order(
        frames in prop::collection::vec(prop::collection::vec((0u8..12, 1u8..4), 0..10), 1..25),
        script in acts(), rolls_back in any::<bool>(), poisoned in prop::collection::btree_set((0u8..12, 0u64..100), 0..6),
    ) {
        // What must arrive, computed from the frames alone.
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let (mut clock, mut poison, mut index) = (0, BTreeSet::new(), 0);
        for &(name, count) in frames.iter().flatten() {
            clock += 100;
            for t in 0..i64::from(count) {
                let sample = (format!("m{name}{{}}"), clock + t);
                if poisoned.contains(&(name, index)) {
                    poison.insert(sample);
                } else {
                    expected.entry(sample.0).or_default().push(sample.1);
                }
            }
            index += 1;
        }
        let mut receiver = Receiver { rolls_back, poison: poison.clone(), stored: BTreeMap::new(), doubled: 0 };
        let (bench, ambiguous) = run(&frames, &script, &mut receiver);

        prop_assert_eq!(&receiver.stored, &expected);
        prop_assert_eq!(bench.metrics.set_aside_total(), poison.len() as u64);
        let total: usize = expected.values().map(Vec::len).sum();
        prop_assert_eq!(bench.sent(), total as u64);
        prop_assert_eq!(bench.outbox.position(), frames.len() as u64);
        prop_assert_eq!(bench.outbox.open_requests(), 0);
        if rolls_back {
            prop_assert!(receiver.doubled <= ambiguous);
        }
    }
}
