//! What a scraped sample costs to parse: pages of real programs, CPU time of the calling thread.
//!
//! Labels are not asked for, as when a scraper knows every series: one sample stands for one line
//! of text, or for one series of protobuf.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::thread_time;
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

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
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
    }
    group.finish();
}

criterion_group!(
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3));
    targets = parse
);
criterion_main!(benches);
