//! The audit notices each sample that gets lost inside: in the decoder, in a shard, in replay.
//!
//! A build with debug assertions loses one on demand (`WEIR_LOSE_AT`, `gateway/src/crash.rs`); what
//! then stands in the metrics and on the status page is looked at, by tenant. With another build the
//! tests fail, for nothing is lost.

use std::time::Duration;

use prost::Message;
use weir_tests::gateway::Gateway;
use weir_tests::samples::{Sample, labels};
use weir_tests::{http, sender, wait};

const SOON: Duration = Duration::from_secs(30);
/// Everything is read back after a restart.
const CONFIG: &str = "wal: {checkpoint_interval: 1h}\nwindows: {grace: 60s}\n";
const RULES: &str =
    "- {match: folded, interval: 10s, without: [n], outputs: [sum_samples, count_samples]}\n";
/// One request each, of one sample each, so that a request is one shard's.
const SENDERS: [&str; 3] = ["team-a", "team-b", "team-a"];

/// Sends what each of [`SENDERS`] has to say.
fn send(gateway: &Gateway) {
    for (n, tenant) in SENDERS.iter().enumerate() {
        let labels = labels("folded", &[("instance", "host:9100"), ("n", &n.to_string())]);
        let sample = Sample::new(&labels, wait::now_ms(), 1.0);
        let body = sender::snappy(&sender::message_v1(&[sample]).encode_to_vec());
        let headers = [
            ("Content-Type", sender::TYPE_V1),
            ("Content-Encoding", "snappy"),
            ("X-Scope-OrgID", tenant),
        ];
        let answer = http::post(gateway.address(), "/api/v1/write", &headers, &body);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

/// Waits until this stands in the metrics, and checks that the status page agrees.
fn assert_audit(gateway: &Gateway, team_a: f64, team_b: f64, positions: f64) {
    let page = gateway.wait_metrics("the audit", SOON, |page| {
        page.get("weir_audit_unbalanced_positions_total", &[]) == Some(positions)
    });
    let imbalance = |tenant| page.count("weir_audit_imbalance_samples", &[("tenant", tenant)]);
    assert_eq!((imbalance("team-a"), imbalance("team-b")), (team_a, team_b));
    let shown = http::get(gateway.address(), "/").expect("the status page").text();
    assert_eq!(shown.contains("The audit does not balance"), positions > 0.0, "{shown}");
}

#[test]
fn what_the_decoder_or_a_shard_drops_is_missed_from_its_tenant() {
    for point in ["decoder", "shard"] {
        let mut gateway = Gateway::start(CONFIG, RULES);
        gateway.kill();
        gateway.spawn_losing(point, 2);
        send(&gateway);
        assert_audit(&gateway, 0.0, 1.0, 1.0);
        let whole = format!("{point}: the left side does not depend on the right one");
        gateway.wait_metrics(&whole, SOON, |page| {
            page.get("weir_received_samples_total", &[]) == Some(3.0)
        });
        // The body is in the log as it came: a sound decoder finds in it what was lost.
        gateway.crash_and_restart();
        assert_audit(&gateway, 0.0, 0.0, 0.0);
        gateway.wait_metrics("all are replayed", SOON, |page| {
            page.get("weir_replay_samples_total", &[]) == Some(3.0)
        });
    }
}

#[test]
fn what_replay_drops_is_missed_too_be_it_a_sample_or_a_record() {
    let mut gateway = Gateway::start(CONFIG, RULES);
    send(&gateway);
    assert_audit(&gateway, 0.0, 0.0, 0.0);
    for (point, team_b) in [("replay", 1.0), ("record", 0.0)] {
        gateway.kill();
        gateway.spawn_losing(point, 2);
        // How many samples a record had that never came is not known; its position is.
        assert_audit(&gateway, 0.0, team_b, 1.0);
    }
    gateway.crash_and_restart();
    assert_audit(&gateway, 0.0, 0.0, 0.0);
}
