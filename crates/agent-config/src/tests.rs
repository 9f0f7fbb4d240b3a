//! Files as people have them, and all that can be wrong with one.

use std::path::Path;

use super::*;
use crate::discovery::kubernetes::{Role, Selector};
use crate::discovery::{DockerHost, RecordType};

mod wrong;

const DESTINATION: &str = "remote_write: [{url: 'http://gateway:9091/api/v1/write'}]\n";

fn env(name: &str) -> Option<String> {
    (name == "NODE_NAME").then(|| "node-1".to_owned())
}

/// Reads a text as if it lay in `/etc/weir`.
fn read(text: &str) -> Result<Config, weir_config::ConfigErrors> {
    crate::read("agent.yml", text, &Host::here(Path::new("/etc/weir"), &env))
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The one job of a file with a destination.
fn job(text: &str) -> ScrapeConfig {
    let indented = text.replace('\n', "\n    ");
    let mut config = good(&format!("{DESTINATION}scrape_configs:\n  - {indented}\n"));
    config.scrape.remove(0)
}

fn some(number: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(number)
}

#[test]
fn the_documented_example_of_an_agent_loads() {
    let config = good(include_str!("tests/agent.yml"));
    assert_eq!(config.scrape.len(), 1);
    let job = &config.scrape[0];
    assert_eq!((&*job.job_name, job.interval), ("prometheus-agent", Millis::from_secs(15)));
    assert_eq!(job.timeout, Millis::from_secs(10));
    let Mechanism::Fixed(groups) = &job.discovery[0] else {
        panic!("{:?}", job.discovery);
    };
    assert_eq!(groups[0].targets[0]["__address__"], "localhost:9095");
    assert_eq!(config.destinations[0].url, "http://localhost:9090/api/v1/write");
    assert_eq!(config.warnings, []);
}

#[test]
fn a_job_that_says_nothing_has_prometheus_defaults() {
    let job = job("job_name: a");
    let expected = ScrapeConfig::new("a");
    assert_eq!((job.interval, job.timeout), (expected.interval, expected.timeout));
    assert_eq!((&*job.metrics_path, job.scheme), ("/metrics", Scheme::Http));
    assert_eq!((job.honor_labels, job.honor_timestamps), (false, true));
    assert!(!job.track_timestamps_staleness && job.compression && !job.native_histograms);
    let text = [ScrapeProtocol::OpenMetricsText1_0_0, ScrapeProtocol::OpenMetricsText0_0_1];
    let text =
        [text, [ScrapeProtocol::PrometheusText1_0_0, ScrapeProtocol::PrometheusText0_0_4]].concat();
    assert_eq!((job.protocols, job.fallback_protocol), (text, None));
    assert_eq!((job.limits, job.target_limit), (ScrapeLimits::default(), None));
    assert_eq!((job.names, job.escaping), (NameScheme::Utf8, Escaping::AllowUtf8));
    assert!(job.relabel.is_empty() && job.discovery.is_empty());
}

#[test]
fn every_key_of_a_job_is_read() {
    let job = job(include_str!("tests/job.yml").trim_end());
    assert_eq!((job.interval, job.timeout), (Millis::from_secs(30), Millis::from_secs(5)));
    assert_eq!((&*job.metrics_path, job.scheme), ("/m", Scheme::Https));
    assert_eq!(job.params["module"], ["a", "b"]);
    assert!(job.honor_labels && !job.honor_timestamps && job.track_timestamps_staleness);
    assert_eq!(
        job.protocols,
        [ScrapeProtocol::PrometheusProto, ScrapeProtocol::PrometheusText0_0_4]
    );
    assert_eq!(job.fallback_protocol, Some(ScrapeProtocol::PrometheusText0_0_4));
    assert!(job.native_histograms && job.classic_histograms && job.extra_metrics);
    assert!(!job.compression);
    let limits = ScrapeLimits {
        body_bytes: some(10 << 20),
        samples: some(1),
        labels: some(2),
        label_name_bytes: some(3),
        label_value_bytes: some(4),
        native_buckets: some(160),
        native_min_factor: 1.1,
    };
    assert_eq!((job.limits, job.target_limit, job.keep_dropped_targets), (limits, some(5), 6));
    assert_eq!((job.names, job.escaping), (NameScheme::Legacy, Escaping::Underscores));
    assert!(!job.relabel.is_empty() && !job.metric_relabel.is_empty());
    let token = job.client.auth.authorization.unwrap().credentials_file.unwrap();
    assert_eq!(token, Path::new("/etc/weir/token"), "names stand relative to the file");
    assert!(!job.client.follow_redirects && !job.client.http2);
    assert_eq!(job.client.tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
}

#[test]
fn global_is_what_jobs_have_in_common() {
    let config = good(&format!(
        "{DESTINATION}{}",
        "
global:
  scrape_interval: 5s
  evaluation_interval: 1m
  scrape_protocols: [PrometheusText0.0.4]
  external_labels: {node: \"${NODE_NAME}\", region: eu}
  sample_limit: 10
  body_size_limit: 1MB
  scrape_native_histograms: true
scrape_configs:
  - job_name: a
  - job_name: b
    scrape_interval: 1s
    sample_limit: 20
    scrape_protocols: []
    scrape_native_histograms: false
"
    ));
    assert_eq!(config.external_labels["node"], "node-1");
    let [a, b] = &config.scrape[..] else {
        panic!("two jobs");
    };
    // The default timeout of 10 s gives way to the interval.
    assert_eq!((a.interval, a.timeout), (Millis::from_secs(5), Millis::from_secs(5)));
    assert_eq!((b.interval, b.timeout), (Millis::from_secs(1), Millis::from_secs(1)));
    assert_eq!((a.limits.samples, b.limits.samples), (some(10), some(20)));
    assert_eq!((a.limits.body_bytes, b.limits.body_bytes), (some(1 << 20), some(1 << 20)));
    assert_eq!((a.native_histograms, b.native_histograms), (true, false));
    assert_eq!(a.protocols, [ScrapeProtocol::PrometheusText0_0_4]);
    assert_eq!(b.protocols, default_protocols(false), "an empty list says nothing");
    assert_eq!(config.warnings, [], "everyone's file has an evaluation interval");
}

#[test]
fn every_mechanism_is_read() {
    let job = job(include_str!("tests/discovery.yml").trim_end());
    let [fixed, file, http, dns, kubernetes, docker] = &job.discovery[..] else {
        panic!("{:?}", job.discovery);
    };
    let Mechanism::Fixed(groups) = fixed else { panic!("{fixed:?}") };
    assert_eq!((groups.len(), &*groups[1].labels["env"]), (2, "test"));
    let Mechanism::File(file) = file else { panic!("{file:?}") };
    assert_eq!(file.files, ["/etc/weir/targets/*.json", "/abs/one.yml"]);
    assert_eq!(file.refresh_interval.as_secs(), 300);
    let Mechanism::Http(http) = http else { panic!("{http:?}") };
    assert_eq!((&*http.url, http.refresh_interval.as_secs()), ("https://sd.example/t?x=1", 60));
    assert_eq!(http.client.auth.basic_auth.as_ref().unwrap().username, "u");
    let Mechanism::Dns(dns) = dns else { panic!("{dns:?}") };
    assert_eq!((dns.record_type, dns.port), (RecordType::Aaaa, 9100));
    assert_eq!(dns.refresh_interval.as_secs(), 30);
    let Mechanism::Kubernetes(kubernetes) = kubernetes else { panic!("{kubernetes:?}") };
    assert_eq!((kubernetes.role, kubernetes.attach.node), (Role::Pod, true));
    assert!(kubernetes.api_server.is_none() && kubernetes.namespaces.own);
    assert_eq!(kubernetes.namespaces.names, ["shop"]);
    let field = "spec.nodeName=node-1".to_owned();
    let own_node = Selector { field, label: String::new() };
    assert_eq!(kubernetes.selectors[&Role::Pod], own_node, "a DaemonSet's agent");
    let Mechanism::Docker(docker) = docker else { panic!("{docker:?}") };
    assert_eq!(docker.host, DockerHost::Socket("/var/run/docker.sock".into()));
    assert_eq!((docker.port, &*docker.host_networking_host), (8080, "localhost"));
    assert!(!docker.match_first_network);
    assert_eq!(docker.filters["label"], ["a=b", "c"]);
}

#[test]
fn scrape_config_files_add_jobs_with_their_own_lines_and_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("jobs")).unwrap();
    let main = format!("{DESTINATION}scrape_config_files: ['jobs/*.yml', 'none/*.yml']\n");
    std::fs::write(path("agent.yml"), main).unwrap();
    let part = "scrape_configs:\n  - job_name: b\n    file_sd_configs: [{files: [t.json]}]\n";
    std::fs::write(path("jobs/b.yml"), part).unwrap();
    let config = load(&path("agent.yml"), &env).unwrap();
    let Mechanism::File(file) = &config.scrape[0].discovery[0] else {
        panic!("{:?}", config.scrape);
    };
    assert_eq!(file.files, [path("jobs/t.json").display().to_string()]);
    assert!(config.warnings[0].to_string().contains("matches no file"));

    std::fs::write(path("jobs/c.yml"), "scrape_configs:\n  - job_name: b\n    schema: x\n")
        .unwrap();
    std::fs::write(path("jobs/d.yml"), "scrape_configs:\n\n  - job_name: b\n").unwrap();
    let errors = load(&path("agent.yml"), &env).unwrap_err().0;
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(text[0].contains("jobs/c.yml:3: scrape_configs[0].schema"), "{text:?}");
    assert!(text[1].contains("jobs/d.yml:3: scrape_configs[0].job_name"), "{text:?}");
}

#[test]
fn the_documented_example_for_kubernetes_loads() {
    let config = good(&format!("{DESTINATION}{}", include_str!("tests/kubernetes.yml")));
    let roles: Vec<Role> = config
        .scrape
        .iter()
        .flat_map(|job| &job.discovery)
        .filter_map(|mechanism| match mechanism {
            Mechanism::Kubernetes(config) => Some(config.role),
            _ => None,
        })
        .collect();
    assert_eq!(roles, [Role::Endpoints, Role::Node, Role::Service, Role::Ingress, Role::Pod]);
    // The files of the service account are not there outside of a cluster: odd, but no error.
    assert!(config.warnings.iter().all(|warning| warning.message.contains("cannot be read")));
}
