//! What a series' value is: a function of time.
//!
//! A lagging replica, a late sample and a repeat therefore say by themselves what is right for
//! their timestamp. Values are whole numbers or whole 1024ths, so that sums are exact in any order.
//! Invariant: between two births of its target a counter never falls, and a histogram's buckets
//! never contradict each other.

/// How one value moves. Slopes are in steps per 1,024 ms of a target at the ordinary pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Motion {
    /// Always the same: `1` of an info metric.
    Constant(u32),
    /// Grows from 0 at the target's birth.
    Counter(u32),
    /// Grows likewise, in steps of 1/1024: sums of seconds.
    Seconds(u32),
    /// Goes up from `base` by `swing` and back, in about 70 minutes.
    Gauge {
        /// Least value.
        base: u32,
        /// Greatest less least.
        swing: u32,
        /// Where in the cycle, of 65,536.
        phase: u32,
    },
    /// A bucket of a native histogram, like a counter.
    Bucket(u32),
    /// A native histogram's count: the total of so many buckets just before it.
    Total(u16),
    /// A native histogram's sum, which alone says that the histogram is stale.
    Sum(u32),
}

/// When a value is asked for, as a target sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Milliseconds since the epoch.
    pub time: i64,
    /// Milliseconds since the target's birth or last restart, stretched by its pace.
    pub age: u64,
    /// The target has ended: markers instead of values.
    pub stale: bool,
}

/// The bits of Prometheus's stale marker.
const STALE: f64 = f64::from_bits(crate::samples::STALE_BITS);

/// Adds the values of these motions.
pub fn extend(values: &mut Vec<f64>, motions: &[Motion], moment: Moment) {
    if moment.stale {
        values.extend(motions.iter().map(|motion| match motion {
            Motion::Bucket(_) | Motion::Total(_) => 0.0,
            _ => STALE,
        }));
        return;
    }
    let grown = |slope: u32| u64::from(slope).wrapping_mul(moment.age) >> 10;
    for motion in motions {
        let value = match *motion {
            Motion::Constant(value) => f64::from(value),
            Motion::Counter(slope) | Motion::Bucket(slope) => grown(slope) as f64,
            Motion::Seconds(slope) | Motion::Sum(slope) => grown(slope) as f64 / 1024.0,
            Motion::Gauge { base, swing, phase } => {
                let place = ((moment.time >> 6) as u32).wrapping_add(phase) & 0xffff;
                let height = if place < 0x8000 { place } else { 0xffff - place };
                f64::from(base) + ((u64::from(swing) * u64::from(height)) >> 15) as f64
            }
            Motion::Total(buckets) => {
                let first = values.len().saturating_sub(usize::from(buckets));
                values[first..].iter().sum()
            }
        };
        values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(age: u64) -> Vec<f64> {
        let motions = [
            Motion::Counter(2048),
            Motion::Seconds(512),
            Motion::Constant(1),
            Motion::Bucket(1024),
            Motion::Bucket(3),
            Motion::Total(2),
            Motion::Sum(1024),
        ];
        let mut values = Vec::new();
        extend(&mut values, &motions, Moment { time: 0, age, stale: false });
        values
    }

    #[test]
    fn counters_grow_by_their_slope() {
        assert_eq!(at(0), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        // 1,000 ms: 2048 * 1000 / 1024, 500 / 1024, 1, 1000, 2 (of 2.9), together, 1000 / 1024.
        assert_eq!(at(1000), [2000.0, 500.0 / 1024.0, 1.0, 1000.0, 2.0, 1002.0, 1000.0 / 1024.0]);
    }

    #[test]
    fn gauges_go_up_and_down() {
        let gauge = [Motion::Gauge { base: 100, swing: 50, phase: 0 }];
        let value = |time| {
            let mut values = Vec::new();
            extend(&mut values, &gauge, Moment { time, age: 0, stale: false });
            values[0]
        };
        assert_eq!(value(0), 100.0);
        assert_eq!(value(0x7fff << 6), 149.0);
        assert_eq!(value(0xffff << 6), 100.0);
    }

    #[test]
    fn the_end_is_markers() {
        let motions = [Motion::Counter(1), Motion::Bucket(1), Motion::Total(1), Motion::Sum(1)];
        let mut values = Vec::new();
        extend(&mut values, &motions, Moment { time: 1, age: 1, stale: true });
        let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        let stale = crate::samples::STALE_BITS;
        assert_eq!(bits, [stale, 0, 0, stale]);
    }
}
