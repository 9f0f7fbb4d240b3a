//! What is said in `global` and may be said again in a job.

use std::num::NonZeroUsize;
use std::str::FromStr;

use weir_config::{Check, Size, Text};
use weir_model::Millis;

use crate::raw::Global;
use crate::{NameScheme, ScrapeLimits, ScrapeProtocol};

/// The values that a job has where it says nothing.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) interval: Millis,
    pub(super) timeout: Millis,
    pub(super) protocols: Option<Vec<ScrapeProtocol>>,
    pub(super) limits: ScrapeLimits,
    pub(super) target_limit: Option<NonZeroUsize>,
    pub(super) keep_dropped_targets: Option<NonZeroUsize>,
    pub(super) names: NameScheme,
    pub(super) escaping: Text,
    pub(super) native_histograms: bool,
    pub(super) classic_histograms: bool,
    pub(super) extra_metrics: bool,
}

impl Defaults {
    /// `global`, with its keys checked.
    pub(super) fn new(global: &Global, check: &mut Check<'_>) -> Self {
        let interval = interval("scrape_interval", &global.scrape_interval, MINUTE, check);
        // A short interval shortens the timeout where none is given.
        let timeout = TEN_SECONDS.min(interval);
        let timeout = self::interval("scrape_timeout", &global.scrape_timeout, timeout, check);
        if timeout > interval {
            let message = format!("{timeout} is greater than scrape_interval, {interval}");
            check.error("scrape_timeout", message);
        }
        convert_classic(&global.convert_classic_histograms_to_nhcb, check);
        Self {
            interval,
            timeout,
            protocols: global.scrape_protocols.as_ref().map(|names| protocols(names, check)),
            limits: ScrapeLimits {
                body_bytes: bytes("body_size_limit", &global.body_size_limit, None, check),
                samples: count("sample_limit", &global.sample_limit, None, check),
                labels: count("label_limit", &global.label_limit, None, check),
                label_name_bytes: count(
                    "label_name_length_limit",
                    &global.label_name_length_limit,
                    None,
                    check,
                ),
                label_value_bytes: count(
                    "label_value_length_limit",
                    &global.label_value_length_limit,
                    None,
                    check,
                ),
                ..ScrapeLimits::default()
            },
            target_limit: count("target_limit", &global.target_limit, None, check),
            keep_dropped_targets: count(
                "keep_dropped_targets",
                &global.keep_dropped_targets,
                None,
                check,
            ),
            names: names(&global.metric_name_validation_scheme, NameScheme::Utf8, check),
            escaping: global.metric_name_escaping_scheme.clone(),
            native_histograms: check.flag(
                "scrape_native_histograms",
                &global.scrape_native_histograms,
                false,
            ),
            classic_histograms: check.flag(
                "always_scrape_classic_histograms",
                &global.always_scrape_classic_histograms,
                false,
            ),
            extra_metrics: check.flag("extra_scrape_metrics", &global.extra_scrape_metrics, false),
        }
    }
}

/// An interval or timeout; 0 is the default, as in Prometheus.
pub(super) fn interval(key: &str, text: &Text, default: Millis, check: &mut Check<'_>) -> Millis {
    let interval = check.duration(key, text, default, Millis(0)..=YEAR);
    if interval == Millis(0) { default } else { interval }
}

/// How often something is looked at again.
pub(super) fn refresh(
    text: &Text,
    default_secs: i64,
    check: &mut Check<'_>,
) -> std::time::Duration {
    let (default, allowed) = (Millis::from_secs(default_secs), Millis::from_secs(1)..=YEAR);
    check.duration("refresh_interval", text, default, allowed).to_std()
}

/// A number for which 0 is the default, and none there is no limit.
pub(super) fn count(
    key: &str,
    text: &Text,
    default: Option<NonZeroUsize>,
    check: &mut Check<'_>,
) -> Option<NonZeroUsize> {
    let number = check.number(key, text, 0, 0..=i64::MAX as u64);
    NonZeroUsize::new(usize::try_from(number).unwrap_or(usize::MAX)).or(default)
}

/// The same in bytes.
pub(super) fn bytes(
    key: &str,
    text: &Text,
    default: Option<NonZeroUsize>,
    check: &mut Check<'_>,
) -> Option<NonZeroUsize> {
    let size = check.size(key, text, Size(0), Size(0)..=Size(i64::MAX as u64));
    NonZeroUsize::new(usize::try_from(size.0).unwrap_or(usize::MAX)).or(default)
}

/// A factor; 0 is none.
pub(super) fn factor(key: &str, text: &Text, check: &mut Check<'_>) -> f64 {
    let Some(text) = text else {
        return 0.0;
    };
    match f64::from_str(text) {
        Ok(factor) if factor == 0.0 || (factor > 1.0 && factor.is_finite()) => factor,
        _ => {
            check.error(key, format!("{text:?} is no growth factor; allowed is 0, or above 1"));
            0.0
        }
    }
}

/// `scrape_protocols`.
pub(super) fn protocols(names: &[String], check: &mut Check<'_>) -> Vec<ScrapeProtocol> {
    let mut protocols = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let key = format!("scrape_protocols[{index}]");
        match ScrapeProtocol::from_name(name) {
            None => {
                let all = ScrapeProtocol::ALL.map(ScrapeProtocol::name).join(", ");
                check.error(&key, format!("{name:?} is not one of {all}"));
            }
            Some(protocol) if protocols.contains(&protocol) => {
                check.error(&key, format!("{name:?} stands here twice"));
            }
            Some(protocol) => protocols.push(protocol),
        }
    }
    protocols
}

/// `metric_name_validation_scheme`.
pub(super) fn names(text: &Text, default: NameScheme, check: &mut Check<'_>) -> NameScheme {
    let schemes = [("utf8", NameScheme::Utf8), ("legacy", NameScheme::Legacy), ("", default)];
    check.choice("metric_name_validation_scheme", text, default, &schemes)
}

/// Not done here, and not silently left out.
pub(super) fn convert_classic(text: &Text, check: &mut Check<'_>) {
    let key = "convert_classic_histograms_to_nhcb";
    if check.flag(key, text, false) {
        check.error(key, "is not supported: classic histograms are forwarded as they are served");
    }
}

const MINUTE: Millis = Millis::from_secs(60);
const TEN_SECONDS: Millis = Millis::from_secs(10);
const YEAR: Millis = Millis::from_secs(366 * 86_400);
