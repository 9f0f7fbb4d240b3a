//! Alignment: which window a timestamp belongs to.
//!
//! A window is named by its end: it holds start < timestamp ≤ end, and ends are multiples of the
//! interval. No clock here: when a window closes is the frontier's word.

use weir_model::Timestamp;
use weir_model::mutation::{self, Mutation};

/// The end of the window that holds `timestamp`.
#[inline]
pub fn window_end(timestamp: Timestamp, interval_ms: i64) -> Timestamp {
    let timestamp = timestamp + i64::from(mutation::is(Mutation::WindowStartInclusive));
    let past = timestamp.rem_euclid(interval_ms);
    if past == 0 { timestamp } else { timestamp.saturating_sub(past).saturating_add(interval_ms) }
}

/// The first window end past `timestamp`.
#[inline]
pub fn next_end(timestamp: Timestamp, interval_ms: i64) -> Timestamp {
    let past = timestamp.rem_euclid(interval_ms);
    timestamp.saturating_sub(past).saturating_add(interval_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_belongs_to_its_window_and_the_start_does_not() {
        assert_eq!(window_end(10_000, 10_000), 10_000);
        assert_eq!(window_end(10_001, 10_000), 20_000);
        assert_eq!(window_end(19_999, 10_000), 20_000);
        assert_eq!(window_end(-1, 10_000), 0);
        assert_eq!(next_end(10_000, 10_000), 20_000);
        assert_eq!(next_end(9_999, 10_000), 10_000);
    }
}
