//! Virtual shards change hands under load, by the commands of `weir-gateway admin`, and members are
//! killed in the middle of it: outputs are those of a tier in which nothing moved.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use weir_tests::dice::Dice;
use weir_tests::tier::{Tier, name};
use weir_tests::{gateway, wait};

use super::{GATEWAYS, Trial};

/// A command may wait for windows, and for members that are starting.
const DONE_WITHIN: Duration = Duration::from_secs(90);
const VSHARDS: f64 = 4096.0;
const SEED: u64 = 5;

/// Asks a gateway's administration.
fn admin(asked: SocketAddr, command: &[&str]) -> Output {
    let address = format!("http://{asked}");
    let mut admin = Command::new(gateway::binary());
    admin.args(["admin", "--address", &address]).args(command);
    admin.output().expect("it starts")
}

/// The same until it succeeds: a command that was interrupted goes on.
pub(super) fn admin_until_done(tier: &Tier, asked: usize, command: &[&str]) {
    wait::until(&command.join(" "), DONE_WITHIN, || {
        let output = admin(tier.addresses()[asked], command);
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        output.status.success().then_some(()).ok_or(said)
    });
}

fn owned(tier: &Tier) -> Vec<f64> {
    tier.metrics().iter().map(|page| page.count("weir_cluster_vshards_owned", &[])).collect()
}

/// Every virtual shard has one owner, as all of them see it.
fn wait_settled(tier: &Tier, is_so: impl Fn(&[f64]) -> bool) {
    wait::until("each virtual shard has one owner", DONE_WITHIN, || {
        let owned = owned(tier);
        let settled = owned.iter().sum::<f64>() == VSHARDS && is_so(&owned);
        settled.then_some(()).ok_or_else(|| format!("owned: {owned:?}"))
    });
}

/// What the old owner has yet to deliver of a raw series may come behind the new owner's first sample.
pub(super) fn is_raw(disorder: &str) -> bool {
    disorder.contains("passed_on{")
}

#[test]
fn a_member_that_is_drained_and_comes_back_changes_nothing() {
    let trial = Trial::begin(false);
    let last = GATEWAYS - 1;
    admin_until_done(&trial.tier, 0, &["drain", &name(last)]);
    wait_settled(&trial.tier, |owned| owned[last] == 0.0);
    trial.wait_samples(500);
    admin_until_done(&trial.tier, last, &["rebalance"]);
    wait_settled(&trial.tier, |owned| owned.iter().all(|&owned| owned > 1_000.0));
    trial.wait_samples(500);
    trial.judge_but("drained and back", is_raw);
}

#[test]
fn kills_in_the_middle_of_moves_lose_double_and_change_nothing() {
    let mut trial = Trial::begin(false);
    let mut dice = Dice::new(SEED);
    for round in 0..6 {
        let (to, asked) = (round % GATEWAYS, (round + 1) % GATEWAYS);
        // The taker, or one of the givers.
        let victim = if round % 2 == 0 { to } else { (round + 2) % GATEWAYS };
        let (first, to) = (round * 600, name(to));
        let vshards = format!("{first}-{}", first + 599);
        let command = ["move", "--vshards", &vshards, "--to", &to];
        let address = trial.tier.addresses()[asked];
        std::thread::scope(|scope| {
            // Whether it was told to the end or not is what the kill decides.
            let moving = scope.spawn(move || admin(address, &command));
            trial.pause(dice.between(100, 3_000) as i64);
            trial.tier.kill(victim);
            trial.tier.restart(victim);
            moving.join().expect("it comes back");
        });
        trial.tier.wait_members();
        admin_until_done(&trial.tier, asked, &command);
        trial.wait_samples(200);
    }
    wait_settled(&trial.tier, |_| true);
    trial.judge_but("6 kills in moves", is_raw);
}
