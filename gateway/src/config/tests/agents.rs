//! Configurations of agents: what is read, and how a bad one is refused.

use super::*;

const TWO: &str = "\
agents:
  - name: prod
    match: '{env=\"prod\",region=~\"eu-.*\"}'
    config_file: agents/prod.yml
  - name: rest
    config_file: agents/rest.yml
";

/// Names the environment and files of a host that is not this one, and no destination.
const PROD: &str = "\
global:
  external_labels: {host: '${HOSTNAME_OF_THE_AGENT}'}
scrape_config_files: [/etc/agent/jobs/*.yml]
scrape_configs:
  - job_name: node
    authorization: {credentials_file: /etc/agent/token}
    static_configs: [{targets: ['localhost:9100']}]
";

#[test]
fn they_are_read_with_their_selectors_and_know_nothing_of_this_host() {
    let folder =
        Folder::new(&[("weir.yml", TWO), ("agents/prod.yml", PROD), ("agents/rest.yml", "")]);
    let config = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, []);
    let [prod, rest] = &config.agents[..] else { panic!("{:?}", config.agents) };
    assert_eq!((&*prod.name, &*prod.text, &*rest.text), ("prod", PROD, ""));
    let selector = prod.selector.as_ref().map(ToString::to_string);
    assert_eq!(selector.as_deref(), Some("{env=\"prod\",region=~\"eu-.*\"}"));
    assert_eq!(rest.selector, None);
    assert_ne!(prod.version, rest.version);
    let page = check_report(&config);
    assert!(page.contains("  rest for every agent: "), "{page}");
    assert!(page.contains(&prod.version), "{page}");

    folder.write("agents/prod.yml", &PROD.replace("9100", "9101"));
    let changed = folder.load().unwrap_or_else(|errors| panic!("{errors}"));
    let keys: Vec<String> = compare(&config, &changed).0.into_iter().map(|c| c.key).collect();
    assert_eq!(keys, ["agents"], "a reload brings it in");
}

#[test]
fn a_bad_one_is_refused_with_its_own_lines() {
    let bad = "scrape_configs:\n  - job_name: a\n    scrape_intervall: 5s\n";
    let worse = "scrape_configs:\n  - job_name: a\n    scrape_interval: 5\nalerting: {}\n";
    let folder =
        Folder::new(&[("weir.yml", TWO), ("agents/prod.yml", bad), ("agents/rest.yml", worse)]);
    let errors = folder.errors();
    let expected = [
        "agents/prod.yml:3: scrape_configs[0].scrape_intervall: unknown key; did you mean scrape_interval?",
        "agents/rest.yml:3: scrape_configs[0].scrape_interval: ",
        "agents/rest.yml:4: alerting: an agent sends no alerts",
    ];
    for expected in expected {
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{expected}: {errors:#?}");
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
}

#[test]
fn an_entry_needs_a_name_and_a_file_and_a_good_selector() {
    let text = "\
agents:
  - {config_file: a.yml}
  - {name: a, config_file: none.yml, match: '{env'}
  - {name: a}
";
    let folder = Folder::new(&[("weir.yml", text), ("a.yml", "")]);
    let errors = folder.errors();
    for expected in [
        "weir.yml:2: agents[0].name: is missing",
        "weir.yml:3: agents[1].match: \"{env\": ",
        "weir.yml:3: agents[1].config_file: none.yml cannot be read: ",
        "weir.yml:4: agents[2].name: \"a\" is an earlier entry's name",
        "weir.yml:4: agents[2].config_file: is missing",
    ] {
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{expected}: {errors:#?}");
    }
    assert_eq!(errors.len(), 5, "{errors:#?}");
}

#[test]
fn an_entry_behind_one_for_all_is_odd() {
    let text = "agents: [{name: a, config_file: a.yml}, {name: b, config_file: a.yml}]";
    let folder = Folder::new(&[("weir.yml", text), ("a.yml", "")]);
    let warnings = folder.warnings();
    assert!(warnings[0].contains("agents[1]: is for no agent"), "{warnings:?}");
}
