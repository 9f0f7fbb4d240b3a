//! The shipped examples are good, whole, and free of warnings.

use super::*;

fn example(name: &str) -> Config {
    let file = root().join("deploy/examples").join(name);
    let env = |_: &str| Some("value".to_owned());
    load(Some(&file), &Overrides::default(), &env).unwrap_or_else(|errors| panic!("{errors}"))
}

const EXAMPLES: [&str; 7] = [
    "minimal.yml",
    "prometheus.yml",
    "cortex.yml",
    "m3db.yml",
    "victoriametrics.yml",
    "multi-tenant.yml",
    "ha-pairs.yml",
];

#[test]
fn every_example_is_valid() {
    for name in EXAMPLES {
        let config = example(name);
        assert_eq!(config.warnings, [], "{name}");
        assert_eq!(config.destinations.len(), usize::from(name != "minimal.yml"), "{name}");
        assert!(!config.decisions.decisions(1).unwrap().rules.is_empty(), "{name}");
    }
    let folder = std::fs::read_dir(root().join("deploy/examples")).unwrap();
    let mut there: Vec<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yml"))
        .collect();
    there.sort();
    let mut listed = EXAMPLES.map(str::to_owned).to_vec();
    listed.sort();
    assert_eq!(there, listed);
}
