//! The way of a sample through one worker: decompress, decode, route, take, close.
//!
//! The same calls in the same order as in the gateway, with its allocations (fresh columns a
//! request, because they move on to the worker; bodies come back to the decoder's pool). Each step is a function of its
//! own that is never inlined, so that a profile can tell them apart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use weir_aggregate::decisions::Decisions;
use weir_aggregate::rule::{Rule, load};
use weir_aggregate::shard::{Outcome, Shard, Work};
use weir_model::{
    Batch, BlockHasher, Class, Columns, LabelSource, Relabel, ShardKey, TenantId, Timestamp,
    VSHARDS, VShard,
};
use weir_wire::{Body, DecodeContext, Decompressor, Hints, decode};

use crate::clock::thread_time;
use crate::load::{INTERVAL_MS, Load, RULE, START_MS};

/// How far the frontier stays behind the newest samples: the gateway's default grace.
pub const GRACE_MS: i64 = 30_000;

const TENANT: &str = "anonymous";
const BODY_BYTES_MAX: usize = 32 << 20;
const SEED: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Decodes requests as one of the gateway's threads does.
pub struct Decoder {
    load: Load,
    hasher: BlockHasher,
    shard_key: ShardKey,
    decompressor: Decompressor,
    hints: Hints,
}

/// A decoded request.
pub struct Decoded {
    /// Its content.
    pub columns: Columns,
    /// Where its labels stand.
    pub body: Body,
}

impl Decoder {
    /// One for this version and encoding.
    pub fn new(load: Load) -> Self {
        Self {
            load,
            hasher: BlockHasher::new(SEED),
            shard_key: ShardKey::default(),
            decompressor: Decompressor::default(),
            hints: Hints::default(),
        }
    }

    /// Memory for a body.
    pub fn room(&self) -> Vec<u8> {
        self.hints.room()
    }

    /// Decompresses into `plain`.
    #[inline(never)]
    pub fn decompress(&mut self, packed: &[u8], plain: &mut Vec<u8>) {
        let Self { decompressor, load, .. } = self;
        decompressor
            .decompress(load.encoding, packed, BODY_BYTES_MAX, plain)
            .expect("a body that was compressed here");
    }

    /// Decodes into `columns`.
    #[inline(never)]
    pub fn decode(&mut self, plain: Vec<u8>, columns: &mut Columns) -> Body {
        let Self { load, hasher, shard_key, hints, .. } = self;
        let context = DecodeContext { hasher, shard_key, tenant: TENANT, tenant_id: 0 };
        decode(load.version, plain, &context, columns, hints).expect("a body that was encoded here")
    }
}

/// Moves a decoded request to another scrape: no part of what is measured.
pub fn restamp(columns: &mut Columns, timestamp: Timestamp, growth: f64) {
    columns.timestamps.fill(timestamp);
    columns.values.iter_mut().for_each(|value| *value += growth);
}

/// CPU time by step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Snappy or zstd.
    pub decompress: Duration,
    /// Wire to columns: label blocks hashed, virtual shards found.
    pub decode: Duration,
    /// Entries dealt out to workers.
    pub route: Duration,
    /// Series found, repeats dropped, samples put in their place or folded.
    pub take: Duration,
    /// Windows closed: what waited is folded, partials are merged by group.
    pub close: Duration,
    /// Samples that went this way.
    pub samples: u64,
}

impl Spent {
    /// All steps.
    pub fn total(&self) -> Duration {
        self.decompress + self.decode + self.route + self.take + self.close
    }

    /// Nanoseconds a sample: decompress, decode, route, take, close.
    pub fn ns_a_sample(&self) -> [f64; 5] {
        [self.decompress, self.decode, self.route, self.take, self.close]
            .map(|time| time.as_nanos() as f64 / self.samples.max(1) as f64)
    }
}

/// A worker that owns every virtual shard, and who decodes for it.
pub struct Worker {
    /// Its state.
    pub shard: Shard,
    decoder: Decoder,
    clock: fn() -> Duration,
    tenant: Arc<str>,
    workers: usize,
    /// Samples that were folded or wait to be.
    pub folded: u64,
    /// Groups in the partials of the last frontier.
    pub groups: usize,
}

impl Worker {
    /// One without series that measures this thread's CPU time.
    pub fn new(load: Load) -> Self {
        Self::with_clock(load, thread_time)
    }

    /// One without series. valgrind cannot run [`thread_time`], and needs no clock.
    pub fn with_clock(load: Load, clock: fn() -> Duration) -> Self {
        let shard = Shard::new(Arc::new(Decisions::new(1, rules())), SEED);
        let decoder = Decoder::new(load);
        let tenant = Arc::from(TENANT);
        Self { shard, decoder, clock, tenant, workers: 1, folded: 0, groups: 0 }
    }

    /// Takes a request as it comes, moved to `round` if it is not of this scrape anyway.
    pub fn request(
        &mut self,
        packed: &[u8],
        round: Option<(Timestamp, f64)>,
        spent: &mut Spent,
    ) -> Outcome {
        let begin = (self.clock)();
        let mut plain = self.decoder.room();
        self.decoder.decompress(packed, &mut plain);
        let decompressed = (self.clock)();
        let mut columns = Columns::default();
        let body = self.decoder.decode(plain, &mut columns);
        let decoded = (self.clock)();
        if let Some((timestamp, growth)) = round {
            restamp(&mut columns, timestamp, growth);
        }
        let samples = columns.sample_count();
        let restamped = (self.clock)();
        let entries = self.route(&columns);
        let routed = (self.clock)();
        let batch = Batch {
            tenant: TenantId(0),
            received: START_MS,
            columns: Arc::new(columns),
            source: Arc::new(body) as Arc<dyn LabelSource>,
        };
        let outcome = self.take(&batch, &entries[0]);
        // Whoever is the last to hold a batch frees it.
        drop(batch);
        let taken = (self.clock)();
        spent.decompress += decompressed - begin;
        spent.decode += decoded - decompressed;
        spent.route += routed - restamped;
        spent.take += taken - routed;
        spent.samples += samples;
        self.folded += outcome.counts.get(Class::Folded);
        outcome
    }

    /// Takes the `round`th scrape of all these requests, then moves the frontier behind it.
    pub fn round(&mut self, bodies: &[Vec<u8>], round: i64, spent: &mut Spent) {
        let begin = START_MS + round * INTERVAL_MS;
        for (request, body) in bodies.iter().enumerate() {
            let at = begin + Load::offset_ms(request);
            self.request(body, Some((at, round as f64 * 3.0)), spent);
        }
        self.pass(begin + INTERVAL_MS - GRACE_MS, spent);
    }

    /// Moves the frontier.
    pub fn pass(&mut self, frontier: Timestamp, spent: &mut Spent) {
        let begin = (self.clock)();
        self.close(frontier);
        spent.close += (self.clock)() - begin;
    }

    #[inline(never)]
    fn route(&self, columns: &Columns) -> Vec<Vec<u32>> {
        let mut entries = vec![Vec::new(); self.workers];
        for (at, entry) in columns.entries.iter().enumerate() {
            let owner = usize::from(entry.vshard.0) * self.workers / usize::from(VSHARDS);
            entries[owner].push(at as u32);
        }
        entries
    }

    #[inline(never)]
    fn take(&mut self, batch: &Batch, entries: &[u32]) -> Outcome {
        let tenant = &self.tenant;
        self.shard.handle_batch(&Work {
            batch,
            tenant,
            entries,
            refused: &[],
            no_new_series: false,
        })
    }

    #[inline(never)]
    fn close(&mut self, frontier: Timestamp) {
        self.shard.handle_frontier((0..VSHARDS).map(VShard), frontier);
        drop(self.shard.take_news());
        let closings = self.shard.take_closings();
        self.groups = closings.values().map(|closing| closing.groups.len()).sum();
    }
}

/// Stands where relabelling stands in a rule file; the load has none.
#[derive(serde::Deserialize)]
struct NoRelabel;

impl fmt::Display for NoRelabel {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

fn rules() -> Vec<Rule> {
    let compile = |_: &[NoRelabel]| -> Result<Arc<dyn Relabel>, Vec<String>> { Err(Vec::new()) };
    load(RULE, &compile).expect("a good rule").rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_folded_and_every_window_closed() {
        let bodies = Load::RW1.bodies(0..2);
        let mut worker = Worker::new(Load::RW1);
        let mut spent = Spent::default();
        for round in 0..8 {
            worker.round(&bodies, round, &mut spent);
            // Windows of a scrape are closed when the frontier, three rounds behind, is past it.
            let groups = if round < 3 { 0 } else { 4000 };
            assert_eq!(worker.groups, groups, "round {round}");
        }
        assert_eq!((spent.samples, worker.folded), (8 * 4000, 8 * 4000));
    }
}
