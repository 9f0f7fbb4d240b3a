//! What the shard's part of a sample costs: `cargo run --release -p weir-aggregate --example
//! fold_cost [targets] [series a target] [rounds]`.
//!
//! A million series of 11 labels, one `total without (pod, instance, shard)` of 10 s, one scrape
//! every 10 s in batches of 2,000 samples as a scraper sends them. What is shown is the thread's
//! time on a processor, where the kernel tells it: wall-clock time is noisier. Compare within one
//! run, or count instructions.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is for the terminal")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::Home;
use weir_aggregate::rule::load;
use weir_aggregate::shard::{Shard, Work};
use weir_model::{
    Batch, Block, BlockHasher, Columns, Entry, Label, LabelSource, LabelsError, Relabel, ShardKey,
    TenantId, VSHARDS, VShard,
};

const RULES: &str = "
- match: '{__name__=~\"metric_.*\"}'
  interval: 10s
  without: [pod, instance, shard]
  outputs: [total]
";
const BATCH: usize = 2000;
const BEGIN: i64 = 1_700_000_000_000;
/// Rounds, if no third argument says otherwise.
const ROUNDS: u32 = 6;

/// Labels are made from the entry's number, so that a million label sets need no memory.
struct Source {
    per_target: u32,
}

const COMMON: [(&str, &str); 6] = [
    ("cluster", "eu-west-1-prod"),
    ("env", "production"),
    ("job", "kubernetes-pods"),
    ("namespace", "payments"),
    ("region", "eu-west-1"),
    ("team", "checkout"),
];

fn own_labels(series: u32, per_target: u32) -> [(&'static str, String); 5] {
    let (target, place) = (series / per_target, series % per_target);
    [
        ("__name__", format!("metric_{}_total", place / 10)),
        ("instance", format!("10.0.{}.{}:8080", target / 250, target % 250)),
        ("method", format!("m{}", place % 10)),
        ("pod", format!("payments-{target:05}-x7k2p")),
        ("shard", format!("{}", target % 16)),
    ]
}

impl LabelSource for Source {
    fn labels<'a>(&'a self, block: Block, out: &mut Vec<Label<'a>>) -> Result<(), LabelsError> {
        out.extend(COMMON.iter().map(|&(n, v)| Label::new(n, v)));
        for (name, value) in own_labels(block.start, self.per_target) {
            // Only a new series asks, and the process is short.
            out.push(Label::new(name, Box::leak(value.into_boxed_str())));
        }
        Ok(())
    }

    fn changed_values<'a>(
        &'a self,
        _before: Block,
        _block: Block,
        _out: &mut Vec<(usize, &'a str)>,
    ) -> Option<()> {
        None
    }
}

#[derive(serde::Deserialize)]
struct NoRelabel;

impl std::fmt::Display for NoRelabel {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

fn argument(place: usize, default: u32) -> u32 {
    std::env::args().nth(place).and_then(|a| a.parse().ok()).unwrap_or(default)
}

fn entries(targets: u32, per_target: u32) -> Vec<Entry> {
    let (key, hasher) = (ShardKey::default(), BlockHasher::new(3));
    let mut entries = Vec::with_capacity((targets * per_target) as usize);
    for series in 0..targets * per_target {
        let own = own_labels(series, per_target);
        let mut labels: Vec<Label<'_>> = COMMON.iter().map(|&(n, v)| Label::new(n, v)).collect();
        labels.extend(own.iter().map(|(n, v)| Label::new(n, v)));
        labels.sort();
        entries.push(Entry {
            hash: hasher.bytes(&series.to_le_bytes()),
            block: Block { start: series, len: 1 },
            vshard: key.vshard("anonymous", &labels),
            samples_len: 1,
            ..Entry::default()
        });
    }
    entries
}

fn batch(source: &Arc<Source>, entries: &[Entry], timestamp: i64, value: f64) -> Batch {
    let numbered = entries.iter().zip(0..);
    let entries = numbered.map(|(&e, at)| Entry { samples_start: at, ..e }).collect::<Vec<_>>();
    let columns = Columns {
        timestamps: vec![timestamp; entries.len()],
        values: vec![value; entries.len()],
        entries,
        ..Columns::default()
    };
    Batch {
        tenant: TenantId(0),
        received: timestamp,
        columns: Arc::new(columns),
        source: Arc::clone(source) as Arc<dyn LabelSource>,
    }
}

/// Time that this thread has had on a processor.
fn on_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|t| t.split(' ').next()?.parse().ok());
    let wall = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    nanos.map_or_else(wall, Duration::from_nanos)
}

fn main() {
    let (targets, per_target) = (argument(1, 1000), argument(2, 1000));
    let compile = |_: &[NoRelabel]| -> Result<Arc<dyn Relabel>, Vec<String>> { Err(Vec::new()) };
    let rules = match load(RULES, &compile) {
        Ok(file) => file.rules,
        Err(problems) => return eprintln!("{problems:?}"),
    };
    let config = Arc::new(Decisions::new(1, rules));
    let mut shard = Shard::new(Arc::clone(&config), 5);
    let mut home = Home::new(config);
    let tenant: Arc<str> = "anonymous".into();
    let source = Arc::new(Source { per_target });
    let all = entries(targets, per_target);
    let every: Vec<u32> = (0..BATCH as u32).collect();
    let count = all.len() as f64;
    let mut folded_through = BEGIN - 30_000;
    for round in 0..i64::from(argument(3, ROUNDS)) {
        let (mut batches, mut sweeps, mut homes) = <(Duration, Duration, Duration)>::default();
        for (nth, entries) in all.chunks(BATCH).enumerate() {
            // Targets are scraped all over the interval.
            let at = BEGIN + round * 10_000 + (nth * BATCH) as i64 * 10_000 / all.len() as i64;
            let batch = batch(&source, entries, at, (round * 7) as f64);
            let work = Work {
                batch: &batch,
                tenant: &tenant,
                entries: &every[..entries.len()],
                refused: &[],
                no_new_series: false,
            };
            let began = on_cpu();
            let outcome = shard.handle_batch(&work);
            batches += on_cpu() - began;
            assert_eq!(outcome.counts.total(), entries.len() as u64);
            // A FRONTIER record every second, 30 s behind.
            if at - 30_000 >= folded_through + 1000 {
                let to = at - 30_000;
                let began = on_cpu();
                shard.handle_frontier((0..VSHARDS).map(VShard), to);
                sweeps += on_cpu() - began;
                let began = on_cpu();
                shard.take_news().into_iter().for_each(|news| home.handle_news(0, news));
                let closings = shard.take_closings().into_values();
                closings.for_each(|closing| home.handle_closing(0, closing));
                home.close(folded_through, to);
                homes += on_cpu() - began;
                folded_through = to;
            }
        }
        let each = |took: Duration| took.as_nanos() as f64 / count;
        println!(
            "round {round}: handle_batch {:.1}, handle_frontier {:.1}, home {:.1} ns a sample",
            each(batches),
            each(sweeps),
            each(homes)
        );
    }
    let (series, labels) = shard.memory_bytes();
    println!(
        "bytes a series: {:.1} series, {:.1} labels",
        series as f64 / count,
        labels as f64 / count
    );
    println!("{} output groups", home.groups().count());
}
