//! Runs samples through the decoder and one worker, for callgrind to count.
//!
//! `benches/instructions.sh` runs it once for each version and reads the counts of the steps inside
//! of [`measured_rw1`], [`measured_rw2`] or [`measured_births`]; everything else is preparation. Prints the number of
//! samples that each measured step has seen.

use std::process::ExitCode;
use std::time::Duration;

use weir_benches::{Decoder, Load, REQUEST_SAMPLES, Spent, Worker};
use weir_model::Columns;
use weir_wire::{Encoding, Version};

const REQUESTS: usize = 5;
const WARM_UP: i64 = 6;
const ROUNDS: i64 = 10;

/// Scrapes of known series: decompress, decode, route, take, close.
#[inline(never)]
fn measured_rw1(worker: &mut Worker, bodies: &[Vec<u8>]) -> u64 {
    let mut spent = Spent::default();
    for round in WARM_UP..WARM_UP + ROUNDS {
        worker.round(bodies, round, &mut spent);
    }
    spent.samples
}

/// A first scrape: every series is born.
#[inline(never)]
fn measured_births(worker: &mut Worker, bodies: &[Vec<u8>]) -> u64 {
    let mut spent = Spent::default();
    worker.round(bodies, 0, &mut spent);
    spent.samples
}

/// Decompress and decode alone: past them the version makes no difference.
#[inline(never)]
fn measured_rw2(decoder: &mut Decoder, bodies: &[Vec<u8>]) -> u64 {
    let mut samples = 0;
    for body in (0..ROUNDS).flat_map(|_| bodies) {
        let (mut plain, mut columns) = (decoder.room(), Columns::default());
        decoder.decompress(body, &mut plain);
        drop(decoder.decode(plain, &mut columns));
        samples += columns.sample_count();
    }
    samples
}

fn rw1() -> u64 {
    let bodies = Load::RW1.bodies(0..REQUESTS);
    let mut worker = Worker::with_clock(Load::RW1, || Duration::ZERO);
    for round in 0..WARM_UP {
        worker.round(&bodies, round, &mut Spent::default());
    }
    measured_rw1(&mut worker, &bodies)
}

fn births() -> u64 {
    let bodies = Load::RW1.bodies(0..ROUNDS as usize * REQUESTS);
    let mut worker = Worker::with_clock(Load::RW1, || Duration::ZERO);
    measured_births(&mut worker, &bodies)
}

fn rw2() -> u64 {
    let load = Load { version: Version::V2, encoding: Encoding::Snappy };
    measured_rw2(&mut Decoder::new(load), &load.bodies(0..REQUESTS))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a script runs it")]
fn main() -> ExitCode {
    let samples = match std::env::args().nth(1).as_deref() {
        Some("rw1") => rw1(),
        Some("rw2") => rw2(),
        Some("births") => births(),
        _ => {
            eprintln!("rw1, rw2 or births? benches/instructions.sh runs this");
            return ExitCode::FAILURE;
        }
    };
    let expected = ROUNDS as u64 * (REQUESTS * REQUEST_SAMPLES) as u64;
    println!("{samples}");
    if samples == expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
