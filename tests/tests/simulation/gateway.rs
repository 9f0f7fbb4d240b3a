//! A gateway's core in one thread: decoder, workers and home, driven by records as the real one is.
//!
//! Invariant: what it says is a function of the records that it was given, in their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::Home;
use weir_aggregate::shard::{Shard, Work};
use weir_loadgen::samples::{Labels, Sample};
use weir_model::{Batch, BlockHasher, Columns, ShardKey, TenantId, Timestamp, VSHARDS, VShard};
use weir_wire::Version;
use weir_wire::decode::{DecodeContext, Hints, decode};

use crate::disk::{Frame, Record};

const TENANT: TenantId = TenantId(0);

/// All of it as bytes.
#[derive(Clone)]
pub(crate) struct State {
    home: Vec<u8>,
    vshards: Vec<(VShard, Vec<u8>)>,
    frontier: Timestamp,
}

/// What was said by windows' ends before a crash.
pub(crate) type Said = BTreeMap<(Timestamp, Labels), f64>;

pub(crate) struct Gateway {
    workers: Vec<Shard>,
    home: Home,
    frontier: Timestamp,
    tenant: Arc<str>,
    hasher: BlockHasher,
    hints: Hints,
}

impl Gateway {
    /// With so many workers; tables are scattered by `seed`, on which nothing may depend.
    pub(crate) fn new(config: &Arc<Decisions>, workers: usize, seed: u128) -> Self {
        let shard = |_| Shard::new(Arc::clone(config), seed);
        Self {
            workers: (0..workers).map(shard).collect(),
            home: Home::new(Arc::clone(config)),
            frontier: Timestamp::MIN / 2,
            tenant: Arc::from("anonymous"),
            hasher: BlockHasher::new(seed),
            hints: Hints::default(),
        }
    }

    /// The frontier as the last record says it.
    pub(crate) fn frontier(&self) -> Timestamp {
        self.frontier
    }

    /// Newest timestamps of the targets that sent anything past this.
    pub(crate) fn progress(&self, since: Timestamp) -> Vec<Timestamp> {
        let mut newest = Vec::new();
        self.workers.iter().for_each(|worker| worker.target_progress(since, &mut newest));
        newest
    }

    /// Takes a record; what comes of it leaves once the log is synced past it. Windows that `said`
    /// has are not said again, and go on from what was.
    pub(crate) fn handle(&mut self, position: usize, record: &Record, said: &Said) -> Vec<Frame> {
        match record {
            Record::Batch { body, .. } => self.batch(position, body),
            &Record::Frontier(to) => self.advance(position, to, said),
        }
    }

    fn batch(&mut self, position: usize, body: &[u8]) -> Vec<Frame> {
        let batch = self.decode(body);
        let workers = self.workers.len();
        let mut samples = Vec::new();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let mine = |&entry: &u32| {
                usize::from(batch.columns.entries[entry as usize].vshard.0) % workers == at
            };
            let entries: Vec<u32> = (0..batch.columns.entries.len() as u32).filter(mine).collect();
            let (tenant, refused) = (&self.tenant, &[][..]);
            let work =
                Work { batch: &batch, tenant, entries: &entries, refused, no_new_series: false };
            let outcome = worker.handle_batch(&work);
            outcome.each_pass(&batch.columns, |pass, floats, _| {
                let labels = worker.labels(pass.vshard, pass.series);
                let labels = labels.map(|l| (l.name.to_owned(), l.value.to_owned()));
                let labels = Arc::new(labels.collect::<Labels>());
                samples.extend(floats.iter().map(|s| Sample::new(&labels, s.timestamp, s.value)));
            });
            for news in worker.take_news() {
                self.home.handle_news(at, news);
            }
        }
        let frame = (!samples.is_empty()).then_some(Frame { position, window_end: None, samples });
        frame.into_iter().collect()
    }

    fn advance(&mut self, position: usize, to: Timestamp, said: &Said) -> Vec<Frame> {
        self.handle_frontier(to);
        let mut frames = Vec::new();
        while let Some((end, emissions)) = self.home.close_next(self.frontier, to) {
            let mut samples = Vec::new();
            for emission in emissions {
                let labels =
                    emission.labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned()));
                let labels: Labels = labels.collect();
                if let Some(&value) = said.get(&(end, labels.clone())) {
                    self.home.adopt(emission.source, Some(value), None);
                    continue;
                }
                let labels = Arc::new(labels);
                let each = emission.samples.iter();
                samples.extend(each.map(|s| Sample::new(&labels, s.timestamp, s.value)));
            }
            if !samples.is_empty() {
                frames.push(Frame { position, window_end: Some(end), samples });
            }
        }
        self.frontier = self.frontier.max(to);
        frames
    }

    fn handle_frontier(&mut self, to: Timestamp) {
        let workers = self.workers.len();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let owned = (0..VSHARDS).filter(|v| usize::from(*v) % workers == at);
            worker.handle_frontier(owned.map(VShard), to);
            for news in worker.take_news() {
                self.home.handle_news(at, news);
            }
            for closing in worker.take_closings().into_values() {
                self.home.handle_closing(at, closing);
            }
        }
    }

    fn decode(&mut self, body: &[u8]) -> Batch {
        let key = ShardKey::default();
        let context = DecodeContext {
            hasher: &self.hasher,
            shard_key: &key,
            tenant: &self.tenant,
            tenant_id: TENANT.0,
        };
        let mut columns = Columns::default();
        let body = decode(Version::V1, body.to_vec(), &context, &mut columns, &mut self.hints);
        let source = Arc::new(body.expect("prost wrote it"));
        Batch { tenant: TENANT, received: 0, columns: Arc::new(columns), source }
    }

    /// All of it, as of the last record.
    pub(crate) fn state(&self) -> State {
        let workers = self.workers.len();
        let of = |vshard: VShard| {
            let worker = &self.workers[usize::from(vshard.0) % workers];
            worker.snapshot(vshard).map(|bytes| (vshard, bytes))
        };
        let names = |_| Arc::clone(&self.tenant);
        let vshards = (0..VSHARDS).map(VShard).filter_map(of).collect();
        State { home: self.home.snapshot(&names), vshards, frontier: self.frontier }
    }

    /// From a state of another process with other workers.
    pub(crate) fn restore(
        config: &Arc<Decisions>,
        workers: usize,
        seed: u128,
        state: &State,
    ) -> Self {
        let mut new = Self::new(config, workers, seed);
        let mut tenant = |_: &str| TENANT;
        new.home.restore_bytes(&state.home, &mut tenant).expect("its own bytes");
        for (vshard, bytes) in &state.vshards {
            let worker = &mut new.workers[usize::from(vshard.0) % workers];
            worker.restore(*vshard, bytes, &mut tenant).expect("its own bytes");
        }
        new.handle_frontier(state.frontier);
        new.frontier = state.frontier;
        new
    }
}
