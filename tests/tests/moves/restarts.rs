//! A giver that is restarted in order, and an operator who goes away, while virtual shards move.

use weir_tests::tier::name;
use weir_tests::wait;

use super::stage::{FIRST, SOON, Stage, ended, say};

#[test]
fn a_giver_that_is_restarted_while_moves_run_loses_doubles_and_changes_nothing() {
    let mut stage = Stage::begin(None);
    for ms in [700, 1_600, 2_900] {
        let moving = stage.spawn_admin(1, &["drain", &name(0)]);
        stage.pause(ms);
        let giver = &mut stage.gateways[0];
        giver.terminate();
        let status = giver.program().wait_exit(SOON);
        assert!(status.success(), "{status}");
        giver.spawn();
        giver.wait_started();
        if let Err(why) = ended(moving) {
            say(&format!("{}\n", why.trim()));
        }
        stage.wait_up(FIRST);
    }
    drained(&stage);
    stage.probe(FIRST);
    stage.judge("restarts of the giver");
}

#[test]
fn a_move_that_nobody_waits_for_goes_to_its_end() {
    let mut stage = Stage::begin(None);
    for ms in [200, 700, 1_300] {
        let mut moving = stage.spawn_admin(2, &["drain", &name(0)]);
        stage.pause(ms);
        moving.kill().expect("it is killed");
        moving.wait().expect("it has ended");
        stage.wait_samples(200);
    }
    drained(&stage);
    stage.probe(FIRST);
    stage.judge("operators who went away");
}

/// Goes on with a drain until the first member owns nothing.
fn drained(stage: &Stage) {
    wait::until("it is drained", SOON, || stage.admin(1, &["drain", &name(0)]));
    let table = stage.wait_agreed(FIRST);
    assert!(table.owned_by(&name(0)).is_empty());
}
