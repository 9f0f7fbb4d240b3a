//! The oracle is alive: a gateway that makes a mistake is found out, one that makes none is not.
//!
//! Each mistake of `crates/model/src/mutation.rs` is made by a real gateway of its own, built with
//! debug assertions, under one scripted load that meets the situation of every mistake, many at
//! once. With a release build the test fails, for nothing can be mutated there.

mod absent;
mod freed;
mod scenario;
mod tier;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_model::mutation::Mutation;
use weir_tests::oracle::Differences;

/// Runs at once, of one gateway each. Where more are at work what is in time elsewhere is late.
const AT_ONCE: usize = 6;
/// Tiers at once, of three gateways each, beside those.
const TIERS_AT_ONCE: usize = 4;

/// One run: what mistake is made, if any, and what was found.
struct Run {
    mistake: Option<Mutation>,
    found: Differences,
}

/// Raw samples that may be sent again after a kill though none was on its way: none, but for a cursor
/// that a busy machine was late to store. The mistake that is told by it sends several hundred.
const RESENT_MAX: usize = 150;

impl Run {
    fn is_caught(&self) -> bool {
        !self.found.is_empty() || self.found.resent > RESENT_MAX
    }

    fn name(&self) -> &'static str {
        self.mistake.map_or("(none)", Mutation::name)
    }

    /// One line: the counts by kind, and the first difference.
    fn line(&self) -> String {
        let mut line = format!("{:24} {:5} compared", self.name(), self.found.compared);
        for (kind, list) in self.found.kinds() {
            if !list.is_empty() {
                write!(line, ", {} {kind}", list.len()).expect("a string");
            }
        }
        if self.found.resent > 0 {
            write!(line, ", {} sent again", self.found.resent).expect("a string");
        }
        let first = self.found.kinds().into_iter().find_map(|(_, list)| list.first());
        format!("{line}{}", first.map(|f| format!("; {f}")).unwrap_or_default())
    }
}

/// What is still to be run, and what has been.
#[derive(Default)]
struct Runs {
    left: Vec<(Option<Mutation>, Kind)>,
    done: Vec<Run>,
}

impl Runs {
    fn take(&mut self, tiers: bool) -> Option<(Option<Mutation>, Kind)> {
        let at = self.left.iter().position(|(_, kind)| kind.is_tier() == tiers)?;
        Some(self.left.remove(at))
    }
}

/// How a mistake is met.
#[derive(Clone, Copy)]
enum Kind {
    Scenario {
        long_replay: bool,
    },
    Freed,
    /// A tier whose members die between the steps of a move.
    Tier,
    /// A tier that is told everything twice.
    Repeated,
    /// A tier one of which stays away.
    Absent,
}

fn all() -> Vec<(Option<Mutation>, Kind)> {
    let kind = |mutation: Mutation| match mutation {
        Mutation::AliasOfFreed => Kind::Freed,
        Mutation::PartAdded
        | Mutation::MarkNotAwaited
        | Mutation::GroupsLeftBehind
        | Mutation::MoveNotFenced
        | Mutation::AdoptedTwice => Kind::Tier,
        Mutation::PlaceForgotten => Kind::Repeated,
        Mutation::WaivedInSilence => Kind::Absent,
        other => Kind::Scenario { long_replay: other == Mutation::PassedTwice },
    };
    let mut all: Vec<_> = Mutation::ALL.iter().map(|&m| (Some(m), kind(m))).collect();
    // Without a mistake nothing is found, whichever way it is run.
    let scenario = |long_replay| (None, Kind::Scenario { long_replay });
    let tiers = [Kind::Tier, Kind::Repeated, Kind::Absent].map(|kind| (None, kind));
    all.extend([(None, Kind::Freed), scenario(true), scenario(false)].into_iter().chain(tiers));
    all
}

impl Kind {
    fn is_tier(self) -> bool {
        matches!(self, Self::Tier | Self::Repeated | Self::Absent)
    }
}

#[test]
fn every_mistake_is_noticed_and_nothing_else() {
    let runs = Mutex::new(Runs { left: all(), done: Vec::new() });
    let work = |tiers: bool| {
        loop {
            let next = lock(&runs).take(tiers);
            let Some((mistake, kind)) = next else { return };
            let found = match kind {
                Kind::Freed => freed::run(mistake),
                Kind::Tier => tier::run(mistake),
                Kind::Repeated => tier::run_repeated(mistake),
                Kind::Absent => absent::run(mistake),
                Kind::Scenario { long_replay } => scenario::run(mistake, long_replay),
            };
            lock(&runs).done.push(Run { mistake, found });
        }
    };
    // A scope waits for all of them, so that no gateway outlives the test.
    std::thread::scope(|scope| {
        for at in 0..AT_ONCE + TIERS_AT_ONCE {
            scope.spawn(move || work(at < TIERS_AT_ONCE));
        }
    });
    let done = std::mem::take(&mut lock(&runs).done);
    let lines: Vec<String> = done.iter().map(Run::line).collect();
    let report = lines.join("\n");
    std::io::stdout().write_all(format!("{report}\n").as_bytes()).expect("stdout");
    let wrong: Vec<&str> =
        done.iter().filter(|run| run.is_caught() != run.mistake.is_some()).map(Run::name).collect();
    assert_eq!(done.len(), all().len(), "runs");
    assert!(done.len() > 20, "{} runs", done.len());
    assert!(wrong.is_empty(), "not as they should be: {wrong:?}\n{report}");
    let mut clean = done.iter().filter(|run| run.mistake.is_none());
    assert!(clean.all(|run| run.found.compared > 2), "{report}");
}

fn lock(runs: &Mutex<Runs>) -> MutexGuard<'_, Runs> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}
