//! 200 faults, half of them `kill -9`, under the oracle: nothing lost, doubled, wrong or late.
//!
//! What `weir-loadgen torture` does, with four gateways that stand alone, side by side, and with a tier of
//! three, which gets a quarter of the faults; with agents, whose faults they are too, and clocks that are
//! set wrong, a fifth. `WEIR_FAULTS` says how many; the seed is fixed, and a failure names it.

use std::io::Write;

use weir_loadgen::torture::{Plan, run};
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
    torment(Plan { tiers: 2, agents: 2, clocks: true, ..plan(faults() / 5) });
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

fn torment(plan: Plan) {
    let say = |line: &str| {
        std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("stdout");
    };
    let summary = run(&plan, &say).unwrap_or_else(|why| panic!("seed {SEED}: {why}"));
    say(&summary.to_string());
    assert!(summary.is_right(), "seed {SEED}: {}", summary.found());
    let faults = plan.faults.unwrap_or(0);
    assert_eq!(summary.fault_count(), faults);
    let kills = summary.kill_count();
    assert!(kills * 3 >= faults, "only {kills} kills");
    assert!(summary.differences.compared > 20 * faults, "{summary}");
}
