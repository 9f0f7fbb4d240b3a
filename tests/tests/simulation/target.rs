//! What is scraped: series whose values are functions of time, so that two replicas see the same.
//!
//! Invariant: a target's counter only falls when it begins anew.

use std::sync::Arc;

use weir_loadgen::samples::{Labels, Sample, labels, stale_marker};
use weir_loadgen::torture::dice::Dice;

/// Milliseconds of a step of a counter, and of a gauge's value.
const STEP_MS: i64 = 1_000;
/// So long a target is there or away.
const PRESENCE_MS: i64 = 8_000;

/// A target with a counter, a gauge, and a series that no rule takes.
#[derive(Clone)]
pub(crate) struct Target {
    number: u64,
    seed: u64,
    pub(crate) interval_ms: i64,
    /// How long it lives until its counters begin anew.
    life_ms: i64,
    slope: u64,
}

impl Target {
    pub(crate) fn new(number: u64, dice: &mut Dice) -> Self {
        Self {
            number,
            seed: dice.between(0, u64::MAX - 1),
            interval_ms: dice.one_of(&[1_000, 2_000, 5_000]).unwrap_or(1_000),
            life_ms: dice.between(15_000, 90_000) as i64,
            slope: dice.between(1, 30),
        }
    }

    /// Its series as one of a pair sees them, or as who has no other.
    pub(crate) fn series(&self, replica: Option<&str>) -> Vec<Arc<Labels>> {
        let instance = format!("host-{}:9100", self.number);
        let zone = ["a", "b"][(self.number % 2) as usize];
        let mut pairs = vec![("instance", instance.as_str()), ("job", "sim"), ("zone", zone)];
        pairs.extend(replica.into_iter().flat_map(|r| [("__replica__", r), ("cluster", "c")]));
        ["requests_total", "in_flight", "passed_on"].map(|name| labels(name, &pairs)).into()
    }

    /// Whether it answers.
    pub(crate) fn is_there(&self, at: i64) -> bool {
        !self.chance(1, at / PRESENCE_MS).is_multiple_of(10)
    }

    /// Its page, as its series stand; `stamp` is the time by the scraper's clock.
    pub(crate) fn page(&self, series: &[Arc<Labels>], at: i64, stamp: i64) -> Vec<Sample> {
        let step = at.rem_euclid(self.life_ms) / STEP_MS;
        let grown = step as u64 * self.slope + self.chance(2, at / STEP_MS) % self.slope;
        let gauge = self.chance(3, at / STEP_MS) % 100;
        let values = [grown as f64, gauge as f64, grown as f64 * 3.0];
        series.iter().zip(values).map(|(s, value)| Sample::new(s, stamp, value)).collect()
    }

    /// The markers of its end.
    pub(crate) fn end(series: &[Arc<Labels>], stamp: i64) -> Vec<Sample> {
        series.iter().map(|s| Sample::new(s, stamp, stale_marker())).collect()
    }

    fn chance(&self, what: u64, slot: i64) -> u64 {
        let mixed = (slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ what.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Dice::new(self.seed ^ mixed).between(0, u64::MAX - 1)
    }
}
