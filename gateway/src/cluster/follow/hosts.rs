//! Members that run on this one's machine, each as a process of its own: this program, from the twin.
//!
//! Invariant: a process that ends is started again, and none outlives this one for long: each reads a
//! pipe that ends with it. A member keeps its ports as long as it can be started on them, so that what it
//! told etcd stays true. Whether it may run it asks etcd itself.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::shard::worker::lock;

/// Between a process's end and the next one, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Who has run for so long was started well.
const WELL: Duration = Duration::from_secs(30);

const LOOK: Duration = Duration::from_millis(50);

/// How a member is started here.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    name: String,
    host: String,
    data_dir: PathBuf,
    config: Option<PathBuf>,
    listen: IpAddr,
    cluster_listen: IpAddr,
    /// Where other members reach this machine.
    reached_at: String,
}

/// All of them.
#[derive(Default)]
pub(super) struct Hosts(Mutex<BTreeMap<String, Hosted>>);

struct Hosted {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Seat {
    pub(super) fn of(config: &Config, name: &str, data_dir: PathBuf) -> Self {
        let cluster = &config.cluster;
        let reached_at = cluster.advertise.rsplit_once(':').map_or("", |(host, _)| host);
        Self {
            name: name.to_owned(),
            host: config.node_name.clone(),
            data_dir,
            config: config.file.clone(),
            listen: config.listen.ip(),
            cluster_listen: cluster.listen.unwrap_or(config.listen).ip(),
            reached_at: reached_at.to_owned(),
        }
    }

    /// On this machine's own configuration, but for who it is and where.
    fn start(&self, listen: SocketAddr, cluster: SocketAddr) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(file) = &self.config {
            command.arg("--config.file").arg(file);
        }
        command.arg("--data-dir").arg(&self.data_dir);
        command.args(["--listen", &listen.to_string(), "--hosted.name", &self.name]);
        command.args(["--hosted.by", &self.host, "--hosted.listen", &cluster.to_string()]);
        command.args(["--hosted.advertise", &format!("{}:{}", self.reached_at, cluster.port())]);
        command.stdin(Stdio::piped()).spawn()
    }
}

impl Hosts {
    pub(super) fn has(&self, name: &str) -> bool {
        lock(&self.0).contains_key(name)
    }

    /// How many have not ended.
    pub(super) fn running(&self) -> usize {
        let is_running =
            |hosted: &&Hosted| hosted.thread.as_ref().is_some_and(|t| !t.is_finished());
        lock(&self.0).values().filter(is_running).count()
    }

    /// Starts a member, and again whenever it has ended.
    pub(super) fn run(&self, seat: Seat) {
        let stop = Arc::new(AtomicBool::new(false));
        let (name, stopped) = (seat.name.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name(format!("host-{name}"));
        match thread.spawn(move || supervise(&seat, &stopped)) {
            Ok(thread) => {
                lock(&self.0).insert(name, Hosted { stop, thread: Some(thread) });
            }
            Err(why) => tracing::error!(member = name, %why, "a member cannot be started here"),
        }
    }

    /// Ends those that do not belong here any more.
    pub(super) fn retain(&self, belongs: impl Fn(&str) -> bool) {
        lock(&self.0).retain(|name, hosted| {
            let stays = belongs(name);
            hosted.stop.fetch_or(!stays, Ordering::AcqRel);
            stays
        });
    }

    /// Tells all to end.
    pub(super) fn stop(&self) {
        lock(&self.0).values().for_each(|hosted| hosted.stop.store(true, Ordering::Release));
    }
}

/// A free port: the member's own from then on.
fn place(ip: IpAddr) -> io::Result<SocketAddr> {
    TcpListener::bind((ip, 0))?.local_addr()
}

fn supervise(seat: &Seat, stop: &AtomicBool) {
    let mut pause = PAUSE.0;
    let mut places = None;
    while !stop.load(Ordering::Acquire) {
        let began = Instant::now();
        match run_once(seat, &mut places, stop) {
            Ok(status) => {
                tracing::warn!(member = seat.name, status, "a member that runs here has ended")
            }
            Err(why) => {
                tracing::error!(member = seat.name, %why, "a member cannot be started here")
            }
        }
        if began.elapsed() > WELL {
            pause = PAUSE.0;
        } else {
            // Perhaps somebody else has its ports by now.
            places = None;
        }
        let until = Instant::now() + pause;
        while Instant::now() < until && !stop.load(Ordering::Acquire) {
            std::thread::sleep(LOOK);
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

fn run_once(
    seat: &Seat,
    places: &mut Option<(SocketAddr, SocketAddr)>,
    stop: &AtomicBool,
) -> io::Result<String> {
    let (listen, cluster) = match *places {
        Some(places) => places,
        None => *places.insert((place(seat.listen)?, place(seat.cluster_listen)?)),
    };
    let mut child = seat.start(listen, cluster)?;
    tracing::info!(member = seat.name, pid = child.id(), %listen, %cluster, "a member runs here");
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        if stop.load(Ordering::Acquire) {
            // The end of the pipe ends it in order.
            drop(child.stdin.take());
        }
        std::thread::sleep(LOOK);
    }
}
