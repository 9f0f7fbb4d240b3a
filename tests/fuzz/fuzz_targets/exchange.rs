//! What members tell each other of windows and groups, with damage in it: an error, or something that
//! can be merged, closed and written down.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::exchange;
use weir_aggregate::home::{Epochs, Home};
use weir_model::TenantId;

#[path = "../feed.rs"]
mod feed;

use feed::Gate;

const RULES: &str = r#"
- {match: '{__name__!="g"}', interval: 10s, without: [pod], outputs: [total, min, last, stddev, histogram_bucket, "quantiles(0.5)", unique_samples]}
- {match: g, interval: 10s, by: [zone], outputs: [sum_last, increase]}
"#;

struct Whole {
    config: Arc<Decisions>,
    /// Parts of groups that live elsewhere.
    parts: Vec<u8>,
    /// Groups that are given away.
    groups: Vec<u8>,
}

fn gate() -> Gate {
    feed::fed(RULES, |_, _| {})
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let mut gate = gate();
    gate.advance(1_011_000);
    let tenants = gate.tenants.clone();
    let names = move |id: TenantId| Arc::clone(&tenants[id.0 as usize]);
    gate.sweep(1_021_000);
    let groups = gate.home.give_away(&|_| true, "a", &names);
    let mut afar = self::gate();
    afar.home.set_lives_here(Arc::new(|_| false));
    afar.sweep(1_021_000);
    let export = afar.home.export(1_021_000);
    assert!(export.parts.len() >= 3);
    let parts = exchange::encode(&export, &gate.config, &names);
    Whole { config: Arc::clone(&gate.config), parts, groups }
});

fuzz_target!(|script: &[u8]| {
    let whole = &*WHOLE;
    let mut home = Home::new(Arc::clone(&whole.config));
    let names = |_: TenantId| Arc::from("t");
    let bytes = weir_disk_fuzz::changed(&whole.groups, script);
    let moved = Epochs::default();
    if home.take_over(&bytes, ("a", "b"), &moved, &mut |_| TenantId(0)).is_err() {
        assert!(home.groups().next().is_none(), "nothing changes on an error");
    }
    let origin = home.origins.meet("a");
    let bytes = weir_disk_fuzz::changed(&whole.parts, script);
    if let Ok(read) = exchange::decode(&bytes, &whole.config, &mut |_| TenantId(0)) {
        let again = exchange::encode(&read.export, &whole.config, &names);
        let count = exchange::decode(&again, &whole.config, &mut |_| TenantId(0));
        assert_eq!(count.expect("its own bytes").export.parts.len(), read.export.parts.len());
        home.import(Some(origin), read.export, |_| {});
    }
    let bytes = home.snapshot(&names);
    let mut again = Home::new(Arc::clone(&whole.config));
    again.restore_bytes(&bytes, &mut |_| TenantId(0)).expect("its own bytes");
    assert_eq!(again.snapshot(&names), bytes);
    home.close(0, 1_400_000);
});
