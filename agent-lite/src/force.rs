//! Bringing a configuration into force, wherever it came from.
//!
//! Invariant: one at a time, and one that is refused changes nothing: all that can fail is tried
//! before the first change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use weir_agent_config::Config;
use weir_model::Millis;
use weir_remote::Destinations;
use weir_remote::config::Destination;
use weir_remote::destinations::now_ms;
use weir_telemetry::Scrape;

use crate::custody::Custody;
use crate::direct::Direct;
use crate::pools::Pools;
use crate::push::Pushes;
use crate::receive::Receiver;
use crate::reduce::{self, Reducer};
use crate::sender_name::SenderName;
use crate::storage;

/// What a configuration is about.
pub struct Force {
    /// Jobs.
    pub pools: Arc<Pools>,
    /// Where samples go.
    pub destinations: Arc<Destinations>,
    /// Pushes get external labels too.
    pub pushes: Option<Arc<Pushes>>,
    /// So does remote write that comes in.
    pub receiver: Option<Receiver>,
    /// Rules that scrapes go through, and the files that they stand in.
    pub rules: Option<(Arc<Reducer>, Vec<String>)>,
    /// `--buffer.max-size`, `--buffer.max-age`: they bound every destination.
    pub bounds: (u64, Millis),
    /// Every destination is told who sends.
    pub name: SenderName,
    /// What is kept of what they have acknowledged.
    pub custody: Arc<Custody>,
    /// The owners that they have.
    pub direct: Direct,
    /// What came of it.
    pub reloads: Reloads,
    /// One at a time.
    pub turn: tokio::sync::Mutex<()>,
}

/// What is buffered has its external labels already: each series got them when it was first seen.
pub const NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// When a configuration was last read, for `prometheus_config_*`.
#[derive(Debug, Default)]
pub struct Reloads {
    failed: AtomicU64,
    succeeded_s: AtomicI64,
    /// Destinations are others than those by which bodies are gathered.
    unplaced: AtomicBool,
}

impl Force {
    /// Brings it into force. An error changes nothing; it is counted, and the caller's to tell.
    pub async fn apply(&self, config: Config) -> Result<(), String> {
        let result = self.try_apply(config).await;
        self.reloads.note(result.is_ok());
        result
    }

    /// Counts a configuration that could not even be read.
    pub fn refused(&self) {
        self.reloads.note(false);
    }

    async fn try_apply(&self, config: Config) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let jobs = Pools::prepare(&config.scrape)?;
        let files = self.rules.as_ref().map(|(_, files)| reduce::read(files)).transpose();
        let rules = files.map_err(|errors| errors.to_string())?;
        let before = self.direct.configured();
        self.direct.configure(config.destinations);
        if let Err(why) = self.redirect().await {
            self.direct.configure(before);
            return Err(why);
        }
        self.reloads.unplaced.store(true, Ordering::Release);
        self.pools.apply(jobs, &config.external_labels);
        let labels: Vec<_> = config.external_labels.into_iter().collect();
        if let (Some((reducer, _)), Some(rules)) = (&self.rules, rules) {
            reducer.reload(rules.decisions, labels.clone(), now_ms());
        }
        if let Some(pushes) = &self.pushes {
            pushes.set_external_labels(labels.clone());
        }
        if let Some(receiver) = &self.receiver {
            receiver.set_external_labels(labels);
        }
        Ok(())
    }

    /// Brings the destinations and their branches into force, as they are known now. For whoever has
    /// the turn.
    pub async fn redirect(&self) -> Result<(), String> {
        let all = running(&self.direct, self.bounds, &self.name, &self.custody);
        self.destinations.reload(&all, &NO_LABELS).await
    }

    /// Whether destinations were reloaded since this was asked last.
    pub fn take_reload(&self) -> bool {
        self.reloads.unplaced.swap(false, Ordering::AcqRel)
    }
}

/// The destinations as they run: with branches, bounded by the buffer (of so many bytes, and of such an
/// age), and with what requests have to carry.
pub fn running(
    direct: &Direct,
    (bytes, age): (u64, Millis),
    name: &SenderName,
    custody: &Custody,
) -> Vec<Destination> {
    let mut all = direct.destinations();
    all.iter_mut().for_each(|destination| storage::bound(destination, bytes, age));
    name.sign(&mut all);
    custody.sign(&mut all);
    all
}

impl Reloads {
    fn note(&self, is_good: bool) {
        self.failed.store(u64::from(!is_good), Ordering::Relaxed);
        if is_good {
            self.succeeded_s.store(now_ms() / 1000, Ordering::Relaxed);
        }
    }

    /// The configuration that the process started with was good.
    pub fn started() -> Self {
        let reloads = Self::default();
        reloads.note(true);
        reloads
    }

    /// Adds them to a scrape.
    pub fn collect(&self, scrape: &mut Scrape) {
        let failed = self.failed.load(Ordering::Relaxed) != 0;
        let help = "Whether the last configuration reload attempt was successful.";
        let name = "prometheus_config_last_reload_successful";
        scrape.gauge(name, help, &[], if failed { 0.0 } else { 1.0 });
        let help = "Timestamp of the last successful configuration reload.";
        let name = "prometheus_config_last_reload_success_timestamp_seconds";
        scrape.gauge(name, help, &[], self.succeeded_s.load(Ordering::Relaxed) as f64);
    }
}
