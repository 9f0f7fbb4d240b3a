//! When a target is scraped: at a stable place within its interval.
//!
//! Invariant: the scrapes of a target lie on one grid of the wall clock, a multiple of the interval
//! plus an offset, which only the target and the host decide. So a restart moves no scrape, the
//! targets of an agent spread over the interval, and two agents that scrape the same target do so
//! at different times. A tick that has passed is not made up for. Pure: time is an argument.

use weir_model::{Label, Millis, Timestamp};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The grid of one target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

/// The scrape after another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// When it is due.
    pub due: Timestamp,
    /// Ticks between the two that have passed without a scrape.
    pub missed: u64,
}

/// What makes the offsets of this host differ from another's: Prometheus's offset seed.
pub fn host_seed<'a>(host: &str, external: impl IntoIterator<Item = Label<'a>>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(host.as_bytes());
    for label in external {
        // A byte that no UTF-8 has keeps name and value apart.
        for part in [label.name, label.value] {
            hash.update(&[0xff]);
            hash.update(part.as_bytes());
        }
    }
    hash.digest()
}

impl Schedule {
    /// The grid of the target with this identity on the host with this seed. An interval below one
    /// millisecond counts as one.
    pub fn new(interval: Millis, target: u64, host_seed: u64) -> Self {
        let interval_ms = interval.0.max(1);
        // Mixed once more, for identity and seed may be related.
        let place = xxh3_64(&(target ^ host_seed).to_le_bytes()) % interval_ms.unsigned_abs();
        Self { interval_ms, offset_ms: i64::try_from(place).unwrap_or_default() }
    }

    /// Where within the interval the scrapes lie.
    pub fn offset(&self) -> Millis {
        Millis(self.offset_ms)
    }

    /// The first scrape at `now` or later.
    pub fn first(&self, now: Timestamp) -> Timestamp {
        let past = (now - self.offset_ms).rem_euclid(self.interval_ms);
        if past == 0 { now } else { now - past + self.interval_ms }
    }

    /// The scrape after the one that was due at `due` and is over by `now`.
    pub fn next(&self, due: Timestamp, now: Timestamp) -> Tick {
        // A clock that was set back by more than the wait for one tick begins anew.
        if now < due - self.interval_ms {
            return Tick { due: self.first(now), missed: 0 };
        }
        let next = self.first(now.max(due) + 1);
        let ticks = (next - due) / self.interval_ms;
        Tick { due: next, missed: u64::try_from(ticks - 1).unwrap_or_default() }
    }

    /// The timestamp of the samples of a scrape that was due at `due` and began at `now`: the tick
    /// itself if it was met within 2 ms, and within a hundredth of the interval. Equal distances
    /// compress to next to nothing in a backend.
    pub fn stamp(&self, due: Timestamp, now: Timestamp) -> Timestamp {
        let tolerance_ms = TOLERANCE_MS.min(self.interval_ms / 100);
        if (0..=tolerance_ms).contains(&(now - due)) { due } else { now }
    }
}

/// Prometheus's `--scrape.timestamp-tolerance`.
const TOLERANCE_MS: i64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Millis = Millis::from_secs(15);

    #[test]
    fn scrapes_lie_on_a_grid_that_a_restart_does_not_move() {
        let schedule = Schedule::new(INTERVAL, 7, 9);
        let offset = schedule.offset().0;
        for now in [1_700_000_000_000, 1_700_000_007_123, 1_700_000_014_999] {
            let due = schedule.first(now);
            assert!((now..now + INTERVAL.0).contains(&due));
            assert_eq!(due.rem_euclid(INTERVAL.0), offset);
        }
        assert_eq!(schedule, Schedule::new(INTERVAL, 7, 9));
        assert_eq!(schedule.first(schedule.first(0)), schedule.first(0), "a tick is its own first");
    }

    #[test]
    fn targets_spread_over_the_interval_and_hosts_differ() {
        let seeds = [host_seed("a", []), host_seed("b", [])];
        let mut tenths = [[0u32; 10]; 2];
        let mut same = 0;
        for target in 0..10_000 {
            let offsets = seeds.map(|seed| Schedule::new(INTERVAL, target, seed).offset().0);
            same += u32::from(offsets[0] == offsets[1]);
            for (counts, offset) in tenths.iter_mut().zip(offsets) {
                counts[usize::try_from(offset / 1500).unwrap()] += 1;
            }
        }
        // Even shares are 1,000 ± 30; six standard deviations never happen by chance.
        assert!(tenths.iter().flatten().all(|count| (820..=1180).contains(count)), "{tenths:?}");
        assert!(same < 10, "{same} of 10,000 at the same time on both hosts");
    }

    #[test]
    fn external_labels_are_part_of_the_seed() {
        let seed = |name, value| host_seed("host", [Label::new(name, value)]);
        assert_ne!(seed("replica", "a"), seed("replica", "b"));
        assert_ne!(seed("ab", "c"), seed("a", "bc"));
    }

    #[test]
    fn missed_ticks_are_skipped_and_counted() {
        let schedule = Schedule::new(INTERVAL, 1, 2);
        let due = schedule.first(1_000_000);
        let after = |late_ms| schedule.next(due, due + late_ms);
        assert_eq!(after(0), Tick { due: due + 15_000, missed: 0 });
        assert_eq!(after(14_999), Tick { due: due + 15_000, missed: 0 });
        // Over exactly at a tick: that one is gone.
        assert_eq!(after(15_000), Tick { due: due + 30_000, missed: 1 });
        assert_eq!(after(50_000), Tick { due: due + 60_000, missed: 3 });
    }

    #[test]
    fn a_timer_that_fires_early_gives_no_second_scrape() {
        let schedule = Schedule::new(INTERVAL, 1, 2);
        let due = schedule.first(1_000_000);
        assert_eq!(schedule.next(due, due - 1), Tick { due: due + 15_000, missed: 0 });
    }

    #[test]
    fn a_clock_set_back_does_not_stop_the_scrapes() {
        let schedule = Schedule::new(INTERVAL, 1, 2);
        let due = schedule.first(1_000_000_000);
        let now = due - 3_600_000;
        let tick = schedule.next(due, now);
        assert!((now..=now + 15_000).contains(&tick.due));
        assert_eq!(tick.missed, 0);
    }

    #[test]
    fn timestamps_are_aligned_within_the_tolerance() {
        let schedule = Schedule::new(INTERVAL, 1, 2);
        let stamps = [-1, 0, 1, 2, 3].map(|late| schedule.stamp(1000, 1000 + late));
        assert_eq!(stamps, [999, 1000, 1000, 1000, 1003]);
        // One hundredth of 100 ms is 1 ms.
        let short = Schedule::new(Millis(100), 1, 2);
        assert_eq!([1, 2].map(|late| short.stamp(1000, 1000 + late)), [1000, 1002]);
    }
}
