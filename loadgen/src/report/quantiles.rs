//! Times counted in buckets, so that quantiles of millions cost a few kilobytes.
//!
//! Microseconds, 32 buckets for each power of two: what is read back is exact up to 63 µs and at
//! most 1/32 too high above. Invariant: merging is adding.

/// Buckets of a power of two.
const STEPS: u64 = 32;
/// Up to about 2 h.
const BUCKETS: usize = 32 * 30;

/// How often each time came.
#[derive(Clone, PartialEq, Debug)]
pub struct Quantiles {
    counts: Vec<u64>,
    count: u64,
    greatest: u64,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, greatest: 0 }
    }
}

fn bucket(micros: u64) -> usize {
    if micros < 2 * STEPS {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEPS.ilog2();
    let bucket = u64::from(shift) * STEPS + (micros >> shift);
    (bucket as usize).min(BUCKETS - 1)
}

/// The greatest time of a bucket.
fn upper(bucket: u64) -> u64 {
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << shift) - 1
}

impl Quantiles {
    /// Counts a time.
    pub fn add(&mut self, seconds: f64) {
        let micros = (seconds * 1e6).round().max(0.0) as u64;
        self.counts[bucket(micros)] += 1;
        self.count += 1;
        self.greatest = self.greatest.max(micros);
    }

    /// Adds all that another one has.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Seconds that this share (0 to 1) of all did not exceed; 0 if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(bucket as u64).min(self.greatest) as f64 / 1e6;
            }
        }
        0.0
    }

    /// The greatest, in seconds.
    pub fn max(&self) -> f64 {
        self.greatest as f64 / 1e6
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.greatest) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_list_within_a_32nd(
            mut micros in prop::collection::vec(0..100_000_000u64, 1..300), share in 0.0..=1.0f64,
        ) {
            let mut quantiles = Quantiles::default();
            micros.iter().for_each(|&m| quantiles.add(m as f64 / 1e6));
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * share).ceil() as usize).clamp(1, micros.len());
            let (exact, got) = (micros[rank - 1] as f64 / 1e6, quantiles.quantile(share));
            prop_assert!(got >= exact - 1e-9 && got <= exact * (1.0 + 1.0 / 32.0) + 1e-9);
            prop_assert_eq!(quantiles.max(), *micros.last().unwrap() as f64 / 1e6);
        }
    }

    #[test]
    fn buckets_and_their_bounds_fit() {
        for micros in (0..100_000).chain([1 << 20, (1 << 33) - 1]) {
            let bucket = bucket(micros) as u64;
            assert!(upper(bucket) >= micros && (bucket == 0 || upper(bucket - 1) < micros));
        }
    }

    #[test]
    fn nothing_is_zero_and_merging_adds() {
        let mut a = Quantiles::default();
        assert_eq!((a.quantile(0.99), a.max()), (0.0, 0.0));
        let mut b = Quantiles::default();
        b.add(0.5);
        a.add(0.25);
        a.merge(&b);
        assert_eq!((a.count(), a.max()), (2, 0.5));
        a.clear();
        assert_eq!(a, Quantiles::default());
    }
}
