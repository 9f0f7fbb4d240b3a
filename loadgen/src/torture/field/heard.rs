//! What the witness has heard of one target, against what that target served.

use std::collections::{BTreeMap, BTreeSet};

use super::super::agent::INTERVAL_MS;
use super::super::target::{NUMBER, Page};
use crate::oracle::Differences;
use crate::samples::{Sample, is_stale, name};

/// Numbers of a page by series, stale markers left out.
type Heard<'a> = BTreeMap<&'a str, f64>;

/// Compares pages that were written up to `through` with samples that were stamped up to then. One may
/// be missing where `may_lack` says so of its time, or where the target was `up` 0 then.
pub(super) fn compare(
    instance: &str,
    pages: &[Page],
    samples: &[Sample],
    through: i64,
    may_lack: &dyn Fn(i64, i64) -> bool,
) -> Differences {
    let mut differences = Differences::default();
    let (heard, failed) = of_target(instance, samples, through, &mut differences);
    let mut numbers = BTreeSet::new();
    let mut newest = None;
    for (at, values) in &heard {
        let Some(&number) = values.get(NUMBER) else {
            differences.unexpected.push(format!("{instance} at {at}: {values:?}"));
            continue;
        };
        differences.compared += values.len();
        let number = number as u64;
        let what = || format!("page {number} of {instance} at {at}");
        if !numbers.insert(number) {
            differences.doubled.push(what());
        } else if newest.is_some_and(|newest| number < newest) {
            differences.disordered.push(what());
        }
        newest = Some(number);
        let page = usize::try_from(number).ok().and_then(|number| pages.get(number));
        match page.map(|page| page.values().into_iter().collect::<Heard<'_>>()) {
            None => differences.unexpected.push(what()),
            Some(served) if served != *values => {
                differences.wrong.push(format!("{}: {values:?}, served was {served:?}", what()));
            }
            Some(_) => {}
        }
    }
    for page in pages.iter().filter(|page| !numbers.contains(&page.number)) {
        // What was never whole need not come.
        let Some(written) = page.written.filter(|written| written + INTERVAL_MS <= through) else {
            continue;
        };
        let failed = || failed.range(page.asked - INTERVAL_MS..=written).next().is_some();
        if !may_lack(page.asked, written) && !failed() {
            let number = page.number;
            differences.lost.push(format!(
                "page {number} of {instance}, asked for at {}, whole at {written}",
                page.asked
            ));
        }
    }
    differences
}

/// The pages by their timestamps, and the timestamps of scrapes that failed.
fn of_target<'a>(
    instance: &str,
    samples: &'a [Sample],
    through: i64,
    differences: &mut Differences,
) -> (BTreeMap<i64, Heard<'a>>, BTreeSet<i64>) {
    const REPORTS: [&str; 6] = [
        "up",
        "scrape_duration_seconds",
        "scrape_samples_scraped",
        "scrape_samples_post_metric_relabeling",
        "scrape_series_added",
        "scrape_timeout_seconds",
    ];
    let (mut heard, mut failed) = (BTreeMap::<i64, Heard<'a>>::new(), BTreeSet::new());
    let theirs = samples.iter().filter(|s| s.labels.get("instance").is_some_and(|i| i == instance));
    for sample in theirs.filter(|s| s.timestamp <= through && !is_stale(s.value)) {
        let (name, at, value) = (name(&sample.labels), sample.timestamp, sample.value);
        if REPORTS.contains(&name) {
            if name == "up" && value == 0.0 {
                failed.insert(at);
            }
            continue;
        }
        let before = heard.entry(at).or_default().insert(name, value);
        if before.is_some_and(|before| before.to_bits() != value.to_bits()) {
            differences.doubled.push(format!("{name} of {instance} at {at}: {before:?}, {value}"));
        }
    }
    (heard, failed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::samples::labels;

    fn page(number: u64, asked: i64) -> Page {
        Page::new(number, number, 0, asked).whole_at(asked + 10)
    }

    fn said(page: &Page, at: i64) -> Vec<Sample> {
        let labels = |name| Arc::clone(&labels(name, &[("instance", "a")]));
        let sample = |(name, value)| Sample::new(&labels(name), at, value);
        page.values().into_iter().map(sample).collect()
    }

    fn kinds(pages: &[Page], samples: &[Sample], lacks: (i64, i64)) -> Vec<&'static str> {
        let may_lack = |from, to| from <= lacks.1 && to >= lacks.0;
        let found = compare("a", pages, samples, 100_000, &may_lack);
        found.kinds().iter().filter(|(_, list)| !list.is_empty()).map(|(kind, _)| *kind).collect()
    }

    #[test]
    fn every_page_is_heard_once_and_as_it_was_served() {
        let pages = [page(0, 1_000), page(1, 2_000), page(2, 3_000)];
        let all: Vec<Sample> = pages.iter().flat_map(|page| said(page, page.asked)).collect();
        let none = (0, 0);
        assert!(kinds(&pages, &all, none).is_empty());
        let of_a_page = all.len() / 3;
        assert_eq!(kinds(&pages, &all[..2 * of_a_page], none), ["lost"]);
        assert!(kinds(&pages, &all[..2 * of_a_page], (2_500, 3_005)).is_empty(), "it was killed");
        let up = Sample::new(&labels("up", &[("instance", "a")]), 2_990, 0.0);
        let failed = [&all[..2 * of_a_page], &[up]].concat();
        assert!(kinds(&pages, &failed, none).is_empty(), "it said so");
        assert_eq!(kinds(&pages[..2], &all, none), ["unexpected"], "nobody served that");
        assert_eq!(kinds(&pages, &[&all[..], &said(&pages[1], 4_000)].concat(), none), ["doubled"]);
        assert_eq!(kinds(&pages, &all[1..], none), ["lost", "unexpected"], "a page in part");
        let mut wrong = all.clone();
        wrong[1].value += 1.0;
        assert_eq!(kinds(&pages, &wrong, none), ["wrong"]);
    }
}
