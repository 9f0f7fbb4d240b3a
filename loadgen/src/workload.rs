//! What is sent: series, values and timestamps, as functions of a seed.
//!
//! Series belong to targets, targets to services. All series are sent once a round, in requests of
//! a fixed number of samples; request `n` has slot `n % slots`, so a slot's series are the same each
//! round. In reading order: [`presets`] name the series, [`values`] say how they move, [`churn`] who
//! lives when, [`replicas`] and [`mishaps`] what else happens, and [`request`] puts a request
//! together.
//!
//! Invariant: same shape, same seed and same times, same bytes. Nothing here asks a clock or keeps
//! what was sent.

pub mod churn;
pub mod mishaps;
pub mod presets;
pub mod replicas;
pub mod request;
pub mod series;
pub mod values;

use std::sync::Arc;

use crate::oracle::NativeHistogram;
use crate::samples::{Labels, Sample};
use crate::seed::{Purpose, Seed};
use churn::{Incarnation, Life, Place};
use mishaps::Mishaps;
use presets::Preset;
use replicas::Replicas;
pub use request::{Request, Slot, Step};
use series::{Catalogue, Pairs, Spec};
use values::Moment;

/// Numbers of a workload.
#[derive(Clone, PartialEq, Debug)]
pub struct Shape {
    /// Where names and labels come from.
    pub preset: Preset,
    /// Series, the second replica's not counted.
    pub series: u64,
    /// Series of a target.
    pub series_per_target: u32,
    /// Samples of a request.
    pub samples_per_request: u32,
    /// A request's series come from many targets, not from one or neighbours.
    pub mixed: bool,
    /// Services, spread over the targets.
    pub services: u32,
    /// Namespaces, spread over the services.
    pub namespaces: u32,
    /// Labels of targets beyond the preset's, and how many values each has.
    pub labels: Vec<(String, u32)>,
    /// How long targets live.
    pub life: Life,
    /// HA pairs.
    pub replicas: Replicas,
    /// What goes wrong.
    pub mishaps: Mishaps,
    /// What samples have beside values.
    pub extras: Extras,
}

/// What samples have beside values.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Extras {
    /// Native histograms count in whole numbers, as a scraper sends them.
    pub whole_counts: bool,
    /// Counters and histograms say when they began (2.0).
    pub starts: bool,
    /// Share of counters that have an exemplar.
    pub exemplars: f64,
}

/// Resolution of native histograms.
pub const NATIVE_SCHEMA: i32 = 3;

/// What senders pack into a request unless they are told otherwise.
const SAMPLES_PER_REQUEST: u32 = 2000;

impl Shape {
    /// A preset as it is, with so many series.
    pub fn plain(preset: Preset, series: u64) -> Self {
        let defaults = preset.defaults();
        Self {
            preset,
            series,
            series_per_target: defaults.series_per_target,
            samples_per_request: SAMPLES_PER_REQUEST,
            mixed: false,
            services: defaults.services,
            namespaces: defaults.namespaces,
            labels: Vec::new(),
            life: defaults.life,
            replicas: Replicas::default(),
            mishaps: Mishaps::default(),
            extras: Extras::default(),
        }
    }
}

/// A shape and a seed, ready to make requests.
#[derive(Clone, Debug)]
pub struct Workload {
    shape: Shape,
    seed: Seed,
    catalogue: Catalogue,
    targets: u64,
    blocks: u64,
}

/// Neighbouring series of one target in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    target: u64,
    first: usize,
    count: usize,
}

/// One series of a request, as it is written.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Labels in order, the name first but for what sorts before it.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Buckets of a native histogram; 0 for a float.
    pub buckets: u16,
    /// Which clock stamps it.
    pub clock: u16,
    /// Its native histogram counts in whole numbers.
    pub whole_counts: bool,
    /// It says when it began: one value more, milliseconds since the epoch.
    pub has_start: bool,
    /// The trace of its exemplar.
    pub exemplar: Option<u64>,
}

impl Workload {
    /// From a shape with numbers of at least 1.
    pub fn new(shape: Shape, seed: u64) -> Self {
        let per_target = shape.series.min(u64::from(shape.series_per_target.max(1)));
        let catalogue = shape.preset.catalogue(per_target as usize);
        let targets = shape.series.div_ceil(per_target.max(1));
        let blocks = shape.series.div_ceil(u64::from(shape.samples_per_request.max(1))).max(1);
        Self { shape, seed: Seed(seed), catalogue, targets, blocks }
    }

    /// The numbers that it was made from.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Targets.
    pub fn targets(&self) -> u64 {
        self.targets
    }

    /// Requests of a round.
    pub fn slots(&self) -> u64 {
        self.blocks * self.shape.replicas.count()
    }

    /// A slot's block of series, and its replica (0 or 1).
    pub fn place(&self, slot: u64) -> (u64, u64) {
        let replicas = self.shape.replicas.count();
        (slot / replicas % self.blocks, slot % replicas)
    }

    /// Samples of a slot's requests.
    pub fn samples_of(&self, slot: u64) -> u64 {
        let (block, _) = self.place(slot);
        if self.shape.mixed {
            return (self.shape.series - block).div_ceil(self.blocks);
        }
        let size = u64::from(self.shape.samples_per_request.max(1));
        size.min(self.shape.series - block * size)
    }

    /// Changes whenever a slot's labels change.
    pub fn label_version(&self, request: &Request) -> u64 {
        if !self.shape.life.replaces() {
            return 0;
        }
        let mut version = 0u64;
        for run in self.runs(request) {
            let who = self.incarnation(run.target, request.since);
            let next = who.pod.wrapping_mul(0x1_0001).wrapping_add(who.deploy);
            version = self.seed.number(Purpose::PodName, version, next as u64);
        }
        version
    }

    /// The request's series, in their order on the wire.
    pub fn each_series(&self, request: &Request, mut each: impl FnMut(&Series<'_>)) {
        let (_, replica) = self.place(request.number % self.slots());
        let extras = self.shape.extras;
        for run in self.runs(request) {
            let target = self.target_labels(run.target, request.since, replica);
            let clock = self.clock(run.target);
            for spec in &self.catalogue.specs()[run.first..run.first + run.count] {
                let labels = spec.labels(&target);
                let (buckets, whole_counts) = (spec.buckets, extras.whole_counts);
                let has_start = extras.starts && spec.is_counter();
                let exemplar = self.exemplar(run.target, spec);
                each(&Series { labels, buckets, clock, whole_counts, has_start, exemplar });
            }
        }
    }

    /// Looks at the labels of the request's first series.
    pub fn with_first<T>(
        &self,
        request: &Request,
        look: impl FnOnce(&[(&str, &str)]) -> T,
    ) -> Option<T> {
        let (_, replica) = self.place(request.number % self.slots());
        let run = self.runs(request).next()?;
        let target = self.target_labels(run.target, request.since, replica);
        let spec = self.catalogue.specs().get(run.first)?;
        Some(look(&spec.labels(&target)))
    }

    /// Adds the request's values, in their order on the wire.
    pub fn values(&self, request: &Request, values: &mut Vec<f64>) {
        for run in self.runs(request) {
            let moment = self.moment(run.target, request);
            if !self.shape.extras.starts {
                values::extend(values, self.catalogue.motions(run.first, run.count), moment);
                continue;
            }
            let born = self.shape.life.born(self.seed, self.target_place(run.target), request.time);
            for at in run.first..run.first + run.count {
                values::extend(values, self.catalogue.motions(at, 1), moment);
                values.extend(self.catalogue.specs()[at].is_counter().then_some(born as f64));
            }
        }
    }

    /// The request's timestamps in milliseconds, one for each clock.
    pub fn stamps(&self, request: &Request, stamps: &mut Vec<i64>) {
        let mishaps = &self.shape.mishaps;
        stamps.extend((0..mishaps.clocks()).map(|clock| request.time + mishaps.offset(clock)));
    }

    /// The request's samples, for those who check what came of them.
    pub fn samples(&self, request: &Request) -> Vec<Sample> {
        let (mut values, mut stamps, mut samples) = (Vec::new(), Vec::new(), Vec::new());
        self.values(request, &mut values);
        self.stamps(request, &mut stamps);
        let mut values = values.into_iter();
        self.each_series(request, |series| {
            let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            let labels: Arc<Labels> = Arc::new(series.labels.iter().map(own).collect());
            let stamp = stamps[usize::from(series.clock)];
            let mut sample = match series.buckets {
                0 => Sample::new(&labels, stamp, values.next().unwrap_or_default()),
                buckets => Sample::native(&labels, native(stamp, buckets, &mut values)),
            };
            if series.has_start {
                sample.start = values.next().unwrap_or_default() as i64;
            }
            samples.push(sample);
        });
        samples
    }

    /// The trace of a series' exemplar, if it has one.
    fn exemplar(&self, target: u64, spec: &Spec) -> Option<u64> {
        let share = self.shape.extras.exemplars;
        let place = spec.place;
        let has_one =
            spec.is_counter() && self.seed.happens(share, Purpose::Exemplar, target, place);
        has_one.then(|| self.seed.number(Purpose::Exemplar, target, !place))
    }

    /// Labels of a target in order, at a time.
    fn target_labels(&self, target: u64, time: i64, replica: u64) -> Pairs {
        let (shape, place) = (&self.shape, self.target_place(target));
        let who = self.incarnation(target, time);
        let mut labels = shape.preset.target(self.seed, shape.namespaces, place, who);
        let mut set = |name: &str, value: String| match labels.iter_mut().find(|l| l.0 == name) {
            Some(label) => label.1 = value,
            None => labels.push((name.to_owned(), value)),
        };
        for (name, values) in &shape.labels {
            set(name, format!("{name}-{}", target % u64::from((*values).max(1))));
        }
        if shape.replicas.pair {
            set("cluster", "eu-west-1a".to_owned());
            set("__replica__", Replicas::name(replica).to_owned());
        }
        labels.sort_unstable();
        labels
    }

    fn target_place(&self, target: u64) -> Place {
        let services = u64::from(self.shape.services.max(1));
        let (service, index) = (target % services, target / services);
        Place { target, service, index, of: self.targets.div_ceil(services) }
    }

    fn incarnation(&self, target: u64, time: i64) -> Incarnation {
        self.shape.life.incarnation(self.seed, self.target_place(target), time)
    }

    fn clock(&self, target: u64) -> u16 {
        self.shape.mishaps.clock(self.seed.number(Purpose::Skew, target, 0))
    }

    fn moment(&self, target: u64, request: &Request) -> Moment {
        let (life, place) = (&self.shape.life, self.target_place(target));
        let who = |time| life.incarnation(self.seed, place, time);
        let stale = life.replaces() && who(request.since) != who(request.time);
        let age = request.time - life.born(self.seed, place, request.time);
        let pace = 512 + self.seed.number(Purpose::Pace, target, 0) % 1024;
        Moment { time: request.time, age: (age.unsigned_abs() * pace) >> 10, stale }
    }

    fn runs(&self, request: &Request) -> impl Iterator<Item = Run> + '_ {
        let (block, _) = self.place(request.number % self.slots());
        let (shape, per_target) = (&self.shape, self.catalogue.specs().len() as u64);
        let size = u64::from(shape.samples_per_request.max(1));
        let (first, step) = if shape.mixed { (block, self.blocks) } else { (block * size, 1) };
        let end = if shape.mixed { shape.series } else { shape.series.min(first + size) };
        let mut next = first;
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let (target, place) = (next / per_target, next % per_target);
            let count = if step == 1 { (per_target - place).min(end - next) } else { 1 };
            next += count * step;
            Some(Run { target, first: place as usize, count: count as usize })
        })
    }
}

/// For those who serve pages.
impl Workload {
    /// The series of every target.
    pub fn specs(&self) -> &[Spec] {
        self.catalogue.specs()
    }

    /// A target's values at a time, one for each of its series; none for native histograms.
    pub fn page(&self, target: u64, time: i64) -> Vec<Option<f64>> {
        let moment = self.moment(target, &Request { number: 0, time, since: time });
        let mut values = Vec::new();
        let specs = self.catalogue.specs();
        values::extend(&mut values, self.catalogue.motions(0, specs.len()), moment);
        let mut values = values.into_iter();
        let value = |spec: &Spec| match spec.buckets {
            0 => values.next(),
            buckets => {
                values.by_ref().take(usize::from(buckets) + 3).for_each(drop);
                None
            }
        };
        specs.iter().map(value).collect()
    }
}

/// A native histogram from its values: buckets, the one around zero, count and sum.
fn native(timestamp: i64, buckets: u16, values: &mut impl Iterator<Item = f64>) -> NativeHistogram {
    let positive = (0..i32::from(buckets)).zip(values.by_ref()).collect();
    let mut next = || values.next().unwrap_or_default();
    let (zero_count, count, sum) = (next(), next(), next());
    let schema = NATIVE_SCHEMA;
    NativeHistogram { timestamp, count, sum, schema, zero_count, positive, ..Default::default() }
}

#[cfg(test)]
pub(crate) mod tests;
