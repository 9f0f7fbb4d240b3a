//! Drives workers and the home of the groups as the gateway does, in one thread.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::{Emission, Home};
use weir_aggregate::rule::{Rule, load};
use weir_aggregate::shard::{Outcome, Pass, Shard, Work};
use weir_model::{
    Batch, Block, BlockHasher, Class, Columns, Entry, Extra, Label, LabelSource, Labels,
    LabelsError, NativeHistogram, Relabel, Sample, TenantId, Timestamp, VSHARDS, VShard,
};

/// A series of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) histograms: Vec<NativeHistogram>,
}

impl Sent {
    pub(crate) fn new(labels: &[(&str, &str)], samples: &[(Timestamp, f64)]) -> Self {
        let own = |&(n, v): &(&str, &str)| (n.to_owned(), v.to_owned());
        Self {
            labels: labels.iter().map(own).collect(),
            samples: samples.iter().map(|&(t, v)| Sample::new(t, v)).collect(),
            histograms: Vec::new(),
        }
    }
}

/// `name{a="b"}` without quotes or escapes: `name a=b c=d`.
pub(crate) fn series(text: &str, samples: &[(Timestamp, f64)]) -> Sent {
    let mut words = text.split(' ');
    let mut labels = vec![("__name__", words.next().unwrap())];
    labels.extend(words.map(|w| w.split_once('=').unwrap()));
    Sent::new(&labels, samples)
}

struct Memory(Vec<Vec<(String, String)>>);

impl LabelSource for Memory {
    fn labels<'a>(&'a self, block: Block, out: &mut Vec<Label<'a>>) -> Result<(), LabelsError> {
        let labels = self.0.get(block.start as usize);
        let labels = labels.ok_or(LabelsError::Malformed)?;
        out.extend(labels.iter().map(|(n, v)| Label::new(n, v)));
        Ok(())
    }

    fn changed_values<'a>(
        &'a self,
        before: Block,
        block: Block,
        out: &mut Vec<(usize, &'a str)>,
    ) -> Option<()> {
        let of = |block: Block| self.0.get(block.start as usize);
        let (before, block) = (of(before)?, of(block)?);
        let same_names = before.iter().map(|l| &l.0).eq(block.iter().map(|l| &l.0));
        let changed = before.iter().zip(block).enumerate().filter(|(_, (old, new))| old != new);
        out.extend(changed.map(|(place, (_, new))| (place, new.1.as_str())));
        same_names.then_some(())
    }
}

/// Stands where relabelling stands in a rule file; the tests have none.
#[derive(serde::Deserialize)]
pub(crate) struct NoRelabel;

impl fmt::Display for NoRelabel {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

pub(crate) fn rules(text: &str) -> Vec<Rule> {
    let compile = |_: &[NoRelabel]| -> Result<Arc<dyn Relabel>, Vec<String>> { Err(Vec::new()) };
    match load(text, &compile) {
        Ok(file) => file.rules,
        Err(problems) => panic!("{problems:?}\n{text}"),
    }
}

/// What was said of one output series, by timestamp; markers are NaN.
pub(crate) type Said = BTreeMap<(String, String), BTreeMap<Timestamp, Vec<f64>>>;

/// Workers and home.
pub(crate) struct Gate {
    pub(crate) config: Arc<Decisions>,
    pub(crate) workers: Vec<Shard>,
    pub(crate) home: Home,
    pub(crate) frontier: Timestamp,
    pub(crate) emitted: Vec<(Timestamp, Emission)>,
    pub(crate) passed: Vec<(String, Labels, Sample)>,
    pub(crate) counts: HashMap<Class, u64>,
    /// What a queue holds of windows, by their ends; adopted when they close.
    pub(crate) known: BTreeMap<Timestamp, f64>,
    pub(crate) tenants: Vec<Arc<str>>,
    hasher: BlockHasher,
    seed: u128,
}

impl Gate {
    pub(crate) fn new(config: Decisions, workers: usize) -> Self {
        let config = Arc::new(config);
        let seed = 7;
        let shard = |_| Shard::new(Arc::clone(&config), seed);
        Self {
            workers: (0..workers).map(shard).collect(),
            home: Home::new(Arc::clone(&config)),
            config,
            frontier: 0,
            emitted: Vec::new(),
            passed: Vec::new(),
            counts: HashMap::new(),
            known: BTreeMap::new(),
            tenants: Vec::new(),
            hasher: BlockHasher::new(seed),
            seed,
        }
    }

    pub(crate) fn with_rules(text: &str) -> Self {
        Self::new(Decisions::new(1, rules(text)), 1)
    }

    pub(crate) fn tenant(&mut self, name: &str) -> TenantId {
        tenant_id(&mut self.tenants, name)
    }

    /// Sends a request and says what became of it, worker by worker.
    pub(crate) fn send(&mut self, tenant: &str, sent: &[Sent]) -> Vec<Outcome> {
        self.send_limited(tenant, sent, false)
    }

    pub(crate) fn send_limited(
        &mut self,
        tenant: &str,
        sent: &[Sent],
        no_new: bool,
    ) -> Vec<Outcome> {
        let id = self.tenant(tenant);
        let name = Arc::clone(&self.tenants[id.0 as usize]);
        let batch = self.batch(id, &name, sent);
        let workers = self.workers.len();
        let mut outcomes = Vec::new();
        for worker in 0..workers {
            let owned = |e: &Entry| usize::from(e.vshard.0) % workers == worker;
            let entries: Vec<u32> = (0..sent.len() as u32)
                .filter(|&at| owned(&batch.columns.entries[at as usize]))
                .collect();
            let work = Work {
                batch: &batch,
                tenant: &name,
                entries: &entries,
                refused: &[],
                no_new_series: no_new,
            };
            let outcome = self.workers[worker].handle_batch(&work);
            self.note_passes(worker, &name, &batch, &outcome);
            for class in weir_model::audit::CLASSES {
                *self.counts.entry(class).or_default() += outcome.counts.get(class);
            }
            self.news(worker);
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Moves the frontier of every virtual shard.
    pub(crate) fn advance(&mut self, to: Timestamp) {
        self.sweep(to);
        self.close(to);
    }

    /// Closes the windows of all virtual shards.
    pub(crate) fn sweep(&mut self, to: Timestamp) {
        let workers = self.workers.len();
        for at in 0..workers {
            let owned = (0..VSHARDS).filter(|v| usize::from(*v) % workers == at);
            self.workers[at].handle_frontier(owned.map(VShard), to);
            self.news(at);
            for closing in self.workers[at].take_closings().into_values() {
                self.home.handle_closing(at, closing);
            }
        }
    }

    /// Lets the groups that live here speak.
    pub(crate) fn close(&mut self, to: Timestamp) {
        while let Some((end, emissions)) = self.home.close_next(self.frontier, to) {
            if let Some(&value) = self.known.get(&end) {
                emissions.iter().for_each(|e| self.home.adopt(e.source, Some(value), None));
            }
            self.emitted.extend(emissions.into_iter().map(|e| (end, e)));
        }
        self.frontier = self.frontier.max(to);
    }

    /// Gives a virtual shard away.
    pub(crate) fn give_away(&mut self, vshard: VShard) -> Option<Vec<u8>> {
        let owner = usize::from(vshard.0) % self.workers.len();
        let state = self.workers[owner].give_away(vshard);
        self.news(owner);
        state
    }

    /// Takes a virtual shard over.
    pub(crate) fn take_over(
        &mut self,
        vshard: VShard,
        bytes: &[u8],
        tenant: &mut dyn FnMut(&str) -> TenantId,
    ) {
        let owner = usize::from(vshard.0) % self.workers.len();
        let state = std::iter::once((vshard, bytes));
        self.workers[owner].take_over(state, tenant, |_, why| panic!("{why}"));
        self.news(owner);
    }

    /// Takes back a virtual shard that was given away, and no groups.
    pub(crate) fn take_back(&mut self, vshard: VShard, bytes: &[u8], groups: &[u8]) {
        let owner = usize::from(vshard.0) % self.workers.len();
        self.take_over(vshard, bytes, &mut |_| TenantId(0));
        let late = self.workers[owner].take_closings().into_values();
        let late = late.map(|closing| (owner, closing)).collect();
        let node = ("0", self.frontier);
        let back = self.home.take_back((groups, late), node, &mut |_| TenantId(0), |_| {});
        for (end, emissions) in back.unwrap() {
            self.emitted.extend(emissions.into_iter().map(|e| (end, e)));
        }
    }

    /// Everything that was said so far: floats by tenant and series.
    pub(crate) fn said(&self) -> Said {
        let mut said = Said::new();
        for (_, emission) in &self.emitted {
            let tenant = self.tenants[emission.tenant.0 as usize].to_string();
            let series = said.entry((tenant, emission.labels.to_string()));
            let series = series.or_default();
            for sample in &emission.samples {
                series.entry(sample.timestamp).or_default().push(sample.value);
            }
        }
        said
    }

    /// What one series of the tenant `t` said, in order; markers are `None`.
    pub(crate) fn values(&self, series: &str) -> Vec<(Timestamp, Option<f64>)> {
        let said = self.said();
        let found = said.get(&("t".into(), series.into()));
        let each = found.into_iter().flatten();
        each.flat_map(|(&t, values)| values.iter().map(move |&v| (t, (!v.is_nan()).then_some(v))))
            .collect()
    }

    pub(crate) fn count(&self, class: Class) -> u64 {
        self.counts.get(&class).copied().unwrap_or(0)
    }

    /// Another configuration comes into force.
    pub(crate) fn reload(&mut self, config: Decisions) {
        self.config = Arc::new(config);
        let at = self.frontier;
        let last_words = self.home.reconfigure(Arc::clone(&self.config), at);
        self.emitted.extend(last_words.into_iter().map(|e| (at, e)));
        for worker in 0..self.workers.len() {
            self.workers[worker].handle_config(Arc::clone(&self.config));
            self.news(worker);
        }
    }

    /// Writes all state to bytes and goes on with other workers in another process.
    pub(crate) fn restart(&mut self, workers: usize) {
        let old_tenants = self.tenants.clone();
        let names = |id: TenantId| Arc::clone(&old_tenants[id.0 as usize]);
        let home = self.home.snapshot(&names);
        let mut states = Vec::new();
        for vshard in (0..VSHARDS).map(VShard) {
            let owner = usize::from(vshard.0) % self.workers.len();
            states.extend(self.workers[owner].snapshot(vshard).map(|s| (vshard, s)));
        }
        self.seed += 1;
        self.hasher = BlockHasher::new(self.seed);
        let mut fresh = Home::new(Arc::clone(&self.config));
        let tenants = &mut self.tenants;
        let mut tenant = |name: &str| tenant_id(tenants, name);
        fresh.restore_bytes(&home, &mut tenant).unwrap();
        self.home = fresh;
        let shard = |_| Shard::new(Arc::clone(&self.config), self.seed);
        self.workers = (0..workers).map(shard).collect();
        for (vshard, bytes) in states {
            let owner = usize::from(vshard.0) % workers;
            self.workers[owner].restore(vshard, &bytes, &mut tenant).unwrap();
            assert_eq!(self.workers[owner].snapshot(vshard), Some(bytes));
        }
        for at in 0..workers {
            let owned = (0..VSHARDS).filter(|v| usize::from(*v) % workers == at);
            self.workers[at].handle_frontier(owned.map(VShard), self.frontier);
            self.news(at);
        }
    }

    fn news(&mut self, worker: usize) {
        for news in self.workers[worker].take_news() {
            self.home.handle_news(worker, news);
        }
    }

    fn note_passes(&mut self, worker: usize, tenant: &str, batch: &Batch, outcome: &Outcome) {
        let mut passed = outcome.passed.iter();
        for &Pass { vshard, series, floats, .. } in &outcome.passes {
            let labels: Vec<Label<'_>> = self.workers[worker].labels(vshard, series).collect();
            let labels = Labels::from_sorted(&labels);
            for &at in passed.by_ref().take(floats as usize) {
                let sample = batch.columns.sample(at as usize);
                let passed = (tenant.to_owned(), labels.clone(), sample);
                self.passed.push(passed);
            }
        }
        assert_eq!(passed.next(), None);
    }

    fn batch(&self, tenant: TenantId, name: &str, sent: &[Sent]) -> Batch {
        let mut columns = Columns::default();
        for (at, series) in sent.iter().enumerate() {
            let pairs = series.labels.iter().map(|(n, v)| Label::new(n, v));
            let mut sorted: Vec<Label<'_>> = pairs.collect();
            sorted.sort();
            let bytes = format!("{:?}", series.labels);
            let hash = self.hasher.bytes(bytes.as_bytes());
            let mut entry = Entry {
                hash: self.hasher.with_tenant(hash, tenant.0),
                block: Block { start: at as u32, len: 1 },
                samples_start: columns.timestamps.len() as u32,
                samples_len: series.samples.len() as u32,
                extra: 0,
                vshard: self.config.shard_key.vshard(name, &sorted),
            };
            for sample in &series.samples {
                columns.timestamps.push(sample.timestamp);
                columns.values.push(sample.value);
                columns.starts.push(sample.start);
            }
            if !series.histograms.is_empty() {
                let start = columns.histograms.len() as u32;
                columns.histograms.extend(series.histograms.iter().cloned());
                let histograms = start..columns.histograms.len() as u32;
                columns.extras.push(Extra { histograms, ..Extra::default() });
                entry.extra = columns.extras.len() as u32;
            }
            columns.entries.push(entry);
        }
        let labels = sent.iter().map(|s| s.labels.clone()).collect();
        Batch { tenant, received: 0, columns: Arc::new(columns), source: Arc::new(Memory(labels)) }
    }
}

fn tenant_id(tenants: &mut Vec<Arc<str>>, name: &str) -> TenantId {
    let at = tenants.iter().position(|t| &**t == name);
    let at = at.unwrap_or_else(|| {
        tenants.push(name.into());
        tenants.len() - 1
    });
    TenantId(at as u32)
}
