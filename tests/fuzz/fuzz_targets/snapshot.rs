//! Checkpointed state with damage in it: an error, or state that can be worked with.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::Home;
use weir_aggregate::shard::Shard;
use weir_model::{TenantId, VSHARDS, VShard};

#[path = "../feed.rs"]
mod feed;

const RULES: &str = r#"
- {match: '{__name__!="g"}', interval: 10s, without: [pod], max_groups: 2, outputs: [total, sum_samples_total, histogram_bucket, "quantiles(0.5)", unique_samples]}
- {match: g, interval: 10s, by: [zone], outputs: [sum_last, total_prometheus]}
"#;

struct Whole {
    config: Arc<Decisions>,
    vshard: VShard,
    shard: Vec<u8>,
    home: Vec<u8>,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let gate = feed::fed(RULES, |gate, t| gate.advance(t - 500));
    let vshard = (0..VSHARDS).map(VShard).find(|&v| gate.workers[0].labels(v, 0).next().is_some());
    let vshard = vshard.expect("a virtual shard with series");
    let tenants = gate.tenants.clone();
    Whole {
        config: Arc::clone(&gate.config),
        vshard,
        shard: gate.workers[0].snapshot(vshard).expect("its state"),
        home: gate.home.snapshot(&|id: TenantId| Arc::clone(&tenants[id.0 as usize])),
    }
});

fuzz_target!(|script: &[u8]| {
    let whole = &*WHOLE;
    let mut worker = Shard::new(Arc::clone(&whole.config), 1);
    let bytes = weir_disk_fuzz::changed(&whole.shard, script);
    if worker.restore(whole.vshard, &bytes, &mut |_| TenantId(0)).is_ok() {
        worker.handle_frontier(std::iter::once(whole.vshard), 1_400_000);
        worker.handle_frontier(std::iter::once(whole.vshard), 9_000_000);
    }
    let mut home = Home::new(Arc::clone(&whole.config));
    let bytes = weir_disk_fuzz::changed(&whole.home, script);
    let is_whole = home.restore_bytes(&bytes, &mut |_| TenantId(0)).is_ok();
    assert!(is_whole || home.groups().next().is_none(), "nothing changes on an error");
});
