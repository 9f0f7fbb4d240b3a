//! `weir-loadgen torture`: real gateways among faults, under the oracle the whole time.
//!
//! A gateway or a tier of several, a receiver behind it and a small fleet of senders before it run while one fault after
//! another happens: kills, stops, signals, reloads, a full disk, a backend that is away, slow or
//! lies, senders that die in the middle of a request. Now and then, and in the end, all that was
//! acknowledged is compared with all that arrived. Invariant: whatever happens, nothing that was
//! acknowledged is lost, doubled, wrong or late.
//!
//! The seed decides which faults come and for how long; the machine decides what they meet. It does
//! not step the clock, which would be everybody's on this host, and takes no power away: a kill
//! leaves what was written in the page cache.

pub mod cli;
pub mod dice;
mod faults;
mod fleet;
mod ground;
mod node;
mod processes;
mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use faults::Fault;
pub use summary::Summary;

use dice::Dice;
use ground::Ground;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The gateway's binary.
    pub gateway: PathBuf,
    /// How many faults, over all tiers; `None` for as many as there is time for.
    pub faults: Option<usize>,
    /// How long at most; `None` for as long as the faults take.
    pub duration: Option<Duration>,
    /// What decides.
    pub seed: u64,
    /// Tiers side by side, each with its own receiver, senders and faults.
    pub tiers: usize,
    /// Gateways of each tier; they share its senders and its receiver, and a fault picks one.
    pub gateways: usize,
    /// Only kills, however the gateway stands at that moment.
    pub kills_only: bool,
    /// A verdict after so many faults of a tier.
    pub verdict_every: usize,
}

/// Carries out a plan. `say` hears one line at a time. An error is something that kept it from going
/// on; differences are in the summary.
pub fn run(plan: &Plan, say: &(dyn Fn(&str) + Sync)) -> Result<Summary, String> {
    let tiers = plan.tiers.max(1);
    let share =
        |number: usize| plan.faults.map(|all| all / tiers + usize::from(number < all % tiers));
    let torment = |number: usize| {
        let seed = plan.seed.wrapping_add(number as u64);
        one(plan, (number, share(number)), seed, say)
    };
    let results: Vec<Result<Summary, String>> = std::thread::scope(|scope| {
        let spawn = |number| scope.spawn(move || torment(number));
        let threads: Vec<_> = (0..tiers).map(spawn).collect();
        let end = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a tier's thread has ended badly".into()))
        };
        threads.into_iter().map(end).collect()
    });
    let mut all = Summary::default();
    for result in results {
        all.add(result?);
    }
    Ok(all)
}

/// One tier's faults.
fn one(
    plan: &Plan,
    (number, faults): (usize, Option<usize>),
    seed: u64,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Summary, String> {
    let began = Instant::now();
    let mut dice = Dice::new(seed);
    let gateways = plan.gateways.max(1);
    let mut ground = Ground::prepare(&plan.gateway, gateways, (number, seed))?;
    if number == 0 && !ground.disk_can_be_filled() {
        say("no tmpfs can be mounted here: no disk is filled");
    }
    let goes_on = |done: usize| {
        faults.is_none_or(|all| done < all) && plan.duration.is_none_or(|d| began.elapsed() < d)
    };
    let mut done = 0;
    while goes_on(done) {
        let disk = ground.disk_can_be_filled();
        let fault = Fault::pick(&mut dice, plan.kills_only, disk, gateways > 1);
        ground.suffer(fault, &mut dice)?;
        done += 1;
        if done % plan.verdict_every.max(1) == 0 {
            let so_far = ground.verdict()?;
            say(&format!("tier {number}: {done} faults, {so_far}"));
            if !so_far.is_empty() {
                break;
            }
        }
    }
    let summary = ground.end()?;
    say(&format!("tier {number}: done, {done} faults, {}", summary.differences));
    Ok(summary)
}
