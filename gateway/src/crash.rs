//! Places where a test may end the process, as `kill -9` would, or make it lose a sample.
//!
//! `WEIR_CRASH_AT=emit:7` ends it at the seventh pass through the point `emit`.
//! `WEIR_LOSE_AT=shard:3` loses a sample inside at the third pass through `shard`, so that a test
//! sees whether the audit does; only builds with debug assertions know it. Nothing is armed without
//! the variables, and no point is in a sample's path: they are passed once a batch or less.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The points at which it may end, in the order in which a batch passes them.
pub const POINTS: [&str; 14] = [
    "append",
    "fsync",
    "frontier",
    "emit",
    "send",
    "checkpoint",
    "reload",
    "replay",
    "partials",
    // Parts of a frontier are told, and that they are all is not.
    "told",
    // A move: the giver's record, the taker's, its answer is here, the table says so, all is settled.
    "release",
    "adopt",
    "handed",
    "assigned",
];

/// Where a sample may get lost: between walker and columns, before a shard has judged it, between
/// replay and the workers; and a whole record in replay.
pub const LOSSES: [&str; 4] = ["decoder", "shard", "replay", "record"];

struct Armed {
    point: String,
    passes_left: AtomicU64,
}

/// A batch, frontier, frame, request, checkpoint part, reload or replayed slice passes here.
pub fn point(name: &str) {
    point_after(name, || {});
}

/// As [`point`]; where it is to end, this comes first.
pub fn point_after(name: &str, first: impl FnOnce()) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| Armed::from_environment("WEIR_CRASH_AT", &POINTS));
    if armed.as_ref().is_some_and(|armed| armed.is_now(name)) {
        first();
        let this = rustix::process::getpid();
        if rustix::process::kill_process(this, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}

/// Whether the batch that passes here shall lose a sample. `false` at compile time in a release.
#[inline]
pub fn loses(name: &str) -> bool {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    cfg!(debug_assertions)
        && ARMED
            .get_or_init(|| Armed::from_environment("WEIR_LOSE_AT", &LOSSES))
            .as_ref()
            .is_some_and(|armed| armed.is_now(name))
}

/// Makes the mistake that `WEIR_MUTATION` names, so that a test sees whether anybody notices.
/// An error is a name that this build does not know.
pub fn mutate() -> Result<(), String> {
    match std::env::var("WEIR_MUTATION") {
        Ok(name) if weir_model::mutation::arm(&name) => {
            tracing::warn!(name, "this process makes a mistake on purpose");
            Ok(())
        }
        Ok(name) => Err(format!("WEIR_MUTATION: {name:?} is no mistake that this build can make")),
        Err(_) => Ok(()),
    }
}

impl Armed {
    fn from_environment(variable: &str, points: &[&str]) -> Option<Self> {
        std::env::var(variable).ok().and_then(|text| Self::read(&text, points))
    }

    fn read(text: &str, points: &[&str]) -> Option<Self> {
        let (point, passes) = text.split_once(':')?;
        let passes: u64 = passes.parse().ok().filter(|&passes| passes > 0)?;
        let known = points.contains(&point);
        known.then(|| Self { point: point.to_owned(), passes_left: AtomicU64::new(passes) })
    }

    fn is_now(&self, name: &str) -> bool {
        self.point == name && self.passes_left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_points_can_be_armed() {
        let read = |text| Armed::read(text, &POINTS);
        assert_eq!(read("emit:7").map(|a| a.point).as_deref(), Some("emit"));
        assert!(read("emit:0").is_none());
        assert!(read("nowhere:1").is_none());
        assert!(read("emit").is_none());
        assert!(Armed::read("shard:1", &LOSSES).is_some());
    }

    #[test]
    fn an_armed_point_acts_once() {
        let armed = Armed::read("shard:2", &LOSSES).unwrap();
        let passes = ["decoder", "shard", "shard", "shard"].map(|name| armed.is_now(name));
        assert_eq!(passes, [false, false, true, false]);
    }
}
