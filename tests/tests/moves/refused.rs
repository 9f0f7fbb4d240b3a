//! A taker that cannot take the state refuses it, and everything goes on where it was.

use weir_tests::tier::name;

use super::stage::{FIRST, RULES, Stage};

const ANOTHER_RULE: &str =
    "- {name: another, match: nothing_at_all, interval: 30s, outputs: [sum_last]}\n";

#[test]
fn a_taker_with_other_rules_refuses_and_the_giver_goes_on() {
    let mut stage = Stage::begin(None);
    let rules = stage.gateways[1].folder().join("rules.yml");
    std::fs::write(&rules, format!("{ANOTHER_RULE}{}", RULES.file())).expect("rules are written");
    stage.reload(FIRST);
    let before = stage.wait_agreed(FIRST);
    for _ in 0..3 {
        let lot = stage.lot(0).to_string();
        let words = ["move", "--vshards", &lot, "--to", &name(1)];
        let why = stage.admin(2, &words).expect_err("it refuses");
        assert!(why.contains("other rules") && why.contains("they stay here"), "{why}");
        assert_eq!(stage.wait_agreed(FIRST), before);
        stage.probe(FIRST);
        stage.wait_samples(500);
    }
    let undone = stage.gateways[0].metrics().count("weir_moves_total", &[("outcome", "undone")]);
    assert_eq!(undone, 3.0 * 128.0);
    assert_eq!(stage.sum(FIRST, "weir_moves_total", &[("outcome", "taken")]), 0.0);

    std::fs::write(&rules, RULES.file()).expect("rules are written");
    stage.reload(FIRST);
    let lot = stage.lot(0).to_string();
    let moved = stage.admin(2, &["move", "--vshards", &lot, "--to", &name(1)]).expect("it moves");
    assert_eq!(moved, "128 virtual shards have moved\n");
    stage.wait_agreed(FIRST);
    stage.probe(FIRST);
    stage.judge("refused thrice");
}
