//! Scrape pools: what a job's discovery finds becomes targets, and the manager scrapes them.
//!
//! Invariant: a pool's targets are those of its newest groups under its newest configuration; a
//! reload keeps the series of every target that stays. A job whose discovery has not answered yet
//! after a reload keeps the targets that it had. Not here: how groups are found, and scraping.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;
use weir_http::Client;
use weir_wire::exposition::Options;

use crate::discovery::{Discovery, Facts, Groups, Mechanism};
use crate::scrape::{Endpoint, Job, Limits, Manager, ScrapeError, Settings, TargetStatus};
use crate::target::{Target, Targets};
use weir_agent_config::ScrapeConfig;

/// All pools.
#[derive(Debug)]
pub struct Pools {
    state: Mutex<State>,
    features: Features,
}

/// What is asked of all jobs beyond their own settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Limits and body sizes as series.
    pub extra_metrics: bool,
    /// `_created` lines are start timestamps, not series.
    pub created_timestamps: bool,
}

#[derive(Debug)]
struct State {
    manager: Manager,
    pools: BTreeMap<String, Pool>,
}

/// One job.
#[derive(Debug)]
struct Pool {
    config: Arc<ScrapeConfig>,
    settings: Arc<Settings>,
    client: Client,
    discovery: Discovery,
    targets: Targets,
    follower: JoinHandle<()>,
}

/// Jobs that can be brought into force.
#[derive(Debug)]
pub struct Prepared(Vec<(ScrapeConfig, Client)>);

/// A job as the page of targets shows it.
#[derive(Debug)]
pub struct PoolView {
    /// `job_name`
    pub name: String,
    /// What is scraped: the target, and how it does.
    pub active: Vec<(Target, TargetStatus)>,
    /// What discovery found in all, and what became of the rest.
    pub targets: Targets,
    /// What discovery counts.
    pub facts: Arc<Facts>,
}

impl Pools {
    /// No pools yet. Belongs into a tokio runtime.
    pub fn new(manager: Manager, features: Features) -> Self {
        Self { state: Mutex::new(State { manager, pools: BTreeMap::new() }), features }
    }

    /// All of bringing jobs into force that can fail.
    pub fn prepare(jobs: &[ScrapeConfig]) -> Result<Prepared, String> {
        let each = jobs.iter().map(|config| {
            let client = Client::new(config.client.clone(), std::time::Instant::now());
            let client = client.map_err(|why| format!("{}: {why}", config.job_name))?;
            Ok((config.clone(), client))
        });
        each.collect::<Result<_, String>>().map(Prepared)
    }

    /// Brings these jobs into force.
    pub fn apply(
        self: &Arc<Self>,
        Prepared(jobs): Prepared,
        external_labels: &BTreeMap<String, String>,
    ) {
        let mut state = self.lock();
        let gone = |name: &String| !jobs.iter().any(|(job, _)| job.job_name == *name);
        for (name, pool) in state.pools.extract_if(.., |name, _| gone(name)).collect::<Vec<_>>() {
            pool.follower.abort();
            state.manager.remove(&name);
        }
        for (config, client) in jobs {
            let name = config.job_name.clone();
            let settings = Arc::new(settings(&config, external_labels, self.features));
            let discovery = Discovery::start(&name, config.discovery.clone());
            let groups = discovery.groups();
            let follower = tokio::spawn(follow(Arc::clone(self), name.clone(), discovery.groups()));
            let old = state.pools.remove(&name);
            let settings = match &old {
                // The same settings keep the series of all targets.
                Some(old) if *old.settings == *settings => Arc::clone(&old.settings),
                _ => settings,
            };
            let targets = old.map_or_else(Targets::default, |old| {
                old.follower.abort();
                old.targets
            });
            let config = Arc::new(config);
            let pool = Pool { config, settings, client, discovery, targets, follower };
            let answered = pool.is_fixed();
            state.pools.insert(name.clone(), pool);
            if answered {
                let groups = groups.borrow().clone();
                state.refresh(&name, &groups);
            } else {
                state.update(&name);
            }
        }
    }

    /// All pools as they are.
    pub fn view(&self) -> Vec<PoolView> {
        let state = self.lock();
        let view = |(name, pool): (&String, &Pool)| {
            let mut status: BTreeMap<u64, TargetStatus> = state
                .manager
                .targets(name)
                .into_iter()
                .map(|(endpoint, status)| (endpoint.identity, status))
                .collect();
            let with_status = |target: &Target| {
                (target.clone(), status.remove(&target.identity).unwrap_or_default())
            };
            PoolView {
                name: name.clone(),
                active: pool.targets.active.iter().map(with_status).collect(),
                targets: Targets { active: Vec::new(), ..pool.targets.clone() },
                facts: Arc::clone(pool.discovery.facts()),
            }
        };
        state.pools.iter().map(view).collect()
    }

    /// Looks at what all scrapes count.
    pub fn with_manager<T>(&self, look: impl FnOnce(&Manager) -> T) -> T {
        look(&self.lock().manager)
    }

    /// Ends all series, each after the scrape that it is at.
    pub async fn shutdown(&self, empty: Manager) {
        let manager = {
            let mut state = self.lock();
            for pool in std::mem::take(&mut state.pools).into_values() {
                pool.follower.abort();
            }
            std::mem::replace(&mut state.manager, empty)
        };
        manager.shutdown().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes every change of a job's groups.
async fn follow(pools: Arc<Pools>, name: String, mut groups: tokio::sync::watch::Receiver<Groups>) {
    while groups.changed().await.is_ok() {
        let newest = groups.borrow_and_update().clone();
        pools.lock().refresh(&name, &newest);
    }
}

impl Pool {
    /// Whether all its targets stand in the configuration.
    fn is_fixed(&self) -> bool {
        self.config.discovery.iter().all(|m| matches!(m, Mechanism::Fixed(_)))
    }
}

impl State {
    fn refresh(&mut self, name: &str, groups: &Groups) {
        let Some(pool) = self.pools.get_mut(name) else {
            return;
        };
        pool.targets = Targets::build(&pool.config, groups.iter().map(|group| &**group));
        for failure in &pool.targets.failures {
            tracing::warn!(job = name, failure, "a target cannot be scraped");
        }
        self.update(name);
    }

    /// Tells the manager.
    fn update(&mut self, name: &str) {
        let Some(pool) = self.pools.get(name) else {
            return;
        };
        let config = &pool.config;
        let job = Job {
            settings: Arc::clone(&pool.settings),
            accept: weir_wire::exposition::protocol::accept(&config.protocols, config.escaping),
            compression: config.compression,
            client: pool.client.clone(),
            fallback: config.fallback_protocol,
            forced_error: over_limit(pool),
        };
        let endpoint = |target: &Target| Endpoint {
            identity: target.identity,
            url: target.url.clone(),
            labels: target.labels.clone(),
            interval: target.interval,
            timeout: target.timeout,
        };
        let endpoints = pool.targets.active.iter().map(endpoint).collect();
        self.manager.update(name, &Arc::new(job), endpoints);
    }
}

/// Every scrape of a job with too many targets fails.
fn over_limit(pool: &Pool) -> Option<ScrapeError> {
    let limit = pool.config.target_limit.filter(|_| pool.targets.over_limit)?.get();
    Some(ScrapeError::TargetLimit { targets: pool.targets.active.len(), limit })
}

fn settings(
    config: &ScrapeConfig,
    external_labels: &BTreeMap<String, String>,
    features: Features,
) -> Settings {
    let limit = |limit: Option<std::num::NonZeroUsize>| limit.map_or(0, Into::into);
    Settings {
        honor_labels: config.honor_labels,
        honor_timestamps: config.honor_timestamps,
        track_timestamps_staleness: config.track_timestamps_staleness,
        metric_relabel: config.metric_relabel.clone(),
        limits: Limits {
            samples: limit(config.limits.samples),
            labels: limit(config.limits.labels),
            label_name_bytes: limit(config.limits.label_name_bytes),
            label_value_bytes: limit(config.limits.label_value_bytes),
            body_bytes: limit(config.limits.body_bytes),
            buckets: limit(config.limits.native_buckets),
            schema_max: schema_max(config.limits.native_min_factor),
        },
        external_labels: external_labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
        extra_metrics: config.extra_metrics || features.extra_metrics,
        parser: Options {
            created_as_start: features.created_timestamps,
            classic_too: config.classic_histograms,
            ignore_native: !config.native_histograms,
        },
    }
}

/// The finest resolution whose buckets grow by at least this factor: Prometheus's `pickSchema`.
fn schema_max(factor: f64) -> Option<i32> {
    let schema = || (-factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32;
    (factor > 1.0).then(schema)
}
