//! The core under simulated time, network and disk, in one thread, under seeds.
//!
//! Agents scrape and send over a network that delays, reorders, loses and repeats; one to three gateways of
//! several workers, whose clocks are wrong, log, forward, fold, exchange parts, close windows, checkpoint,
//! and are killed at any moment with what was not synced; one does not hear another for a while; a backend
//! is away now and then. Virtual shards change hands, some agents are HA pairs, and some gateways are away for
//! longer than the others wait. Decoder, workers, home, exchange, placement and frontier policy are the gateway's
//! own; log, queue and glue are a simple model of what `docs/ARCHITECTURE.md` promises. In the end the
//! oracle computes from the logs what must have come out, and every acknowledged request must stand in them.
//!
//! A failing seed is the bug report: `WEIR_SEED=7 cargo test --workspace --test simulation`.
//! `WEIR_SEEDS` says how many are tried, `WEIR_FIRST_SEED` from which on, `WEIR_WEATHER` which of `moves,pairs,waives` may happen, by default all.
//! Not here: members that come and go, native histograms.

mod agent;
mod disk;
mod gateway;
mod judge;
mod message;
mod node;
mod placement;
mod rules;
mod slip;
mod target;
mod world;

use std::collections::HashMap;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use weir_model::mutation;

use slip::Slip;
use world::{Weather, World};

/// Mistakes of the core that a simulation must notice.
const MISTAKES: [&str; 10] = [
    "reset_ignored",
    "total_not_restored",
    "open_windows_lost",
    "worker_dropped",
    "marker_not_written",
    "total_without_zero",
    "place_forgotten",
    "mark_not_awaited",
    "waived_in_silence",
    "groups_left_behind",
];

/// It has so many seeds for that.
const SEEDS_FOR_A_MISTAKE: &str = "400";

/// Names the mistake that is made.
const MISTAKE: &str = "WEIR_SIMULATED_MISTAKE";

/// What seeds came to.
#[derive(Default)]
struct Verdict {
    /// Seeds, with what is wrong.
    wrong: Mutex<Vec<(u64, String)>>,
    moves: AtomicUsize,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A seed takes a fifth of a second; one that takes so much longer hangs.
const SEED_MAX: Duration = Duration::from_secs(120);

/// What each thread is at, and since when.
type AtWork = Mutex<HashMap<ThreadId, (u64, Instant)>>;

/// Ends the process if a seed does not come to its end, for nothing else can; says which one it is.
fn watch(at_work: &AtWork, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        std::thread::park_timeout(Duration::from_millis(200));
        let hangs = |(seed, since): &(u64, Instant)| (since.elapsed() > SEED_MAX).then_some(*seed);
        let hanging = at_work.lock().expect("no thread panics here").values().find_map(hangs);
        if let Some(seed) = hanging {
            let said =
                format!("\n1 seeds are wrong (WEIR_SEED=n repeats one):\nseed {seed}: it hangs\n");
            drop(std::io::stdout().write_all(said.as_bytes()));
            std::process::exit(101);
        }
    }
}

/// Runs seeds on two threads; all of them, or until one is wrong.
fn run(seeds: std::ops::Range<u64>, may: Weather, slip: Option<Slip>, all: bool) -> Verdict {
    let (next, verdict) = (AtomicU64::new(seeds.start), Verdict::default());
    let (at_work, is_over) = (AtWork::default(), AtomicBool::new(false));
    let work = || {
        let this = std::thread::current().id();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_wrong = || !verdict.wrong.lock().expect("no thread panics here").is_empty();
            if seed >= seeds.end || (!all && is_wrong()) {
                at_work.lock().expect("no thread panics here").remove(&this);
                return;
            }
            let begun = (seed, Instant::now());
            at_work.lock().expect("no thread panics here").insert(this, begun);
            let mut world = World::new(seed, may, slip);
            // What panics in the core is a seed's as well.
            let ended = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
            if let Err(why) = ended.unwrap_or_else(|_| Err("it panics".to_owned())) {
                let mut wrong = verdict.wrong.lock().expect("no thread panics here");
                wrong.push((seed, why));
            }
            verdict.moves.fetch_add(world.moves, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let working = [scope.spawn(work), scope.spawn(work)];
        let watching = scope.spawn(|| watch(&at_work, &is_over));
        for thread in working {
            thread.join().expect("no thread panics here");
        }
        is_over.store(true, Ordering::Release);
        watching.thread().unpark();
    });
    verdict
}

#[test]
fn whatever_happens_the_outputs_are_what_they_must_be() {
    let mistake = std::env::var(MISTAKE).ok();
    let slip = mistake.as_deref().and_then(Slip::find);
    let all = mistake.is_none();
    if let Some(name) = mistake.filter(|_| slip.is_none()) {
        assert!(mutation::arm(&name), "{name} is no mistake that this build can make");
    }
    let seeds = match number("WEIR_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("WEIR_FIRST_SEED").unwrap_or(0);
            first..first + number("WEIR_SEEDS").unwrap_or(500)
        }
    };
    let may = std::env::var("WEIR_WEATHER").map_or(Weather::ALL, |names| Weather::read(&names));
    let many = seeds.end - seeds.start > 100 && may.moves;
    let Verdict { wrong, moves } = run(seeds, may, slip, all);
    let wrong = wrong.into_inner().expect("no thread panics here");
    let shown = wrong.iter().take(3).map(|(seed, why)| format!("seed {seed}: {why}"));
    let shown = shown.collect::<Vec<_>>().join("\n");
    let which: Vec<u64> = wrong.iter().map(|(seed, _)| *seed).collect();
    assert!(
        wrong.is_empty(),
        "{} seeds are wrong (WEIR_SEED=n repeats one): {which:?}\n{shown}",
        wrong.len()
    );
    let moves = moves.into_inner();
    assert!(!many || moves > 100, "{moves} moves came to their end");
}

/// Each in a process of its own, for a mistake is a whole process's.
#[test]
fn a_core_or_a_model_that_errs_is_noticed() {
    let this = std::env::current_exe().expect("this program");
    let slips = Slip::ALL.into_iter().filter(Slip::is_noticed).map(|slip| format!("{slip:?}"));
    let all = MISTAKES.map(str::to_owned).into_iter().chain(slips);
    let unnoticed = all.filter(|mistake| {
        let mut again = Command::new(&this);
        again.args(["--exact", "whatever_happens_the_outputs_are_what_they_must_be"]);
        again.env(MISTAKE, mistake).env("WEIR_SEEDS", SEEDS_FOR_A_MISTAKE);
        again.env_remove("WEIR_SEED").env_remove("WEIR_WEATHER");
        let output = again.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() || !said.contains("seeds are wrong")
    });
    let unnoticed: Vec<String> = unnoticed.collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?} stay unnoticed");
}

#[test]
fn a_seed_repeats_itself() {
    let said = |seed| {
        let mut world = World::new(seed, Weather::ALL, None);
        world.run().expect("it is right");
        world.received().iter().map(|s| format!("{s:?}")).collect::<Vec<_>>()
    };
    assert!(said(3).len() > 100);
    assert_eq!(said(3), said(3));
}
