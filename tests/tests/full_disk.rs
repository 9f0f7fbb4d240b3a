//! A disk that is full costs nobody a sample: 503 until there is room, then everything arrives.
//!
//! The data folder is a tmpfs of 96 MiB that others fill up. Who may not mount one (no root) meets
//! the log's quota instead, which needs no file of others and ends with the second checkpoint.

#![allow(clippy::print_stdout, reason = "says what is not tested")]

use std::time::Duration;

use weir_tests::backend::Backend;
use weir_tests::disk::SmallDisk;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::oracle::{self, Expected, Outputs};
use weir_tests::samples::{History, Sample, labels};
use weir_tests::{http, sender, wait};

const SOON: Duration = Duration::from_secs(60);
const ACKNOWLEDGED: &str = "it was acknowledged";
const SMALL: &str = "http: {max_body_size: 1MiB}\n";

/// 400 series that no rule takes and that do not compress.
fn tick(number: usize) -> Vec<Sample> {
    let now = wait::now_ms();
    let sample = |n: usize| {
        let noise = |i| (number * 4000 + n * 8 + i + 1) as u64;
        let noise = |i| noise(i).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let noise: String = (0..8)
            .map(|i| format!("{:016x}", noise(i).wrapping_mul(0xbf58_476d_1ce4_e5b9)))
            .collect();
        let pairs = [("instance", "host:9100"), ("n", &n.to_string()), ("noise", &noise)];
        Sample::new(&labels("passed_on", &pairs), now, n as f64)
    };
    (0..400).map(sample).collect()
}

fn all_arrived(history: &History, received: &[Sample]) -> Result<oracle::Differences, String> {
    let mut expected = Outputs::new();
    for (labels, samples) in &history.0 {
        let values = samples.iter().map(|(&t, &v)| (t, Expected::Value(v)));
        expected.insert((**labels).clone(), values.collect());
    }
    oracle::compare(&expected, received, |_, _| true).into_result()
}

#[test]
fn a_full_disk_answers_503_drains_and_goes_on_when_there_is_room() {
    let backend = Backend::start();
    let config = |wal: &str| {
        let wal = format!("wal: {{segment_size: 2MiB, checkpoint_interval: 5s{wal}}}\n");
        format!("{wal}{SMALL}{}", sending_to(&backend.url(), "2s", ""))
    };
    let mut gateway = Gateway::prepare(&config(""), "");
    let disk = SmallDisk::mount(&gateway.data_dir(), 96);
    if !disk.is_mounted() {
        println!("no tmpfs can be mounted here: the quota is met instead");
        gateway.configure(&config(", max_size: 16MiB"), "");
    }
    gateway.launch();
    let mut history = History::default();
    let mut number = 0;
    let mut samples = tick(0);
    // As a sender does: what is not acknowledged is sent again.
    let mut send = |gateway: &Gateway| {
        let answer = sender::send_v1(gateway.address(), &samples).map_err(|e| e.to_string())?;
        if answer.status == 204 {
            history.add(&samples);
            number += 1;
            samples = tick(number);
            return Err(ACKNOWLEDGED.to_owned());
        }
        Ok(answer)
    };
    assert!(send(&gateway).is_err(), "an empty disk takes samples");
    disk.fill();
    let refusal = wait::until("the disk is full", SOON, || send(&gateway));
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    // The log's disk or the send queue's: it is the same one.
    assert!(refusal.text().contains("full"), "{}", refusal.text());
    if disk.is_mounted() {
        wait::until("the status page says so", SOON, || {
            let page = http::get(gateway.address(), "/").map_err(|e| e.to_string())?.text();
            page.contains("The disk under the log is full").then_some(()).ok_or(page)
        });
        // A full node starts again, and takes nothing still: it may have to wait for room in the
        // queue before it is done with its log.
        gateway.kill();
        gateway.spawn();
        let refusal = wait::until("it is full still", SOON, || send(&gateway));
        assert_eq!(refusal.status, 503, "{}", refusal.text());
    }
    disk.free();
    gateway.wait_ready();
    wait::until("it takes samples again", SOON, || match send(&gateway) {
        Err(said) if said == ACKNOWLEDGED => Ok(()),
        Err(said) => Err(said),
        Ok(answer) => Err(answer.text()),
    });
    wait::until("everything acknowledged arrives", SOON, || {
        all_arrived(&history, &backend.samples())
    });
    gateway.assert_audited();
}
