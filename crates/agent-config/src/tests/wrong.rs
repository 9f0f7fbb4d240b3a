//! What is wrong is said with its line and key, all of it at once.

use super::*;

fn errors(text: &str) -> Vec<String> {
    let errors = read(text).expect_err("an error").0;
    errors.iter().map(ToString::to_string).collect()
}

/// The messages about one job, less what stands before each of them.
fn job_errors(text: &str) -> Vec<String> {
    let indented = text.replace('\n', "\n    ");
    let errors =
        errors(&format!("{DESTINATION}scrape_configs:\n  - job_name: a\n    {indented}\n"));
    let short = |error: &String| error.split_once("scrape_configs[0].").unwrap().1.to_owned();
    errors.iter().map(short).collect()
}

#[test]
fn all_problems_of_a_file_are_said_at_once() {
    let text = "\
global:
  scrape_interval: 10s
  scrape_timeout: 20s
rule_files: [a.yml]
scrape_configs:
  - job_name: a
    scrape_interval: often
    relabel_configs:
      - target_label: x
      - action: keep
        regex: '('
  - job_name: a
    ec2_sd_configs: [{region: eu}]
    scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4, Text]
  - metrics_path: ''
remote_write:
  - url: nowhere
";
    let found = errors(text);
    let expected = [
        "agent.yml:3: global.scrape_timeout: 20s is greater than scrape_interval, 10s",
        "agent.yml:4: rule_files: an agent evaluates no rules; keep them in the backend",
        "agent.yml:7: scrape_configs[0].scrape_interval: \"often\" is not a duration",
        "agent.yml:10: scrape_configs[0].relabel_configs[1]: invalid regular expression \"(\"",
        "agent.yml:12: scrape_configs[1].job_name: \"a\" is an earlier job's name",
        "agent.yml:13: scrape_configs[1].ec2_sd_configs: ec2 is not discovered by this agent",
        "agent.yml:14: scrape_configs[1].scrape_protocols[1]: \"PrometheusText0.0.4\" stands here",
        "agent.yml:14: scrape_configs[1].scrape_protocols[2]: \"Text\" is not one of",
        "agent.yml:15: scrape_configs[2].job_name: is missing",
        "agent.yml:15: scrape_configs[2].metrics_path: is empty",
        "agent.yml:17: remote_write[0].url: \"nowhere\" is not a URL",
    ];
    for expected in expected {
        assert!(found.iter().any(|error| error.starts_with(expected)), "{expected} in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn unknown_keys_name_the_nearest() {
    let text = format!("{DESTINATION}scrape_configs:\n  - job_name: a\n    metric_path: /m\n");
    let expected =
        "agent.yml:4: scrape_configs[0].metric_path: unknown key; did you mean metrics_path?";
    assert_eq!(errors(&text), [expected]);
    let text = format!("{DESTINATION}static_configs: []\n");
    assert!(errors(&text)[0].contains("it stands in an entry of scrape_configs"));
}

#[test]
fn a_servers_sections_are_refused_by_name() {
    for section in ["rule_files: []", "alerting: {}", "remote_read: []", "storage: {}"] {
        let found = errors(&format!("{DESTINATION}{section}\n"));
        let key = section.split(':').next().unwrap();
        assert!(found[0].starts_with(&format!("agent.yml:2: {key}: an agent ")), "{found:?}");
    }
    // As distributions ship it, with everything below commented out.
    assert!(read(&format!("{DESTINATION}rule_files:\n")).is_ok());
    let odd = good(&format!("{DESTINATION}tracing: {{endpoint: a}}\notlp: {{}}\n"));
    assert_eq!(odd.warnings.len(), 2);
    assert!(errors("global: {}")[0].contains("names no destination"));
}

#[test]
fn what_is_wrong_with_a_job_is_said_at_its_key() {
    for (text, expected) in [
        ("scrape_timeout: 2m", "scrape_timeout: 2m is greater than the scrape interval, 1m"),
        ("scheme: ftp", "scheme: \"ftp\" is not one of http, https"),
        ("sample_limit: -1", "sample_limit: \"-1\" is not a whole number"),
        ("convert_classic_histograms_to_nhcb: true", "convert_classic_histograms_to_nhcb: is not"),
        ("native_histogram_min_bucket_factor: 0.5", "native_histogram_min_bucket_factor: \"0.5\""),
        (
            "metric_name_validation_scheme: legacy\nmetric_name_escaping_scheme: allow-utf-8",
            "metric_name_escaping_scheme: allow-utf-8 needs",
        ),
        ("fallback_scrape_protocol: x", "fallback_scrape_protocol: \"x\" is not one of Prom"),
        (
            "static_configs: [{targets: ['http://h/m']}]",
            "static_configs[0].targets[0]: \"http://h/m\" is not a valid hostname",
        ),
        ("bearer_token: x\nbasic_auth: {username: u}", "bearer_token: use one of"),
        ("basic_auth: {username: u}\nauthorization: {credentials: c}", "basic_auth: use one of"),
        ("file_sd_configs: [{files: [a.txt]}]", "file_sd_configs[0].files[0]: \"a.txt\" is no"),
        ("file_sd_configs: [{files: ['*/a.json']}]", "file_sd_configs[0].files[0]: \"*/a.json\""),
        ("file_sd_configs: [{}]", "file_sd_configs[0].files: names no file"),
        ("http_sd_configs: [{}]", "http_sd_configs[0].url: is missing"),
        ("http_sd_configs: [{url: 'h/t'}]", "http_sd_configs[0].url: \"h/t\" is not a URL"),
        ("dns_sd_configs: [{names: [x], type: A}]", "dns_sd_configs[0].port: is required"),
        ("dns_sd_configs: [{type: SRV}]", "dns_sd_configs[0].names: must contain"),
        ("dns_sd_configs: [{names: [x], type: TXT}]", "dns_sd_configs[0].type: \"TXT\" is not"),
        ("docker_sd_configs: [{}]", "docker_sd_configs[0].host: is missing"),
        ("docker_sd_configs: [{host: 'ssh://h'}]", "docker_sd_configs[0].host: \"ssh://h\" is not"),
    ] {
        let found = job_errors(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
    // Relabelling may cut the path off.
    job(
        "job_name: a\nstatic_configs: [{targets: ['http://h/m']}]\nrelabel_configs: [{target_label: x}]",
    );
}

#[test]
fn what_is_wrong_with_kubernetes_is_said_at_its_key() {
    for (text, expected) in [
        ("{}", "role: is missing"),
        ("{role: endpoint}", "role: \"endpoint\" is not one of pod, service, endpoints"),
        ("{role: pod, kubeconfig_file: k}", "kubeconfig_file: is not supported"),
        ("{role: pod, basic_auth: {username: u}}", "api_server: is missing"),
        (
            "{role: pod, api_server: 'https://h', namespaces: {own_namespace: true}}",
            "namespaces.own_namespace: cannot be used with api_server",
        ),
        ("{role: pod, api_server: 'h:1'}", "api_server: \"h:1\" is not a URL"),
        (
            "{role: pod, selectors: [{role: node}]}",
            "selectors[0].role: role pod supports only pod selectors",
        ),
        (
            "{role: endpoints, selectors: [{role: pod}, {role: pod}]}",
            "selectors[1].role: pod has a selector already",
        ),
        (
            "{role: pod, selectors: [{role: pod, field: 'spec.nodeName=$ABSENT'}]}",
            "selectors[0].field: the environment variable ABSENT is not set",
        ),
    ] {
        let found = job_errors(&format!("kubernetes_sd_configs: [{text}]"));
        let expected = format!("kubernetes_sd_configs[0].{expected}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{text}: {found:?}");
    }
}

#[test]
fn secrets_are_not_repeated() {
    let text = format!(
        "{DESTINATION}scrape_configs:\n  - job_name: a\n    basic_auth: {{username: u, password: [geheim]}}\n"
    );
    let found = errors(&text).join("\n");
    assert!(!found.contains("geheim"), "{found}");
    let config = job("job_name: a\nbasic_auth: {username: u, password: geheim}");
    assert!(!format!("{config:?}").contains("geheim"));
}
