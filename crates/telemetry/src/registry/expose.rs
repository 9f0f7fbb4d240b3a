//! A scrape as text: Prometheus's exposition format 0.0.4, or OpenMetrics 1.0.
//!
//! Sources: the "Text format details" of Prometheus's documentation, and the OpenMetrics 1.0
//! specification, whose canonical numbers `le` follows. They differ in the family name of counters
//! (`_total`), in `le="1"` against `le="1.0"`, in escaped quotes in help, and in the closing
//! `# EOF`. It deliberately writes no timestamps, exemplars, units or `_created`.

use std::fmt::Write as _;

use super::family::Labels;
use super::{Kind, Scrape, ScrapedFamily, Value};

/// An exposition format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl ExpositionFormat {
    /// The format that an `Accept` header prefers; text where it says nothing that is known.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut best = (0.0, Self::Text);
        for item in accept.unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0, "");
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = value.trim().trim_matches('"'),
                    _ => {}
                }
            }
            let format = match media.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" if matches!(version, "" | "1.0.0") => {
                    Self::OpenMetrics
                }
                "text/plain" | "text/*" | "*/*" if matches!(version, "" | "0.0.4") => Self::Text,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    /// The `Content-Type` of this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn encode(scrape: Scrape, format: ExpositionFormat) -> String {
    let mut out = String::new();
    for (name, mut family) in scrape.families {
        if family.samples.is_empty() {
            continue;
        }
        family.samples.sort_by(|(a, _), (b, _)| a.cmp(b));
        // A collector that says a series twice must not spoil the scrape.
        family.samples.dedup_by(|(a, _), (b, _)| a == b);
        encode_family(&mut out, &name, &family, format);
    }
    if format == ExpositionFormat::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn encode_family(out: &mut String, name: &str, family: &ScrapedFamily, format: ExpositionFormat) {
    let (suffix, kind) = match family.kind {
        Kind::Counter => ("_total", "counter"),
        Kind::Gauge => ("", "gauge"),
        Kind::Histogram => ("", "histogram"),
        Kind::Summary => ("", "summary"),
    };
    let family_suffix = if format == ExpositionFormat::Text { suffix } else { "" };
    if !family.help.is_empty() {
        push(out, &["# HELP ", name, family_suffix, " "]);
        escape(out, &family.help, format == ExpositionFormat::OpenMetrics);
        out.push('\n');
    }
    push(out, &["# TYPE ", name, family_suffix, " ", kind, "\n"]);
    for (labels, value) in &family.samples {
        match value {
            Value::Integer(value) => {
                sample(out, &[name, suffix], labels, None, &value.to_string());
            }
            Value::Summary { count, sum } => {
                sample(out, &[name, "_sum"], labels, None, &number(*sum));
                sample(out, &[name, "_count"], labels, None, &count.to_string());
            }
            Value::Float(value) => sample(out, &[name, suffix], labels, None, &number(*value)),
            Value::Histogram(histogram) => {
                let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
                for (bound, count) in bounds.zip(&histogram.buckets) {
                    let bound = le(bound, format);
                    sample(out, &[name, "_bucket"], labels, Some(&bound), &count.to_string());
                }
                let count = histogram.buckets.last().copied().unwrap_or(0);
                sample(out, &[name, "_sum"], labels, None, &number(histogram.sum));
                sample(out, &[name, "_count"], labels, None, &count.to_string());
            }
        }
    }
}

fn sample(out: &mut String, name: &[&str], labels: &Labels, le: Option<&str>, value: &str) {
    push(out, name);
    let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut separator = '{';
    for (name, value) in labels.chain(le.map(|bound| ("le", bound))) {
        out.push(separator);
        push(out, &[name, "=\""]);
        escape(out, value, true);
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    push(out, &[" ", value, "\n"]);
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// A sample's value; whole numbers without an exponent, for the reader's sake.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value}") } else { go_g(value) }
}

fn le(bound: f64, format: ExpositionFormat) -> String {
    let mut text = go_g(bound);
    let whole = !text.contains(['.', 'e', 'I', 'N']);
    if format == ExpositionFormat::OpenMetrics && whole {
        text.push_str(".0");
    }
    text
}

/// The shortest digits that read back as `value`, laid out as Go's `%g` does: that is what other
/// exporters write, and `le` is part of a series' identity.
fn go_g(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..GO_EXPONENT_MIN).contains(&exponent) {
        return format!("{value}");
    }
    let mut text = digits.to_owned();
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing into a String does not fail.
    write!(text, "e{sign}{:02}", exponent.abs()).unwrap_or_default();
    text
}

/// From this decimal exponent on, `strconv.FormatFloat(f, 'g', -1, 64)` writes an exponent.
const GO_EXPONENT_MIN: i32 = 6;
