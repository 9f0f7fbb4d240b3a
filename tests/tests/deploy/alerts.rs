//! Alert rules by Debian's `promtool`: their syntax, and their unit tests, in which each fires for who
//! is ill and not for who is well.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use weir_tests::packages;

use crate::commands::succeed;
use crate::files::{below, deploy, document, entries};

/// Every rule of every file: the file, and the rule.
pub(crate) fn all() -> Vec<(PathBuf, Value)> {
    let mut rules = Vec::new();
    for file in rule_files() {
        for group in entries(&document(&file)["groups"]) {
            rules.extend(entries(&group["rules"]).map(|rule| (file.clone(), rule.clone())));
        }
    }
    rules
}

/// An alert's name.
pub(crate) fn name(rule: &Value) -> &str {
    rule["alert"].as_str().expect("an alert")
}

fn rule_files() -> Vec<PathBuf> {
    below(&deploy("alerts"), ".rules.yml")
}

fn test_files() -> Vec<PathBuf> {
    below(&deploy("alerts/tests"), ".test.yml")
}

fn promtool(words: [&str; 2], files: Vec<PathBuf>) {
    succeed(Command::new(packages::find("promtool")).args(words).args(files));
}

#[test]
fn promtool_accepts_every_rule() {
    promtool(["check", "rules"], rule_files());
}

#[test]
fn promtool_runs_a_test_of_every_alert() {
    promtool(["test", "rules"], test_files());
    let mut tested = BTreeSet::new();
    for file in test_files() {
        for test in entries(&document(&file)["tests"]) {
            let name = test["name"].as_str().expect("a name").to_owned();
            let expects: Vec<usize> = entries(&test["promql_expr_test"])
                .map(|expected| entries(&expected["exp_samples"]).count())
                .collect();
            assert_eq!(expects, [0, 1], "{name}: first it is quiet, then it fires once");
            tested.insert(name);
        }
    }
    let there: BTreeSet<String> = all().iter().map(|(_, rule)| name(rule).to_owned()).collect();
    assert_eq!(tested, there);
}
