//! Numbers as exposition formats write them.
//!
//! Accepted is what Prometheus accepts: Go's `strconv.ParseFloat` without hexadecimal floats and
//! underscores, where a finite text that overflows is an error. Results are exact: short numbers
//! take Clinger's fast path, everything else the standard library. Any NaN becomes Prometheus's
//! ordinary one, whose bits tell it from a stale marker.

use weir_model::sample::NORMAL_NAN_BITS;

/// Reads a float that fills all of `text`.
#[inline]
pub(super) fn float(text: &[u8]) -> Option<f64> {
    match short_float(text) {
        Some((value, len)) if len == text.len() => Some(value),
        _ => any_float(text),
    }
}

/// Reads a float at the start of `bytes` and its length, if it is one of few digits.
///
/// Exact, after Clinger: the digits fit the 53 bits of a double, and so does the power of ten, so
/// that one correctly rounded operation gives the correctly rounded result.
#[inline]
pub(super) fn short_float(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut digits = 0u64;
    let integer = take_digits(bytes, &mut at, &mut digits);
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        fraction = take_digits(bytes, &mut at, &mut digits);
    }
    // Nineteen digits cannot overflow 64 bits.
    if integer + fraction == 0 || integer + fraction > 19 || digits > 1 << 53 {
        return None;
    }
    let mut power = -(fraction as i64);
    if let Some(b'e' | b'E') = bytes.get(at) {
        power += take_exponent(bytes, &mut at)?;
    }
    let magnitude = digits as f64;
    let scale = *POWERS_OF_TEN.get(usize::try_from(power.unsigned_abs()).ok()?)?;
    let value = if power < 0 { magnitude / scale } else { magnitude * scale };
    Some((if negative { -value } else { value }, at))
}

/// Adds decimal digits to `number`, wrapping; how many there were.
#[inline]
fn take_digits(bytes: &[u8], at: &mut usize, number: &mut u64) -> usize {
    let start = *at;
    while let Some(&byte) = bytes.get(*at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
    *at - start
}

/// Reads `e+07`; `None` if it is none or longer than any that the fast path takes.
#[inline]
fn take_exponent(bytes: &[u8], at: &mut usize) -> Option<i64> {
    *at += 1;
    let sign = bytes.get(*at).copied();
    *at += usize::from(matches!(sign, Some(b'+' | b'-')));
    let mut exponent = 0;
    let digits = take_digits(bytes, at, &mut exponent);
    let exponent = i64::try_from(exponent).ok().filter(|_| (1..=3).contains(&digits))?;
    Some(if sign == Some(b'-') { -exponent } else { exponent })
}

/// Powers of ten that a double holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

#[cold]
#[inline(never)]
fn any_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::from_bits(NORMAL_NAN_BITS));
    }
    // Both languages share the decimal grammar and the names of infinity; Rust alone has a signed
    // NaN, Go alone fails where a number is too large.
    let value: f64 = text.parse().ok()?;
    let said_so = || text.bytes().any(|b| matches!(b, b'i' | b'I'));
    (value.is_finite() || (value.is_infinite() && said_so())).then_some(value)
}

/// Milliseconds of a text 0.0.4 timestamp: decimal digits, no sign.
pub(super) fn millis(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Milliseconds of an OpenMetrics timestamp: seconds as a float. Cut, not rounded, as Prometheus
/// does; what is past 64 bits stays at their ends, out of every store's bounds.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    float(text).filter(|seconds| seconds.is_finite()).map(|seconds| (seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(text: &str) -> Option<u64> {
        float(text.as_bytes()).map(f64::to_bits)
    }

    #[test]
    fn what_go_reads_and_what_it_refuses() {
        // As printed by strconv.ParseFloat behind Prometheus's own check.
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1.e2", 100.0),
            ("4.1693184e+07", 41_693_184.0),
            ("1.66112917987e+09", 1_661_129_179.87),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("0.1", 0.1),
            ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
            ("1e-400", 0.0),
            ("2.4703282292062328e-324", 5e-324),
            ("1.7976931348623157e308", f64::MAX),
            ("0000000000000000000000000001", 1.0),
            ("0.00000000000000000000000000001", 1e-29),
            ("inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            ("+Inf", f64::INFINITY),
        ] {
            assert_eq!(bits(text), Some(value.to_bits()), "{text}");
        }
        for text in ["nan", "NaN", "NAN"] {
            assert_eq!(bits(text), Some(0x7ff8_0000_0000_0001), "{text}");
        }
        for text in [
            "", "-", "+", ".", "e5", "1e", "1e+", "1x", "0x1p3", "0x1", "1_0", "-NaN", "+nan",
            "infi", "1e400", "-1e400", " 1", "1 ", "1,0", "--1", "+-1", "٣", "1e5.5", "1..2",
        ] {
            assert_eq!(bits(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        assert_eq!(millis(b"1395066363000"), Some(1_395_066_363_000));
        assert_eq!(millis(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(millis(b"9223372036854775808"), None);
        assert_eq!(seconds(b"1395066363.5"), Some(1_395_066_363_500));
        assert_eq!(seconds(b"-1.5"), Some(-1500));
        assert_eq!(seconds(b"NaN"), None);
        assert_eq!(seconds(b"1e30"), Some(i64::MAX));
    }

    proptest::proptest! {
        #[test]
        fn the_fast_path_is_exact(text in r"-?[0-9]{0,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?") {
            if let Some((value, len)) = short_float(text.as_bytes()) {
                let slow: f64 = text[..len].parse().unwrap();
                proptest::prop_assert_eq!(value.to_bits(), slow.to_bits());
            }
        }
    }
}
