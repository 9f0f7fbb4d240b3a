//! `docs/CONFIGURATION.md` and the keys that are read are the same.

use std::collections::BTreeSet;

use weir_config::{Shape, Step, shape_at};

use super::*;

use crate::config::raw::Raw;

/// All keys as paths; a list's entries as `[]`, chosen names as `<name>`.
fn keys_of_code() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    collect(&mut Vec::new(), "", &mut keys);
    keys
}

fn collect(steps: &mut Vec<Step>, path: &str, keys: &mut BTreeSet<String>) {
    match shape_at::<Raw>(steps) {
        Some(Shape::Keys(known)) => {
            for key in known {
                let path =
                    if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
                // The relabelling language is Prometheus's own and has a section of its own.
                let seen = path
                    .split("relabel_configs[].")
                    .nth(1)
                    .map(|key| format!("relabel_configs[].{key}"));
                keys.insert(seen.unwrap_or_else(|| path.clone()));
                enter(Step::Key((*key).to_owned()), &path, steps, keys);
            }
        }
        Some(Shape::Map) => enter(Step::Key("x".into()), &format!("{path}.<name>"), steps, keys),
        Some(Shape::List) => enter(Step::Item, &format!("{path}[]"), steps, keys),
        _ => {}
    }
}

fn enter(step: Step, path: &str, steps: &mut Vec<Step>, keys: &mut BTreeSet<String>) {
    steps.push(step);
    collect(steps, path, keys);
    steps.pop();
}

/// The keys that begin a row of a table: `| ``key`` | …`, several of them apart by commas.
fn keys_of_reference() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/CONFIGURATION.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .flat_map(|cell| cell.split(", ").map(|key| key.trim().trim_matches('`').to_owned()))
        .collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_read() {
    let (code, reference) = (keys_of_code(), keys_of_reference());
    let missing: Vec<&String> = code.difference(&reference).collect();
    let unknown: Vec<&String> = reference.difference(&code).collect();
    assert!(missing.is_empty(), "not in docs/CONFIGURATION.md: {missing:#?}");
    assert!(unknown.is_empty(), "in docs/CONFIGURATION.md only: {unknown:#?}");
    assert!(code.len() > 100 && code.contains("remote_write[].queue_config.capacity"));
}
