//! What the agent's scrape of a page costs: parse, look up, encode, compress; and what it holds.
//!
//! 20 targets of 2,000 series in text 0.0.4, four labels each and a family's lines every 20; the
//! target adds `instance` and `job`. Between scrapes a third of the values stay. HTTP, the journal
//! and sending are not in it. Thread time, so the median of scrapes says little of other load.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use weir_agent_lite::scrape::{Attempt, Body, Scraper, Scratch, Settings};
use weir_benches::{allocated_bytes, measuring, thread_time};
use weir_model::{BlockHasher, Label, Labels};
use weir_wire::exposition::{Entry, Format, Options, Parser};
use weir_wire::{Compressor, Decompressor, Encoding};

const SERIES: usize = 2_000;
const INTERVAL_MS: i64 = 15_000;
const START_MS: i64 = 1_700_000_000_000;

/// A target's page at a scrape.
fn page(target: usize, round: usize) -> String {
    let mut page = String::new();
    for i in 0..SERIES {
        let (family, child) = (i / 20, i % 20);
        if child == 0 {
            let name = format!("service_{}_requests_total", family);
            writeln!(
                page,
                "# HELP {name} Requests that subsystem {family} has answered, by outcome."
            )
            .and_then(|()| writeln!(page, "# TYPE {name} counter"))
            .expect("a string takes all");
        }
        let value = match i % 3 {
            0 => (i * 7919) as f64,
            1 => (i * 37 + round * (i % 89)) as f64,
            _ => (i as f64).sqrt() * 1e-3 + (round * (i + target)) as f64 * 0.125,
        };
        writeln!(
            page,
            "service_{family}_requests_total{{method=\"GET\",handler=\"/api/v1/resource/{child}\",code=\"{}\",zone=\"eu-west-1{}\"}} {value}",
            200 + child % 4,
            ["a", "b"][target % 2],
        )
        .expect("a string takes all");
    }
    page
}

fn parse(page: &str) -> Duration {
    let begin = thread_time();
    let mut parser = Parser::new(page.as_bytes(), Format::Text, Options::default());
    let (mut series, mut sum) = (0, 0.0);
    while let Some(entry) = parser.next().expect("the page is good") {
        if let Entry::Series(one) = entry {
            series += 1;
            sum += one.value;
        }
    }
    std::hint::black_box(sum);
    assert_eq!(series, SERIES);
    thread_time() - begin
}

fn compress(bodies: &[Body]) -> (Duration, usize) {
    let (mut plain, mut packed) = (Vec::new(), Vec::new());
    let (mut spent, mut bytes) = (Duration::ZERO, 0);
    for body in bodies {
        let zstd = Encoding::Zstd;
        Decompressor::default()
            .decompress(zstd, &body.bytes, 64 << 20, &mut plain)
            .expect("it was written here");
        let mut compressor = Compressor::of_scrapes();
        compressor.compress(zstd, &plain, &mut packed).expect("memory");
        let begin = thread_time();
        compressor.compress(zstd, &plain, &mut packed).expect("memory");
        spent += thread_time() - begin;
        bytes += plain.len();
    }
    (spent, bytes)
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 2].as_nanos() as f64 / SERIES as f64
}

/// Scrapes that share a body: those of five seconds, up to 25,000 samples.
const SCRAPES_A_BODY: usize = 12;

#[expect(clippy::print_stdout, reason = "a bench's result")]
fn main() {
    let (targets, rounds) = if measuring() { (20, 40) } else { (2, 3) };
    let before = allocated_bytes();
    let settings = Arc::new(Settings::default());
    let mut scrapers: Vec<Scraper> = (0..targets)
        .map(|target| {
            let instance = format!("host-{target}:9100");
            let pairs = [Label::new("job", "service"), Label::new("instance", &instance)];
            Scraper::new(settings.clone(), Labels::from_pairs(pairs).expect("a label set"))
        })
        .collect();
    let mut scratch = Scratch::new(BlockHasher::new(1));
    let (mut births, mut known, mut parsed, mut packed) = (vec![], vec![], vec![], vec![]);
    let (mut sent, mut plain_bytes, mut samples) = (0, 0, 0);
    let mut bodies = Vec::new();
    let mut spent = Duration::ZERO;
    for round in 0..rounds {
        for (target, scraper) in scrapers.iter_mut().enumerate() {
            let page = page(target, round);
            let elapsed = || Duration::from_millis(1);
            let time = START_MS + round as i64 * INTERVAL_MS;
            let attempt = Attempt { time, elapsed: &elapsed, timeout: Duration::from_secs(10) };
            let begin = thread_time();
            let outcome =
                scraper.page(&attempt, Format::Text, page.as_bytes(), &mut scratch, &mut bodies);
            let fills = (target + 1) % SCRAPES_A_BODY == 0 || target + 1 == targets;
            if fills {
                scratch.flush(&mut bodies).expect("memory");
            }
            spent += thread_time() - begin;
            assert_eq!(outcome.expect("memory").error, None);
            if round > 1 {
                parsed.push(parse(&page));
            }
            if fills {
                let scrapes = (target % SCRAPES_A_BODY + 1) as u32;
                let all = if round == 0 { &mut births } else { &mut known };
                all.push(std::mem::take(&mut spent) / scrapes);
                let (spent, bytes) = compress(&bodies);
                packed.push(spent / scrapes);
                plain_bytes += bytes;
                sent += bodies.iter().map(|body| body.bytes.len()).sum::<usize>();
                samples += bodies.iter().map(|body| body.summary.samples as usize).sum::<usize>();
                bodies.clear();
            }
        }
    }
    drop(scratch);
    let held: usize = scrapers.iter().map(Scraper::held_bytes).sum();
    let allocated = allocated_bytes().saturating_sub(before);
    let each = |bytes: usize| bytes as f64 / (targets * SERIES) as f64;
    println!(
        "ns a sample: known {:.0} (parse alone {:.0}, zstd alone {:.0}), born {:.0}",
        median(known),
        median(parsed),
        median(packed),
        median(births)
    );
    println!(
        "bytes a sample: {:.2} sent, {:.1} before compression",
        sent as f64 / samples as f64,
        plain_bytes as f64 / samples as f64
    );
    println!("bytes a series: {:.1} held, {:.1} by the allocator", each(held), each(allocated));
}
