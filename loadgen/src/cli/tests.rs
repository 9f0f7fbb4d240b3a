//! Flags are read, errors come all at once, help teaches.

use std::time::Duration;

use clap::CommandFactory;

use super::*;
use crate::run::{Pace, Plan};

const TARGET: &str = "http://127.0.0.1:9201/api/v1/push";

fn plan(args: &[&str]) -> Result<Plan, Vec<String>> {
    let all = ["weir-loadgen", "run", "--target", TARGET].iter().chain(args);
    match Arguments::try_parse_from(all).expect("flags").command {
        Command::Run(run) => run.plan(),
        other => panic!("run was asked for, not {other:?}"),
    }
}

#[test]
fn without_flags_every_series_is_sent_at_the_presets_interval() {
    let plan = plan(&["--series", "1M"]).expect("a plan");
    let Pace::Schedule(schedule) = plan.pace else { panic!("{:?}", plan.pace) };
    assert_eq!(schedule.rate(Duration::ZERO), 100_000.0);
    assert_eq!(schedule.duration(), Duration::from_secs(60));
    assert_eq!(plan.endpoint.authority(), "127.0.0.1:9201");
}

#[test]
fn a_pair_sends_twice_as_much() {
    let plan = plan(&["--series", "1M", "--ha", "--preset", "node-fleet"]).expect("a plan");
    let Pace::Schedule(schedule) = plan.pace else { panic!("{:?}", plan.pace) };
    assert_eq!(schedule.peak(), 2e6 / 15.0);
    assert_eq!(plan.shape.series_per_target, 500);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let args = [
        "--target-metrics",
        "localhost",
        "--ramp",
        "1k",
        "--connections",
        "10k",
        "--replica-lag",
        "1s",
        "--duration",
        "0s",
        "--target-pid",
        "4294967295",
        "--bearer-token-file",
        "/no/such",
        "--start-timestamps",
    ];
    let wrong = plan(&args).expect_err("it is wrong");
    for flag in [
        "--target-metrics",
        "--ramp",
        "--connections",
        "--replica-lag",
        "--duration",
        "--target-pid",
        "--bearer-token-file",
        "--start-timestamps",
    ] {
        assert!(wrong.iter().any(|line| line.contains(flag)), "{flag}: {wrong:?}");
    }
}

#[test]
fn what_is_a_presets_means_nothing_to_captured_bodies() {
    let wrong = plan(&["--replay", "/no/such"]).expect_err("it is not there");
    assert!(wrong.iter().any(|line| line.contains("--replay")), "{wrong:?}");
    for option in
        [&["--series", "1k"][..], &["--ha"], &["--late", "1%"], &["--preset", "kubernetes"]]
    {
        let all = [&["weir-loadgen", "run", "--target", TARGET, "--replay", "x"], option].concat();
        let why = Arguments::try_parse_from(all).expect_err("both are given").to_string();
        assert!(why.contains("--replay") && why.contains(option[0]), "{why}");
    }
}

#[test]
fn several_targets_share_what_is_sent() {
    let more = ["--target", "http://b:1/push", "--target", "https://c:2/push"];
    let several = plan(&[&more[..], &["--spread", "connections"]].concat()).expect("a plan");
    let places: Vec<String> = several.endpoint.places().map(|p| p.url.to_string()).collect();
    assert_eq!(places, [TARGET, "http://b:1/push", "https://c:2/push"]);
    assert_eq!(several.endpoint.spread, crate::sender::Spread::Connections);
    let wrong = plan(&[&more[..], &["--target-metrics", "http://b:1/m"]].concat());
    assert!(wrong.is_err_and(|lines| lines[0].contains("--target-metrics")));
}

#[test]
fn labels_and_headers_are_read() {
    let args = ["--label", "zone=3", "--header", "X-A: b c", "--tenant", "t"];
    let plan = plan(&args).expect("a plan");
    assert_eq!(plan.shape.labels, [("zone".to_owned(), 3)]);
    let pairs = [("X-A", "b c"), ("X-Scope-OrgID", "t")];
    assert_eq!(plan.endpoint.headers, pairs.map(|(n, v)| (n.to_owned(), v.to_owned())));
    for bad in ["zone", "zone=0", "0=1", "a-b=1"] {
        let args = ["weir-loadgen", "run", "--target", TARGET, "--label", bad];
        assert!(Arguments::try_parse_from(args).is_err(), "{bad}");
    }
}

#[test]
fn help_teaches() {
    Arguments::command().debug_assert();
    let mut command = Arguments::command();
    let help = command.render_long_help().to_string();
    assert!(help.contains("--find-limit --max-p99 100ms"), "{help}");
    let run = command.find_subcommand_mut("run").expect("run").render_long_help().to_string();
    for words in ["A ramp into overload", "Exit status", "as Prometheus does", "100k, 1M"] {
        assert!(run.contains(words), "{words}: {run}");
    }
}
