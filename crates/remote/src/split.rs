//! Finding the poisoned sample: a refused piece is halved until the culprit stands alone.
//!
//! Invariant: the halves of a piece hold exactly what the piece held, and whatever stood before
//! something else of its series still does; the left half is sent first. One culprit among n
//! samples costs about 2·log2(n) requests. [`budget`] bounds a search that finds nothing good: past
//! it a refused piece is set aside as it stands, because a backend that refuses everything (a wrong
//! external label, an outage longer than its out-of-order window) would otherwise cost two requests
//! a sample. Whatever the backend takes, or says that it has already, renews the budget: nothing
//! good is set aside for standing among many culprits or repeats.
//!
//! A packed unit is opened here; one that cannot be is a culprit as a whole.
//!
//! A histogram that is atomic otherwise is cut here as a last resort: a part of it is refused.

use crate::unit::{Series, Unit};

/// Culprits that are found one after the other in a batch before the search gives up.
const CULPRITS_MAX: u32 = 16;

/// How many halvings a batch of so many samples may cost with nothing taken in between.
pub fn budget(samples: usize) -> u32 {
    CULPRITS_MAX * (samples.max(1).ilog2() + 2)
}

/// What halving gives.
#[derive(Debug)]
pub enum Halves {
    /// Two pieces, in this order.
    Two(Vec<Unit>, Vec<Unit>),
    /// The one sample, less the exemplars and metadata that went with it: these may be to blame.
    Stripped(Vec<Unit>),
    /// Nothing smaller than this.
    Culprit(Vec<Unit>),
}

/// Halves a piece by samples: between units, else between series, else between samples.
pub fn halve(mut piece: Vec<Unit>) -> Halves {
    if piece.len() > 1 {
        let at = middle(piece.iter().map(Unit::sample_count));
        let right = piece.split_off(at);
        return Halves::Two(piece, right);
    }
    let Some(mut unit) = piece.pop() else {
        return Halves::Culprit(piece);
    };
    if let Some(packed) = &unit.packed {
        match packed.open() {
            Ok(series) => unit = Unit { series, packed: None, ..unit },
            Err(_) => return Halves::Culprit(vec![unit]),
        }
    }
    if unit.series.len() > 1 {
        let at = middle(unit.series.iter().map(Series::sample_count));
        let right = unit.series.split_off(at);
        let right = Unit { series: right, ..clone_head(&unit) };
        return Halves::Two(vec![unit], vec![right]);
    }
    let Some(series) = unit.series.pop() else {
        return Halves::Culprit(vec![unit]);
    };
    let head = clone_head(&unit);
    let one = |series| vec![Unit { series: vec![series], ..clone_head(&head) }];
    if series.sample_count() > 1 {
        let (left, right) = halve_samples(series);
        return Halves::Two(one(left), one(right));
    }
    let has_company = !series.exemplars.is_empty() || series.metadata.is_some();
    if has_company && series.sample_count() == 1 {
        return Halves::Stripped(one(Series { exemplars: Vec::new(), metadata: None, ..series }));
    }
    Halves::Culprit(one(series))
}

fn clone_head(unit: &Unit) -> Unit {
    Unit {
        position: unit.position,
        tenant: unit.tenant.clone(),
        recovered: unit.recovered,
        maybe_stored: unit.maybe_stored,
        series: Vec::new(),
        packed: None,
    }
}

/// The place that comes nearest to half of the samples, with something on both sides.
fn middle(counts: impl Iterator<Item = usize> + Clone) -> usize {
    let total: usize = counts.clone().sum();
    let len = counts.clone().count();
    let mut before = 0;
    for (at, count) in counts.enumerate() {
        if before * 2 >= total && at > 0 {
            return at;
        }
        before += count;
    }
    (len / 2).max(1)
}

/// Cuts a series with at least two samples; exemplars and metadata stay with the left part.
fn halve_samples(mut series: Series) -> (Series, Series) {
    let mut right = Series { labels: series.labels.clone(), ..Series::default() };
    if series.histograms.is_empty() {
        right.samples = series.samples.split_off(series.samples.len() / 2);
    } else if series.samples.is_empty() {
        right.histograms = series.histograms.split_off(series.histograms.len() / 2);
    } else {
        // Both kinds in one series: cut at a time, so that neither overtakes the other.
        let times = series.samples.iter().map(|s| s.timestamp);
        let mut times: Vec<i64> =
            times.chain(series.histograms.iter().map(|h| h.timestamp)).collect();
        times.sort_unstable();
        let cut = times.get(times.len() / 2).copied().unwrap_or_default();
        let floats = series.samples.partition_point(|s| s.timestamp < cut);
        let histograms = series.histograms.partition_point(|h| h.timestamp < cut);
        if floats + histograms == 0 {
            right.histograms = std::mem::take(&mut series.histograms);
        } else {
            right.samples = series.samples.split_off(floats);
            right.histograms = series.histograms.split_off(histograms);
        }
    }
    (series, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::tests::{series, unit};
    use proptest::prelude::*;
    use weir_model::{Exemplar, NativeHistogram};

    /// Samples as (series, timestamp), in order.
    type Content = Vec<(String, i64)>;

    fn content(piece: &[Unit]) -> Content {
        let all = piece.iter().flat_map(|u| &u.series);
        all.flat_map(|s| s.samples.iter().map(|x| (s.labels.to_string(), x.timestamp))).collect()
    }

    /// A backend that refuses any request with a poisoned sample and stores the others.
    fn search(
        piece: Vec<Unit>,
        poison: &dyn Fn(&(String, i64)) -> bool,
    ) -> (Content, Content, u32) {
        let (mut stored, mut culprits, mut requests) = (Vec::new(), Vec::new(), 0);
        let mut pieces = vec![piece];
        while let Some(piece) = pieces.pop() {
            requests += 1;
            if !content(&piece).iter().any(poison) {
                stored.extend(content(&piece));
                continue;
            }
            match halve(piece) {
                Halves::Two(left, right) => pieces.extend([right, left]),
                Halves::Stripped(piece) => pieces.push(piece),
                Halves::Culprit(piece) => culprits.extend(content(&piece)),
            }
        }
        (stored, culprits, requests)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn exactly_the_culprits_are_found_and_order_stays(
            shape in prop::collection::vec(prop::collection::vec(1usize..5, 1..6), 1..30),
            seed in any::<u64>(), share in 2u64..60,
        ) {
            let mut clock = 0;
            let piece: Vec<Unit> = shape.iter().enumerate().map(|(position, counts)| {
                let all = counts.iter().enumerate().map(|(name, &count)| {
                    let times: Vec<i64> = (0..count).map(|_| { clock += 1; clock }).collect();
                    series(&format!("m{name}"), &times)
                });
                unit(position as u64, all.collect())
            }).collect();
            let everything = content(&piece);
            let poison = |sample: &(String, i64)| (sample.1 as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).is_multiple_of(share);
            let (stored, culprits, requests) = search(piece, &poison);
            let expected: (Vec<_>, Vec<_>) = everything.iter().cloned().partition(|s| !poison(s));
            prop_assert_eq!(&stored, &expected.0);
            prop_assert_eq!(&culprits, &expected.1);
            let depth = everything.len().ilog2() + 6;
            prop_assert!(requests <= 1 + 2 * depth * culprits.len() as u32, "{requests} for {}", culprits.len());
        }
    }

    #[test]
    fn one_culprit_in_two_thousand_stays_far_below_the_budget() {
        let piece = (0..2000).map(|p| unit(p, vec![series("m", &[p as i64])]));
        let (stored, culprits, requests) = search(piece.collect(), &|s| s.1 == 1234);
        assert_eq!((stored.len(), culprits.len()), (1999, 1));
        assert!(requests <= 23, "{requests}");
        assert_eq!(budget(2000), 16 * 12);
    }

    #[test]
    fn exemplars_are_taken_away_before_their_sample_is_blamed() {
        let mut one = series("m", &[1]);
        one.exemplars.push(Exemplar { labels: vec![], value: 1.0, timestamp: 1 });
        let Halves::Stripped(piece) = halve(vec![unit(1, vec![one])]) else {
            panic!("not stripped");
        };
        assert!(piece[0].series[0].exemplars.is_empty());
        assert!(matches!(halve(piece), Halves::Culprit(_)));
    }

    #[test]
    fn floats_and_histograms_of_a_series_are_cut_at_a_time() {
        let mut both = series("m", &[1, 3, 5]);
        both.histograms = [2, 4]
            .map(|timestamp| NativeHistogram { timestamp, ..NativeHistogram::default() })
            .into();
        let (left, right) = halve_samples(both);
        assert_eq!((left.samples.len(), left.histograms.len()), (1, 1));
        assert_eq!((right.samples.len(), right.histograms.len()), (2, 1));
    }
}
