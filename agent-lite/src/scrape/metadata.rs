//! Which pages' metadata is sent, and which family a series belongs to.
//!
//! Help texts are longer than samples, so they are not sent with each scrape as Prometheus sends
//! them in remote write 2.0, but with a target's first one, when they have changed, and every few
//! minutes. Kept is a hash of them alone.

use std::borrow::Cow;

use weir_model::{MetricType, Timestamp};
use weir_wire::exposition::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::rows::Family;

/// How often metadata that has not changed is sent again.
const REPEAT_MS: i64 = 5 * 60_000;

/// How often metadata that changes all the time is sent.
const CHANGED_MS: i64 = 60_000;

/// What is known of a target's metadata.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MetadataState {
    /// Of all metadata of the last page.
    hash: u64,
    /// The same when it was sent last, and when that was.
    sent: Option<(u64, Timestamp)>,
}

impl MetadataState {
    /// Whether a page at `time` is one of those whose metadata is sent.
    pub(super) fn is_due(&self, time: Timestamp) -> bool {
        self.sent.is_none_or(|(hash, sent)| {
            let after = if hash == self.hash { REPEAT_MS } else { CHANGED_MS };
            // A clock that was set back must not put it off.
            !(0..after).contains(&(time - sent))
        })
    }

    /// A page was taken whose metadata has this hash; `sent` says whether it was sent.
    pub(super) fn taken(&mut self, hash: u64, time: Timestamp, sent: bool) {
        self.hash = hash;
        if sent {
            self.sent = Some((hash, time));
        }
    }
}

/// Metadata of the page in hand.
#[derive(Debug, Default)]
pub(super) struct PageMetadata {
    /// Whether it is kept, to be sent.
    pub(super) is_due: bool,
    pub(super) hash: u64,
}

impl PageMetadata {
    /// Takes a line of metadata.
    pub(super) fn take(&mut self, entry: Entry<'_>, families: &mut Vec<Family>) {
        match entry {
            Entry::Type { family, kind } => {
                self.add(1 + kind as u64, &family, "");
                self.with(family, families, |f| f.kind = kind);
            }
            Entry::Help { family, text } => {
                self.add(100, &family, &text);
                self.with(family, families, |f| f.help = text.into_owned());
            }
            Entry::Unit { family, unit } => {
                self.add(101, &family, &unit);
                self.with(family, families, |f| f.unit = unit.into_owned());
            }
            _ => {}
        }
    }

    fn add(&mut self, what: u64, family: &str, text: &str) {
        let seed = xxh3_64_with_seed(family.as_bytes(), self.hash ^ what);
        self.hash = xxh3_64_with_seed(text.as_bytes(), seed);
    }

    fn with(
        &self,
        name: Cow<'_, str>,
        families: &mut Vec<Family>,
        change: impl FnOnce(&mut Family),
    ) {
        if !self.is_due {
            return;
        }
        if families.last().is_none_or(|f| f.name != name) {
            families.push(Family {
                name: name.into_owned(),
                kind: MetricType::Unknown,
                help: String::new(),
                unit: String::new(),
            });
        }
        if let Some(family) = families.last_mut() {
            change(family);
        }
    }
}

/// Whether a series of this name is one of the family: Prometheus's `isSeriesPartOfFamily`, which
/// catches series that follow another family's lines.
pub(super) fn belongs(series: &str, family: &Family) -> bool {
    let (suffixes, own_suffix): (&[&str], &str) = match family.kind {
        MetricType::Counter => (&["_total"], "_total"),
        MetricType::Histogram => (&["_bucket", "_sum", "_count"], ""),
        MetricType::GaugeHistogram => (&["_bucket", "_gsum", "_gcount"], ""),
        MetricType::Summary => (&["_sum", "_count"], ""),
        MetricType::Info => (&["_info"], "_info"),
        _ => (&[], ""),
    };
    let stem = |name| suffixes.iter().find_map(|s| str::strip_suffix(name, s)).unwrap_or(name);
    let name = family.name.as_str();
    let name = name.strip_suffix(own_suffix).unwrap_or(name);
    series.starts_with(&family.name) && stem(series) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_suffixes() {
        use MetricType::{Counter, GaugeHistogram, Histogram, Info, Summary, Unknown};
        let is = |series, name: &str, kind| {
            let (help, unit) = (String::new(), String::new());
            belongs(series, &Family { name: name.into(), kind, help, unit })
        };
        // Both ways of naming a counter's family: text 0.0.4 and OpenMetrics.
        assert!(is("a_total", "a_total", Counter) && is("a_total", "a", Counter));
        assert!(is("h_bucket", "h", Histogram) && is("h_sum", "h", Histogram));
        assert!(!is("h_gsum", "h", Histogram) && is("h_gsum", "h", GaugeHistogram));
        assert!(is("s", "s", Summary) && is("s_count", "s", Summary));
        assert!(is("build_info", "build", Info) && is("build_info", "build_info", Info));
        assert!(is("u", "u", Unknown) && !is("u_sum", "u", Unknown) && !is("v", "u", Unknown));
    }

    #[test]
    fn metadata_is_sent_at_first_when_it_changes_and_now_and_then() {
        let mut state = MetadataState::default();
        assert!(state.is_due(0));
        state.taken(1, 1_000, true);
        assert!(!state.is_due(200_000) && state.is_due(301_000) && state.is_due(0));
        state.taken(2, 16_000, false);
        assert!(!state.is_due(60_999) && state.is_due(61_000));
        state.taken(2, 61_000, true);
        assert!(!state.is_due(122_000));
    }
}
