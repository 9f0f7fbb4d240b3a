//! Shared inputs for the benches: the load, the way of a sample through one worker, and clocks.
//!
//! The load is the one that the targets in `docs/PERFORMANCE.md` are stated for: requests of 2,000
//! samples, eleven labels and about 300 bytes a sample, one rule `total without (pod, instance,
//! shard)`, windows of 10 s. Times are CPU time of one thread, so that a busy machine distorts
//! them less. [`targets`] alone has sockets: it is for benches of whole programs. Deliberately not
//! here: the gateway's wiring.

pub mod clock;
pub mod load;
pub mod path;
pub mod targets;

pub use clock::{allocated_bytes, thread_time};
pub use load::{INTERVAL_MS, Load, REQUEST_SAMPLES, START_MS, TARGET_SERIES};
pub use path::{Decoded, Decoder, Spent, Worker, restamp};

/// The gateway's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Whether a bench shall measure. Else (`cargo test`, `cargo bench -- --test`) it runs once, small.
pub fn measuring() -> bool {
    let given = |flag: &str| std::env::args().any(|arg| arg == flag);
    given("--bench") && !given("--test")
}

/// Active series of a full-size bench: `WEIR_BENCH_SERIES`, else a million; 10,000 where nothing
/// is measured.
pub fn bench_series() -> usize {
    if !measuring() {
        return 10_000;
    }
    let told = std::env::var("WEIR_BENCH_SERIES").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}
