//! Which pages' metadata is sent, and which family a series belongs to.
//!
//! Help texts are longer than samples, so they are not sent with each scrape as Prometheus sends
//! them in remote write 2.0, but with a target's first one, when they have changed, and every few
//! minutes. Kept are hashes alone, one for each line: a line that stood at the same place on the page
//! before, behind the same lines, is not read again.

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
#[derive(Clone, Debug, Default)]
pub(super) struct MetadataState {
    /// Of all metadata of the last page.
    hash: u64,
    /// The same up to each of its lines.
    lines: Vec<u64>,
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

    /// Begins a page at `time`; `is_known` says whether lines mean what they meant on the last one.
    pub(super) fn begin(&mut self, time: Timestamp, is_known: bool) -> PageMetadata {
        let mut lines = std::mem::take(&mut self.lines);
        if !is_known {
            lines.clear();
        }
        PageMetadata { is_due: self.is_due(time), lines, ..PageMetadata::default() }
    }

    /// A page at `time` was taken, with this metadata.
    pub(super) fn taken(&mut self, mut page: PageMetadata, time: Timestamp) {
        page.lines.truncate(page.lines_met);
        page.lines.shrink_to(2 * page.lines_met);
        (self.hash, self.lines) = (page.hash, page.lines);
        if page.is_due {
            self.sent = Some((page.hash, time));
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<u64>()
    }
}

/// Metadata of the page in hand.
#[derive(Debug, Default)]
pub(super) struct PageMetadata {
    /// Whether it is kept, to be sent.
    pub(super) is_due: bool,
    hash: u64,
    /// Hashes of the lines met here, and behind them those of the page before.
    lines: Vec<u64>,
    lines_met: usize,
}

impl PageMetadata {
    /// Notes a line of a text page; whether it need not be read.
    #[inline]
    pub(super) fn meet(&mut self, line: &[u8]) -> bool {
        self.hash = xxh3_64_with_seed(line, self.hash);
        let is_known = self.lines.get(self.lines_met) == Some(&self.hash);
        if !is_known {
            self.lines.truncate(self.lines_met);
            self.lines.push(self.hash);
        }
        self.lines_met += 1;
        is_known && !self.is_due
    }

    /// Takes what a line says, or another format's part.
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
        if self.lines_met > 0 {
            // Its lines are in the hash.
            return;
        }
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
        let page = |hash, is_due| PageMetadata { hash, is_due, ..PageMetadata::default() };
        state.taken(page(1, true), 1_000);
        assert!(!state.is_due(200_000) && state.is_due(301_000) && state.is_due(0));
        state.taken(page(2, false), 16_000);
        assert!(!state.is_due(60_999) && state.is_due(61_000));
        state.taken(page(2, true), 61_000);
        assert!(!state.is_due(122_000));
    }
}
