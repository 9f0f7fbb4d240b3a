//! The epoch over restarts, windows that stay silent, and what is complete under rules.

use std::path::Path;

use weir_journal::fs::faulty::FaultyFs;

use super::*;

const DIR: &str = "/data";

fn open(fs: &FaultyFs) -> Custody {
    Custody::open(fs, Path::new(DIR)).expect("it opens")
}

/// What was told of, where something was.
fn comes(custody: &Custody, through: Timestamp) -> Option<Timestamp> {
    let mut told = None;
    custody.handle_return(through, |through| told = Some(through)).expect("it is stored");
    told
}

#[test]
fn an_epoch_goes_with_its_directory() {
    let fs = FaultyFs::new(1);
    let epoch = open(&fs).epoch();
    fs.power_cycle();
    assert_eq!(open(&fs).epoch(), epoch);
    assert_ne!(open(&FaultyFs::new(1)).epoch(), epoch);
}

#[test]
fn windows_are_named_as_delivered_only_before_they_close() {
    let fs = FaultyFs::new(2);
    let old = open(&FaultyFs::new(2));
    old.pass(1_000);
    assert_eq!((comes(&old, 5_000), old.take_return()), (None, false), "it is no new directory");
    let custody = open(&fs);
    custody.begin_at(1_000);
    custody.pass(1_000);
    assert_eq!((comes(&custody, 5_000), custody.take_return()), (Some(5_000), true));
    assert_eq!(comes(&custody, 4_000), None);
    custody.pass(4_500);
    assert_eq!(comes(&custody, 7_000), Some(7_000), "another agent knows of more");
    custody.pass(7_001);
    assert!(custody.take_return());
    assert_eq!((comes(&custody, 9_000), custody.take_return()), (None, false), "one has closed");
    fs.power_cycle();
    assert_eq!(open(&fs).silent_through(), 7_000);
}

/// With windows of 10 s.
fn moment(last: u64, position: u64, frontier: Timestamp, queue_done: u64) -> Moment {
    Moment {
        durable: last,
        last,
        frontier,
        settled: Settled { position, frontier, queue_end: position },
        complete: frontier - frontier.rem_euclid(10_000),
        queue_done,
    }
}

#[test]
fn a_moment_releases_what_is_older_than_every_open_window() {
    let custody = open(&FaultyFs::new(3));
    custody.stamp(14_000);
    assert_eq!(custody.look(&moment(5, 4, 11_000, 4)), (0, 11_000));
    assert_eq!(custody.look(&moment(6, 6, 19_000, 6)), (0, 19_000), "the window ends at 20000");
    assert_eq!(custody.look(&moment(7, 7, 21_000, 6)).0, 0, "it is not delivered");
    assert_eq!(custody.look(&moment(7, 7, 21_000, 7)), (6, 21_000));
}

#[test]
fn without_rules_nothing_waits_for_a_window() {
    assert_eq!(complete(&Decisions::new(1, Vec::new()), 12_345), Timestamp::MAX);
}

/// After a restart nothing is known to be released, and once that was taken for what was taken over not being out.
#[test]
fn what_was_taken_over_is_out_once_over_restarts() {
    let fs = FaultyFs::new(4);
    let custody = open(&fs);
    custody.adopt(7).expect("it is stored");
    assert_eq!(custody.awaits_adopted(6), Some(7));
    fs.power_cycle();
    let custody = open(&fs);
    assert_eq!(custody.awaits_adopted(0), Some(7), "it was not out when it stopped");
    assert_eq!(custody.look(&moment(9, 9, 5_000, 9)).0, 0);
    assert_eq!(custody.look(&moment(10, 10, 20_000, 10)).0, 9);
    assert_eq!(custody.awaits_adopted(9), None);
    fs.power_cycle();
    let custody = open(&fs);
    custody.adopt(7).expect("it is stored");
    assert_eq!(custody.awaits_adopted(0), None, "the log's record of it comes again");
    custody.adopt(12).expect("it is stored");
    assert_eq!(custody.awaits_adopted(9), Some(12), "another one");
}
