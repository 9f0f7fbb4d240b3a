//! An example for those who show reports.

use super::*;
use crate::report::bounds::Bounds;

/// A ramp that ends in overload.
pub(crate) fn example() -> Report {
    let moment = |second: u32| {
        let at = f64::from(second);
        let over = (at - 40.0).max(0.0);
        let p50 = 0.002 + over * over * 0.004;
        let times = Times { p50, p90: p50 * 1.5, p99: p50 * 3.0, p999: p50 * 4.0, max: p50 * 5.0 };
        Moment {
            at,
            asked: at * 20_000.0,
            acknowledged: (at * 20_000.0).min(850_000.0),
            failed: if over > 5.0 { 3.0 } else { 0.0 },
            latency: Some(times),
            lag: over * 0.4,
            cores: Some((at / 30.0).min(1.9)),
            resident: Some(2e8 + at * 4e6),
            queue_lag: Some(1.0 + over),
            reduction: (second > 12).then_some(28.0 - at * 0.1),
        }
    };
    let timeline: Vec<Moment> = (1..=60).map(moment).collect();
    let mut report = Report {
        version: "0.1.0".to_owned(),
        command: "weir-loadgen run --ramp 0:60s:1.2M <a&b>".to_owned(),
        started_ms: 1_764_000_000_000,
        seconds: 60.0,
        machine: Machine {
            processor: "Processor \"X\"".into(),
            cores: 2,
            memory: 1 << 34,
            kernel: "6.1".into(),
        },
        load: Load {
            url: "http://127.0.0.1:9201/api/v1/push".to_owned(),
            preset: "kubernetes".to_owned(),
            seed: 1,
            series: 1_000_000,
            targets: 1000,
            protocol: "1.0".to_owned(),
            compression: "snappy".to_owned(),
            samples_per_request: 2000,
            connections: 8,
            body_bytes: 40_000_000,
        },
        rate: 500_000.0,
        rate_asked: 600_000.0,
        latency: Times { p50: 0.002, p90: 0.004, p99: 0.04, p999: 0.4, max: 1.3 },
        service: Times { p50: 0.002, p90: 0.003, p99: 0.02, p999: 0.1, max: 0.2 },
        own_cpu: Some(4.0),
        target: Target {
            cpu: Some(50.0),
            samples_per_cpu_second: Some(600_000.0),
            resident: Some(4.4e8),
            queue_lag: Some(21.0),
            reduction: Some(25.0),
            active_series: Some(1e6),
        },
        timeline,
        ..Report::default()
    };
    report.totals.acknowledged = 30_000_000;
    report.totals.unsent = 6_000_000;
    report.totals.attempts = 303;
    report.totals.failed_attempts = 3;
    report.totals.bytes = 780_000_000;
    report.totals.plain_bytes = 9_000_000_000;
    report.totals.answers = [(204, 300), (503, 2)].into();
    report.totals.add_error("Connection refused (os error 111)", 1);
    report.totals.said = Some("503: queue full".to_owned());
    let bounds = Bounds { p99: Some(0.05), error_ratio: Some(0.0), rate: None };
    report.bounds = bounds.judge(&report);
    report
}
