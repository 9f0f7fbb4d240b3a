//! Timestamps and durations: milliseconds since the epoch, and Prometheus's duration grammar.
//!
//! Nothing here asks what time it is: every clock reading comes in as an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds since the Unix epoch, as remote write carries them.
pub type Timestamp = i64;

/// A duration in whole milliseconds, written as Prometheus writes it (`1h30m`, `15s`, `500ms`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

impl Millis {
    /// This many seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1000)
    }

    /// As the standard library's type; a negative one becomes zero.
    pub fn to_std(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

/// What is wrong with a duration's text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is not a duration; write it as 500ms, 15s, 1h30m or 2d (units in the order y, w, d, h, m, s, ms)"
)]
pub struct DurationError {
    text: String,
}

/// Prometheus's units in the order in which they must appear (`model.ParseDuration`).
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl FromStr for Millis {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let wrong = || DurationError { text: text.to_owned() };
        if text == "0" {
            return Ok(Self(0));
        }
        let mut rest = text;
        let mut total = 0i64;
        let mut next_unit = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters =
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters]);
            let unit = unit.filter(|&u| u >= next_unit).ok_or_else(wrong)?;
            next_unit = unit + 1;
            rest = &rest[letters..];
            let part = number.checked_mul(UNITS[unit].1).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
        }
        if text.is_empty() { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (name, size) in UNITS.into_iter().skip(2) {
            let count = rest / size;
            rest %= size;
            if count != 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations_are_read_and_written() {
        for (text, ms) in [("15s", 15_000), ("1h30m", 5_400_000), ("500ms", 500), ("1m1ms", 60_001)]
        {
            assert_eq!(text.parse(), Ok(Millis(ms)));
            assert_eq!(Millis(ms).to_string(), text);
        }
        assert_eq!("2w".parse(), Ok(Millis(14 * 86_400_000)));
        assert_eq!("0".parse(), Ok(Millis(0)));
    }

    #[test]
    fn other_grammars_are_refused() {
        for text in ["", "15", "s", "1m1h", "1s1s", "-5s", "1.5h", "5 s", "99999999999999y"] {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
    }
}
