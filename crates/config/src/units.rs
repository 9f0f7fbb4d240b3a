//! Sizes as Prometheus writes them: `512KiB`, `64MiB`, `4GiB`; units are powers of 1024 with or
//! without the `i`, as in Prometheus's own flags.
//!
//! Durations are `weir_model::Millis`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Size(pub u64);

/// What is no size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a size; write it as 512KiB, 64MiB or 4GiB")]
pub struct SizeError(String);

const UNITS: [(&str, u32); 9] = [
    ("TiB", 40),
    ("GiB", 30),
    ("MiB", 20),
    ("KiB", 10),
    ("TB", 40),
    ("GB", 30),
    ("MB", 20),
    ("KB", 10),
    ("B", 0),
];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let unit = UNITS.iter().find_map(|&(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
        let (digits, shift) = unit.unwrap_or((text, 0));
        let number = Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        number
            .and_then(|n| n.parse::<u64>().ok())
            .and_then(|n| n.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| SizeError(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |shift: u32| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        let unit = UNITS.iter().take(4).find(|&&(_, shift)| whole(shift));
        match unit {
            Some((name, shift)) => write!(f, "{}{name}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("64MiB", 64 << 20), ("1KiB", 1024), ("4GiB", 4 << 30), ("7B", 7)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!("64MB".parse(), Ok(Size(64 << 20)));
        assert_eq!("0".parse(), Ok(Size(0)));
        assert_eq!(Size(1536).to_string(), "1536B");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "1.5GiB", "64 MiB", "-1B", "+1B", "64mib", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
