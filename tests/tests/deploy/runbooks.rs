//! Whoever is woken by an alert finds what to do: each has a section of its own in the manual.

use std::collections::BTreeSet;

use crate::alerts;
use crate::files::{assert_none, read, root};

const MANUAL: &str = "docs/OPERATIONS.md";

#[test]
fn every_alert_says_how_bad_it_is_and_leads_to_its_runbook() {
    let mut wrong = Vec::new();
    for (_, rule) in alerts::all() {
        let name = alerts::name(&rule);
        let severity = rule["labels"]["severity"].as_str();
        if !severity.is_some_and(|s| ["page", "ticket"].contains(&s)) {
            wrong.push(format!("{name}: severity {severity:?}"));
        }
        let annotations = &rule["annotations"];
        let anchor = format!("{MANUAL}#{}", name.to_lowercase());
        if annotations["runbook_url"].as_str() != Some(&anchor) {
            wrong.push(format!("{name}: runbook_url is not {anchor}"));
        }
        for key in ["summary", "description"] {
            if annotations[key].as_str().is_none_or(|text| text.trim().is_empty()) {
                wrong.push(format!("{name}: no {key}"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_manual_has_a_section_for_each_alert_and_for_no_other() {
    let manual = read(&root().join(MANUAL));
    let sections: Vec<&str> =
        manual.lines().filter_map(|line| line.strip_prefix("#### ")).collect();
    let sections: BTreeSet<&str> = sections.into_iter().filter(|s| s.starts_with("Weir")).collect();
    let rules = alerts::all();
    let there: BTreeSet<&str> = rules.iter().map(|(_, rule)| alerts::name(rule)).collect();
    assert_eq!(there.len(), rules.len(), "two alerts share a name");
    assert_eq!(sections, there);
}

#[test]
fn every_section_says_what_it_means_and_what_to_do() {
    let manual = read(&root().join(MANUAL));
    let mut wrong = Vec::new();
    for section in manual.split("\n#### ").skip(1).filter(|section| section.starts_with("Weir")) {
        let name = section.lines().next().unwrap_or_default();
        let body = section.split("\n#").next().unwrap_or_default();
        for word in ["*Means:*", "*Do:*"] {
            if !body.contains(word) {
                wrong.push(format!("{name}: no {word}"));
            }
        }
    }
    assert_none(&wrong);
}
