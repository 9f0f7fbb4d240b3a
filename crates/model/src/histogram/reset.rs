//! Whether a counter histogram began anew between two samples.
//!
//! Prometheus's `FloatHistogram.DetectReset`, decision for decision, because the reduced stream
//! must reset where PromQL sees a reset in the raw one. The whole histogram resets or none of it;
//! the sum may fall (negative observations) without one.

use super::bounds::upper_bound;
use super::flat::{Flat, coarser};
use super::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint};

impl NativeHistogram {
    /// Whether this sample begins anew after `previous`. The sender's hint decides if there is one
    /// (a gauge's is none: it is then compared like a counter). What cannot be compared, a stale
    /// marker or an unsound histogram, is a reset.
    pub fn is_reset(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Yes => return true,
            ResetHint::No => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        match (Flat::open(self), Flat::open(previous)) {
            (Ok(current), Ok(before)) => has_fallen(current, before),
            _ => true,
        }
    }
}

fn has_fallen(mut current: Flat, mut before: Flat) -> bool {
    let custom = current.schema == CUSTOM_BUCKETS_SCHEMA;
    if custom != (before.schema == CUSTOM_BUCKETS_SCHEMA) {
        return true;
    }
    if custom {
        // With other bounds, only what both can tell is compared.
        let aligned = current.align(&mut before);
        return aligned.is_err() || any_fell(&current.positive, &before.positive);
    }
    if current.schema > before.schema || current.zero_threshold < before.zero_threshold {
        return true;
    }
    let (zero_count, zero_threshold) = before.zero_up_to(current.zero_threshold);
    if zero_threshold != current.zero_threshold || current.zero_count < zero_count {
        return true;
    }
    let (schema, shift) = (current.schema, before.schema - current.schema);
    let sides = [(&current.positive, &before.positive), (&current.negative, &before.negative)];
    sides.into_iter().any(|(now, then)| {
        let mut then = coarser(then, shift);
        then.retain(|&(index, _)| upper_bound(i64::from(index), schema) > zero_threshold);
        any_fell(now, &then)
    })
}

/// Whether a bucket holds less than before; a bucket that is gone holds nothing.
fn any_fell(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|&(index, then)| {
        while now.next_if(|&&(i, _)| i < index).is_some() {}
        let count = now.next_if(|&&(i, _)| i == index).map_or(0.0, |&(_, c)| c);
        count < then
    })
}
