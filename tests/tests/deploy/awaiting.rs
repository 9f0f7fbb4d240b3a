//! What `deploy/` says of a tier of gateways and this build does not know yet, in one place.
//!
//! Invariant: these lists only shrink. A configuration that is listed must be refused, and for no
//! other reason than the keys below; a metric that is listed must not be there. Whatever comes true is
//! taken off the list, and is then checked like everything else.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::commands::output;
use crate::files::document;

/// Keys of `cluster` that are refused or unknown.
const KEYS: [&str; 0] = [];

/// Configurations with such keys.
const CONFIGS: [&str; 0] = [];

/// Metrics of a gateway in a tier.
pub(crate) const METRICS: [&str; 0] = [];

/// Panics unless this `--check` of a gateway ends well. `name` is the configuration's path in the
/// repository, `file` a copy that may be changed. One that is awaited must end badly, and well without
/// the awaited keys.
pub(crate) fn assert_checked(name: &str, file: &Path, check: &mut Command) {
    let found = output(check);
    if !CONFIGS.contains(&name) {
        found.unwrap_or_else(|text| panic!("{name}:\n{text}"));
        return;
    }
    let Err(text) = found else {
        panic!("{name} is good now: take it off the list of what is awaited");
    };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let is_awaited = KEYS.iter().any(|key| line.contains(&format!("cluster.{key}:")));
        assert!(is_awaited, "{name} is wrong beside what is awaited: {line}");
    }
    let mut config = document(file);
    if let Some(cluster) = config["cluster"].as_object_mut() {
        cluster.retain(|key, _| !KEYS.contains(&key.as_str()));
    }
    write(file, &config);
    output(check).unwrap_or_else(|text| panic!("{name} without what is awaited:\n{text}"));
}

/// JSON is YAML.
fn write(file: &Path, config: &Value) {
    fs::write(file, config.to_string()).expect("a configuration is written");
}

#[test]
fn every_awaited_configuration_is_there() {
    for name in CONFIGS {
        assert!(crate::files::root().join(name).is_file(), "{name}");
    }
}
