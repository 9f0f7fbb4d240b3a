//! Writes exposition formats: text 0.0.4 and OpenMetrics 1.0, with timestamps.
//!
//! Floats are written as Prometheus writes them (Go's shortest `%g`), names that are not of the
//! old alphabet are quoted. Stale markers are left out, for absence says it; native histograms
//! cannot be said in either format, and are counted. Does not parse.

use std::fmt::Write as _;

use weir_model::labels::METRIC_NAME;
use weir_model::{Label, MetricType, NativeHistogram, Sample, is_stale};

/// Which exposition format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What an `Accept` header prefers; text where it does not ask for OpenMetrics.
    pub fn from_accept(accept: &str) -> Self {
        let (mut best, mut best_weight) = (Self::Text, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain") => Self::Text,
                _ => continue,
            };
            let weight =
                parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if weight > best_weight {
                (best, best_weight) = (format, weight);
            }
        }
        best
    }
}

/// A page under construction. All series of a family must come one after the other.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    page: String,
    skipped_histograms: u64,
}

impl Writer {
    /// An empty page.
    pub fn new(format: Format) -> Self {
        Self { format, page: String::new(), skipped_histograms: 0 }
    }

    /// Begins a family: its help, unless empty, and its type.
    pub fn family(&mut self, name: &str, kind: MetricType, help: &str) {
        let (name, kind) = match self.format {
            Format::Text => (name, text_type(kind)),
            Format::OpenMetrics => openmetrics_type(name, kind),
        };
        if !help.is_empty() {
            self.page.push_str("# HELP ");
            push_name(&mut self.page, name);
            self.page.push(' ');
            push_escaped(&mut self.page, help, self.format == Format::OpenMetrics);
            self.page.push('\n');
        }
        self.page.push_str("# TYPE ");
        push_name(&mut self.page, name);
        self.page.push(' ');
        self.page.push_str(kind);
        self.page.push('\n');
    }

    /// Adds a series: one line for each float sample.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = Label<'a>> + Clone,
        samples: &[Sample],
        histograms: &[NativeHistogram],
    ) {
        self.skipped_histograms += histograms.len() as u64;
        for sample in samples.iter().filter(|s| !is_stale(s.value)) {
            push_series(&mut self.page, labels.clone());
            self.page.push(' ');
            match self.format {
                Format::Text => push_float(&mut self.page, sample.value),
                Format::OpenMetrics => push_openmetrics_float(&mut self.page, sample.value),
            }
            self.page.push(' ');
            push_timestamp(&mut self.page, sample.timestamp, self.format);
            self.page.push('\n');
        }
    }

    /// Native histograms that were left out.
    pub fn skipped_histograms(&self) -> u64 {
        self.skipped_histograms
    }

    /// The page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.page.push_str("# EOF\n");
        }
        self.page
    }
}

fn text_type(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::Summary => "summary",
        _ => "untyped",
    }
}

/// A family's name and type in OpenMetrics, where a counter's samples, not the counter, end in
/// `_total`; one that does not has no type.
fn openmetrics_type(name: &str, kind: MetricType) -> (&str, &'static str) {
    let kind = match kind {
        MetricType::Counter => {
            return name
                .strip_suffix("_total")
                .map_or((name, "unknown"), |family| (family, "counter"));
        }
        MetricType::Unknown => "unknown",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::GaugeHistogram => "gaugehistogram",
        MetricType::Summary => "summary",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
    };
    (name, kind)
}

/// `name{a="b"}`, or `{"a name",a="b"}` where the name needs quotes.
fn push_series<'a>(page: &mut String, labels: impl Iterator<Item = Label<'a>> + Clone) {
    let name = labels.clone().find(|l| l.name == METRIC_NAME).map_or("", |l| l.value);
    let plain = is_plain(name, true);
    let mut before = "{";
    if plain {
        page.push_str(name);
    } else if !name.is_empty() {
        page.push('{');
        push_quoted(page, name);
        before = ",";
    }
    for label in labels.filter(|l| l.name != METRIC_NAME) {
        page.push_str(before);
        before = ",";
        if is_plain(label.name, false) {
            page.push_str(label.name);
        } else {
            push_quoted(page, label.name);
        }
        page.push('=');
        push_quoted(page, label.value);
    }
    if before == "," {
        page.push('}');
    } else if !plain {
        page.push_str("{}");
    }
}

fn push_name(page: &mut String, name: &str) {
    if is_plain(name, true) {
        page.push_str(name);
    } else {
        push_quoted(page, name);
    }
}

/// Whether a name needs no quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`, colons for metrics only.
fn is_plain(name: &str, colon: bool) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':');
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(ok)
}

fn push_quoted(page: &mut String, text: &str) {
    page.push('"');
    push_escaped(page, text, true);
    page.push('"');
}

fn push_escaped(page: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => page.push_str("\\\\"),
            '\n' => page.push_str("\\n"),
            '"' if quotes => page.push_str("\\\""),
            c => page.push(c),
        }
    }
}

fn push_timestamp(page: &mut String, timestamp: i64, format: Format) {
    // Writing to a string cannot fail.
    let written = match format {
        Format::Text => write!(page, "{timestamp}"),
        Format::OpenMetrics => {
            let sign = if timestamp < 0 { "-" } else { "" };
            let ms = timestamp.unsigned_abs();
            write!(page, "{sign}{}.{:03}", ms / 1000, ms % 1000)
        }
    };
    debug_assert!(written.is_ok());
}

/// Appends a float as Prometheus's text format has it: Go's `strconv.FormatFloat(v, 'g', -1, 64)`.
pub fn push_float(page: &mut String, value: f64) {
    if value.is_nan() {
        return page.push_str("NaN");
    }
    if value.is_infinite() {
        return page.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    // Rust's `e` format has the same shortest digits; only the layout is Go's own.
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go's %g turns to an exponent below 1e-4 and, at shortest precision, from 1e6 on.
    let written = if (-4..6).contains(&exponent) {
        write!(page, "{value}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(page, "{digits}e{sign}{:02}", exponent.abs())
    };
    debug_assert!(written.is_ok());
}

/// As [`push_float`], but a whole number has a point: `1.0`.
pub(crate) fn push_openmetrics_float(page: &mut String, value: f64) {
    let start = page.len();
    push_float(page, value);
    if value.is_finite() && !page[start..].contains(['.', 'e']) {
        page.push_str(".0");
    }
}

#[cfg(test)]
mod tests;
