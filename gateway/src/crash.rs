//! Places where a test may end the process, as `kill -9` would.
//!
//! `WEIR_CRASH_AT=emit:7` ends it at the seventh pass through the point `emit`. Nothing is armed
//! without the variable, and no point is in a sample's path: they are passed once a batch or less.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The points, in the order in which a batch passes them.
pub const POINTS: [&str; 8] =
    ["append", "fsync", "frontier", "emit", "send", "checkpoint", "reload", "replay"];

struct Armed {
    point: String,
    passes_left: AtomicU64,
}

/// A batch, frontier, frame, request, checkpoint part, reload or replayed slice passes here.
pub fn point(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| std::env::var("WEIR_CRASH_AT").ok().as_deref().and_then(read));
    if let Some(armed) = armed
        && armed.point == name
        && armed.passes_left.fetch_sub(1, Ordering::AcqRel) == 1
    {
        let this = rustix::process::getpid();
        if rustix::process::kill_process(this, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}

fn read(text: &str) -> Option<Armed> {
    let (point, passes) = text.split_once(':')?;
    let passes: u64 = passes.parse().ok().filter(|&passes| passes > 0)?;
    let known = POINTS.contains(&point);
    known.then(|| Armed { point: point.to_owned(), passes_left: AtomicU64::new(passes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_points_can_be_armed() {
        assert_eq!(read("emit:7").map(|a| a.point).as_deref(), Some("emit"));
        assert!(read("emit:0").is_none());
        assert!(read("nowhere:1").is_none());
        assert!(read("emit").is_none());
    }
}
