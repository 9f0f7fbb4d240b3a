//! The wiring: arguments and configuration in, a running agent out. The only file that knows all
//! parts.
//!
//! Start: buffer, senders, HTTP, scrapes. Stop, in the reverse order: scrapes end their series with
//! stale markers, which are on disk before the senders get their last chance.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_http::{Drain, Server, ServerConfig, WebConfig};
use weir_journal::Journal;
use weir_model::{Label, Millis};
use weir_remote::config::Destination;
use weir_remote::destinations::now_ms;
use weir_remote::{Destinations, HttpTransport, JournalQueue};
use weir_telemetry::{Registry, Scrape};

use crate::admin::{Admin, metrics};
use crate::beat::{self, Reached};
use crate::buffer::Buffer;
use crate::central::Central;
use crate::cli::{self, Args};
use crate::custodian::Custodian;
use crate::custody::Custody;
use crate::direct::Direct;
use crate::director::Director;
use crate::force::{Force, NO_LABELS, Reloads, running};
use crate::pools::{Features, Pools};
use crate::push::Pushes;
use crate::receive::Receiver;
use crate::reduce::{ReadRules, Reducer};
use crate::router::Router;
use crate::schedule::host_seed;
use crate::scrape::{Manager, Settings, Sink};
use crate::sender_name::SenderName;
use crate::storage::{self, Storage};
use crate::watermarks::Watermarks;
use weir_agent_config::{Config, load};

/// A running agent.
pub struct App {
    /// Reloads, for SIGHUP.
    pub admin: Arc<Admin>,
    /// Turns true when `/-/quit` is asked for.
    pub quit: watch::Receiver<bool>,
    /// Follows the buffer's durable position; `u64::MAX` when the disk has failed.
    pub durable: watch::Receiver<u64>,
    args: Args,
    force: Arc<Force>,
    buffer: Buffer,
    storage: Storage,
    drain: Drain,
    tasks: Vec<JoinHandle<()>>,
}

impl App {
    /// Opens the buffer and starts everything; the error is what a person is told.
    pub async fn build(
        args: Args,
        config: Config,
        origin: Origin,
        rules: ReadRules,
    ) -> Result<Self, String> {
        let storage = Storage::open(&args.storage, args.buffer_max_size.0)?;
        let bounds = (args.buffer_max_size.0, args.buffer_max_age);
        let agent = args.central.name.clone().unwrap_or_else(host_name);
        let name = SenderName { agent, buffer: storage::number(&args.storage)? };
        let custody = Arc::new(Custody::open(&args.storage, &storage.journal)?);
        let direct = Direct::open(&args.storage, &config.destinations)?;
        let all = running(&direct, bounds, &name, &custody);
        let destinations = Arc::new(destinations(&args, &all, &storage)?);
        let (journal, durable) = (Arc::clone(&storage.journal), storage.durable.clone());
        let buffer = Buffer::open(journal, durable, &args.storage).await?;
        let hash_seed = random()?;
        let reducer = reducer(&args, &config, rules, &buffer, hash_seed);
        let sink: Box<dyn Sink> = match &reducer {
            Some(reducer) => Box::new(Arc::clone(reducer)),
            None => Box::new(buffer.clone()),
        };
        let manager = Manager::new(sink, hash_seed, offset_seed(&config));
        let features = Features {
            extra_metrics: args.has_feature(cli::EXTRA_METRICS),
            created_timestamps: args.has_feature(cli::CREATED_TIMESTAMPS),
        };
        let pushes = args.push.then(|| Arc::new(pushes(&args, &config, &buffer, hash_seed)));
        let labels = config.external_labels.clone().into_iter().collect();
        let force = Arc::new(Force {
            pools: Arc::new(Pools::new(manager, features)),
            destinations,
            pushes,
            receiver: args.receiver.then(|| Receiver::new(buffer.clone(), labels)),
            rules: reducer.map(|reducer| (reducer, args.rule_files.clone())),
            bounds,
            name,
            custody,
            direct,
            reloads: Reloads::started(),
            turn: tokio::sync::Mutex::default(),
        });
        let registry = Registry::new();
        metrics::register(&registry, &storage.journal, &buffer);
        observe(&registry, &force, &storage.journal);
        let (quitter, quit) = watch::channel(false);
        let reload = reloader(&origin, &force);
        let pools = Arc::clone(&force.pools);
        let admin = Admin::new(pools, registry.clone(), reload, args.lifecycle, quitter);
        let admin = Arc::new(admin);
        let (receiver, pushes) = (force.receiver.clone(), force.pushes.clone());
        let router = Router { admin: Arc::clone(&admin), receiver, pushes, web: web(&args)? };
        let drain = serve(&args.listen, router).await?;
        force.pools.apply(Pools::prepare(&config.scrape)?, &config.external_labels);
        let tasks = tasks(&force, &storage, origin, &registry);
        admin.ready().store(true, Ordering::Release);
        let durable = storage.durable.clone();
        Ok(Self { admin, quit, durable, args, force, buffer, storage, drain, tasks })
    }

    /// Ends all series, and delivers what can be delivered within the flush deadline. What cannot
    /// stays in the buffer.
    pub async fn stop(self) {
        self.drain.start();
        for task in &self.tasks {
            task.abort();
        }
        let idle = Manager::new(Box::new(self.buffer.clone()), 0, 0);
        self.force.pools.shutdown(idle).await;
        if let Some(pushes) = &self.force.pushes {
            pushes.end();
        }
        if let Some((reducer, _)) = &self.force.rules {
            reducer.end(now_ms());
        }
        if let Err(why) = self.buffer.wait_durable().await {
            tracing::error!(why, "the last samples may not be on disk");
        }
        let mut told = Vec::new();
        self.force.destinations.each(|destination, _| told.push(destination.clone()));
        self.force.destinations.stop(self.args.flush_deadline()).await;
        Watermarks::end(self.force.name.clone(), told).await;
        self.drain.cut();
        if let Err(why) = self.storage.journal.close() {
            tracing::error!(%why, "the buffer was not closed in order");
        }
    }
}

fn destinations(
    args: &Args,
    all: &[Destination],
    storage: &Storage,
) -> Result<Destinations, String> {
    let queue = JournalQueue {
        journal: Arc::clone(&storage.journal),
        durable: storage.durable.clone(),
        fs: &weir_journal::fs::DiskFs,
        dir: &args.storage,
        blocked: Arc::new(AtomicBool::new(false)),
    };
    Destinations::start(all, &NO_LABELS, queue, HttpTransport::new)
}

fn pushes(args: &Args, config: &Config, buffer: &Buffer, hash_seed: u128) -> Pushes {
    let labels = config.external_labels.clone().into_iter().collect();
    let settings = Settings { external_labels: labels, ..Settings::default() };
    Pushes::new(buffer.clone(), settings, PUSH_INTERVAL, args.push_expire, hash_seed)
}

/// What rules reduce on the way to the buffer; `None` where there are no rule files.
fn reducer(
    args: &Args,
    config: &Config,
    rules: ReadRules,
    buffer: &Buffer,
    hash_seed: u128,
) -> Option<Arc<Reducer>> {
    let to = Box::new(buffer.clone());
    let labels = config.external_labels.clone().into_iter().collect();
    let reducer = || Reducer::new(to, rules.decisions, labels, args.grace, hash_seed);
    (!args.rule_files.is_empty()).then(|| Arc::new(reducer()))
}

fn observe(registry: &Registry, force: &Arc<Force>, journal: &Arc<Journal>) {
    let scraped = Arc::clone(&force.pools);
    let collect = move |scrape: &mut Scrape| metrics::collect_scrapes(&scraped, scrape);
    registry.set_collector("scrapes", Arc::new(collect));
    let (sent, journal) = (Arc::clone(force), Arc::clone(journal));
    let collect = move |scrape: &mut Scrape| {
        metrics::collect_destinations(&sent.destinations, now_ms(), scrape);
        let mut done = Vec::new();
        sent.destinations.each(|to, sender| done.push((to.clone(), sender.done_below())));
        sent.custody.collect(&done, &journal, scrape);
        sent.direct.collect(scrape);
    };
    registry.set_collector("destinations", Arc::new(collect));
    let reloaded = Arc::clone(force);
    let collect = move |scrape: &mut Scrape| {
        reloaded.reloads.collect(scrape);
        if let Some((reducer, _)) = &reloaded.rules {
            reducer.collect(scrape);
        }
    };
    registry.set_collector("reloads", Arc::new(collect));
    if let Some(pushes) = force.pushes.clone() {
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

/// What goes on by itself, beside scrapes and senders.
fn tasks(
    force: &Arc<Force>,
    storage: &Storage,
    origin: Origin,
    registry: &Registry,
) -> Vec<JoinHandle<()>> {
    let journal = || Arc::clone(&storage.journal);
    let custodian = Custodian::new(Arc::clone(force), journal());
    let (told, reached) = watch::channel(Reached::default());
    let watermarks = Watermarks::new(Arc::clone(force), reached);
    let beat = beat::run(Arc::clone(force), journal(), told);
    let mut tasks =
        vec![tokio::spawn(custodian.run()), tokio::spawn(watermarks.run()), tokio::spawn(beat)];
    let director = Director::new(Arc::clone(force), journal());
    tasks.push(tokio::spawn(director.run()));
    tasks.extend(force.pushes.clone().map(|pushes| tokio::spawn(pushes.run())));
    let reducer = force.rules.as_ref().map(|(reducer, _)| Arc::clone(reducer));
    tasks.extend(reducer.map(|reducer| tokio::spawn(reducer.run())));
    tasks.extend(origin.follow(registry, Arc::clone(force)));
    tasks
}

/// Where this agent's configuration comes from.
#[derive(Clone)]
pub enum Origin {
    /// A file of this host.
    File(PathBuf),
    /// A gateway.
    Gateway(Arc<Central>),
}

impl Origin {
    /// As the flags say, with the configuration to start with.
    pub fn read(args: &Args) -> Result<(Self, Config), String> {
        if args.central.gateway.is_none() {
            let file = args.config_file.clone();
            return read(&file).map(|config| (Self::File(file), config));
        }
        let mut central = Central::new(&args.central, &host_name(), &args.storage)?;
        let config = central.start()?;
        Ok((Self::Gateway(Arc::new(central)), config))
    }

    /// Follows the gateway, where the configuration comes from one.
    fn follow(self, registry: &Registry, force: Arc<Force>) -> Option<JoinHandle<()>> {
        let Self::Gateway(central) = self else {
            return None;
        };
        let counts = Arc::clone(central.counts());
        let collect = move |scrape: &mut Scrape| counts.collect(scrape);
        registry.set_collector("central", Arc::new(collect));
        Some(tokio::spawn(central.run(force)))
    }

    /// Looks for another configuration and brings it into force; an error changes nothing.
    async fn reload(&self, force: &Arc<Force>) -> Result<(), String> {
        let file = match self {
            Self::File(file) => file,
            Self::Gateway(central) => return central.poll(force).await,
        };
        let result = match read(file) {
            Ok(config) => force.apply(config).await,
            Err(why) => {
                force.refused();
                Err(why)
            }
        };
        match &result {
            Ok(()) => tracing::info!("the configuration was read again"),
            Err(why) => tracing::error!(%why, "the configuration was not taken, nothing changes"),
        }
        result
    }
}

/// Reads a configuration with this process's environment.
fn read(file: &Path) -> Result<Config, String> {
    let env = |name: &str| std::env::var(name).ok();
    load(file, &env).map_err(|errors| errors.to_string())
}

/// A reload for SIGHUP and `/-/reload`, from a thread that may block.
fn reloader(origin: &Origin, force: &Arc<Force>) -> crate::admin::Reload {
    let (origin, force) = (origin.clone(), Arc::clone(force));
    let runtime = tokio::runtime::Handle::current();
    Box::new(move || runtime.block_on(origin.reload(&force)))
}

/// Reads the file of `--web.config.file`.
pub fn web(args: &Args) -> Result<Option<Arc<WebConfig>>, String> {
    let load = |file: &PathBuf| WebConfig::load(file, Instant::now()).map(Arc::new);
    args.web_config.as_ref().map(load).transpose()
}

async fn serve(listen: &str, router: Router) -> Result<Drain, String> {
    // `:9090` is every address, as in Prometheus.
    let listen =
        if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() };
    let failed = |why: &dyn std::fmt::Display| format!("--web.listen-address {listen}: {why}");
    let mut found = tokio::net::lookup_host(&listen).await.map_err(|why| failed(&why))?;
    let address = found.next().ok_or_else(|| failed(&"no such address"))?;
    let tls = router.web.as_ref().and_then(|web| web.tls());
    let config = ServerConfig { connections_max: CONNECTIONS_MAX, tls, ..ServerConfig::default() };
    let server = Server::bind(address, config).await.map_err(|why| failed(&why))?;
    let at = server.local_addr().map_err(|why| failed(&why))?;
    tracing::info!(%at, "serving");
    let drain = Drain::new();
    tokio::spawn(server.serve(Arc::new(router), drain.clone()));
    Ok(drain)
}

fn offset_seed(config: &Config) -> u64 {
    let labels = config.external_labels.iter().map(|(name, value)| Label { name, value });
    host_seed(&host_name(), labels)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
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
