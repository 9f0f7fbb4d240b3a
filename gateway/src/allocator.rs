//! jemalloc as the gateway wants it, and what it holds.
//!
//! Bodies, windows and checkpoints come in bursts, and jemalloc keeps what a burst has left for ten
//! seconds: a third of the resident memory of a gateway with a million series. Here it is given back
//! within half a second, by a thread of jemalloc's own. The binary alone chooses the allocator; the
//! library runs with any.

use tikv_jemalloc_ctl::{Access, AsName, background_thread, epoch, stats};
use weir_telemetry::Scrape;

/// Sets it up; to be called before there are threads. Where something cannot be set the gateway runs
/// as well, with more memory.
pub fn set_up() -> Result<(), tikv_jemalloc_ctl::Error> {
    // The first arena is there already, the others take over what is set for all.
    let all = "arenas.dirty_decay_ms\0".name().write(DIRTY_DECAY_MS);
    let first = "arena.0.dirty_decay_ms\0".name().write(DIRTY_DECAY_MS);
    // Otherwise it is given back only where somebody goes on allocating.
    background_thread::write(true).and(all).and(first)
}

/// Its gauges.
pub(crate) fn metrics(scrape: &mut Scrape) {
    if epoch::advance().is_err() {
        return;
    }
    let parts = [("allocated", stats::allocated::read()), ("resident", stats::resident::read())];
    for (state, bytes) in parts {
        let help = "Memory of the allocator, by state.";
        let bytes = bytes.unwrap_or(0) as f64;
        scrape.gauge("weir_allocator_bytes", help, &[("state", state)], bytes);
    }
}

const DIRTY_DECAY_MS: isize = 500;
