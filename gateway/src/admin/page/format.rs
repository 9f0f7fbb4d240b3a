//! Numbers, sizes, times and texts as a person reads them; and HTML escaping.
//!
//! Invariant: what is made of a number holds no markup, so only texts need [`escape`].

/// Text as it may stand in HTML, in an attribute's value, too.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// Escaped text in which no number is parted from its unit by the end of a line.
pub fn unbroken(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for c in text.chars() {
        let after_number = joined.ends_with(|last: char| last.is_ascii_digit());
        joined.push(if c == ' ' && after_number { '\u{a0}' } else { c });
    }
    escape(&joined)
}

/// A whole number: exact below 10,000, then three digits and a unit.
pub fn count(value: u64) -> String {
    if value < 10_000 {
        grouped(value)
    } else {
        scaled(value as f64, 1e3, &["", " k", " M", " G", " T", " P"])
    }
}

/// A whole number that may be negative, with its sign.
pub fn signed(value: i64) -> String {
    let sign = if value < 0 { "−" } else { "+" };
    format!("{sign}{}", grouped(value.unsigned_abs()))
}

/// Something by the second.
pub fn rate(value: f64) -> String {
    match value {
        v if v <= 0.0 => "0".into(),
        v if v < 0.01 => "~0".into(),
        v if v < 1.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}").trim_end_matches(".0").into(),
        v => count(v.round() as u64),
    }
}

/// Bytes with binary units.
pub fn bytes(value: u64) -> String {
    if value < 1024 {
        return format!("{value} B");
    }
    scaled(value as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
}

/// Milliseconds in the two largest units that matter.
pub fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    if ms < 10_000 {
        return format!("{:.1} s", ms as f64 / 1e3);
    }
    let seconds = ms / 1_000;
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let Some(largest) = units.iter().position(|(_, size)| seconds >= *size) else {
        return format!("{seconds} s");
    };
    let (unit, size) = units[largest];
    let first = format!("{} {unit}", seconds / size);
    match units.get(largest + 1) {
        Some((unit, smaller)) if seconds % size >= *smaller => {
            format!("{first} {} {unit}", seconds % size / smaller)
        }
        _ => first,
    }
}

/// A part of 1; 100 % only when it is whole.
pub fn percent(part: f64) -> String {
    match part {
        p if p >= 1.0 => "100 %".into(),
        p if p > 0.0 && p < 0.001 => "~0 %".into(),
        p => format!("{:.1} %", (p.max(0.0) * 1e3).floor() / 10.0),
    }
}

/// Milliseconds since the epoch as a date and time in UTC.
pub fn time(ms: i64) -> String {
    let (days, second) = (ms.div_euclid(86_400_000), ms.div_euclid(1_000).rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Days since the epoch as year, month and day: Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // 999.95 would be shown as 1000.
    while value >= step - 0.05 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$}{}", units[unit])
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0, 999, 9_999, 10_000, 12_345, 999_999, 1_234_567, 45_000_000_000];
        let shown = ["0", "999", "9,999", "10.0 k", "12.3 k", "1.00 M", "1.23 M", "45.0 G"];
        assert_eq!(counts.map(count), shown);
        assert_eq!(
            [0.0, 0.001, 0.5, 2.0, 14.25, 1234.6].map(rate),
            ["0", "~0", "0.50", "2", "14.2", "1,235"]
        );
        assert_eq!(
            [0, 1023, 1024, 1_048_576, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1.00 KiB", "1.00 MiB", "3.00 GiB"]
        );
        assert_eq!(signed(-1_234), "−1,234");
    }

    #[test]
    fn durations_show_two_units() {
        let shown = [0, 900, 1_500, 59_000, 60_000, 95_000, 3_600_000, 90_061_000];
        let want = ["0 ms", "900 ms", "1.5 s", "59 s", "1 min", "1 min 35 s", "1 h", "1 d 1 h"];
        assert_eq!(shown.map(duration), want);
        assert_eq!(duration(-5), "0 ms");
    }

    #[test]
    fn a_replay_is_not_whole_before_it_is() {
        let shown = [0.0, 0.000_02, 0.4321, 0.9999, 1.0].map(percent);
        assert_eq!(shown, ["0.0 %", "~0 %", "43.2 %", "99.9 %", "100 %"]);
    }

    #[test]
    fn times_agree_with_date() {
        // `date -u -d @N '+%F %T'`
        let moments = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696_000, "2000-02-29 12:34:56 UTC"),
            (1_735_689_599_999, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
            (-1_000, "1969-12-31 23:59:59 UTC"),
        ];
        for (ms, text) in moments {
            assert_eq!(time(ms), text);
        }
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(unbroken("5 <k in 3 s"), "5\u{a0}&lt;k in 3\u{a0}s");
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
