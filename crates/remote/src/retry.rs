//! When to try again: exponential backoff with jitter, and what `Retry-After` asks for.
//!
//! Randomness and time are arguments. Nothing here gives up: whether a retry makes sense is the
//! verdict's question.

use std::time::{Duration, SystemTime};

/// The longest `Retry-After` that is honoured: a wrong date must not stop a destination for a day.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// The bounds of the backoff, `min` not above `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// Before the first retry.
    pub min: Duration,
    /// Never longer than this, `Retry-After` aside.
    pub max: Duration,
}

impl Backoff {
    /// The wait before retry number `retry` (1 is the first). It doubles from `min` to `max`; the
    /// upper half of it is jitter, so that lanes and gateways do not return in step. `random` is
    /// in 0..1.
    pub fn delay(&self, retry: u32, random: f64) -> Duration {
        let doublings = retry.saturating_sub(1).min(31);
        let full = self.min.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// The same, but not before the backend wants it.
    pub fn delay_after(&self, retry: u32, random: f64, after: Option<Duration>) -> Duration {
        let asked = after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.delay(retry, random).max(asked)
    }
}

/// Reads a `Retry-After` header: whole seconds, or an HTTP date relative to `now`.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { min: Duration::from_millis(30), max: Duration::from_secs(5) };

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let full: Vec<u128> = (1..=10).map(|retry| BACKOFF.delay(retry, 1.0).as_millis()).collect();
        assert_eq!(full, [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000]);
        assert_eq!(BACKOFF.delay(1, 0.0), Duration::from_millis(15));
        assert_eq!(BACKOFF.delay(u32::MAX, 0.0), Duration::from_millis(2500));
    }

    #[test]
    fn a_backend_may_ask_for_more_but_not_for_a_day() {
        let after = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(BACKOFF.delay_after(1, 1.0, after(9)), Duration::from_secs(9));
        assert_eq!(BACKOFF.delay_after(9, 1.0, after(1)), Duration::from_secs(5));
        assert_eq!(BACKOFF.delay_after(1, 1.0, after(86_400)), RETRY_AFTER_MAX);
    }

    /// The date is RFC 9110's own example, 784,111,777 seconds after the epoch.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(parse_retry_after(" 120 ", at(0)), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after(date, at(784_111_770)), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after(date, at(784_111_780)), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", at(0)), None);
        assert_eq!(parse_retry_after("-1", at(0)), None);
    }
}
