//! Rules in the agent: scrapes are reduced before they are buffered, so that per-core or per-device
//! series never leave the host.
//!
//! The way of a scrape: its bodies are decoded, [`Shard`] drops repeats and folds what a rule
//! takes, and what no rule takes goes on in the scrape's own lane. Once a second windows that are
//! over close, and their outputs follow in a lane of theirs. A rule file means what it means in the
//! gateway.
//!
//! Invariant: a sample is folded, passed on or dropped by a rule, never two of them by accident;
//! the samples of a series leave in their order. Deliberately without a log: what windows and
//! totals hold lives in memory. After a restart windows begin anew and totals at 0, as the counters
//! of a program that restarts; the gateway is where they survive.

mod body;
mod files;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::{Emission, Home};
use weir_aggregate::shard::{Outcome, Shard, Work};
use weir_aggregate::window::next_end;
use weir_model::{
    Batch, BlockHasher, Columns, Millis, ShardKey, TenantId, Timestamp, VSHARDS, VShard,
};
use weir_remote::destinations::now_ms;
use weir_telemetry::Scrape;
use weir_wire::decode::{DecodeContext, Hints, decode};
use weir_wire::{Decompressor, Encoding, Version};

use crate::scrape::{Body, Sink, SinkError};

pub use files::{ReadRules, read};

use body::BodyWriter;

/// Bytes of a decompressed body: far more than a scrape's encoder writes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The lane of outputs. Targets' lanes are hashes, so that meeting one costs order nothing: both
/// come one after the other.
const LANE: u64 = 0x7765_6972_6f75_7473;

const REFUSALS_SAID_EVERY: Duration = Duration::from_secs(60);

/// How often windows are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Where scrapes go on their way to the buffer.
pub struct Reducer {
    to: Box<dyn Sink>,
    /// How long a window stays open past its end.
    grace: Millis,
    state: Mutex<State>,
}

struct State {
    shard: Shard,
    home: Home,
    frontier: Timestamp,
    decoder: Decoder,
    writer: BodyWriter,
    refusals_said: Option<Instant>,
}

#[derive(Debug)]
struct Decoder {
    hasher: BlockHasher,
    shard_key: ShardKey,
    decompressor: Decompressor,
    hints: Hints,
    tenant: Arc<str>,
}

impl fmt::Debug for Reducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reducer").field("grace", &self.grace).finish_non_exhaustive()
    }
}

impl Reducer {
    /// Applies the rules of `decisions` to what goes `to` the buffer; outputs that lack an external
    /// label get it. `hash_seed` scatters tables; nothing depends on it.
    pub fn new(
        to: Box<dyn Sink>,
        decisions: Decisions,
        external_labels: Vec<(String, String)>,
        grace: Millis,
        hash_seed: u128,
    ) -> Self {
        let decisions = Arc::new(decisions);
        let state = State {
            shard: Shard::new(Arc::clone(&decisions), hash_seed),
            home: Home::new(decisions),
            frontier: Timestamp::MIN / 2,
            decoder: Decoder {
                hasher: BlockHasher::new(hash_seed),
                shard_key: ShardKey::default(),
                decompressor: Decompressor::default(),
                hints: Hints::default(),
                tenant: Arc::from(""),
            },
            writer: BodyWriter::new(external_labels),
            refusals_said: None,
        };
        Self { to, grace, state: Mutex::new(state) }
    }

    /// Closes windows for as long as it is not aborted.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.advance(now_ms());
        }
    }

    /// Closes the windows that were over `grace` before `now`, and sends their outputs.
    pub fn advance(&self, now: Timestamp) {
        let mut state = self.lock();
        let said = state.advance(now.saturating_sub(self.grace.0));
        self.send(said, now);
    }

    /// Up to where windows have left: what outputs say from now on is later.
    pub fn closed_through(&self) -> Timestamp {
        self.lock().frontier
    }

    /// Goes over to other rules: those that mean the same keep their windows, others begin with
    /// their first whole window, and the series of those that are gone end.
    pub fn reload(
        &self,
        decisions: Decisions,
        external_labels: Vec<(String, String)>,
        now: Timestamp,
    ) {
        let mut state = self.lock();
        self.go_over(&mut state, decisions, now);
        state.writer.set_external_labels(external_labels);
    }

    /// Ends all output series with stale markers.
    pub fn end(&self, now: Timestamp) {
        self.go_over(&mut self.lock(), Decisions::new(0, Vec::new()), now);
    }

    fn go_over(&self, state: &mut State, mut decisions: Decisions, now: Timestamp) {
        let before = Arc::clone(state.shard.config());
        for rule in &mut decisions.rules {
            let same = |old: &&weir_aggregate::decisions::ActiveRule| {
                old.rule.identity() == rule.rule.identity()
            };
            rule.active_after = match before.rules.iter().find(same) {
                Some(old) => old.active_after,
                None => next_end(now, rule.rule.interval().0),
            };
        }
        decisions.version = before.version + 1;
        let decisions = Arc::new(decisions);
        state.shard.handle_config(Arc::clone(&decisions));
        let last_words = state.home.reconfigure(decisions, now);
        state.hear_news();
        let said = state.writer.outputs(&last_words);
        self.send(said, now);
    }

    /// Adds each rule's counts to a scrape, under the gateway's names.
    pub fn collect(&self, scrape: &mut Scrape) {
        let state = self.lock();
        for (active, counts, groups) in state.home.counts() {
            let rule = [("rule", active.rule.name())];
            let help = "Samples folded into closed windows.";
            scrape.counter("weir_rule_input_samples_total", help, &rule, counts.samples_in);
            let help = "Output samples of a rule.";
            scrape.counter("weir_rule_output_samples_total", help, &rule, counts.samples_out);
            let help = "Output groups that exist.";
            scrape.gauge("weir_rule_groups", help, &rule, groups as f64);
            let help = "Groups past max_groups, which share one series.";
            scrape.counter("weir_rule_overflowed_groups_total", help, &rule, counts.overflowed);
        }
        for (active, late) in state.shard.config().rules.iter().zip(state.shard.late()) {
            let help = "Samples that came after their window had closed.";
            for (verdict, count) in [("carried", late.carried), ("dropped", late.dropped)] {
                let labels = [("rule", active.rule.name()), ("verdict", verdict)];
                scrape.counter("weir_rule_late_samples_total", help, &labels, count);
            }
        }
    }

    /// Outputs that the buffer refuses are lost, as a scrape's samples would be; the windows that
    /// they came from are closed.
    fn send(&self, said: Result<Vec<Body>, SinkError>, now: Timestamp) {
        let taken = said.and_then(|bodies| match bodies.is_empty() {
            true => Ok(()),
            false => self.to.take(LANE, now, bodies),
        });
        if let Err(why) = taken {
            tracing::error!(%why, "outputs of rules are lost");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Arc<Reducer> {
    fn take(&self, lane: u64, now: Timestamp, bodies: Vec<Body>) -> Result<(), SinkError> {
        let mut passed = Vec::with_capacity(bodies.len());
        // Held until the buffer has taken them: scrapes of a target leave in their order.
        let mut state = self.lock();
        for body in bodies {
            let owner = body.owner;
            passed.extend(state.reduce(&body, now)?.map(|passed| Body { owner, ..passed }));
        }
        if passed.is_empty() { Ok(()) } else { self.to.take(lane, now, passed) }
    }
}

impl State {
    /// Folds what rules take, and writes what they leave.
    fn reduce(&mut self, body: &Body, now: Timestamp) -> Result<Option<Body>, SinkError> {
        let batch = self.decoder.batch(body, now)?;
        let entries: Vec<u32> = (0..batch.columns.entries.len() as u32).collect();
        let outcome = self.shard.handle_batch(&Work {
            batch: &batch,
            tenant: &self.decoder.tenant,
            entries: &entries,
            refused: &[],
            no_new_series: false,
        });
        self.hear_news();
        self.log_refusals(&outcome);
        self.writer.passed(&self.shard, &batch.columns, &outcome)
    }

    fn advance(&mut self, to: Timestamp) -> Result<Vec<Body>, SinkError> {
        if to <= self.frontier {
            return Ok(Vec::new());
        }
        self.shard.handle_frontier((0..VSHARDS).map(VShard), to);
        self.hear_news();
        let closings = self.shard.take_closings();
        closings.into_values().for_each(|closing| self.home.handle_closing(0, closing));
        let closed = self.home.close(self.frontier, to);
        self.frontier = to;
        let emissions: Vec<Emission> = closed.into_iter().flat_map(|(_, said)| said).collect();
        self.writer.outputs(&emissions)
    }

    /// Says what rules do not take, every so often: it comes again with each scrape.
    fn log_refusals(&mut self, outcome: &Outcome) {
        let Some((_, why, _)) = outcome.refusals.first() else {
            return;
        };
        if self.refusals_said.is_none_or(|at| at.elapsed() >= REFUSALS_SAID_EVERY) {
            self.refusals_said = Some(Instant::now());
            let series = outcome.refusals.len();
            tracing::warn!(%why, series, "rules take no such series; they are left out");
        }
    }

    fn hear_news(&mut self) {
        for news in self.shard.take_news() {
            self.home.handle_news(0, news);
        }
    }
}

impl Decoder {
    fn batch(&mut self, body: &Body, received: Timestamp) -> Result<Batch, SinkError> {
        let failed = |why: &dyn fmt::Display| SinkError(format!("a scrape's own body: {why}"));
        let mut bytes = self.hints.room();
        let plain =
            self.decompressor.decompress(Encoding::Zstd, &body.bytes, BODY_BYTES_MAX, &mut bytes);
        plain.map_err(|why| failed(&why))?;
        let tenant = TenantId::default();
        let context = DecodeContext {
            hasher: &self.hasher,
            shard_key: &self.shard_key,
            tenant: &self.tenant,
            tenant_id: tenant.0,
        };
        let mut columns = Columns::default();
        let source = decode(Version::V2, bytes, &context, &mut columns, &mut self.hints);
        let source = Arc::new(source.map_err(|why| failed(&why))?);
        Ok(Batch { tenant, received, columns: Arc::new(columns), source })
    }
}

#[cfg(test)]
mod tests;
