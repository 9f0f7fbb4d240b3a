//! What lanes carry: the series of one frame that share a lane, ready to be encoded.
//!
//! Invariant: a unit's series keep the order of their frame, and the buckets of one classic
//! histogram stand together in one unit. Values keep their bits.

use std::borrow::Cow;
use std::sync::Arc;

use weir_model::labels::METRIC_NAME;
use weir_model::{Exemplar, Labels, Metadata, NativeHistogram, Sample, varint};
use xxhash_rust::xxh3::Xxh3Default;

use crate::packed::{ALONE_SAMPLES_MIN, OpenError, Packed};

/// One series and what is to be sent of it.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its labels, after relabelling.
    pub labels: Labels,
    /// Float samples in the order of time.
    pub samples: Vec<Sample>,
    /// Native histograms in the order of time.
    pub histograms: Vec<NativeHistogram>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar>,
    /// Type, help and unit.
    pub metadata: Option<Metadata>,
}

impl Series {
    /// Samples of both kinds.
    pub fn sample_count(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// About as many bytes as it takes in memory and, uncompressed, on the wire.
    pub fn size(&self) -> usize {
        let buckets = |h: &NativeHistogram| 8 * (h.positive.len() + h.negative.len());
        let histograms: usize = self.histograms.iter().map(|h| 96 + buckets(h)).sum();
        let metadata = self.metadata.as_ref().map_or(0, |m| m.help.len() + 32);
        self.labels.canonical().len()
            + 20 * self.samples.len()
            + histograms
            + 64 * self.exemplars.len()
            + metadata
    }
}

/// Series of one frame that travel together.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Position of the frame in the queue.
    pub position: u64,
    /// Whose samples they are.
    pub tenant: Arc<str>,
    /// Whether the frame was in the queue when the sender started, or replay wrote it: it may be
    /// older than what the backend has, and must not share a 1.0 request with fresh ones.
    pub recovered: bool,
    /// Whether the backend may have it already, because of an earlier send.
    pub maybe_stored: bool,
    /// The series; none while it is packed.
    pub series: Vec<Series>,
    /// The whole frame's body in place of the series, not opened yet.
    pub packed: Option<Packed>,
}

impl Unit {
    /// Samples of both kinds.
    pub fn sample_count(&self) -> usize {
        let series = self.series.iter().map(Series::sample_count).sum();
        self.packed.as_ref().map_or(series, |packed| packed.samples)
    }

    /// Bytes on the wire before compression, about; see [`Series::size`].
    pub fn size(&self) -> usize {
        let series = self.series.iter().map(Series::size).sum();
        self.packed.as_ref().map_or(series, |packed| packed.plain_bytes)
    }

    /// Bytes that it takes in memory, about.
    pub fn held_bytes(&self) -> usize {
        self.packed.as_ref().map_or_else(|| self.size(), |packed| packed.body.len())
    }

    /// Whether it is worth a request of its own, so that its body can be sent as it stands.
    pub fn goes_alone(&self) -> bool {
        self.packed.as_ref().is_some_and(|packed| packed.samples >= ALONE_SAMPLES_MIN)
    }

    /// Its series, out of the packed body where it has one.
    pub fn opened(&self) -> Result<Cow<'_, [Series]>, OpenError> {
        match &self.packed {
            Some(packed) => packed.open().map(Cow::Owned),
            None => Ok(Cow::Borrowed(&self.series)),
        }
    }
}

/// The number of ordered lanes into which all series fall.
pub const LANES: usize = 256;

/// The hash that decides a series' lane: all its labels less `le`, and the name less what a
/// classic histogram appends to it, so that a histogram's series share a lane.
pub fn group_hash(labels: &Labels) -> u64 {
    let mut hasher = Xxh3Default::new();
    let mut prefix = Vec::with_capacity(4);
    for label in labels.iter().filter(|l| l.name != "le") {
        let value = if label.name == METRIC_NAME { base_name(label.value) } else { label.value };
        for text in [label.name, value] {
            prefix.clear();
            varint::write(text.len() as u64, &mut prefix);
            hasher.update(&prefix);
            hasher.update(text.as_bytes());
        }
    }
    hasher.digest()
}

fn base_name(name: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .into_iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

/// How a frame is cut into units.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// What decides the lane, where it is not each series' labels; see
    /// [`FrameHeader::lane`](crate::FrameHeader::lane).
    pub lane: Option<u64>,
    /// Whether a histogram must never be cut; otherwise it is where it alone is too large.
    pub atomic: bool,
    /// Samples of a unit.
    pub samples_max: usize,
}

/// The lane of this key.
pub fn into_lane(key: u64) -> usize {
    (key % LANES as u64) as usize
}

/// Sorts a frame's series into units, with their lanes.
pub fn into_units(series: Vec<Series>, template: &Unit, how: Cut) -> Vec<(usize, Unit)> {
    let Cut { lane, atomic, samples_max } = how;
    let mut keyed: Vec<(usize, u64, Series)> = series
        .into_iter()
        .map(|s| {
            let hash = group_hash(&s.labels);
            (into_lane(lane.unwrap_or(hash)), hash, s)
        })
        .collect();
    keyed.sort_by_key(|&(lane, hash, _)| (lane, hash));
    let mut units: Vec<(usize, Unit)> = Vec::new();
    let mut held = 0;
    let mut rest = keyed.into_iter().peekable();
    while let Some((lane, hash, first)) = rest.next() {
        let mut group = vec![first];
        while let Some((_, _, next)) = rest.next_if(|&(_, h, _)| h == hash) {
            group.push(next);
        }
        let count: usize = group.iter().map(Series::sample_count).sum();
        let parts: Vec<Vec<Series>> = if !atomic && count > samples_max {
            group.into_iter().map(|s| vec![s]).collect()
        } else {
            vec![group]
        };
        for part in parts {
            let count: usize = part.iter().map(Series::sample_count).sum();
            let unit = units.last_mut().filter(|(l, _)| *l == lane && held + count <= samples_max);
            if let Some((_, unit)) = unit {
                unit.series.extend(part);
                held += count;
            } else {
                let unit = Unit { series: part, ..template.clone() };
                units.push((lane, unit));
                held = count;
            }
        }
    }
    units
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use weir_model::Label;

    pub(crate) fn labels(name: &str, pairs: &[(&str, &str)]) -> Labels {
        let name = [Label::new(METRIC_NAME, name)];
        let pairs = pairs.iter().map(|&(n, v)| Label::new(n, v));
        Labels::from_pairs(name.into_iter().chain(pairs)).unwrap()
    }

    pub(crate) fn series(name: &str, timestamps: &[i64]) -> Series {
        let samples = timestamps.iter().map(|&t| Sample::new(t, t as f64));
        Series { labels: labels(name, &[]), samples: samples.collect(), ..Series::default() }
    }

    pub(crate) fn unit(position: u64, series: Vec<Series>) -> Unit {
        Unit {
            position,
            tenant: "t".into(),
            recovered: false,
            maybe_stored: false,
            series,
            packed: None,
        }
    }

    #[test]
    fn a_histogram_has_one_lane_and_other_labels_another_group() {
        let hash = |name: &str, pairs: &[(&str, &str)]| group_hash(&labels(name, pairs));
        let bucket = hash("h_bucket", &[("a", "1"), ("le", "0.5")]);
        assert_eq!(bucket, hash("h_bucket", &[("a", "1"), ("le", "+Inf")]));
        assert_eq!(bucket, hash("h_sum", &[("a", "1")]));
        assert_eq!(bucket, hash("h_count", &[("a", "1")]));
        assert_ne!(bucket, hash("h_count", &[("a", "2")]));
        assert_ne!(bucket, hash("i_count", &[("a", "1")]));
    }

    fn cut(atomic: bool, samples_max: usize) -> Cut {
        Cut { lane: None, atomic, samples_max }
    }

    #[test]
    fn units_are_cut_between_histograms_only() {
        let mut all = Vec::new();
        for host in 0..40 {
            for le in 0..5 {
                let host = host.to_string();
                all.push(Series {
                    labels: labels("h_bucket", &[("host", &host), ("le", &le.to_string())]),
                    samples: vec![Sample::new(1, 1.0)],
                    ..Series::default()
                });
            }
        }
        let units = into_units(all.clone(), &unit(7, vec![]), cut(true, 3));
        assert_eq!(units.len(), 40);
        for (lane, unit) in &units {
            assert_eq!(unit.series.len(), 5);
            let hash = group_hash(&unit.series[0].labels);
            assert!(unit.series.iter().all(|s| group_hash(&s.labels) == hash));
            assert_eq!(*lane, (hash % 256) as usize);
        }
        let loose = into_units(all.clone(), &unit(7, vec![]), cut(false, 3));
        assert!(loose.iter().all(|(_, u)| u.sample_count() <= 3));
        let wide = into_units(all.clone(), &unit(7, vec![]), cut(true, 1000));
        let count: usize = wide.iter().map(|(_, u)| u.sample_count()).sum();
        assert!(wide.len() < 40 && count == 200);
        let one_lane = Cut { lane: Some(513), ..cut(true, 3) };
        let units = into_units(all, &unit(7, vec![]), one_lane);
        assert!(units.len() == 40 && units.iter().all(|&(lane, _)| lane == 1));
    }
}
