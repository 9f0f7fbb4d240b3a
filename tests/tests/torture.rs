//! 200 faults, half of them `kill -9`, under the oracle: nothing lost, doubled, wrong or late.
//!
//! What `weir-loadgen torture` does, with four gateways that stand alone, side by side, and with a tier of
//! three, which gets a quarter of the faults; with agents, whose faults they are too, and clocks that are
//! set wrong, a fifth. Each fault that this machine can do happens; what it cannot is said on standard output.
//! `WEIR_FAULTS` says how many; the seed is fixed, and a failure names it.

use std::io::Write;

use weir_loadgen::torture::{Fault, Plan, Summary, run};
use weir_tests::{agent, gateway, packages};

const SEED: u64 = 20_240_229;

#[test]
fn among_faults_of_all_kinds_every_output_is_what_the_oracle_computes() {
    torment(Plan { tiers: 4, gateways: 1, ..plan(faults()) });
}

#[test]
fn a_tier_among_faults_says_what_the_oracle_computes() {
    torment(Plan { tiers: 1, gateways: 3, ..plan(faults() / 4) });
}

#[test]
fn what_agents_have_scraped_survives_their_faults_and_the_gateways() {
    // Its library sets the clocks.
    packages::find("faketime");
    let summary = torment(Plan { tiers: 2, agents: 2, clocks: true, ..plan(faults() / 5) });
    assert!(summary.faults.contains_key(&Fault::ClockWrong), "no clock could be set");
}

fn faults() -> usize {
    std::env::var("WEIR_FAULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn plan(faults: usize) -> Plan {
    Plan {
        gateway: gateway::binary().to_owned(),
        agent: agent::binary().to_owned(),
        faults: Some(faults),
        duration: None,
        seed: SEED,
        tiers: 1,
        gateways: 1,
        senders: 4,
        agents: 0,
        moves: false,
        clocks: false,
        kills_only: false,
        verdict_every: 100,
    }
}

fn torment(plan: Plan) -> Summary {
    let say = |line: &str| {
        std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("stdout");
    };
    let summary = run(&plan, &say).unwrap_or_else(|why| panic!("seed {SEED}: {why}"));
    say(&summary.to_string());
    assert!(summary.is_right(), "seed {SEED}: {}", summary.found());
    let faults = plan.faults.unwrap_or(0);
    assert_eq!(summary.fault_count(), faults);
    // A tier with an odd number of faults may have one other more.
    let kills = summary.kill_count();
    assert!(kills * 2 + plan.tiers >= faults, "only {kills} kills of {faults} faults");
    assert_all_happened(&summary, faults / plan.tiers / 2 * plan.tiers);
    assert!(summary.differences.compared > 20 * faults, "{summary}");
    summary
}

/// Of so many kills, and so many others: all that this machine can do have happened, as far as there were
/// so many.
fn assert_all_happened(summary: &Summary, each: usize) {
    /// Those that are dealt twice as often: an agent's kills, and moves.
    const TWICE: usize = 2;
    for is_kill in [true, false] {
        let kinds = summary.faults.iter().filter(|(fault, _)| fault.is_kill() == is_kill);
        let kinds: Vec<(&Fault, &usize)> = kinds.collect();
        let enough = each >= kinds.len() + if is_kill { TWICE } else { 0 };
        let missing: Vec<_> = kinds.iter().filter(|(_, times)| **times == 0).collect();
        assert!(missing.is_empty() || !enough, "have not happened: {missing:?}");
    }
}
