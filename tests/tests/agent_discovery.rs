//! The agent finds in Docker what Debian's Prometheus finds there, and in Kubernetes what Debian's
//! vmagent finds (that Prometheus is built without it): both ask the same scripted APIs, and every
//! label that one of them discovers is the agent's as well.
//!
//! Those programs are older than what the agent follows, and vmagent has labels of its own: the
//! differences are few, each by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::stub::{Reply, Request, Stub};
use weir_tests::{http, peers, processes, wait};

const SOON: Duration = Duration::from_secs(60);

/// Labels in which vmagent 1.79 differs from Prometheus 3: it lacks those that came later, and gives
/// the targets of `endpoints` and `endpointslice` two of the service's own.
const NOT_COMPARED: [&str; 14] = [
    "__meta_kubernetes_pod_container_id",
    "__meta_kubernetes_pod_container_image",
    "__meta_kubernetes_pod_container_init",
    "__meta_kubernetes_node_provider_id",
    "__meta_kubernetes_endpointslice_endpoint_conditions_serving",
    "__meta_kubernetes_endpointslice_endpoint_conditions_terminating",
    "__meta_kubernetes_endpointslice_endpoint_node_name",
    "__meta_kubernetes_endpointslice_endpoint_zone",
    "__meta_kubernetes_endpointslice_endpoint_topology_kubernetes_io_hostname",
    "__meta_kubernetes_endpointslice_endpoint_topology_present_kubernetes_io_hostname",
    "__meta_kubernetes_service_cluster_ip",
    "__meta_kubernetes_service_type",
    "__meta_kubernetes_service_loadbalancer_ip",
    "__meta_kubernetes_service_port_number",
];

/// Objects as an API server gives them, by the path of their list.
const OBJECTS: [(&str, &str, &str); 6] = [
    ("/api/v1/pods", "PodList", KUBERNETES[0]),
    ("/api/v1/services", "ServiceList", KUBERNETES[1]),
    ("/api/v1/endpoints", "EndpointsList", KUBERNETES[2]),
    ("/api/v1/nodes", "NodeList", KUBERNETES[3]),
    ("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSliceList", KUBERNETES[4]),
    ("/apis/networking.k8s.io/v1/ingresses", "IngressList", KUBERNETES[5]),
];

const KUBERNETES: [&str; 6] = [
    include_str!("../../agent-lite/src/discovery/kubernetes/tests/pod.json"),
    include_str!("../../agent-lite/src/discovery/kubernetes/tests/service.json"),
    include_str!("../../agent-lite/src/discovery/kubernetes/tests/endpoints.json"),
    include_str!("../../agent-lite/src/discovery/kubernetes/tests/node.json"),
    include_str!("../../agent-lite/src/discovery/kubernetes/tests/slice.json"),
    include_str!("../../agent-lite/src/discovery/kubernetes/tests/ingress.json"),
];

const CONTAINERS: &str =
    include_str!("../../agent-lite/src/discovery/docker/tests/containers.json");
const NETWORKS: &str = include_str!("../../agent-lite/src/discovery/docker/tests/networks.json");

fn kubernetes(request: &Request) -> Reply {
    let Some((path, kind, object)) = OBJECTS.iter().find(|(path, ..)| *path == request.path())
    else {
        return Reply::status("404 Not Found");
    };
    if request.target.contains("watch=") {
        // A watch that ends without news, as each does in time.
        return Reply::ok("application/json", "");
    }
    let object: Value = serde_json::from_str(object).expect("a fixture");
    let version = path.trim_start_matches("/apis/").trim_start_matches("/api/");
    let version = version.rsplit_once('/').map_or(version, |(version, _)| version);
    let list = json!({
        "kind": kind, "apiVersion": version,
        "metadata": {"resourceVersion": "4711"}, "items": [object],
    });
    Reply::ok("application/json", list.to_string())
}

fn docker(request: &Request) -> Reply {
    let path = request.path();
    if path.ends_with("/_ping") {
        let mut reply = Reply::ok("text/plain", "OK");
        reply.headers.push(("API-Version", "1.41".to_owned()));
        return reply;
    }
    match path.rsplit('/').next() {
        Some("json") => {
            let all: Vec<Value> = serde_json::from_str(CONTAINERS).expect("a fixture");
            let known: Vec<Value> = all.into_iter().filter(is_known_to_older).collect();
            Reply::ok("application/json", Value::from(known).to_string())
        }
        Some("networks") => Reply::ok("application/json", NETWORKS),
        _ => Reply::status("404 Not Found"),
    }
}

/// Prometheus 2.42 knows no container in another's network, and no address but of IPv4.
fn is_known_to_older(container: &Value) -> bool {
    let mode = container["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let has_address =
        |network: &Value| network["IPAddress"].as_str().is_some_and(|ip| !ip.is_empty());
    let is_host = mode == "host";
    !mode.starts_with("container:")
        && (is_host || networks.is_some_and(|n| n.values().any(has_address)))
}

/// How many of a job's targets have a label with a value.
type Found = BTreeMap<(String, String, String), usize>;

/// What a program has discovered, once every one of so many jobs has targets.
fn found(address: SocketAddr, jobs: usize) -> Found {
    wait::until("every job has targets", SOON, || {
        let answer = http::get(address, "/api/v1/targets").map_err(|e| e.to_string())?;
        let all: Value = serde_json::from_str(&answer.text()).map_err(|e| e.to_string())?;
        let targets = all["data"]["activeTargets"].as_array().ok_or_else(|| answer.text())?;
        let (mut found, mut of_jobs) = (Found::new(), BTreeSet::new());
        for target in targets {
            let job = target["labels"]["job"].as_str().unwrap_or_default();
            of_jobs.insert(job);
            for (name, value) in target["discoveredLabels"].as_object().into_iter().flatten() {
                // The rest is the job's own, not discovered.
                if name.starts_with("__meta_") || name == "__address__" {
                    let value = value.as_str().unwrap_or_default();
                    *found.entry((job.into(), name.clone(), value.into())).or_default() += 1;
                }
            }
        }
        if of_jobs.len() == jobs { Ok(found) } else { Err(format!("only {of_jobs:?}")) }
    })
}

/// Panics unless both found the same, each label as often.
fn assert_same(ours: &Found, theirs: &Found) {
    let all: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differs = |key: &&&(String, String, String)| ours.get(**key) != theirs.get(**key);
    let shown: Vec<String> = all
        .iter()
        .filter(differs)
        .map(|key| format!("{key:?}: {:?} targets, there {:?}", ours.get(*key), theirs.get(*key)))
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// A discovery less the labels in which vmagent differs. How often is left out too: where a pod has
/// more ports than its endpoints, vmagent gives those targets fewer of the group's labels.
fn comparable(found: Found) -> Found {
    let kept = found.into_keys().filter(|(_, name, _)| !NOT_COMPARED.contains(&name.as_str()));
    kept.map(|key| (key, 1)).collect()
}

fn start_agent(scrape: &str, backend: &Backend, folder: &std::path::Path) -> Agent {
    Agent::start(&format!("{scrape}remote_write: [{{url: '{}'}}]\n", backend.url()), folder)
}

#[test]
fn docker_labels_are_those_that_prometheus_discovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (daemon, backend) = (Stub::start(docker), Backend::start());
    // Prometheus 2.42 has no such key, and takes every network.
    let config = |more: &str| {
        format!(
            "global: {{scrape_interval: 5s}}\nscrape_configs:\n  - {{job_name: docker, \
             docker_sd_configs: [{{host: 'tcp://{}', refresh_interval: 2s{more}}}]}}\n",
            daemon.address()
        )
    };
    let own = processes::free_address();
    let theirs = peers::prometheus_agent(own, &config(""), &[backend.url()], folder.path());
    let ours = start_agent(&config(", match_first_network: false"), &backend, folder.path());
    let expected = found(theirs.address, 1);
    assert!(expected.len() >= 20, "{expected:?}");
    assert_same(&found(ours.address(), 1), &expected);
}

#[test]
fn kubernetes_labels_are_those_that_vmagent_discovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (api, backend) = (Stub::start(kubernetes), Backend::start());
    let mut config = "global: {scrape_interval: 5s}\nscrape_configs:\n".to_owned();
    let roles = ["pod", "service", "endpoints", "endpointslice", "node", "ingress"];
    for role in roles {
        config.push_str(&format!(
            "  - {{job_name: {role}, kubernetes_sd_configs: [{{role: {role}, \
             api_server: 'http://{}'}}]}}\n",
            api.address()
        ));
    }
    let own = processes::free_address();
    let theirs = peers::vmagent(own, &config, &[backend.url()], folder.path());
    let ours = start_agent(&config, &backend, folder.path());
    let expected = comparable(found(theirs.address, roles.len()));
    assert!(expected.len() >= 80, "{} labels: {expected:?}", expected.len());
    assert_same(&comparable(found(ours.address(), roles.len())), &expected);
}
