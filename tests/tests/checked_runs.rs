//! A run of the load generator under the oracle: a sound gateway passes, one that errs does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::{binaries, processes};

const RULES: &str = "- {match: '{__name__=~\".+_total\"}', interval: 2s, without: [pod, instance, container], \
                     outputs: [total, increase]}\n\
                     - {match: '{__name__!~\".+_total\"}', interval: 4s, by: [namespace], \
                     outputs: [sum_last, count_series, max]}\n";

/// A gateway that may err, under a load with pods that come and go.
fn checked(mutation: Option<&'static str>) -> Output {
    let receiver = processes::free_address().to_string();
    let url = format!("http://{receiver}/api/v1/write");
    let mut gateway = Gateway::prepare(&sending_to(&url, "3s", ""), RULES);
    gateway.mutate(mutation);
    gateway.launch();
    let folder = tempfile::tempdir().expect("a folder");
    let rules: PathBuf = folder.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("rules are written");
    let binary = binaries::find("weir-loadgen", "WEIR_LOADGEN_BIN");
    run(&binary, &format!("http://{}/api/v1/push", gateway.address()), &rules, &receiver)
}

fn run(binary: &Path, target: &str, rules: &Path, receiver: &str) -> Output {
    let mut command = Command::new(binary);
    command.args(["run", "--target", target, "--series", "1k", "--series-per-target", "100"]);
    command.args(["--samples-per-request", "100", "--interval", "1s", "--duration", "15s"]);
    command.args(["--pod-life", "7s", "--restart-every", "5s", "--duplicates", "5%"]);
    command.arg("--rules").arg(rules).args(["--receive", receiver, "--grace", "3s"]);
    command.output().expect("it starts")
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_sound_gateway_passes() {
    let output = checked(None);
    let shown = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let compared = shown.lines().find_map(|line| {
        line.strip_prefix("outputs: ")?.split_once(" compared")?.0.parse::<usize>().ok()
    });
    assert!(compared.is_some_and(|compared| compared > 1_000), "{shown}");
}

#[test]
fn a_gateway_that_takes_a_reset_for_nothing_does_not() {
    let output = checked(Some("reset_ignored"));
    let shown = shown(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains(" wrong:"), "{shown}");
}
