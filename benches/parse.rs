//! What a scraped sample costs to parse: pages of real programs, CPU time of the calling thread.
//!
//! Labels are not asked for, as when a scraper knows every series: one sample stands for one line
//! of text, or for one series of protobuf. `known` reads the page as the agent reads one whose series
//! and order are those of the page before: each line is hashed, and that hash compared.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::thread_time;
use weir_model::BlockHasher;
use weir_wire::exposition::{Entry, Format, Options, Parser};

const PAGES: [(&str, Format, &[u8]); 5] = [
    (
        "text/cortex",
        Format::Text,
        include_bytes!("../crates/wire/tests/fixtures/exposition/cortex-2026-08.txt"),
    ),
    (
        "text/node_exporter",
        Format::Text,
        include_bytes!("../crates/wire/tests/fixtures/exposition/node_exporter-1.5.txt"),
    ),
    (
        "text/vmagent",
        Format::Text,
        include_bytes!("../crates/wire/tests/fixtures/exposition/vmagent-1.150.txt"),
    ),
    (
        "openmetrics/cortex",
        Format::OpenMetrics,
        include_bytes!("../crates/wire/tests/fixtures/exposition/cortex-2026-08.openmetrics.txt"),
    ),
    (
        "protobuf/cortex",
        Format::Protobuf,
        include_bytes!("../crates/wire/tests/fixtures/exposition/cortex-2026-08.metricfamily.bin"),
    ),
];

/// Goes through a page; how many samples it has.
fn samples(page: &[u8], format: Format) -> u64 {
    let options = Options { ignore_native: true, ..Options::default() };
    let (mut parser, mut count) = (Parser::new(page, format, options), 0);
    while let Some(entry) = parser.next().expect("a page of a real program") {
        if let Entry::Series(series) = entry {
            black_box((series.raw, series.value));
            count += 1;
        }
    }
    count
}

/// Hashes of a page's series and of its comments, in their order.
fn known(page: &[u8], format: Format, hasher: &BlockHasher) -> [Vec<u128>; 2] {
    let mut parser = Parser::new(page, format, Options::default());
    let [mut series, mut comments] = [Vec::new(), Vec::new()];
    loop {
        comments.extend(parser.comment().map(|line| hasher.bytes(line)));
        match parser.next().expect("a page of a real program") {
            Some(Entry::Series(one)) => series.push(hasher.bytes(one.raw)),
            Some(_) => {}
            None => return [series, comments],
        }
    }
}

/// Goes through a page of which all is known but the values.
fn samples_known(
    page: &[u8],
    format: Format,
    hasher: &BlockHasher,
    [series, comments]: &[Vec<u128>; 2],
) -> u64 {
    let mut parser = Parser::new(page, format, Options::default());
    let (mut series, mut comments) = (series.iter(), comments.iter());
    let mut count = 0;
    let mut next = series.next();
    loop {
        if let Some(line) = parser.comment() {
            let is_known = comments.next() == Some(&hasher.bytes(line));
            if is_known && parser.pass_comment().expect("it was good before") {
                continue;
            }
        } else if let Some(value) = parser.next_known(|raw| next == Some(&hasher.bytes(raw))) {
            black_box(value);
            count += 1;
            next = series.next();
            continue;
        }
        match parser.next().expect("a page of a real program") {
            Some(Entry::Series(one)) => {
                black_box((one.raw, one.value));
                count += 1;
                next = series.next();
            }
            Some(_) => {}
            None => return count,
        }
    }
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let hasher = BlockHasher::new(1);
    for (name, format, page) in PAGES {
        let expected = samples(page, format);
        group.throughput(Throughput::Elements(expected));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let begin = thread_time();
                for _ in 0..rounds {
                    assert_eq!(samples(black_box(page), format), expected);
                }
                thread_time() - begin
            });
        });
        if format == Format::Protobuf {
            continue;
        }
        let all = known(page, format, &hasher);
        group.bench_function(format!("known/{name}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let begin = thread_time();
                for _ in 0..rounds {
                    let count = samples_known(black_box(page), format, &hasher, &all);
                    assert_eq!(count, expected);
                }
                thread_time() - begin
            });
        });
    }
    group.finish();
}

criterion_group!(
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3));
    targets = parse
);
criterion_main!(benches);
