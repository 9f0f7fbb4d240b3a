//! Numbers and times as people write and read them: `1M`, `90s`, `2.5k`.
//!
//! Deliberately small and its own: what is checked must not read the check's arguments.

use std::time::Duration;

/// `1500`, `100k`, `2.5M`, `1G`.
pub fn number(text: &str) -> Result<f64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1e3),
        Some(b'M') => (&text[..text.len() - 1], 1e6),
        Some(b'G') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let value = digits.parse::<f64>().ok().map(|n| n * factor);
    let good = value.filter(|n| n.is_finite() && *n >= 0.0);
    good.ok_or_else(|| "a number is written 1500, 100k, 2.5M or 1G".to_owned())
}

/// A whole number of at least 1, as [`number`] reads it.
pub fn count(text: &str) -> Result<u64, String> {
    let value = number(text)?;
    if value.fract() != 0.0 || !(1.0..=1e15).contains(&value) {
        return Err("a whole number of at least 1 is needed, as 1500, 100k or 1M".to_owned());
    }
    Ok(value as u64)
}

/// A rate greater than 0, as [`number`] reads it.
pub fn rate(text: &str) -> Result<f64, String> {
    number(text)?.gt(&0.0).then_some(()).ok_or("a rate must be greater than 0")?;
    number(text)
}

/// A share of all: `0.01` or `1%`.
pub fn ratio(text: &str) -> Result<f64, String> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok().map(|n| n / 100.0),
        None => text.parse::<f64>().ok(),
    };
    let good = value.filter(|n| (0.0..=1.0).contains(n));
    good.ok_or_else(|| "a share is written 0.01 or 1%, from 0 to 1".to_owned())
}

/// `250ms`, `90s`, `10m`, `1h30m`, `1d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || "a time is written 250ms, 90s, 10m, 1h30m or 1d".to_owned();
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let value: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += value
            * match &rest[..unit] {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit..];
    }
    let given = !text.is_empty() && total <= 1e9;
    given.then(|| Duration::from_secs_f64(total)).ok_or_else(bad)
}

/// A time as [`duration`] reads it, or a number of seconds.
pub fn time_or_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()));
    seconds.map_or_else(|| duration(text), Ok)
}

/// Four digits or so: `98.31 k`, `1.000 M`.
pub fn short(number: f64) -> String {
    let (value, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, " G"),
        n if n >= 1e6 => (number / 1e6, " M"),
        n if n >= 1e4 => (number / 1e3, " k"),
        _ => (number, ""),
    };
    match value.abs() {
        v if value.fract() == 0.0 && v < 10_000.0 => format!("{value}{unit}"),
        v if v >= 100.0 => format!("{value:.1}{unit}"),
        v if v >= 10.0 => format!("{value:.2}{unit}"),
        _ => format!("{value:.3}{unit}"),
    }
}

/// Seconds as three digits and a unit: `812 µs`, `3.45 ms`, `12.1 s`.
pub fn seconds(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v < 1e-3 => (value * 1e6, "µs"),
        v if v < 1.0 => (value * 1e3, "ms"),
        _ => (value, "s"),
    };
    match value.abs() {
        0.0 => "0 s".to_owned(),
        v if v >= 99.95 => format!("{value:.0} {unit}"),
        v if v >= 9.995 => format!("{value:.1} {unit}"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// Bytes: `512 B`, `1.5 KiB`, `310.2 MiB`.
pub fn bytes(value: f64) -> String {
    match value {
        v if v < 1024.0 => format!("{v:.0} B"),
        v if v < 1024.0 * 1024.0 => format!("{:.1} KiB", v / 1024.0),
        v if v < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", v / 1024.0 / 1024.0),
        v => format!("{:.2} GiB", v / 1024.0 / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        assert_eq!(number("2.5k"), Ok(2500.0));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(ratio("1%"), Ok(0.01));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time_or_seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time_or_seconds("1m30s"), Ok(Duration::from_secs(90)));
        assert!(time_or_seconds("-1").is_err() && time_or_seconds("").is_err());
        for bad in ["", "k", "-1", "1x", "1e400"] {
            assert!(number(bad).is_err(), "{bad}");
        }
        for bad in ["", "5", "s", "1w", "1s2", "é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(count("1.5").is_err() && count("0").is_err());
        assert!(ratio("1.5").is_err() && rate("0").is_err());
    }

    #[test]
    fn what_people_read_is_short() {
        assert_eq!(short(98_310.0), "98.31 k");
        assert_eq!(short(1e6), "1 M");
        assert_eq!(short(7.0), "7");
        assert_eq!(seconds(0.00345), "3.45 ms");
        assert_eq!(seconds(12.06), "12.1 s");
        assert_eq!(seconds(0.000_812), "812 µs");
        assert_eq!(bytes(1536.0), "1.5 KiB");
    }
}
