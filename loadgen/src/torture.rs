//! `weir-loadgen torture`: real gateways among faults, under the oracle the whole time.
//!
//! A gateway or a tier of several, a receiver behind it, a small fleet of senders and real agents before
//! it run while one fault after another happens: kills, stops, signals, reloads, a full disk, a full log,
//! a clock that is wrong, a backend that is away, slow or lies, senders that die in the middle of a
//! request, targets that die in the middle of a page. Now and then, and in the end, all that was
//! acknowledged, and all that agents had in their buffers, is compared with all that arrived. Invariant:
//! whatever happens, nothing of that is lost, doubled, wrong or late, and agents have scraped whatever
//! they do not say they could not.
//!
//! The seed decides which faults come and for how long; the machine decides what they meet. It takes
//! no power away: a kill leaves what was written in the page cache.

mod agent;
pub mod cli;
pub mod clocks;
mod deck;
pub mod dice;
mod disk;
mod faults;
mod field;
mod fleet;
mod ground;
mod moves;
mod node;
mod processes;
mod summary;
mod target;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use faults::Fault;
pub use summary::Summary;

use deck::Deck;
use dice::Dice;
use ground::Ground;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The gateway's binary.
    pub gateway: PathBuf,
    /// The agent's binary.
    pub agent: PathBuf,
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
    /// Senders of each tier that are the torture's own; with none, agents are all there is.
    pub senders: usize,
    /// Agents of each tier, with targets that they scrape.
    pub agents: usize,
    /// Virtual shards of a tier change hands.
    pub moves: bool,
    /// Gateways have clocks of their own, which are set wrong.
    pub clocks: bool,
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
    let (mut all, mut stuck) = (Summary::default(), Vec::new());
    for result in results {
        match result {
            Ok(summary) => all.add(summary),
            Err(why) => stuck.push(why),
        }
    }
    if stuck.is_empty() {
        return Ok(all);
    }
    // What other tiers have found is not lost for one that could not go on.
    stuck.extend((!all.is_right()).then(|| all.found()));
    Err(stuck.join("\n"))
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
    let mut ground = Ground::prepare(plan, (number, seed))?;
    let victims = ground.victims();
    if number == 0 && !victims.disks {
        say("NOT DONE HERE: no tmpfs can be mounted, so no disk is filled");
    }
    if number == 0 && plan.clocks && !victims.clocks {
        say("NOT DONE HERE: libfaketime is not installed, so no clock is set");
    }
    let mut deck = Deck::new(victims, plan.kills_only, plan.seed, (number, plan.tiers.max(1)));
    let goes_on = |done: usize| {
        faults.is_none_or(|all| done < all) && plan.duration.is_none_or(|d| began.elapsed() < d)
    };
    let (mut done, mut found_early) = (0, None);
    while goes_on(done) {
        ground.suffer(deck.draw(), &mut dice)?;
        done += 1;
        if done % plan.verdict_every.max(1) == 0 {
            let so_far = ground.verdict()?;
            say(&format!("tier {number}: {done} faults, {so_far}"));
            if !so_far.is_empty() {
                found_early = Some(so_far);
                break;
            }
        }
    }
    let mut summary = ground.end().map_err(|why| match &found_early {
        Some(found) => format!("{why}; before that: {found}"),
        None => why,
    })?;
    summary.found_early.extend(found_early);
    for fault in deck.faults() {
        summary.faults.entry(fault).or_default();
    }
    say(&format!("tier {number}: done, {done} faults, {}", summary.differences));
    Ok(summary)
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
