//! What is known of a scrape target: when it was last scraped, and by which replica.
//!
//! A target is told by its shard key (and, for HA pairs, its cluster). Births, the frontier's
//! catching up and the choice of replicas ask here. Series without a target have none.

use weir_model::{Timestamp, VShard};

use crate::ha::Replicas;

/// One scrape target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target {
    /// Identity: hash of tenant, cluster and shard key; 0 in a free slot.
    pub key: u64,
    /// Newest sample's timestamp.
    pub newest: Timestamp,
    /// The scrape before that one; 0 if there was none.
    pub previous: Timestamp,
    /// And the one before that.
    pub earlier: Timestamp,
    /// Configuration version under which `newest` became known: no birth is taken on trust in the
    /// first scrape after a change.
    pub config_version: u32,
    /// HA replicas.
    pub replicas: Replicas,
}

/// How far a target has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Which: its virtual shard and its identity there.
    pub target: (VShard, u64),
    /// Its newest sample's timestamp.
    pub newest: Timestamp,
}

impl Target {
    /// Notes a sample.
    #[inline]
    pub fn observe(&mut self, at: Timestamp, config_version: u32) {
        if at > self.newest {
            self.earlier = self.previous;
            self.previous = self.newest;
            self.newest = at;
            self.config_version = config_version;
        }
    }

    /// The last scrape before `at`, if one was seen.
    pub fn scrape_before(&self, at: Timestamp) -> Option<Timestamp> {
        [self.newest, self.previous, self.earlier].into_iter().find(|&t| t != 0 && t < at)
    }

    /// Whether a series that first appears at `at` was certainly not there at the scrape before:
    /// that scrape was seen, under this configuration, and no scrape is missing in between.
    pub fn was_watched(&self, at: Timestamp, config_version: u32) -> bool {
        let known = [self.newest, self.previous, self.earlier];
        let mut before = known.into_iter().filter(|&t| t != 0 && t < at);
        let (Some(last), Some(earlier)) = (before.next(), before.next()) else {
            return false;
        };
        let (gap, usual) = (at.saturating_sub(last), last.saturating_sub(earlier));
        self.config_version == config_version && gap.saturating_mul(2) < usual.saturating_mul(3)
    }

    /// A new configuration: the next scrape's first samples are baselines.
    pub fn reconfigured(&mut self, config_version: u32) {
        self.config_version = config_version;
        self.previous = 0;
        self.earlier = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scrape_before_is_told_from_the_current_one() {
        let mut target = Target::default();
        assert_eq!(target.scrape_before(10), None);
        for at in [10, 10, 20, 20] {
            target.observe(at, 1);
        }
        assert_eq!(target.scrape_before(20), Some(10));
        assert_eq!(target.scrape_before(25), Some(20));
    }

    #[test]
    fn births_are_trusted_only_after_two_scrapes_without_a_gap() {
        let mut target = Target::default();
        target.observe(10, 1);
        assert!(!target.was_watched(20, 1), "first sight");
        target.observe(20, 1);
        assert!(target.was_watched(30, 1));
        assert!(!target.was_watched(45, 1), "a gap");
        assert!(!target.was_watched(30, 2), "a changed configuration");
        target.reconfigured(2);
        assert!(!target.was_watched(30, 2));
    }
}
