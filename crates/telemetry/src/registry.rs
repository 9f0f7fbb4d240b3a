//! The metrics registry: names and help once, cheap handles for the code that counts.
//!
//! Invariant: a scrape is a valid exposition whatever was registered: families sorted by name,
//! samples by labels, no series twice, one kind for each name. Counting is an atomic operation on
//! a handle and takes no lock. It deliberately has no global instance: components get the registry
//! or their handles passed in, and handles made by `Default` count without being exposed.
//!
//! Names and label names are the programmer's and must fit Prometheus's data model; one that does
//! not, or a name used with two kinds, is a bug: it stops a debug build, and is left out of the
//! exposition in a release build. Label values may be anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod expose;
mod family;
mod instrument;

pub use expose::ExpositionFormat;
pub use family::{Family, LABEL_SETS_MAX};
pub use instrument::{Counter, Gauge, Histogram, SECONDS_BUCKETS};

use family::Labels;
use instrument::{HistogramSnapshot, Instrument};

/// Computes metrics when a scrape asks for them: for what is known anyway, such as a queue's
/// length. Closures over `&mut Scrape` are collectors, too.
pub trait Collect: Send + Sync {
    /// Writes this component's samples. Runs on the scraping thread, so it should be brief.
    fn collect(&self, scrape: &mut Scrape);
}

/// A set of metrics that are exposed together. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    families: BTreeMap<String, Registered>,
    collectors: BTreeMap<String, Arc<dyn Collect>>,
}

struct Registered {
    help: String,
    metrics: Metrics,
}

enum Metrics {
    Counters(Family<Counter>),
    Gauges(Family<Gauge>),
    Histograms(Family<Histogram>),
}

/// The samples of one scrape while they are gathered.
#[derive(Debug, Default)]
pub struct Scrape {
    families: BTreeMap<String, ScrapedFamily>,
}

#[derive(Debug)]
struct ScrapedFamily {
    kind: Kind,
    help: String,
    samples: Vec<(Labels, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// Counters are exact beyond 2^53.
    Integer(u64),
    Float(f64),
    Histogram(HistogramSnapshot),
    Summary {
        count: u64,
        sum: f64,
    },
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter without labels. `name` ends in `_total`; if not, it is appended. The same name
    /// again gives the same counter, here and below.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_family(name, help).with(&[])
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_family(name, help).with(&[])
    }

    /// A histogram without labels, with ascending upper bounds; `+Inf` is added.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.histogram_family(name, help, bounds).with(&[])
    }

    /// Counters that differ by labels.
    pub fn counter_family(&self, name: &str, help: &str) -> Family<Counter> {
        let made = Family::new(Counter::default());
        match self.register(name, help, Metrics::Counters(made.clone())) {
            Some(Metrics::Counters(known)) => known,
            _ => made,
        }
    }

    /// Gauges that differ by labels.
    pub fn gauge_family(&self, name: &str, help: &str) -> Family<Gauge> {
        let made = Family::new(Gauge::default());
        match self.register(name, help, Metrics::Gauges(made.clone())) {
            Some(Metrics::Gauges(known)) => known,
            _ => made,
        }
    }

    /// Histograms that differ by labels and share their bounds.
    pub fn histogram_family(&self, name: &str, help: &str, bounds: &[f64]) -> Family<Histogram> {
        let made = Family::new(Histogram::new(bounds));
        match self.register(name, help, Metrics::Histograms(made.clone())) {
            Some(Metrics::Histograms(known)) => known,
            _ => made,
        }
    }

    /// Adds a collector, in place of the one of that name: a component that a reload makes anew
    /// takes the old one's place.
    pub fn set_collector(&self, name: &str, collector: Arc<dyn Collect>) {
        self.lock().collectors.insert(name.to_owned(), collector);
    }

    /// Removes a collector; its samples are gone from the next scrape on.
    pub fn remove_collector(&self, name: &str) {
        self.lock().collectors.remove(name);
    }

    /// One scrape as text.
    pub fn encode(&self, format: ExpositionFormat) -> String {
        let mut scrape = Scrape::default();
        let collectors = {
            let inner = self.lock();
            for (name, family) in &inner.families {
                family.scrape(name, &mut scrape);
            }
            inner.collectors.values().cloned().collect::<Vec<_>>()
        };
        // Outside the lock: a collector may count, or make metrics of its own.
        for collector in collectors {
            collector.collect(&mut scrape);
        }
        expose::encode(scrape, format)
    }

    /// Registers a family, or returns what the name already stands for.
    fn register(&self, name: &str, help: &str, metrics: Metrics) -> Option<Metrics> {
        let name = base_name(name, metrics.kind());
        debug_assert!(valid_metric_name(name), "{name:?} is no metric name");
        let mut inner = self.lock();
        if let Some(known) = inner.families.get(name) {
            let (known, wanted) = (&known.metrics, metrics.kind());
            debug_assert!(known.kind() == wanted, "{name:?} is registered with another kind");
            return Some(known.share());
        }
        if valid_metric_name(name) {
            let registered = Registered { help: help.to_owned(), metrics };
            inner.families.insert(name.to_owned(), registered);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    fn kind(&self) -> Kind {
        match self {
            Self::Counters(_) => Kind::Counter,
            Self::Gauges(_) => Kind::Gauge,
            Self::Histograms(_) => Kind::Histogram,
        }
    }

    fn share(&self) -> Self {
        match self {
            Self::Counters(family) => Self::Counters(family.clone()),
            Self::Gauges(family) => Self::Gauges(family.clone()),
            Self::Histograms(family) => Self::Histograms(family.clone()),
        }
    }
}

impl Registered {
    fn scrape(&self, name: &str, scrape: &mut Scrape) {
        fn push<M: Instrument>(family: &Family<M>, into: Option<&mut ScrapedFamily>) {
            if let Some(into) = into {
                family.each(|labels, metric| into.samples.push((labels.clone(), metric.value())));
            }
        }
        let into = scrape.family(name, &self.help, self.metrics.kind());
        match &self.metrics {
            Metrics::Counters(family) => push(family, into),
            Metrics::Gauges(family) => push(family, into),
            Metrics::Histograms(family) => push(family, into),
        }
    }
}

impl Scrape {
    /// A counter's sample. `name` ends in `_total`; if not, it is appended.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.push(name, help, Kind::Counter, labels, Value::Integer(value));
    }

    /// A counter's sample that is no whole number, such as seconds.
    pub fn counter_f64(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.push(name, help, Kind::Counter, labels, Value::Float(value));
    }

    /// A gauge's sample.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.push(name, help, Kind::Gauge, labels, Value::Float(value));
    }

    /// A summary's sample, without quantiles: how often, and how much in all.
    pub fn summary(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        (count, sum): (u64, f64),
    ) {
        self.push(name, help, Kind::Summary, labels, Value::Summary { count, sum });
    }

    fn push(&mut self, name: &str, help: &str, kind: Kind, labels: &[(&str, &str)], value: Value) {
        if let Some(family) = self.family(base_name(name, kind), help, kind) {
            family.samples.push((family::sorted(labels), value));
        }
    }

    /// The family to add to, unless the name is invalid or stands for another kind.
    fn family(&mut self, name: &str, help: &str, kind: Kind) -> Option<&mut ScrapedFamily> {
        debug_assert!(valid_metric_name(name), "{name:?} is no metric name");
        if !valid_metric_name(name) {
            return None;
        }
        let family = self.families.entry(name.to_owned()).or_insert_with(|| ScrapedFamily {
            kind,
            help: help.to_owned(),
            samples: Vec::new(),
        });
        debug_assert!(family.kind == kind, "{name:?} is collected with two kinds");
        Some(family).filter(|family| family.kind == kind)
    }
}

impl<F: Fn(&mut Scrape) + Send + Sync> Collect for F {
    fn collect(&self, scrape: &mut Scrape) {
        self(scrape);
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        f.debug_struct("Registry")
            .field("families", &inner.families.keys())
            .field("collectors", &inner.collectors.keys())
            .finish()
    }
}

/// OpenMetrics calls a counter's family by its name less `_total`.
fn base_name(name: &str, kind: Kind) -> &str {
    match kind {
        Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
        Kind::Gauge | Kind::Histogram | Kind::Summary => name,
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
fn valid_metric_name(name: &str) -> bool {
    let first_fits = !name.starts_with(|c: char| c.is_ascii_digit());
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.is_empty() && first_fits && name.chars().all(fits)
}

#[cfg(test)]
mod tests;
