//! Followers that go and come, and copies under load.

use std::fs;

use weir_tests::disk::SmallDisk;

use super::stage::{GATEWAYS, Stage};

/// Nobody is taken over here, however slow the machine is.
const NEVER: &str = "10m";

#[test]
fn a_gateway_whose_follower_dies_finds_another() {
    let mut stage = Stage::begin("2s", NEVER);
    let follower = stage.wait_followed(0, None);
    stage.gateway(follower).kill();
    let other = stage.wait_followed(0, Some(follower));
    assert_ne!(other, follower);
    stage.gateway(follower).spawn();
    stage.gateway(follower).wait_started();
    stage.wait_all_followed();
    stage.wait_samples(2_000);
    let at = [stage.addresses_but(0), vec![stage.gateway(0).address()]].concat();
    stage.judge("a follower died", &at);
}

/// Its own data stays on another disk, so that it goes on for its own series.
#[test]
fn a_gateway_whose_follower_has_no_room_finds_another() {
    let mut disks = Vec::new();
    let mut stage = Stage::begin_on("10s", NEVER, |data_dir| {
        let twins = data_dir.join("twins");
        fs::create_dir(&twins).expect("a folder");
        disks.push(SmallDisk::mount(&twins, 1024));
    });
    assert!(disks.iter().all(SmallDisk::is_mounted), "who may mount a tmpfs (root) runs this");
    let follower = stage.wait_followed(0, None);
    disks[follower].fill();
    // Files are made beforehand, so that nothing might ask for room for long; a copy does.
    stage.gateway(0).crash_and_restart();
    let other = stage.wait_followed(0, Some(follower));
    assert_ne!(other, follower);
    stage.wait_samples(1_000);
    disks[follower].free();
    stage.wait_all_followed();
    stage.wait_samples(1_000);
    let at = [stage.addresses_but(0), vec![stage.gateway(0).address()]].concat();
    stage.judge("a follower's disk was full", &at);
}

#[test]
fn gateways_that_restart_under_load_are_copied_and_in_step_again() {
    let mut stage = Stage::begin("10s", NEVER);
    for number in (0..GATEWAYS).chain(0..GATEWAYS) {
        stage.gateway(number).crash_and_restart();
        stage.wait_followed(number, None);
        stage.wait_samples(300);
    }
    let at = [stage.addresses_but(0), vec![stage.gateway(0).address()]].concat();
    stage.judge("restarts", &at);
}
