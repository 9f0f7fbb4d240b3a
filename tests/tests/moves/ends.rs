//! `kill -9` of either side between any two steps of a move: it is finished or undone, never both.

use weir_ring::OwnedSet;
use weir_tests::tier::name;
use weir_tests::wait;

use super::stage::{FIRST, SOON, Stage, ended, say};

/// The side that ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Giver,
    Taker,
}

/// Where, in the order of a move.
const ENDS: [(&str, Side); 4] = [
    ("release", Side::Giver),
    ("adopt", Side::Taker),
    ("handed", Side::Giver),
    ("assigned", Side::Giver),
];

#[test]
fn a_move_that_a_kill_interrupts_is_finished_or_undone() {
    let mut stage = Stage::begin(None);
    for (round, (point, side)) in ENDS.into_iter().enumerate() {
        let (giver, taker) = (round % FIRST, (round + 1) % FIRST);
        let doomed = if side == Side::Giver { giver } else { taker };
        let lot = interrupted(&mut stage, point, doomed, (giver, taker));
        start(&mut stage, doomed);
        finish(&stage, (giver, taker), &lot);
        stage.probe(FIRST);
    }
    stage.judge("kills within moves");
}

/// What the taker's log says of a move goes with the next checkpoint; the state must be known to be
/// there all the same.
#[test]
fn a_taker_that_restarts_while_the_giver_is_away_takes_a_state_once() {
    let mut stage = Stage::begin(None);
    for (point, giver) in [("handed", 0), ("assigned", 1)] {
        let taker = giver + 1;
        let lot = interrupted(&mut stage, point, giver, (giver, taker));
        let done =
            |stage: &Stage| stage.gateways[taker].metrics().count("weir_checkpoints_total", &[]);
        let before = done(&stage);
        wait::until_true("checkpoints are taken", SOON, || done(&stage) >= before + 2.0);
        stage.gateways[taker].crash_and_restart();
        start(&mut stage, giver);
        finish(&stage, (giver, taker), &lot);
        stage.probe(FIRST);
    }
    stage.judge("takers that restart");
}

/// Moves a lot until the doomed one ends at this point; it stays away.
fn interrupted(
    stage: &mut Stage,
    point: &str,
    doomed: usize,
    (giver, taker): (usize, usize),
) -> OwnedSet {
    let gateway = &mut stage.gateways[doomed];
    gateway.kill();
    gateway.spawn_doomed(point, 1);
    gateway.wait_started();
    stage.wait_up(FIRST);
    stage.wait_samples(200);
    let lot = stage.lot(giver);
    let other = (0..FIRST).find(|&at| at != giver && at != taker).expect("a third one");
    let words = ["move", "--vshards", &lot.to_string(), "--to", &name(taker)];
    let mut moving = stage.spawn_admin(other, &words);
    wait::until_true(&format!("{} ends at {point}", name(doomed)), SOON, || {
        let is_over = !stage.gateways[doomed].program().is_running();
        if !is_over && moving.try_wait().is_ok_and(|status| status.is_some()) {
            // Its windows are behind the taker's after a start; an operator tries again.
            moving = stage.spawn_admin(other, &words);
        }
        is_over
    });
    if doomed == giver {
        let why = ended(moving).expect_err("nobody is there to say that it is done");
        say(&format!("{point}: {}\n", why.trim()));
    } else {
        // It goes on, and ends by itself or not at all.
        std::thread::spawn(move || drop(ended(moving)));
    }
    lot
}

fn start(stage: &mut Stage, doomed: usize) {
    stage.gateways[doomed].spawn();
    stage.gateways[doomed].wait_started();
}

/// Waits until the move has ended, in one way or the other, and moves what was left.
fn finish(stage: &Stage, (giver, taker): (usize, usize), lot: &OwnedSet) {
    let words = ["move", "--vshards", &lot.to_string(), "--to", &name(taker)];
    wait::until("it is moved", SOON, || {
        let said = stage.admin(giver, &words)?;
        let table = stage.table(giver);
        let is_there = lot.iter().all(|vshard| table.owner(vshard).name == name(taker));
        is_there.then_some(()).ok_or(said)
    });
    let table = stage.wait_agreed(FIRST);
    assert!(lot.iter().all(|vshard| table.owner(vshard).name == name(taker)));
    stage.wait_samples(500);
}
