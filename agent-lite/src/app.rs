//! The wiring: arguments and configuration in, a running agent out. The only file that knows all
//! parts.
//!
//! Start: buffer, senders, HTTP, scrapes. Stop, in the reverse order: scrapes end their series with
//! stale markers, which are on disk before the senders get their last chance.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_http::{Drain, Server, ServerConfig};
use weir_model::{Label, Millis};
use weir_remote::destinations::now_ms;
use weir_remote::{Destinations, HttpTransport, JournalQueue};
use weir_telemetry::{Registry, Scrape};

use crate::admin::{Admin, metrics};
use crate::buffer::Buffer;
use crate::cli::{self, Args};
use crate::config::{Config, load};
use crate::pools::{Features, Pools};
use crate::push::Pushes;
use crate::receive::Receiver;
use crate::router::Router;
use crate::schedule::host_seed;
use crate::scrape::{Manager, Settings};
use crate::storage::{self, Storage};

/// A running agent.
pub struct App {
    /// Reloads, for SIGHUP.
    pub admin: Arc<Admin>,
    /// Turns true when `/-/quit` is asked for.
    pub quit: watch::Receiver<bool>,
    /// Follows the buffer's durable position; `u64::MAX` when the disk has failed.
    pub durable: watch::Receiver<u64>,
    args: Args,
    pools: Arc<Pools>,
    pushes: Option<Arc<Pushes>>,
    buffer: Buffer,
    storage: Storage,
    destinations: Arc<Destinations>,
    drain: Drain,
    tasks: Vec<JoinHandle<()>>,
}

impl App {
    /// Opens the buffer and starts everything; the error is what a person is told.
    pub async fn build(args: Args, mut config: Config) -> Result<Self, String> {
        let storage = Storage::open(&args.storage, args.buffer_max_size.0)?;
        bound(&args, &mut config);
        let destinations = Arc::new(destinations(&args, &config, &storage)?);
        let buffer = Buffer::new(Arc::clone(&storage.journal), storage.durable.clone());
        let hash_seed = random()?;
        let manager = Manager::new(Box::new(buffer.clone()), hash_seed, offset_seed(&config));
        let features = Features {
            extra_metrics: args.has_feature(cli::EXTRA_METRICS),
            created_timestamps: args.has_feature(cli::CREATED_TIMESTAMPS),
        };
        let pools = Arc::new(Pools::new(manager, features));
        let pushes = args.push.then(|| Arc::new(pushes(&args, &config, &buffer, hash_seed)));
        let registry = Registry::new();
        metrics::register(&registry, &storage.journal);
        observe(&registry, &pools, &destinations, pushes.as_ref());
        let (quitter, quit) = watch::channel(false);
        let reload = reloader(&args, &pools, &destinations, &registry);
        let lifecycle = args.lifecycle;
        let admin = Arc::new(Admin::new(Arc::clone(&pools), registry, reload, lifecycle, quitter));
        let labels = config.external_labels.clone().into_iter().collect();
        let receiver = args.receiver.then(|| Receiver::new(buffer.clone(), labels));
        let router = Router { admin: Arc::clone(&admin), receiver, pushes: pushes.clone() };
        let drain = serve(&args.listen, router).await?;
        let journal = Arc::clone(&storage.journal);
        let cutting = storage::keep_cutting(journal, Arc::clone(&destinations));
        let mut tasks = vec![tokio::spawn(cutting)];
        tasks.extend(pushes.clone().map(|pushes| tokio::spawn(pushes.run())));
        pools.apply(&config.scrape, &config.external_labels)?;
        admin.ready().store(true, Ordering::Release);
        let durable = storage.durable.clone();
        Ok(Self {
            admin,
            quit,
            durable,
            args,
            pools,
            pushes,
            buffer,
            storage,
            destinations,
            drain,
            tasks,
        })
    }

    /// Ends all series, and delivers what can be delivered within the flush deadline. What cannot
    /// stays in the buffer.
    pub async fn stop(self) {
        self.drain.start();
        for task in &self.tasks {
            task.abort();
        }
        let idle = Manager::new(Box::new(self.buffer.clone()), 0, 0);
        self.pools.shutdown(idle).await;
        if let Some(pushes) = &self.pushes {
            pushes.end();
        }
        if let Err(why) = self.buffer.wait_durable().await {
            tracing::error!(why, "the last samples may not be on disk");
        }
        self.destinations.stop(self.args.flush_deadline()).await;
        self.drain.cut();
        if let Err(why) = self.storage.journal.close() {
            tracing::error!(%why, "the buffer was not closed in order");
        }
    }
}

/// Bounds the destinations by the buffer.
fn bound(args: &Args, config: &mut Config) {
    for destination in &mut config.destinations {
        storage::bound(destination, args.buffer_max_size.0, args.buffer_max_age);
    }
}

fn destinations(args: &Args, config: &Config, storage: &Storage) -> Result<Destinations, String> {
    let queue = JournalQueue {
        journal: Arc::clone(&storage.journal),
        durable: storage.durable.clone(),
        fs: &weir_journal::fs::DiskFs,
        dir: &args.storage,
        blocked: Arc::new(AtomicBool::new(false)),
    };
    let labels = &config.external_labels;
    Destinations::start(&config.destinations, labels, queue, HttpTransport::new)
}

fn pushes(args: &Args, config: &Config, buffer: &Buffer, hash_seed: u128) -> Pushes {
    let labels = config.external_labels.clone().into_iter().collect();
    let settings = Settings { external_labels: labels, ..Settings::default() };
    Pushes::new(buffer.clone(), settings, PUSH_INTERVAL, args.push_expire, hash_seed)
}

fn observe(
    registry: &Registry,
    pools: &Arc<Pools>,
    destinations: &Arc<Destinations>,
    pushes: Option<&Arc<Pushes>>,
) {
    let scraped = Arc::clone(pools);
    let collect = move |scrape: &mut Scrape| metrics::collect_scrapes(&scraped, scrape);
    registry.set_collector("scrapes", Arc::new(collect));
    let sent = Arc::clone(destinations);
    let collect = move |scrape: &mut Scrape| {
        metrics::collect_destinations(&sent, now_ms(), scrape);
    };
    registry.set_collector("destinations", Arc::new(collect));
    if let Some(pushes) = pushes.cloned() {
        let collect = move |scrape: &mut Scrape| {
            let (groups, series) = pushes.counts();
            let help = "Groups that jobs have pushed.";
            scrape.gauge("weir_agent_push_groups", help, &[], groups as f64);
            let help = "Series of all pushed groups.";
            scrape.gauge("weir_agent_push_series", help, &[], series as f64);
        };
        registry.set_collector("pushes", Arc::new(collect));
    }
}

/// Reads the file again and brings it into force; an error changes nothing and is logged.
fn reloader(
    args: &Args,
    pools: &Arc<Pools>,
    destinations: &Arc<Destinations>,
    registry: &Registry,
) -> crate::admin::Reload {
    let (args, pools, destinations) = (args.clone(), Arc::clone(pools), Arc::clone(destinations));
    let reloads = Arc::new(metrics::Reloads::default());
    reloads.succeeded_s.store(now_ms() / 1000, Ordering::Relaxed);
    let shown = Arc::clone(&reloads);
    registry.set_collector("reloads", Arc::new(move |s: &mut Scrape| shown.collect(s)));
    let runtime = tokio::runtime::Handle::current();
    let one_at_a_time = Mutex::new(());
    Box::new(move || {
        let _one = one_at_a_time.lock();
        let _inside = runtime.enter();
        let result = read(&args.config_file).and_then(|mut config| {
            bound(&args, &mut config);
            let labels = &config.external_labels;
            runtime.block_on(destinations.reload(&config.destinations, labels))?;
            pools.apply(&config.scrape, labels)
        });
        reloads.failed.store(u64::from(result.is_err()), Ordering::Relaxed);
        match &result {
            Ok(()) => {
                reloads.succeeded_s.store(now_ms() / 1000, Ordering::Relaxed);
                tracing::info!("the configuration was read again");
            }
            Err(why) => tracing::error!(%why, "the configuration was not taken, nothing changes"),
        }
        result
    })
}

/// Reads the configuration with this process's environment.
pub fn read(file: &Path) -> Result<Config, String> {
    let env = |name: &str| std::env::var(name).ok();
    load(file, &env).map_err(|errors| errors.to_string())
}

async fn serve(listen: &str, router: Router) -> Result<Drain, String> {
    // `:9090` is every address, as in Prometheus.
    let listen =
        if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let failed = |why: &dyn std::fmt::Display| format!("--web.listen-address {listen}: {why}");
    let mut found = tokio::net::lookup_host(&listen).await.map_err(|why| failed(&why))?;
    let address = found.next().ok_or_else(|| failed(&"no such address"))?;
    let config = ServerConfig { connections_max: CONNECTIONS_MAX, ..ServerConfig::default() };
    let server = Server::bind(address, config).await.map_err(|why| failed(&why))?;
    let at = server.local_addr().map_err(|why| failed(&why))?;
    tracing::info!(%at, "serving");
    let drain = Drain::new();
    tokio::spawn(server.serve(Arc::new(router), drain.clone()));
    Ok(drain)
}

fn offset_seed(config: &Config) -> u64 {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let labels = config.external_labels.iter().map(|(name, value)| Label { name, value });
    host_seed(&host, labels)
}

fn random() -> Result<u128, String> {
    let mut seed = [0u8; 16];
    let random = std::fs::File::open("/dev/urandom");
    random
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut seed))
        .map_err(|why| format!("/dev/urandom: {why}"))?;
    Ok(u128::from_le_bytes(seed))
}

/// How often pushed groups are scraped.
const PUSH_INTERVAL: Millis = Millis::from_secs(15);
const CONNECTIONS_MAX: usize = 512;
