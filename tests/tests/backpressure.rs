//! A backend that is away costs its senders nothing until the queue is full; then they are told
//! to come back, and nothing is lost.

use std::time::Duration;

use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::oracle::Differences;
use weir_tests::samples::{History, Sample, labels};
use weir_tests::{oracle, sender, wait};

const SOON: Duration = Duration::from_secs(60);
const SMALL_QUEUE: &str = "    on_full: block\n    max_bytes: 8MiB\n";

/// 500 series that no rule takes, so long that a small queue is full soon.
fn tick(number: usize) -> Vec<Sample> {
    let now = wait::now_ms();
    let sample = |n: usize| {
        // Digests do not compress: what is sent is about as large as what is stored.
        let noise: String =
            (0..8).map(|i| format!("{:016x}", scramble(number * 4000 + n * 8 + i))).collect();
        let pairs = [("instance", "host:9100"), ("n", &n.to_string()), ("noise", &noise)];
        Sample::new(&labels("passed_on", &pairs), now, n as f64)
    };
    (0..500).map(sample).collect()
}

fn scramble(n: usize) -> u64 {
    (n as u64 + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn all_arrived(history: &History, received: &[Sample]) -> Differences {
    let mut expected = oracle::Outputs::new();
    for (labels, samples) in &history.0 {
        let values = samples.iter().map(|(&t, &v)| (t, oracle::Expected::Value(v)));
        expected.insert((**labels).clone(), values.collect());
    }
    oracle::compare(&expected, received, |_, _| true)
}

#[test]
fn a_full_blocking_queue_answers_503_and_drains_when_the_backend_is_back() {
    let backend = Backend::start();
    backend.answer_all(503);
    let mut gateway = Gateway::start(&sending_to(&backend.url(), "2s", SMALL_QUEUE), "");
    let mut history = History::default();
    let mut number = 0;
    let refusal = wait::until("the queue is full", SOON, || {
        let samples = tick(number);
        number += 1;
        let answer = sender::send_v1(gateway.address(), &samples).map_err(|e| e.to_string())?;
        match answer.status {
            204 => {
                history.add(&samples);
                Err(format!("{number} requests were acknowledged"))
            }
            _ => Ok(answer),
        }
    });
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    let retry_after = refusal.header("retry-after").and_then(|s| s.parse::<u64>().ok());
    assert!(retry_after.is_some_and(|s| (1..=60).contains(&s)), "{refusal:?}");
    assert!(refusal.text().contains("queue"), "{}", refusal.text());
    assert!(number > 3, "something fits into 8 MiB");
    // A full node still starts again and still knows what it owes.
    gateway.crash_and_restart();
    backend.accept_all();
    wait::until("everything acknowledged arrives", SOON, || {
        all_arrived(&history, &backend.samples()).into_result()
    });
    let more = tick(number);
    sender::send_until_acknowledged(gateway.address(), &more, SOON);
    history.add(&more);
    wait::until("and what comes then", SOON, || {
        all_arrived(&history, &backend.samples()).into_result()
    });
    gateway.assert_audited();
}

#[test]
fn one_dead_destination_of_two_stops_nobody() {
    let (alive, dead) = (Backend::start(), Backend::start());
    dead.answer_all(503);
    let config = format!(
        "windows: {{grace: 2s}}\nremote_write:\n  - {{url: {:?}, name: alive}}\n  \
         - {{url: {:?}, name: dead, max_bytes: 4MiB, on_full: drop_oldest}}\n",
        alive.url(),
        dead.url()
    );
    let gateway = Gateway::start(&config, "");
    let mut history = History::default();
    for number in 0..120 {
        let samples = tick(number);
        let answer = sender::send_v1(gateway.address(), &samples).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text());
        history.add(&samples);
    }
    wait::until("the living one has everything", SOON, || {
        all_arrived(&history, &alive.samples()).into_result()
    });
    assert!(dead.samples().is_empty());
    gateway.assert_audited();
}

#[test]
fn a_poisoned_sample_is_set_aside_and_the_rest_arrives() {
    let backend = Backend::start();
    backend.script(|request| {
        let poisoned = request.samples.iter().any(|s| s.labels.contains_key("poison"));
        match poisoned {
            true => weir_tests::backend::Reply::Status(400, Vec::new(), "bad sample".into()),
            false => weir_tests::backend::Reply::Accept,
        }
    });
    let gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let now = wait::now_ms();
    let sample = |n: usize| {
        let n = n.to_string();
        let poison = if n == "7" { "poison" } else { "instance" };
        Sample::new(&labels("passed_on", &[(poison, "x:1"), ("n", &n)]), now, 1.0)
    };
    let samples: Vec<Sample> = (0..40).map(sample).collect();
    sender::send_until_acknowledged(gateway.address(), &samples, SOON);
    let mut history = History::default();
    history.add(&samples[..7]);
    history.add(&samples[8..]);
    wait::until("all but the poisoned one arrive", SOON, || {
        all_arrived(&history, &backend.samples()).into_result()
    });
    gateway.assert_audited();
}
