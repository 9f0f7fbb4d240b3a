//! A gateway's core in one thread: decoder, workers and home, driven by records as the real one is.
//!
//! Invariant: what it says, to the backend and to other gateways, is a function of the records that it
//! was given, in their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_aggregate::decisions::Decisions;
use weir_aggregate::exchange;
use weir_aggregate::home::Home;
use weir_aggregate::home::afar::Taken;
use weir_aggregate::shard::{Shard, Work};
use weir_loadgen::samples::{Labels, Sample};
use weir_model::{Batch, BlockHasher, Columns, ShardKey, TenantId, Timestamp, VSHARDS, VShard};
use weir_wire::Version;
use weir_wire::decode::{DecodeContext, Hints, decode};

use crate::disk::{Frame, Item, Record, Told, What};
use crate::placement::{self, Placement};

const TENANT: TenantId = TenantId(0);
/// No gateway loses its disk here.
const EPOCH: u64 = 1;

/// All of it as bytes.
#[derive(Clone)]
pub(crate) struct State {
    home: Vec<u8>,
    vshards: Vec<(VShard, Vec<u8>)>,
    frontier: Timestamp,
    closed: Timestamp,
}

/// What was said by windows' ends before a crash.
pub(crate) type Said = BTreeMap<(Timestamp, Labels), f64>;

/// What comes of a record.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) frames: Vec<Frame>,
    pub(crate) told: Vec<Told>,
}

/// What a gateway is and stays.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) number: usize,
    pub(crate) placement: Arc<Placement>,
    pub(crate) config: Arc<Decisions>,
}

pub(crate) struct Gateway {
    identity: Identity,
    workers: Vec<Shard>,
    home: Home,
    /// Of its own virtual shards.
    frontier: Timestamp,
    /// Windows of groups that live here are closed through this.
    closed: Timestamp,
    tenant: Arc<str>,
    hasher: BlockHasher,
    hints: Hints,
}

impl Gateway {
    /// With so many workers; tables are scattered by `seed`, on which nothing may depend.
    pub(crate) fn new(identity: &Identity, workers: usize, seed: u128) -> Self {
        let config = &identity.config;
        let shard = |_| Shard::new(Arc::clone(config), seed);
        let mut new = Self {
            identity: identity.clone(),
            workers: (0..workers).map(shard).collect(),
            home: Home::new(Arc::clone(config)),
            frontier: Timestamp::MIN / 2,
            closed: Timestamp::MIN / 2,
            tenant: Arc::from(placement::TENANT),
            hasher: BlockHasher::new(seed),
            hints: Hints::default(),
        };
        new.settle();
        new
    }

    /// Tells the home where groups live, and for whom it waits.
    fn settle(&mut self) {
        let Identity { number, placement, .. } = self.identity.clone();
        let others: Vec<String> = placement.others(number).map(placement::name).collect();
        self.home.set_lives_here(Arc::new(move |key| placement.of_group(key) == number));
        self.home.origins.set_members(others.iter().map(String::as_str), self.closed);
    }

    /// The frontier as the last record says it.
    pub(crate) fn frontier(&self) -> Timestamp {
        self.frontier
    }

    /// Through which windows are closed.
    pub(crate) fn closed(&self) -> Timestamp {
        self.closed
    }

    /// Newest timestamps of the targets that sent anything past this.
    pub(crate) fn progress(&self, since: Timestamp) -> Vec<Timestamp> {
        let mut newest = Vec::new();
        self.workers.iter().for_each(|worker| worker.target_progress(since, &mut newest));
        newest
    }

    /// Takes a record; what comes of it leaves once the log is synced past it. Windows that `said`
    /// has are not said again, and go on from what was.
    pub(crate) fn handle(&mut self, position: usize, record: &Record, said: &Said) -> Outcome {
        match record {
            Record::Batch { body, .. } => self.batch(position, body),
            &Record::Frontier(to) => self.advance(position, to, said),
            Record::Partials { origin, items } => {
                items.iter().for_each(|item| self.item(*origin, item));
                Outcome { frames: self.close(position, said), told: Vec::new() }
            }
        }
    }

    /// A request, cut by owners.
    pub(crate) fn cut(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        let batch = self.decode(body);
        let owner = |vshard| self.identity.placement.owner(vshard) as u16;
        let entries = batch.columns.entries.iter();
        let owners: Vec<Option<u16>> = entries.map(|entry| Some(owner(entry.vshard))).collect();
        let gateways = self.identity.placement.others(self.identity.number).count() + 1;
        weir_wire::split(Version::V1, body, &owners, gateways)
    }

    fn batch(&mut self, position: usize, body: &[u8]) -> Outcome {
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
        Outcome { frames: frame.into_iter().collect(), told: Vec::new() }
    }

    fn advance(&mut self, position: usize, to: Timestamp, said: &Said) -> Outcome {
        self.handle_frontier(to);
        self.frontier = self.frontier.max(to);
        let told = self.export(position, to);
        Outcome { frames: self.close(position, said), told }
    }

    /// What others are told of a frontier: each its parts, then all that it was passed.
    fn export(&mut self, position: usize, to: Timestamp) -> Vec<Told> {
        let Identity { number, placement, config } = &self.identity;
        let mut told = Vec::new();
        for (other, export) in self.home.export(to).deal(|key| placement.of_group(key)) {
            let bytes = exchange::encode(&export, config, &|_| Arc::clone(&self.tenant));
            told.push(Told { position, what: What::Parts { to: other, bytes } });
        }
        let has_others = placement.others(*number).next().is_some();
        told.extend(has_others.then_some(Told { position, what: What::Mark(to) }));
        told
    }

    fn item(&mut self, origin: usize, item: &Item) {
        let name = placement::name(origin);
        if self.home.origins.has(&name, EPOCH, item.place) {
            return;
        }
        let number = self.home.origins.meet(&name);
        let mut mark = Timestamp::MIN;
        match &item.what {
            What::Mark(to) => mark = *to,
            What::Parts { bytes, .. } => {
                let read = exchange::decode(bytes, &self.identity.config, &mut |_| TENANT);
                let read = read.expect("a gateway wrote it");
                self.home.import(number, read.export, |taken| {
                    assert_eq!(taken, Taken::InTime, "nobody closes a window without all parts");
                });
            }
        }
        self.home.origins.advance(number, (EPOCH, item.place), mark);
    }

    /// Whether it has taken another's stream up to a place.
    pub(crate) fn has(&self, origin: usize, place: u64) -> bool {
        self.home.origins.has(&placement::name(origin), EPOCH, place)
    }

    /// Closes what this gateway and all others have passed.
    fn close(&mut self, position: usize, said: &Said) -> Vec<Frame> {
        let to = self.frontier.min(self.home.origins.complete());
        let mut frames = Vec::new();
        if to <= self.closed {
            return frames;
        }
        while let Some((end, emissions)) = self.home.close_next(self.closed, to) {
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
        self.closed = to;
        frames
    }

    fn owned(&self) -> impl Iterator<Item = VShard> {
        let Identity { number, placement, .. } = &self.identity;
        (0..VSHARDS).map(VShard).filter(|&vshard| placement.owner(vshard) == *number)
    }

    fn handle_frontier(&mut self, to: Timestamp) {
        let workers = self.workers.len();
        let owned: Vec<VShard> = self.owned().collect();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let its = owned.iter().copied().filter(|v| usize::from(v.0) % workers == at);
            worker.handle_frontier(its, to);
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
        let vshards = self.owned().filter_map(of).collect();
        let home = self.home.snapshot(&names);
        State { home, vshards, frontier: self.frontier, closed: self.closed }
    }

    /// From a state of another process with other workers.
    pub(crate) fn restore(identity: &Identity, workers: usize, seed: u128, state: &State) -> Self {
        let mut new = Self::new(identity, workers, seed);
        let mut tenant = |_: &str| TENANT;
        new.home.restore_bytes(&state.home, &mut tenant).expect("its own bytes");
        new.closed = state.closed;
        new.settle();
        for (vshard, bytes) in &state.vshards {
            let worker = &mut new.workers[usize::from(vshard.0) % workers];
            worker.restore(*vshard, bytes, &mut tenant).expect("its own bytes");
        }
        new.handle_frontier(state.frontier);
        new.frontier = state.frontier;
        new
    }
}
