//! A crash in the middle of every operation of a run over several segments.

use super::*;
use crate::OpenError;

/// What the outside world knows when the machine stops.
#[derive(Default)]
struct Known {
    acknowledged: u64,
    appended: u64,
    cut: u64,
}

/// A run over several segments with everything in it: groups, cuts, a restart. Ends early if it crashes.
fn run(fs: &FaultyFs, config: &Config, known: &mut Known) -> Result<(), Stop> {
    for kind in 0..2 {
        let (journal, _) = Journal::open(Arc::new(fs.clone()), config.clone())?;
        for step in 0..14 {
            let group = 1 + step % 4;
            for _ in 0..group {
                known.appended =
                    append_unless(&journal, kind, || fs.has_crashed())?.max(known.appended);
            }
            let waited = journal.wait_durable(known.appended);
            known.acknowledged = journal.durable().max(known.acknowledged);
            waited?;
            if step % 6 == 5 {
                known.cut = known.appended - 8;
                journal.cut_below(known.cut).map_err(|_| Stop)?;
            }
        }
        journal.close()?;
    }
    Ok(())
}

/// The machine stopped; the details do not matter.
#[derive(Debug)]
struct Stop;

impl From<Poisoned> for Stop {
    fn from(_: Poisoned) -> Self {
        Self
    }
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        assert!(matches!(error, OpenError::Io(_)), "{error}");
        Self
    }
}

/// After the crash: all that was acknowledged is there, nothing else but what was appended, no break that
/// was not in the last group; and the journal goes on as if nothing had been.
fn check(fs: &FaultyFs, config: &Config, known: &Known) {
    let (journal, recovery) = open(fs, config.clone());
    let kept_from = recovery.first;
    assert!(kept_from <= known.cut.max(1), "{recovery:?}");
    assert!(recovery.next > known.acknowledged, "{recovery:?}");
    assert!(recovery.next <= known.appended + 1, "{recovery:?}");
    for damage in &recovery.damage {
        assert!(!damage.synced && damage.from > known.acknowledged, "{damage:?}");
    }
    assert!(!recovery.clean || recovery.damage.is_empty());
    let (records, gaps) = read_checked(&journal, kept_from);
    let lost: u64 = gaps.iter().map(|(from, to, _)| to - from).sum();
    assert_eq!(lost, recovery.lost() + recovery.known_lost);
    assert!(gaps.iter().all(|(from, ..)| *from > known.acknowledged));

    let again = recovery.next;
    for _ in 0..5 {
        append(&journal, 9).unwrap();
    }
    journal.close().unwrap();
    drop(journal);
    let (journal, recovery) = open(fs, config.clone());
    assert!(recovery.clean && recovery.damage.is_empty(), "{recovery:?}");
    assert_eq!((recovery.first, recovery.next), (kept_from, again + 5));
    let (mut after, gaps_after) = read_checked(&journal, kept_from);
    assert_eq!(gaps_after, gaps);
    let added = after.split_off(&again);
    assert_eq!(after, records);
    assert!(added.values().all(|&kind| kind == 9) && added.len() == 5);
}

/// Crashes at every operation, until a run gets by without.
fn crash_everywhere(seed: u64, config: &Config, stop: impl Fn(&FaultyFs), short_writes: bool) {
    for at in 0.. {
        let fs = FaultyFs::new(seed << 16 | at);
        fs.short_writes(short_writes);
        fs.crash_at(at);
        let mut known = Known::default();
        let ended = run(&fs, config, &mut known);
        stop(&fs);
        check(&fs, config, &known);
        if ended.is_ok() {
            assert!(at > 100, "the run is too short to prove anything: {at}");
            // Twice 14 groups of 1, 2, 3, 4, 1, …
            assert_eq!((known.appended, known.acknowledged), (66, 66));
            return;
        }
    }
}

#[test]
fn a_power_failure_in_any_operation_loses_nothing_acknowledged() {
    for seed in 1..=6 {
        crash_everywhere(seed, &config(1024), FaultyFs::power_cycle, seed.is_multiple_of(2));
    }
}

#[test]
fn a_killed_process_in_any_operation_leaves_no_break_at_all() {
    let config = config(1024);
    crash_everywhere(11, &config, FaultyFs::restart_process, true);
}

#[test]
fn a_power_failure_during_recovery_loses_nothing_either() {
    let config = config(1024);
    for seed in 0..8 {
        let mut at = 0;
        loop {
            let fs = FaultyFs::new(1000 + seed);
            let mut known = Known::default();
            fs.crash_at(70 + seed * 9);
            run(&fs, &config, &mut known).unwrap_err();
            fs.power_cycle();
            let before = fs.operations();
            fs.crash_at(before + at);
            let second = Journal::open(Arc::new(fs.clone()), config.clone());
            let finished = second.is_ok();
            drop(second);
            fs.power_cycle();
            check(&fs, &config, &known);
            if finished && at > 12 {
                break;
            }
            at += 1;
        }
    }
}
