//! One gateway without sockets, on the faulty disk, and a destination that reads its queue.
//!
//! What `app.rs` does with timers and servers is done here step by step, at the script's word. Each
//! step has ended when it returns: frames are durable in the queue, cursors in the ledger. A step
//! that cannot be done because the disk has stopped says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message;
use tokio::runtime::Runtime;
use weir_gateway::boot::Shared;
use weir_gateway::checkpoint::Checkpointer;
use weir_gateway::config::Config;
use weir_gateway::engine::{self, Engine};
use weir_gateway::node::Node;
use weir_gateway::pipeline::{Expect, Message as ToWorkers};
use weir_gateway::{frontier, ingest, outlets, reload};
use weir_journal::fs::{Fs, faulty::FaultyFs};
use weir_journal::{Item, Ledger};
use weir_tests::samples::{Labels, Sample};
use weir_tests::sender;
use weir_wire::oracle::v2;
use weir_wire::{Encoding, Version};

/// Where everything lies on the faulty disk.
pub(crate) const DIR: &str = "/data";
const LEDGER: &str = "destinations";
const SINK: &str = "sink";
const WORKERS: usize = 2;
/// A sender's.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a step could not be done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The disk has stopped, or a journal has failed.
    Disk(#[expect(dead_code, reason = "shown by Debug")] String),
    /// A request was answered so.
    Answered(u16, Option<u32>),
    /// A sender has waited long enough; it will come again.
    NoAnswer,
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Disk(error.to_string())
    }
}

/// A running one.
pub(crate) struct Twin {
    pub(crate) node: Arc<Node>,
    checkpointer: Checkpointer,
    threads: Vec<JoinHandle<()>>,
    ledger: Ledger,
    runtime: Runtime,
    /// Set when the disk has stopped, so that nothing waits for room on it.
    stopping: Arc<AtomicBool>,
    watchdog: JoinHandle<()>,
    ended: Arc<AtomicBool>,
    /// Samples that the start read back.
    pub(crate) replayed: u64,
    /// The position behind which the start read the log.
    pub(crate) replay_from: u64,
    /// Frames that the destination could not read.
    pub(crate) lost_frames: u64,
}

impl Twin {
    /// Opens, restores, replays and adopts the configuration, as a start does.
    pub(crate) fn start(fs: &FaultyFs, config: &Config) -> Result<Self, Stop> {
        let disk = Arc::new(fs.clone()) as Arc<dyn Fs>;
        let shared = Shared {
            tenants: Arc::default(),
            families: Arc::default(),
            stopping: Arc::default(),
            seed: 7,
            workers: WORKERS,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        // First, so that nothing runs where it cannot be opened.
        let ledger = Ledger::open(fs, Path::new(DIR), LEDGER)?;
        let engine = Engine::open(config.clone(), &disk, &shared)?;
        let (stopping, ended) = (Arc::clone(&shared.stopping), Arc::new(AtomicBool::new(false)));
        let mut twin = Self {
            checkpointer: engine.checkpointer(&Arc::default()),
            ledger,
            runtime,
            watchdog: watch(fs.clone(), Arc::clone(&stopping), Arc::clone(&ended)),
            replayed: 0,
            replay_from: engine.loaded.replay_from,
            lost_frames: 0,
            node: Arc::clone(&engine.node),
            threads: Vec::new(),
            stopping,
            ended,
        };
        let replay = engine.replaying();
        twin.threads = engine.machine.threads;
        let replayed = replay.run(&twin.node);
        let adopted = replayed.and_then(|replayed| {
            twin.replayed = replayed.samples;
            engine::adopt_file(&twin.node, &replayed)
        });
        match adopted {
            Ok(()) => Ok(twin),
            Err(why) => {
                twin.stop();
                Err(why.into())
            }
        }
    }

    /// Sends a request and takes the answer; 204 is all that is well.
    pub(crate) fn send(&self, samples: &[Sample]) -> Result<(), Stop> {
        let (tenant, name) = self.node.tenants.meet("anonymous").map_err(|_| no_tenant())?;
        let body = sender::snappy(&sender::message_v1(samples).encode_to_vec());
        // As admission does.
        if self.node.is_blocked() {
            return Err(Stop::Answered(503, Some(10)));
        }
        let wire = (Version::V1, Encoding::Snappy);
        let answer = ingest::store(&self.node, (tenant, name), wire, body.into());
        let answer = async { tokio::time::timeout(PATIENCE, answer).await };
        let answer = self.runtime.block_on(answer).map_err(|_| Stop::NoAnswer)?;
        let answer = answer.unwrap_or_else(|refusal| refusal);
        match answer.status.as_u16() {
            204 => Ok(()),
            status => Err(Stop::Answered(status, answer.retry_after)),
        }
    }

    /// Moves the frontier and waits until what it decides is durable in the queue.
    pub(crate) fn frontier(&self, to: i64) -> Result<(), Stop> {
        self.log_frontier(to)?;
        self.settle()
    }

    /// Moves the frontier and waits until its record is durable.
    pub(crate) fn log_frontier(&self, to: i64) -> Result<(), Stop> {
        let position = self.node.log.next_position();
        frontier::submit(&self.node, to, 0);
        if self.node.log.next_position() == position {
            return Err(Stop::Disk("the frontier cannot move".into()));
        }
        Ok(self.node.log.wait_durable(position)?)
    }

    /// Waits until all that the emitter has decided is durable in the queue.
    pub(crate) fn settle(&self) -> Result<(), Stop> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.node.pipeline.tell_emitter(Expect::Checkpoint(reply));
        let home = answer.blocking_recv()?;
        Ok(self.node.queue.wait_durable(home.queue_mark - 1)?)
    }

    /// Writes a checkpoint, and cuts what it makes needless.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Stop> {
        self.checkpointer.cycle()?;
        Ok(())
    }

    /// Puts another configuration in force.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), Stop> {
        reload::apply(&self.node, config.clone()).map_err(Stop::Disk)
    }

    /// The destination takes what is in the queue behind its cursor, then stores the cursor.
    pub(crate) fn deliver(&mut self, received: &mut Vec<Sample>) -> Result<(), Stop> {
        let stored = self.cursor();
        let mut reader = self.node.queue.reader(stored);
        while let Some(item) = reader.next()? {
            match item {
                Item::Record(record) => received.extend(samples_of(&record.payload)),
                Item::Gap { from, to, .. } => self.lost_frames += to - from,
            }
        }
        let cursor = BTreeMap::from([(SINK.to_owned(), reader.position())]);
        Ok(self.ledger.store(&cursor)?)
    }

    /// Cuts the queue, as the outlets do.
    pub(crate) fn cut(&self) -> Result<(), Stop> {
        Ok(outlets::cut_queue(&self.node, self.cursor())?)
    }

    /// The first frame that the destination has not taken.
    pub(crate) fn cursor(&self) -> u64 {
        self.ledger.load().get(SINK).copied().unwrap_or_else(|| self.node.queue.first())
    }

    /// Why the process would end itself by now: a journal that has failed.
    pub(crate) fn failed_journal(&self) -> Option<&'static str> {
        let node = &self.node;
        let told = [
            ("log", &node.durable),
            ("queue", &node.queue_durable),
            ("checkpoints", &node.checkpoints_durable),
        ];
        told.into_iter().find(|(_, told)| *told.borrow() == u64::MAX).map(|(name, _)| name)
    }

    /// Whether no step will succeed any more.
    pub(crate) fn is_over(&self) -> bool {
        self.stopping.load(Ordering::Acquire) || self.failed_journal().is_some()
    }

    /// Panics unless the audit adds up at every position.
    pub(crate) fn assert_audited(&self) {
        assert_eq!(self.node.audit.unbalanced(), 0, "positions are unbalanced");
        assert!(self.node.audit.tenants().iter().all(|(_, audit)| audit.imbalance == 0));
    }

    /// Ends all threads and closes the journals.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        // Workers must not wait for somebody to take what a cycle has left.
        drop(self.checkpointer);
        self.node.readiness.closing.store(true, Ordering::Release);
        self.node.pipeline.tell_workers(&ToWorkers::Stop);
        self.node.pipeline.tell_emitter(Expect::Stop);
        for thread in self.threads {
            thread.join().expect("a thread ends well");
        }
        for journal in [&self.node.log, &self.node.queue, &self.node.checkpoints] {
            // One that has failed has said so.
            drop(journal.close());
        }
        self.ended.store(true, Ordering::Release);
        self.watchdog.join().expect("it ends");
    }
}

fn no_tenant() -> Stop {
    Stop::Disk("no more tenants".into())
}

fn watch(fs: FaultyFs, stopping: Arc<AtomicBool>, ended: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !ended.load(Ordering::Acquire) {
            if fs.has_crashed() {
                stopping.store(true, Ordering::Release);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    })
}

/// A frame's samples, by prost.
fn samples_of(payload: &[u8]) -> Vec<Sample> {
    let (_, body) = weir_remote::frame::read(payload).expect("a frame");
    let request = v2::Request::decode(body).expect("a request");
    let text = |&at: &u32| request.symbols[at as usize].clone();
    let mut samples = Vec::new();
    for series in &request.timeseries {
        let pairs = series.labels_refs.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1])));
        let labels = Arc::new(pairs.collect::<Labels>());
        let sample = |s: &v2::Sample| Sample::new(&labels, s.timestamp, s.value);
        samples.extend(series.samples.iter().map(sample));
    }
    samples
}
