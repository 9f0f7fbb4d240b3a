//! The load generator with its oracle against all gateways of a tier, as anybody runs it.

use std::process::{Command, Output};

use weir_tests::gateway::sending_to;
use weir_tests::tier::Tier;
use weir_tests::{binaries, processes};

use super::GATEWAYS;

const RULES: &str = "- {match: '{__name__=~\".+_total\"}', interval: 2s, without: [pod, instance, container], \
                     outputs: [total, increase]}\n\
                     - {match: '{__name__!~\".+_total\"}', interval: 4s, by: [namespace], \
                     outputs: [sum_last, count_series, max]}\n";

#[test]
fn a_run_over_all_gateways_is_right() {
    for spread in ["requests", "connections"] {
        let output = run(spread);
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let shown = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(output.status.code(), Some(0), "{spread}: {shown}");
        let compared = shown.lines().find_map(|line| {
            line.strip_prefix("outputs: ")?.split_once(" compared")?.0.parse::<usize>().ok()
        });
        assert!(compared.is_some_and(|compared| compared > 1_000), "{spread}: {shown}");
    }
}

fn run(spread: &str) -> Output {
    let receiver = processes::free_address().to_string();
    let url = format!("http://{receiver}/api/v1/write");
    let tier = Tier::start(GATEWAYS, &sending_to(&url, "4s", ""), RULES);
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("rules are written");
    let mut command = Command::new(binaries::find("weir-loadgen", "WEIR_LOADGEN_BIN"));
    command.arg("run");
    for address in tier.addresses() {
        command.args(["--target", &format!("http://{address}/api/v1/push")]);
    }
    command.args(["--spread", spread, "--series", "1k", "--series-per-target", "50", "--mixed"]);
    command.args(["--samples-per-request", "100", "--interval", "1s", "--duration", "12s"]);
    command.args(["--pod-life", "7s", "--restart-every", "5s", "--duplicates", "5%"]);
    command.arg("--rules").arg(rules).args(["--receive", &receiver, "--grace", "4s"]);
    command.output().expect("it starts")
}
