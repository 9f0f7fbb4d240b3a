//! A series that is forgotten, another one in its place, and the first one again.

use std::time::Duration;

use weir_model::mutation::Mutation;
use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::oracle::{Arrival, Differences, Oracle};
use weir_tests::samples::{Sample, labels};
use weir_tests::{sender, wait};

use super::scenario::SMALL;

const SOON: Duration = Duration::from_secs(120);
const MINUTE_MS: i64 = 60_000;

/// Series are forgotten when the frontier passes a minute after `counter_memory`. The frontier is
/// made to do so in a few seconds.
pub(crate) fn run(mistake: Option<Mutation>) -> Differences {
    let backend = Backend::start();
    let grace = (wait::now_ms() + 15_000) % MINUTE_MS;
    let windows = format!("{grace}ms, counter_memory: 1m");
    let config =
        format!("{SMALL}wal: {{segment_size: 2MiB}}\n{}", sending_to(&backend.url(), &windows, ""));
    let mut gateway = Gateway::prepare(&config, "");
    gateway.mutate(mistake.map(Mutation::name));
    gateway.launch();
    let mut arrivals = Vec::new();
    let mut send = |name: &str, at: i64, value: f64| {
        let labels = labels(name, &[("instance", "host:1"), ("job", "load")]);
        let sample = Sample::new(&labels, at, value);
        sender::send_v2_until_acknowledged(gateway.address(), std::slice::from_ref(&sample), SOON);
        arrivals.push(Arrival::in_time(&sample));
    };
    send("forgotten", wait::now_ms() - grace - 2 * MINUTE_MS, 1.0);
    send("stays", wait::now_ms(), 2.0);
    // The next one, however long the start has taken.
    let minute = (wait::now_ms() - grace) / MINUTE_MS * MINUTE_MS + MINUTE_MS;
    gateway.wait_frontier(minute, SOON);
    send("in_its_place", wait::now_ms(), 3.0);
    send("forgotten", wait::now_ms(), 4.0);
    let oracle = Oracle::read("").expect("no rules");
    // Without a mistake it only is late.
    let deadline = wait::now_ms() + if mistake.is_none() { 60_000 } else { 5_000 };
    loop {
        let found = oracle.judge(&arrivals, &backend.samples(), i64::MAX);
        if found.is_empty() || wait::now_ms() > deadline {
            return found;
        }
        wait::for_clock(wait::now_ms() + 200);
    }
}
