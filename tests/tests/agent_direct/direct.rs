//! Nothing is sent on between gateways any more, moves are followed, an owner that is away is waited for,
//! and every owner hears the agent's watermark.

use weir_tests::{early, tier};

use crate::stage::{GATEWAYS, Stage};

#[test]
fn an_agent_goes_to_owners_follows_moves_and_waits_for_one_that_is_away() {
    let mut stage = Stage::start("", "");
    stage.wait_direct();
    assert_eq!(stage.agent.metrics().count("weir_agent_owners", &[]), GATEWAYS as f64);
    stage.wait_all();

    stage.admin(&["drain", &tier::name(1)]);
    stage.wait_direct();
    stage.admin(&["rebalance"]);
    stage.wait_direct();
    stage.wait_all();

    stage.tier.kill(2);
    stage.serve(6);
    stage.tier.restart(2);
    stage.wait_all();
    stage.wait_direct();

    stage.agent.crash_and_restart();
    stage.wait_direct();
    stage.tier.assert_audited();
}

#[test]
fn an_agent_that_may_not_goes_where_it_is_told() {
    let stage = Stage::start("", ", direct: false");
    stage.wait_all();
    let before = stage.forwarded();
    stage.serve(4);
    stage.wait_all();
    assert!(stage.forwarded() > before);
    assert_eq!(stage.agent.metrics().count("weir_agent_owners", &[]), 0.0);
}

#[test]
fn every_owner_hears_the_watermark_and_outputs_leave_early() {
    let rules = "- {match: ticks_total, interval: 5s, by: [job], outputs: [count_samples]}\n";
    let stage = Stage::start(rules, "");
    early::wait_for(&stage.backend, "ticks_total:5s_by_job_count_samples", 3);
    for page in stage.tier.metrics() {
        assert_eq!(page.get("weir_watermarked_agents", &[]), Some(1.0));
    }
    stage.tier.assert_audited();
}
