//! Targets, against what Prometheus 3's documentation and `PopulateLabels` say.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use weir_relabel::{Program, RelabelConfig};

use super::*;

fn job() -> ScrapeConfig {
    ScrapeConfig::new("node")
}

fn relabel(rules: &str) -> Program {
    let rules: Vec<RelabelConfig> = serde_saphyr::from_str(rules).unwrap();
    Program::compile(&rules).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> LabelMap {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn group(targets: &[&[(&str, &str)]], labels: &[(&str, &str)]) -> Group {
    let targets = targets.iter().map(|target| map(target)).collect();
    Group { source: "g".to_owned(), labels: map(labels), targets }
}

fn build(config: &ScrapeConfig, target: &[(&str, &str)]) -> Targets {
    Targets::build(config, &[group(&[target], &[])])
}

fn one(config: &ScrapeConfig, target: &[(&str, &str)]) -> Target {
    let targets = build(config, target);
    assert_eq!(targets.failures, Vec::<String>::new());
    targets.active.into_iter().next().expect("a target")
}

#[test]
fn a_job_gives_its_targets_what_they_do_not_say() {
    let target = one(&job(), &[("__address__", "host:9100")]);
    assert_eq!(target.url, "http://host:9100/metrics");
    assert_eq!(target.labels.to_string(), r#"{instance="host:9100",job="node"}"#);
    assert_eq!(
        target.discovered.to_string(),
        r#"{__address__="host:9100",__metrics_path__="/metrics",__scheme__="http",__scrape_interval__="1m",__scrape_timeout__="10s",job="node"}"#
    );
    assert_eq!((target.interval, target.timeout), (Millis::from_secs(60), Millis::from_secs(10)));
}

#[test]
fn a_targets_own_labels_win_over_the_group_and_the_job() {
    let own: &[(&str, &str)] = &[
        ("__address__", "host:1"),
        ("__scheme__", "https"),
        ("__metrics_path__", "/m"),
        ("__scrape_interval__", "30s"),
        ("__scrape_timeout__", "5s"),
        ("job", "other"),
        ("instance", "named"),
        ("zone", ""),
    ];
    let group = group(&[own], &[("job", "group"), ("zone", "z"), ("env", "x")]);
    let built = Targets::build(&job(), &[group]);
    let target = &built.active[0];
    assert_eq!(target.url, "https://host:1/m");
    assert_eq!(target.labels.to_string(), r#"{env="x",instance="named",job="other"}"#);
    assert_eq!((target.interval, target.timeout), (Millis::from_secs(30), Millis::from_secs(5)));
}

#[test]
fn no_port_is_added_or_taken_away() {
    for address in ["host", "host:80", "[::1]:9100", "1.2.3.4"] {
        let target = one(&job(), &[("__address__", address)]);
        assert_eq!(target.url, format!("http://{address}/metrics"));
        assert_eq!(target.labels.get("instance"), Some(address));
    }
}

#[test]
fn meta_and_temporary_labels_end_here() {
    let config = ScrapeConfig {
        relabel: relabel(
            "[{source_labels: [__meta_pod], target_label: pod},
              {source_labels: [__meta_port], target_label: __tmp_port},
              {source_labels: [__address__, __tmp_port], separator: ':', target_label: __address__}]",
        ),
        ..job()
    };
    let own: &[(&str, &str)] = &[("__address__", "h"), ("__meta_pod", "p"), ("__meta_port", "8")];
    let target = one(&config, own);
    assert_eq!(target.labels.to_string(), r#"{instance="h:8",job="node",pod="p"}"#);
    assert_eq!(target.url, "http://h:8/metrics");
    assert_eq!(target.discovered.get("__meta_pod"), Some("p"));
}

#[test]
fn parameters_are_labels_and_labels_are_parameters() {
    let values = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
    let params = BTreeMap::from([
        ("module".to_owned(), values(&["http 2xx", "b"])),
        ("match[]".to_owned(), values(&[r#"{job="a"}"#])),
        ("empty".to_owned(), values(&[])),
    ]);
    let config = ScrapeConfig {
        metrics_path: "probe/ä?".to_owned(),
        params,
        relabel: relabel(
            "[{source_labels: [__address__], target_label: __param_target},
              {target_label: __address__, replacement: 'exporter:9115'}]",
        ),
        ..job()
    };
    let target = one(&config, &[("__address__", "https://site/~x*")]);
    assert_eq!(
        target.url,
        "http://exporter:9115/probe/%C3%A4%3F?match%5B%5D=%7Bjob%3D%22a%22%7D&module=http+2xx\
         &module=b&target=https%3A%2F%2Fsite%2F~x%2A"
    );
    assert_eq!(target.labels.to_string(), r#"{instance="exporter:9115",job="node"}"#);
    // A label replaces the first of several values.
    let target = one(&config, &[("__address__", "a"), ("__param_module", "c")]);
    assert!(target.url.contains("&module=c&module=b&"), "{}", target.url);
}

#[test]
fn dropped_targets_are_kept_up_to_a_number_and_counted() {
    let config = ScrapeConfig {
        relabel: relabel("[{source_labels: [__address__], regex: 'keep.*', action: keep}]"),
        keep_dropped_targets: 1,
        ..job()
    };
    let addresses: [&[(&str, &str)]; 3] =
        [&[("__address__", "a")], &[("__address__", "keep:1")], &[("__address__", "b")]];
    let built = Targets::build(&config, &[group(&addresses, &[])]);
    assert_eq!((built.active.len(), built.dropped_count), (1, 2));
    assert_eq!(built.dropped.len(), 1);
    assert_eq!(built.dropped[0].get("__address__"), Some("a"));
}

#[test]
fn what_cannot_be_scraped_says_why() {
    for (target, expected) in [
        (&[("x", "y")][..], "no address"),
        (&[("__address__", "http://host/")], "\"http://host/\" is not a valid hostname"),
        (&[("__address__", "h"), ("__scrape_interval__", "0s")], "scrape interval cannot be 0"),
        (&[("__address__", "h"), ("__scrape_timeout__", "0")], "scrape timeout cannot be 0"),
        (
            &[("__address__", "h"), ("__scrape_timeout__", "2m")],
            "scrape timeout cannot be greater than scrape interval (2m > 1m)",
        ),
        (
            &[("__address__", "h"), ("__scrape_interval__", "often")],
            "error parsing scrape interval: \"often\" is not a duration",
        ),
    ] {
        let built = build(&job(), target);
        assert!(built.active.is_empty() && built.failure_count == 1, "{target:?}");
        assert!(built.failures[0].contains(expected), "{}: {expected}", built.failures[0]);
        assert!(built.failures[0].starts_with("target 0 of g: "));
    }
    // Relabelling can take the interval away.
    let config = ScrapeConfig {
        relabel: relabel("[{target_label: __scrape_interval__, replacement: ''}]"),
        ..job()
    };
    assert_eq!(build(&config, &[("__address__", "h")]).failure_count, 1);
}

#[test]
fn equal_targets_are_one_and_different_ones_are_not() {
    let same = group(&[&[("__address__", "a")], &[("__address__", "a")]], &[]);
    let built = Targets::build(&job(), &[same]);
    assert_eq!(built.active.len(), 1);
    // What was discovered does not count, what is scraped and what it is called does.
    let plain = one(&job(), &[("__address__", "a")]);
    assert_eq!(one(&job(), &[("__address__", "a"), ("__meta_x", "y")]).identity, plain.identity);
    for other in [("env", "x"), ("__metrics_path__", "/m"), ("__scheme__", "https")] {
        assert_ne!(one(&job(), &[("__address__", "a"), other]).identity, plain.identity);
    }
}

#[test]
fn too_many_targets_are_said_to_be_too_many() {
    let config = ScrapeConfig { target_limit: NonZeroUsize::new(1), ..job() };
    let two = group(&[&[("__address__", "a")], &[("__address__", "b")]], &[]);
    assert!(Targets::build(&config, &[two]).over_limit);
    let same = group(&[&[("__address__", "a")], &[("__address__", "a")]], &[]);
    assert!(!Targets::build(&config, &[same]).over_limit, "unique ones count");
}
