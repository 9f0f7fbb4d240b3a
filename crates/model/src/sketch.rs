//! A quantile sketch that merges: DDSketch with a relative error of 1 %.
//!
//! Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees" (VLDB 2019), with its logarithmic mapping: bin `k` holds (γ^(k-1), γ^k], γ =
//! 1.01/0.99, and stands for the value that is within 1 % of both ends. Why not the crate
//! `sketches-ddsketch`: +Inf overflows its bins, NaN counts as zero, a bin array is as wide as the
//! range of the values, and what it decodes it does not check.
//!
//! Bins are sparse and sorted, at most [`BINS_MAX`] a sign. Past that the bins nearest to zero
//! fall together, so it is quantiles among the smallest magnitudes that lose accuracy, and only
//! where values occupy more than 2,048 bins (any 17 decades fit). What is kept depends on the
//! set of values alone, so any order of folding and merging gives an equal sketch. ±Inf have bins
//! of their own; magnitudes below 2.3e-308 are zero; NaN is no observation.

use crate::varint;

/// Relative error of a quantile.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Most bins for positive, and most for negative values.
pub const BINS_MAX: usize = 2048;

/// ln γ, that is ln(1.01 / 0.99).
const LOG_GAMMA: f64 = 0.020_000_666_706_669_525;

/// ln(2 / (γ + 1)), that is ln 0.99.
const LOG_LOWER: f64 = -0.010_050_335_853_501_442;

/// The bin of infinite magnitude; that of the largest finite one is 35,488.
const INFINITE: i32 = 1 << 20;
const KEY_MAX: i32 = 1 << 16;
const VERSION: u8 = 1;

/// A bin: its key and how many values it holds, never 0.
type Bin = (i32, u64);

/// The sketch. Equal sketches have equal quantiles.
#[derive(Clone, PartialEq, Debug)]
pub struct Sketch {
    /// By magnitude, ascending.
    positive: Vec<Bin>,
    /// By magnitude, ascending, so that the lowest value is at the end.
    negative: Vec<Bin>,
    zero: u64,
    min: f64,
    max: f64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            positive: Vec::new(),
            negative: Vec::new(),
            zero: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Sketch {
    /// Adds a value; `false` if it is NaN and so ignored.
    pub fn fold(&mut self, value: f64) -> bool {
        if value.is_nan() {
            return false;
        }
        // Adding 0 makes -0 a 0, so that the order of the two does not matter.
        self.min = self.min.min(value + 0.0);
        self.max = self.max.max(value + 0.0);
        match key_of(value.abs()) {
            None => self.zero = self.zero.saturating_add(1),
            Some(key) if value > 0.0 => add(&mut self.positive, key, 1),
            Some(key) => add(&mut self.negative, key, 1),
        }
        true
    }

    /// Adds another sketch's values.
    pub fn merge(&mut self, other: &Self) {
        for &(key, count) in &other.positive {
            add(&mut self.positive, key, count);
        }
        for &(key, count) in &other.negative {
            add(&mut self.negative, key, count);
        }
        self.zero = self.zero.saturating_add(other.zero);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        let bins = self.positive.iter().chain(&self.negative);
        bins.fold(self.zero, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.zero == 0 && self.positive.is_empty() && self.negative.is_empty()
    }

    /// The value at rank φ·(n-1), rounded to the nearest rank as vmagent's `quantiles` does it,
    /// within 1 % of the true one; exactly the least for φ ≤ 0 and the greatest for φ ≥ 1. `None`
    /// without values and for a NaN.
    pub fn quantile(&self, phi: f64) -> Option<f64> {
        if self.is_empty() || phi.is_nan() {
            return None;
        }
        if phi <= 0.0 {
            return Some(self.min);
        }
        if phi >= 1.0 {
            return Some(self.max);
        }
        let last = self.count() - 1;
        let rank = ((phi * last as f64 + 0.5) as u64).min(last);
        Some(self.value_at(rank).clamp(self.min, self.max))
    }

    /// Appends the sketch: version, count of zeros, both sides (number of bins, then distance of
    /// keys and count for each), and if there are values the least and the greatest (8 bytes each).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        varint::write(self.zero, out);
        for side in [&self.positive, &self.negative] {
            varint::write(side.len() as u64, out);
            let mut next = 0i32;
            for &(key, count) in side {
                varint::write(varint::zigzag(i64::from(key - next)), out);
                varint::write(count, out);
                next = key + 1;
            }
        }
        if !self.is_empty() {
            out.extend(self.min.to_le_bytes());
            out.extend(self.max.to_le_bytes());
        }
    }

    /// Takes a sketch from the front of `rest`; `None` if the bytes are none.
    pub fn decode(rest: &mut &[u8]) -> Option<Self> {
        let (&version, tail) = rest.split_first()?;
        *rest = tail;
        if version != VERSION {
            return None;
        }
        let mut sketch = Self {
            zero: varint::read(rest)?,
            positive: read_side(rest)?,
            negative: read_side(rest)?,
            ..Self::default()
        };
        if !sketch.is_empty() {
            sketch.min = read_float(rest)?;
            sketch.max = read_float(rest)?;
        }
        let sound = sketch.is_empty() || sketch.min <= sketch.max;
        sound.then_some(sketch)
    }

    /// Bytes that it occupies, itself and its heap; at most 32 KiB a sign, and that only for
    /// values that fill all bins.
    pub fn memory_bytes(&self) -> usize {
        let bins = self.positive.capacity() + self.negative.capacity();
        size_of::<Self>() + bins * size_of::<Bin>()
    }

    /// The estimate for a rank below the count.
    fn value_at(&self, rank: u64) -> f64 {
        let below = self.negative.iter().rev().map(|&(k, n)| (-value_of(k), n));
        let above = self.positive.iter().map(|&(k, n)| (value_of(k), n));
        let mut seen = 0u64;
        let mut bins = below.chain([(0.0, self.zero)]).chain(above);
        let found = bins.find(|&(_, count)| {
            seen = seen.saturating_add(count);
            seen > rank
        });
        found.map_or(self.max, |(value, _)| value)
    }
}

/// The bin of a magnitude; `None` for zero and what is next to it.
fn key_of(magnitude: f64) -> Option<i32> {
    if magnitude == f64::INFINITY {
        return Some(INFINITE);
    }
    let positive = magnitude >= f64::MIN_POSITIVE;
    positive.then(|| (magnitude.ln() / LOG_GAMMA).ceil() as i32)
}

/// The value that stands for a bin: 2γ^k / (γ+1).
fn value_of(key: i32) -> f64 {
    if key == INFINITE {
        return f64::INFINITY;
    }
    // In the exponent, since γ^k itself may be past the largest float.
    (f64::from(key) * LOG_GAMMA + LOG_LOWER).exp()
}

fn add(bins: &mut Vec<Bin>, key: i32, count: u64) {
    match bins.binary_search_by_key(&key, |&(k, _)| k) {
        Ok(at) => bins[at].1 = bins[at].1.saturating_add(count),
        Err(0) if bins.len() == BINS_MAX => bins[0].1 = bins[0].1.saturating_add(count),
        Err(at) if bins.len() == BINS_MAX => {
            // The two lowest fall together, which makes room below the new one.
            let lowest = bins[0].1;
            if at == 1 {
                bins[0] = (key, lowest.saturating_add(count));
            } else {
                bins[1].1 = bins[1].1.saturating_add(lowest);
                bins.copy_within(1..at, 0);
                bins[at - 1] = (key, count);
            }
        }
        Err(at) => bins.insert(at, (key, count)),
    }
}

fn read_side(rest: &mut &[u8]) -> Option<Vec<Bin>> {
    let len = usize::try_from(varint::read(rest)?).ok()?;
    if len > BINS_MAX || len > rest.len() / 2 {
        return None;
    }
    let mut bins: Vec<Bin> = Vec::with_capacity(len);
    let mut next = 0i64;
    for position in 0..len {
        let step = varint::unzigzag(varint::read(rest)?);
        let key = i32::try_from(next.checked_add(step)?).ok()?;
        let count = varint::read(rest)?;
        let known = (-KEY_MAX..=KEY_MAX).contains(&key) || key == INFINITE;
        if !known || count == 0 || (position > 0 && step < 0) {
            return None;
        }
        bins.push((key, count));
        next = i64::from(key) + 1;
    }
    Some(bins)
}

fn read_float(rest: &mut &[u8]) -> Option<f64> {
    let (&bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(f64::from_le_bytes(bytes)).filter(|value| !value.is_nan())
}

#[cfg(test)]
mod tests;
