//! `limits`: what tenants may do, and what a series may look like.
//!
//! Invariant: an entry of `limits.tenants` is complete; what it leaves out stands as in
//! `limits.defaults`. What a series may look like is one decision for all tenants, because it is
//! part of the log's decisions, so it stands in `limits.defaults` alone.

use weir_aggregate::decisions::SeriesLimits;
use weir_config::{Check, Text};

use crate::config::raw;
use crate::config::{Limits, TenantLimits};

pub(super) fn limits(raw: raw::Limits, check: &mut Check<'_>) -> (Limits, SeriesLimits) {
    let at = "limits.defaults";
    let written = raw.defaults.unwrap_or_default();
    let defaults = tenant(at, &written, TenantLimits::default(), check);
    let series = series(at, &written, check);
    let mut limits = Limits { defaults, ..Limits::default() };
    for (name, written) in raw.tenants.unwrap_or_default() {
        let at = format!("limits.tenants.{name}");
        let written = written.unwrap_or_default();
        limits.tenants.insert(name, tenant(&at, &written, defaults, check));
        let shape = [
            ("labels_per_series", &written.labels_per_series),
            ("label_name_length", &written.label_name_length),
            ("label_value_length", &written.label_value_length),
        ];
        for (key, _) in shape.into_iter().filter(|(_, text)| text.is_some()) {
            let message = format!("counts for all tenants; set it as limits.defaults.{key}");
            check.error(&format!("{at}.{key}"), message);
        }
    }
    (limits, series)
}

fn tenant(
    at: &str,
    raw: &raw::TenantLimits,
    default: TenantLimits,
    check: &mut Check<'_>,
) -> TenantLimits {
    let mut limit = |key: &str, text: &Text, default: Option<u64>| {
        let number =
            check.number(&format!("{at}.{key}"), text, default.unwrap_or(0), 0..=LIMIT_MAX);
        (number > 0).then_some(number)
    };
    TenantLimits {
        max_series: limit("max_series", &raw.max_series, default.max_series),
        new_series_per_second: limit(
            "new_series_per_second",
            &raw.new_series_per_second,
            default.new_series_per_second,
        ),
        samples_per_second: limit(
            "samples_per_second",
            &raw.samples_per_second,
            default.samples_per_second,
        ),
        status_over_limit: check.choice(
            &format!("{at}.status_over_limit"),
            &raw.status_over_limit,
            default.status_over_limit,
            &[("429", 429), ("503", 503)],
        ),
    }
}

fn series(at: &str, raw: &raw::TenantLimits, check: &mut Check<'_>) -> SeriesLimits {
    let default = SeriesLimits::default();
    let mut bound = |key: &str, text: &Text, default: usize, max: u64| {
        let number = check.number(&format!("{at}.{key}"), text, default as u64, 1..=max);
        usize::try_from(number).unwrap_or(default)
    };
    SeriesLimits {
        labels: bound("labels_per_series", &raw.labels_per_series, default.labels, 1024),
        name_bytes: bound("label_name_length", &raw.label_name_length, default.name_bytes, 65_535),
        value_bytes: bound(
            "label_value_length",
            &raw.label_value_length,
            default.value_bytes,
            65_535,
        ),
    }
}

/// Far past what a node can hold; it keeps arithmetic with limits safe.
const LIMIT_MAX: u64 = 1_000_000_000_000;
