//! VictoriaMetrics's histogram: 18 buckets a decade, each a series of its own with a `vmrange`.
//!
//! The very ranges, texts and bucket choice of github.com/VictoriaMetrics/metrics
//! (`histogram.go`), so that `histogram_bucket` gives the series that vmagent gives. A range does
//! not hold its lower bound but holds its upper one, up to what a logarithm can tell; with their
//! two exceptions, 1e-9 (in the first range above it) and 1e18 (in the last). Zero is below all;
//! negative values and NaN are no observations.
//! Invariant: counts are sorted by range, none is 0. There is no sum: no output asks for it.

use std::f64::consts::{FRAC_1_SQRT_2, LOG10_E};
use std::sync::LazyLock;

use crate::histogram::bounds::split;
use crate::varint;

/// Number of ranges: below 1e-9, 18 for each of 27 decades, above 1e18.
pub const RANGES: u16 = UPPER + 1;

const BUCKETS_PER_DECADE: u16 = 18;
const EXPONENT_MIN: i32 = -9;
const EXPONENT_MAX: i32 = 18;
const UPPER: u16 = BUCKETS_PER_DECADE * (EXPONENT_MAX - EXPONENT_MIN) as u16 + 1;
const VERSION: u8 = 1;

static LABELS: LazyLock<Vec<String>> = LazyLock::new(labels);

/// The range that a value falls into, from 0 to [`RANGES`] - 1 upward; `None` if it is not counted.
pub fn range_of(value: f64) -> Option<u16> {
    if value.is_nan() || value < 0.0 {
        return None;
    }
    let position = (log10(value) - f64::from(EXPONENT_MIN)) * f64::from(BUCKETS_PER_DECADE);
    if position < 0.0 {
        return Some(0);
    }
    if position >= f64::from(UPPER - 1) {
        return Some(UPPER);
    }
    let bucket = position as u16;
    let on_bound = position == f64::from(bucket) && bucket > 0;
    Some(bucket + u16::from(!on_bound))
}

/// The label's value for a range: `1.000e+01...1.136e+01`. Empty past the last range.
pub fn label(range: u16) -> &'static str {
    LABELS.get(usize::from(range)).map_or("", String::as_str)
}

/// Go's `math.Log10` (1.26), whose last bit decides on which side of a bound a value is. Its
/// `math.Log` is FreeBSD's `e_log.c`; the platform's may round otherwise, and a bucket must not
/// depend on the platform. `value` is not negative and no NaN.
fn log10(value: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const L: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    if value == 0.0 || value == f64::INFINITY {
        return value.log10();
    }
    let (fraction, exponent) = split(value);
    let (mantissa, power) = if fraction < FRAC_1_SQRT_2 {
        (fraction * 2.0, f64::from(exponent - 1))
    } else {
        (fraction, f64::from(exponent))
    };
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (L[0] + s4 * (L[2] + s4 * (L[4] + s4 * L[6])));
    let even = s4 * (L[1] + s4 * (L[3] + s4 * L[5]));
    let half_square = 0.5 * f * f;
    let low = s * (half_square + (odd + even)) + power * LN2_LOW;
    (power * LN2_HIGH - ((half_square - low) - f)) * LOG10_E
}

fn labels() -> Vec<String> {
    let lowest = 10f64.powi(EXPONENT_MIN);
    let multiplier = 10f64.powf(1.0 / f64::from(BUCKETS_PER_DECADE));
    let mut bound = lowest;
    let mut labels = vec![format!("0...{}", scientific(lowest))];
    for _ in 1..UPPER {
        // Multiplied up as the original does it, rounding errors included.
        let next = bound * multiplier;
        labels.push(format!("{}...{}", scientific(bound), scientific(next)));
        bound = next;
    }
    let highest = 10f64.powi(EXPONENT_MAX);
    labels.push(format!("{}...+Inf", scientific(highest)));
    labels
}

/// Go's `%.3e`: the exponent has a sign and two digits.
fn scientific(value: f64) -> String {
    let text = format!("{value:.3e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or_default();
            format!("{mantissa}e{exponent:+03}")
        }
        None => text,
    }
}

/// How many values fell into each range.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VmRanges {
    counts: Vec<(u16, u64)>,
}

impl VmRanges {
    /// Counts a value; `false` if it is negative or NaN and so ignored.
    pub fn fold(&mut self, value: f64) -> bool {
        let range = range_of(value);
        if let Some(range) = range {
            self.add(range, 1);
        }
        range.is_some()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for &(range, count) in &other.counts {
            self.add(range, count);
        }
    }

    /// Ranges with observations in ascending order, each with its label and count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|&(range, n)| (label(range), n))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Appends version, number of ranges, then for each its distance to the one before and its
    /// count, as varints.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        varint::write(self.counts.len() as u64, out);
        let mut next = 0;
        for &(range, count) in &self.counts {
            varint::write(u64::from(range - next), out);
            varint::write(count, out);
            next = range + 1;
        }
    }

    /// Takes counts from the front of `rest`; `None` if the bytes are none.
    pub fn decode(rest: &mut &[u8]) -> Option<Self> {
        let (&version, tail) = rest.split_first()?;
        *rest = tail;
        let len = u16::try_from(varint::read(rest)?).ok()?;
        if version != VERSION || len > RANGES {
            return None;
        }
        let mut counts = Vec::with_capacity(usize::from(len));
        let mut next = 0u16;
        for _ in 0..len {
            let range = next.checked_add(u16::try_from(varint::read(rest)?).ok()?)?;
            let count = varint::read(rest)?;
            if range >= RANGES || count == 0 {
                return None;
            }
            counts.push((range, count));
            next = range + 1;
        }
        Some(Self { counts })
    }

    /// Bytes that it occupies, itself and its heap; at most 8 KiB.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.counts.capacity() * size_of::<(u16, u64)>()
    }

    fn add(&mut self, range: u16, count: u64) {
        match self.counts.binary_search_by_key(&range, |&(r, _)| r) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (range, count)),
        }
    }
}

#[cfg(test)]
mod tests;
