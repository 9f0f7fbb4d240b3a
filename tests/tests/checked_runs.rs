//! A run of the load generator under the oracle: a sound gateway passes, one that errs does not; what it
//! sent on is heard by the generator, or read from a real backend.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::peers::{self, Peer};
use weir_tests::proxy::{Manner, Proxy};
use weir_tests::{binaries, processes, wait};

const RULES: &str = "- {match: '{__name__=~\".+_total\"}', interval: 2s, without: [pod, instance, container], \
                     outputs: [total, increase]}\n\
                     - {match: '{__name__!~\".+_total\"}', interval: 4s, by: [namespace], \
                     outputs: [sum_last, count_series, max]}\n";

/// A gateway that may err, under a load with pods that come and go.
fn checked(mutation: Option<&'static str>) -> Output {
    let receiver = processes::free_address().to_string();
    let url = format!("http://{receiver}/api/v1/write");
    run(mutation, &url, &["--receive", &receiver])
}

/// The same, before a real backend that is read.
fn checked_in(backend: &Peer, kind: &str, mutation: Option<&'static str>) -> Output {
    let from = format!("{kind}=http://{}", backend.address);
    run(mutation, &backend.write_url(), &["--read-from", &from])
}

fn run(mutation: Option<&'static str>, sends_to: &str, outlet: &[&str]) -> Output {
    let gateway = gateway(mutation, sends_to);
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = load(gateway.address(), folder.path(), outlet);
    command.args(["--duration", "15s", "--pod-life", "7s", "--restart-every", "5s"]);
    command.args(["--duplicates", "5%"]).output().expect("it starts")
}

fn gateway(mutation: Option<&'static str>, sends_to: &str) -> Gateway {
    let mut gateway = Gateway::prepare(&sending_to(sends_to, "3s", ""), RULES);
    gateway.mutate(mutation);
    gateway.launch();
    gateway
}

/// A checked run, as long as more arguments say.
fn load(to: SocketAddr, folder: &Path, outlet: &[&str]) -> Command {
    let rules = folder.join("rules.yml");
    std::fs::write(&rules, RULES).expect("rules are written");
    let target = format!("http://{to}/api/v1/push");
    let mut command = Command::new(binaries::find("weir-loadgen", "WEIR_LOADGEN_BIN"));
    command.args(["run", "--target", &target, "--series", "1k", "--series-per-target", "100"]);
    command.args(["--samples-per-request", "100", "--interval", "1s"]);
    command.arg("--rules").arg(rules).args(outlet).args(["--grace", "3s"]);
    command
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_sound_gateway_passes() {
    assert_right(&checked(None));
}

fn assert_right(output: &Output) {
    let shown = shown(output);
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

#[test]
fn what_a_prometheus_holds_is_right_to_the_marker() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = peers::prometheus("backend", "", folder.path());
    assert_right(&checked_in(&backend, "prometheus", None));
}

#[test]
fn what_a_victoriametrics_holds_is_right_and_of_an_erring_gateway_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = peers::victoria_metrics("backend", folder.path());
    assert_right(&checked_in(&backend, "victoriametrics", None));
    let output = checked_in(&backend, "victoriametrics", Some("reset_ignored"));
    let shown = shown(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains(" wrong:"), "{shown}");
}

#[test]
fn a_backend_that_is_not_there_is_said_before_anything_is_sent() {
    let nobody = processes::free_address();
    let output =
        run(None, "http://127.0.0.1:9/", &["--read-from", &format!("prometheus=http://{nobody}")]);
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("--read-from: http://"), "{}", shown(&output));
}

/// What the gateway took while nobody heard its answers counted as unexpected, and as wrong.
#[test]
fn what_was_taken_without_an_answer_is_not_held_against_a_gateway() {
    let receiver = processes::free_address().to_string();
    let gateway = gateway(None, &format!("http://{receiver}/api/v1/write"));
    let link = Proxy::start(gateway.address());
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = load(link.address(), folder.path(), &["--receive", &receiver]);
    command.args(["--duration", "10s", "--timeout", "1s"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let taken = || gateway.metrics().count("weir_received_samples_total", &[]) >= 5_000.0;
    wait::until_true("half of the run is taken", Duration::from_secs(60), taken);
    link.behave(Manner::HoldAnswers);
    let output = run.wait_with_output().expect("it ends");
    let said = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("requests that may have been taken: ") && said.contains("not judged"),
        "{said}"
    );
}
