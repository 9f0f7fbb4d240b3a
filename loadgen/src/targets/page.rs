//! One target's page, as text or OpenMetrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::workload::Workload;

/// A format of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// What a scraper prefers: the first of both in `Accept`, which scrapers order by preference.
    pub(super) fn accepted(accept: &str) -> Self {
        let first = accept.split(',').map(str::trim).find_map(|range| {
            if range.starts_with("application/openmetrics-text") {
                Some(Self::OpenMetrics)
            } else {
                range.starts_with("text/plain").then_some(Self::Text)
            }
        });
        first.unwrap_or(Self::Text)
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A family's type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The page of a target at a time. Only the series' own labels stand on it: the scraper adds the
/// target's.
pub(super) fn write(workload: &Workload, target: u64, time: i64, format: Format) -> String {
    let specs = workload.specs();
    let values = workload.page(target, time);
    let mut families: BTreeMap<&str, (Kind, String)> = BTreeMap::new();
    for (spec, value) in specs.iter().zip(values) {
        let Some(value) = value else { continue };
        let (family, kind) = family(&spec.name);
        let (_, lines) = families.entry(family).or_insert_with(|| (kind, String::new()));
        lines.push_str(&spec.name);
        for (number, (name, text)) in spec.labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            // A string takes all that is written to it.
            write!(lines, "{before}{name}=\"{text}\"").ok();
        }
        let close = if spec.labels.is_empty() { "" } else { "}" };
        writeln!(lines, "{close} {value}").ok();
    }
    let mut page = String::new();
    for (family, (kind, lines)) in &families {
        let name = match (format, kind) {
            (Format::OpenMetrics, Kind::Counter) => family.trim_end_matches("_total"),
            _ => family,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        write!(page, "# HELP {name} What {name} says.\n# TYPE {name} {kind}\n{lines}").ok();
    }
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

fn family(name: &str) -> (&str, Kind) {
    for end in ["_bucket", "_sum", "_count"] {
        if let Some(family) = name.strip_suffix(end) {
            return (family, Kind::Histogram);
        }
    }
    if name.ends_with("_total") { (name, Kind::Counter) } else { (name, Kind::Gauge) }
}
