//! A gateway's core in one thread: decoder, workers and home, driven by records as the real one is.
//!
//! Invariant: what it says, to the backend and to other gateways, is a function of the records that it
//! was given, in their order.

mod moves;
mod tier;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::{Emission, Home};
use weir_aggregate::shard::{Shard, Work};
use weir_aggregate::target::Progress;
use weir_gateway::wal::PlacementRecord;
use weir_loadgen::samples::{Labels, Sample};
use weir_model::{Batch, BlockHasher, Columns, ShardKey, TenantId, Timestamp, VSHARDS, VShard};
use weir_ring::{OwnedSet, Table};
use weir_wire::Version;
use weir_wire::decode::{DecodeContext, Hints, decode};

use crate::disk::{Frame, Record, Told};
use crate::placement;
use crate::slip::Slip;
pub(crate) use moves::Released;

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
    unsettled: Timestamp,
    missed: Timestamp,
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
    /// All of the tier.
    pub(crate) gateways: usize,
    pub(crate) config: Arc<Decisions>,
    /// What it does wrong.
    pub(crate) slip: Option<Slip>,
}

impl Identity {
    /// All gateways but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let number = self.number;
        (0..self.gateways).filter(move |&other| other != number)
    }

    /// Whether this mistake is to be made.
    pub(crate) fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }
}

pub(crate) struct Gateway {
    identity: Identity,
    workers: Vec<Shard>,
    home: Home,
    /// Of its own virtual shards.
    frontier: Timestamp,
    /// Windows of groups that live here are closed through this.
    closed: Timestamp,
    /// Where groups live, by its log.
    places: Arc<PlacementRecord>,
    /// Given away.
    gone: OwnedSet,
    released: Option<Released>,
    /// The last move of each giver that ended here.
    adopted: BTreeMap<usize, usize>,
    /// Windows that end by then may lack something.
    unsettled: Timestamp,
    /// Windows that end by then may have what others lacked.
    missed: Timestamp,
    tenant: Arc<str>,
    hasher: BlockHasher,
    hints: Hints,
}

impl Gateway {
    /// With so many workers; tables are scattered by `seed`, on which nothing may depend.
    pub(crate) fn new(identity: &Identity, workers: usize, seed: u128) -> Self {
        let config = &identity.config;
        let shard = |_| Shard::new(Arc::clone(config), seed);
        Self {
            identity: identity.clone(),
            workers: (0..workers).map(shard).collect(),
            home: Home::new(Arc::clone(config)),
            frontier: Timestamp::MIN / 2,
            closed: Timestamp::MIN / 2,
            places: Arc::new(PlacementRecord::alone()),
            gone: OwnedSet::NONE,
            released: None,
            adopted: BTreeMap::new(),
            unsettled: Timestamp::MIN,
            missed: Timestamp::MIN,
            tenant: Arc::from(placement::TENANT),
            hasher: BlockHasher::new(seed),
            hints: Hints::default(),
        }
    }

    /// The frontier as the last record says it.
    pub(crate) fn frontier(&self) -> Timestamp {
        self.frontier
    }

    /// Through which windows are closed.
    pub(crate) fn closed(&self) -> Timestamp {
        self.closed
    }

    /// How far the targets are that sent anything past this.
    pub(crate) fn progress(&self, since: Timestamp) -> Vec<Progress> {
        let mut progress = Vec::new();
        self.workers.iter().for_each(|worker| worker.target_progress(since, &mut progress));
        progress
    }

    /// How many virtual shards are here that are not its own by the table.
    pub(crate) fn owed(&self, owned: &OwnedSet) -> usize {
        self.places.owned().len_without(owned)
    }

    /// Windows that end by then may lack something, and may have what others lacked.
    pub(crate) fn unsettled(&self) -> (Timestamp, Timestamp) {
        (self.unsettled, self.missed)
    }

    /// Takes a record; what comes of it leaves once the log is synced past it. Windows that `said`
    /// has are not said again, and go on from what was.
    pub(crate) fn handle(&mut self, position: usize, record: &Record, said: &Said) -> Outcome {
        let mut outcome = match record {
            Record::Batch { body, .. } => return self.batch(position, body),
            Record::Frontier { to, .. } => self.advance(position, *to),
            Record::Partials { origin, items } => {
                let told = items.iter().flat_map(|item| self.item(position, *origin, item));
                Outcome { frames: Vec::new(), told: told.collect() }
            }
            Record::Placement(record) => self.place(record, &OwnedSet::NONE),
            Record::Waive { origin, through } => self.waive(*origin, *through),
            Record::Release(record) => return self.release(position, record),
            Record::Adopt(record) => return self.adopt(position, record, said),
            Record::Settled => return self.settled(position),
        };
        outcome.frames = self.close(position, said);
        outcome
    }

    /// A request, cut by owners.
    pub(crate) fn cut(&mut self, body: &[u8], table: &Table) -> Vec<Vec<u8>> {
        let batch = self.decode(body);
        let owner = |vshard| placement::owner(table, vshard) as u16;
        let entries = batch.columns.entries.iter();
        let owners: Vec<Option<u16>> = entries.map(|entry| Some(owner(entry.vshard))).collect();
        weir_wire::split(Version::V1, body, &owners, self.identity.gateways)
    }

    /// Whether all of a request may be logged here.
    pub(crate) fn may_take(&mut self, body: &[u8], table: &Table) -> bool {
        let batch = self.decode(body);
        let fences = !self.identity.slips(Slip::NotFenced);
        let is_mine = |vshard| {
            placement::owner(table, vshard) == self.identity.number
                && !(fences && self.gone.contains(vshard))
        };
        batch.columns.entries.iter().all(|entry| is_mine(entry.vshard))
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

    fn advance(&mut self, position: usize, to: Timestamp) -> Outcome {
        self.handle_frontier(to);
        self.frontier = self.frontier.max(to);
        Outcome { frames: Vec::new(), told: self.export(position, to) }
    }

    /// Closes what this gateway and all others have passed.
    fn close(&mut self, position: usize, said: &Said) -> Vec<Frame> {
        let to = self.frontier.min(self.home.origins.complete());
        let mut frames = Vec::new();
        if to <= self.closed {
            return frames;
        }
        while let Some((end, emissions)) = self.home.close_next(self.closed, to) {
            frames.extend(self.say(position, end, emissions, said));
        }
        let (there, all) = self.home.origins.completeness(to);
        // Only those that were given up may be missing.
        let mut late =
            self.home.origins.iter().filter(|origin| origin.is_member && origin.mark < to);
        if there < all && late.all(|origin| origin.waived >= to) {
            // Of what is missing nobody here may know anything.
            self.unsettled = self.unsettled.max(to);
        }
        self.closed = to;
        frames
    }

    /// What a window's outputs say, less what the queue has of it.
    fn say(
        &mut self,
        position: usize,
        end: Timestamp,
        emissions: Vec<Emission>,
        said: &Said,
    ) -> Option<Frame> {
        let mut samples = Vec::new();
        for emission in emissions {
            let labels = emission.labels.iter().map(|l| (l.name.to_owned(), l.value.to_owned()));
            let labels: Labels = labels.collect();
            if let Some(&value) = said.get(&(end, labels.clone())) {
                self.home.adopt(emission.source, Some(value), None);
                continue;
            }
            let labels = Arc::new(labels);
            let each = emission.samples.iter();
            samples.extend(each.map(|s| Sample::new(&labels, s.timestamp, s.value)));
        }
        (!samples.is_empty()).then_some(Frame { position, window_end: Some(end), samples })
    }

    /// A worker's news of groups.
    fn hear(&mut self, at: usize) {
        for news in self.workers[at].take_news() {
            self.home.handle_news(at, news);
        }
    }

    fn handle_frontier(&mut self, to: Timestamp) {
        let workers = self.workers.len();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let its = (at..usize::from(VSHARDS)).step_by(workers).map(|v| VShard(v as u16));
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
        let vshards = (0..VSHARDS).map(VShard).filter_map(of).collect();
        let home = self.home.snapshot(&names);
        let Self { frontier, closed, unsettled, missed, .. } = *self;
        State { home, vshards, frontier, closed, unsettled, missed }
    }

    /// From a state of another process with other workers.
    pub(crate) fn restore(identity: &Identity, workers: usize, seed: u128, state: &State) -> Self {
        let mut new = Self::new(identity, workers, seed);
        let mut tenant = |_: &str| TENANT;
        new.home.restore_bytes(&state.home, &mut tenant).expect("its own bytes");
        (new.closed, new.unsettled, new.missed) = (state.closed, state.unsettled, state.missed);
        if !new.home.table.is_empty() {
            new.places = Arc::new(PlacementRecord::read(&new.home.table).expect("its own bytes"));
            new.settle();
        }
        for (vshard, bytes) in &state.vshards {
            let worker = &mut new.workers[usize::from(vshard.0) % workers];
            worker.restore(*vshard, bytes, &mut tenant).expect("its own bytes");
        }
        new.handle_frontier(state.frontier);
        new.frontier = state.frontier;
        new
    }
}
