//! Float samples and the one bit pattern that means "this series has ended".
//!
//! Invariant: a value keeps its bits from the wire to the backend. Nothing here compares NaNs.

use crate::Timestamp;

/// Prometheus's stale marker (`model/value.StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Prometheus's ordinary NaN (`model/value.NormalNaN`).
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The stale marker as a value.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether a value is the stale marker; other NaNs are ordinary values.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One float sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was taken.
    pub timestamp: Timestamp,
    /// Its value, bits preserved.
    pub value: f64,
    /// When the counter began, if the sender says so (remote write 2.0); 0 if unknown.
    pub start: Timestamp,
}

impl Sample {
    /// A sample without a start timestamp.
    pub const fn new(timestamp: Timestamp, value: f64) -> Self {
        Self { timestamp, value, start: 0 }
    }
}

impl PartialEq for Sample {
    /// Bitwise, so that markers and NaNs equal themselves.
    fn eq(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp
            && self.value.to_bits() == other.value.to_bits()
            && self.start == other.start
    }
}
