//! Random pages over time, through the scraper and through a naive twin that keeps whole label
//! maps: both must say the same samples with the same bits, and the same report.
//!
//! The twin never sees a page's text: it works on what the page was made of, so the parser, the
//! caches and the encoder are all between the two.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use weir_model::labels::METRIC_NAME;
use weir_model::sample::STALE_NAN_BITS;
use weir_model::{Labels, Timestamp};

use super::*;

type Map = BTreeMap<String, String>;

/// A series as a page spells it, its value, its timestamp behind the scrape's.
#[derive(Clone, Debug)]
struct Spelled {
    name: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    value: u8,
    age_ms: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Page { series: Vec<Spelled>, broken: bool },
    Failure,
    End,
}

impl Spelled {
    fn raw(&self) -> String {
        let pairs: Vec<String> = self.labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        format!("{}{{{}}}", self.name, pairs.join(","))
    }

    fn line(&self, time: Timestamp) -> String {
        let stamp = self.age_ms.map_or(String::new(), |age| format!(" {}", time - age));
        format!("{} {}{stamp}\n", self.raw(), self.value)
    }
}

fn spelled() -> impl Strategy<Value = Spelled> {
    let name = prop::sample::select(vec!["a", "b", "c", "dropped"]);
    let labels =
        prop::sample::subsequence(vec![("x", "1"), ("y", "2"), ("job", "own"), ("z", "")], 0..4);
    let age = prop_oneof![4 => Just(None), 1 => prop::sample::select(vec![0i64, 500, 1_500, -700_000]).prop_map(Some)];
    (name, labels.prop_shuffle(), any::<u8>(), age)
        .prop_map(|(name, labels, value, age_ms)| Spelled { name, labels, value, age_ms })
}

fn step() -> impl Strategy<Value = Step> {
    let page = (vec(spelled(), 0..12), prop::bool::weighted(0.1))
        .prop_map(|(series, broken)| Step::Page { series, broken });
    prop_oneof![10 => page, 1 => Just(Step::Failure), 1 => Just(Step::End)]
}

#[derive(Default)]
struct Twin {
    settings: Settings,
    live: BTreeSet<Map>,
    newest: BTreeMap<Map, Timestamp>,
    /// Spellings on the last page that was taken, and of each series on it the first one.
    known: BTreeSet<String>,
    first: BTreeMap<Map, String>,
    is_reporting: bool,
    said: Vec<Said>,
}

/// What a page comes to.
#[derive(Default)]
struct Taken {
    said: Vec<(Map, Timestamp, u64)>,
    seen: BTreeSet<Map>,
    tracked: BTreeSet<Map>,
    spellings: BTreeSet<String>,
    first: Vec<(Map, String)>,
    /// Scraped, after relabelling, series added.
    counts: [usize; 3],
    /// Samples that count for the limit.
    limited: usize,
    is_over: bool,
}

impl Twin {
    fn step(&mut self, time: Timestamp, step: &Step) {
        match step {
            Step::Page { series, broken: false } if series.is_empty() => {
                self.end_all(time);
                self.report(time, true, [0; 3]);
            }
            Step::Page { series, broken } => self.page(time, series, *broken),
            Step::Failure => {
                self.end_all(time);
                self.report(time, false, [0; 3]);
            }
            Step::End => {
                self.end_all(time);
                if std::mem::take(&mut self.is_reporting) {
                    for name in [
                        "up",
                        "scrape_duration_seconds",
                        "scrape_samples_scraped",
                        "scrape_samples_post_metric_relabeling",
                        "scrape_series_added",
                    ] {
                        self.say(&own(name), time, STALE_NAN_BITS);
                    }
                }
            }
        }
    }

    fn page(&mut self, time: Timestamp, series: &[Spelled], broken: bool) {
        let before = self.newest.clone();
        let mut taken = Taken::default();
        series.iter().for_each(|one| self.take(time, one, &mut taken));
        if broken || taken.is_over {
            self.newest = before;
            self.end_all(time);
            return self.report(time, false, taken.counts);
        }
        for (labels, time, bits) in &taken.said {
            self.say(labels, *time, *bits);
        }
        for ended in self.live.difference(&taken.tracked).cloned().collect::<Vec<_>>() {
            self.say(&ended, time, STALE_NAN_BITS);
        }
        self.newest.retain(|labels, _| taken.seen.contains(labels));
        self.live = taken.tracked;
        for (labels, spelling) in taken.first {
            self.first.entry(labels).or_insert(spelling);
        }
        self.first.retain(|labels, _| taken.seen.contains(labels));
        self.known = taken.spellings;
        self.known.extend(self.first.values().cloned());
        self.report(time, true, taken.counts);
    }

    fn take(&mut self, time: Timestamp, one: &Spelled, taken: &mut Taken) {
        taken.counts[0] += 1;
        let is_new = !self.known.contains(&one.raw()) && !taken.spellings.contains(&one.raw());
        if one.name == "dropped" {
            taken.spellings.insert(one.raw());
            return;
        }
        taken.counts[1] += 1;
        let labels = self.labels(one);
        let own = one.age_ms.filter(|_| self.settings.honor_timestamps).map(|age| time - age);
        // Past the limit nothing counts but what was on the page.
        if taken.is_over {
            return;
        }
        taken.spellings.insert(one.raw());
        taken.first.push((labels.clone(), one.raw()));
        let repeated = !taken.seen.insert(labels.clone());
        if repeated && own.is_none() {
            return;
        }
        taken.limited += 1;
        if self.settings.limits.samples != 0 && taken.limited > self.settings.limits.samples {
            taken.is_over = true;
            return;
        }
        let stamp = own.unwrap_or(time);
        let newest = self.newest.get(&labels).copied();
        if stamp > time + 600_000 || newest.is_some_and(|newest| stamp <= newest) {
            return;
        }
        if own.is_some() || newest.is_some() {
            self.newest.insert(labels.clone(), stamp);
        }
        if own.is_none() || self.settings.track_timestamps_staleness {
            taken.tracked.insert(labels.clone());
        }
        taken.said.push((labels, stamp, f64::from(one.value).to_bits()));
        taken.counts[2] += usize::from(is_new);
    }

    fn labels(&self, one: &Spelled) -> Map {
        let mut labels = Map::from([(METRIC_NAME.to_owned(), one.name.to_owned())]);
        for (name, value) in one.labels.iter().filter(|(_, value)| !value.is_empty()) {
            labels.insert((*name).to_owned(), (*value).to_owned());
        }
        // The target is job="j"; z is not one of its labels.
        match labels.insert("job".to_owned(), "j".to_owned()) {
            Some(exposed) if self.settings.honor_labels => {
                labels.insert("job".to_owned(), exposed);
            }
            Some(exposed) => {
                labels.insert("exported_job".to_owned(), exposed);
            }
            None => {}
        }
        labels
    }

    fn end_all(&mut self, time: Timestamp) {
        for labels in std::mem::take(&mut self.live) {
            self.say(&labels, time, STALE_NAN_BITS);
        }
    }

    fn report(&mut self, time: Timestamp, is_up: bool, counts: [usize; 3]) {
        let [scraped, post_relabel, added] = counts.map(|count| count as f64);
        for (name, value) in [
            ("up", f64::from(u8::from(is_up))),
            ("scrape_duration_seconds", 0.25),
            ("scrape_samples_scraped", scraped),
            ("scrape_samples_post_metric_relabeling", post_relabel),
            ("scrape_series_added", added),
        ] {
            self.say(&own(name), time, value.to_bits());
        }
        self.is_reporting = true;
    }

    fn say(&mut self, labels: &Map, time: Timestamp, bits: u64) {
        let pairs = labels.iter().map(|(name, value)| Label::new(name, value));
        self.said.push((Labels::from_pairs(pairs).unwrap().to_string(), time, bits));
    }
}

fn own(name: &str) -> Map {
    Map::from([(METRIC_NAME.to_owned(), name.to_owned()), ("job".to_owned(), "j".to_owned())])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_scraper_says_what_its_twin_says(
        steps in vec(step(), 1..30), honor_labels: bool, honor_timestamps: bool, track: bool,
        limit in prop_oneof![3 => Just(0usize), 1 => 4usize..10],
    ) {
        let settings = Settings {
            honor_labels,
            honor_timestamps,
            track_timestamps_staleness: track,
            limits: Limits { samples: limit, ..Limits::default() },
            metric_relabel: relabel("[{source_labels: [__name__], regex: dropped, action: drop}]"),
            ..Settings::default()
        };
        let mut twin = Twin { settings: settings.clone(), ..Twin::default() };
        let mut target = Target::new(settings, &[("job", "j")]);
        for (time, step) in (1_700_000_000_000..).step_by(1_000).zip(&steps) {
            match step {
                Step::Page { series, broken } => {
                    let mut page: String = series.iter().map(|one| one.line(time)).collect();
                    page.push_str(if *broken { "broken\n" } else { "" });
                    target.page(time, &page);
                }
                Step::Failure => {
                    target.failure(time, FetchError::Gzip("no".into()).into());
                }
                Step::End => target.end(time),
            }
            twin.step(time, step);
            let mut expected = std::mem::take(&mut twin.said);
            expected.sort();
            prop_assert_eq!(target.said(), expected, "{:?}", step);
        }
    }
}
