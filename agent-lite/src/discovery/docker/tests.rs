//! `docker_sd_configs` against a daemon on a Unix socket that answers as Docker's API does.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use weir_http::ClientConfig;

use super::*;
use crate::discovery::LabelMap;
use crate::discovery::tests::outlet;

const CONTAINERS: &str = include_str!("tests/containers.json");
const NETWORKS: &str = include_str!("tests/networks.json");

fn config(host: DockerHost) -> DockerSd {
    DockerSd {
        host,
        port: 80,
        host_networking_host: "localhost".to_owned(),
        match_first_network: true,
        filters: BTreeMap::new(),
        refresh_interval: Duration::from_secs(20),
        client: ClientConfig::default(),
    }
}

fn targets(config: &DockerSd) -> Vec<LabelMap> {
    let containers = serde_json::from_str(CONTAINERS).unwrap();
    let networks = serde_json::from_str(NETWORKS).unwrap();
    containers::group(config, containers, networks).targets
}

fn text(labels: &LabelMap) -> Vec<String> {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn a_container_gives_a_target_for_each_tcp_port_of_its_first_network() {
    let targets = targets(&config(DockerHost::Url(String::new())));
    let addresses: Vec<&str> = targets.iter().map(|target| &*target["__address__"]).collect();
    assert_eq!(
        addresses,
        ["172.19.0.2:9100", "172.19.0.2:9101", "172.19.0.2:9104", "localhost", "[2001:db8::5]:80"]
    );
    let id = "8dfafdbc3a40b1a2f1c0a3ad5f6bfc1e4a5e7b0a1fd9c9b3a0a7f50f0a0b0001";
    // Every label of Prometheus's documentation.
    let expected = [
        "__address__=172.19.0.2:9100".to_owned(),
        format!("__meta_docker_container_id={id}"),
        "__meta_docker_container_label_com_docker_compose_project=shop".to_owned(),
        "__meta_docker_container_label_prometheus_job=node".to_owned(),
        "__meta_docker_container_name=/shop_node_1".to_owned(),
        "__meta_docker_container_network_mode=shop_default".to_owned(),
        "__meta_docker_network_id=net-default".to_owned(),
        "__meta_docker_network_ingress=false".to_owned(),
        "__meta_docker_network_internal=false".to_owned(),
        "__meta_docker_network_ip=172.19.0.2".to_owned(),
        "__meta_docker_network_label_com_docker_compose_network=default".to_owned(),
        "__meta_docker_network_name=shop_default".to_owned(),
        "__meta_docker_network_scope=local".to_owned(),
        "__meta_docker_port_private=9100".to_owned(),
        "__meta_docker_port_public=19100".to_owned(),
        "__meta_docker_port_public_ip=0.0.0.0".to_owned(),
    ];
    assert_eq!(text(&targets[0]), expected);
    assert!(!targets[1].contains_key("__meta_docker_port_public"));
    assert_eq!(targets[3]["__meta_docker_network_internal"], "true");
}

#[test]
fn all_networks_are_targets_if_wanted() {
    let config = DockerSd { match_first_network: false, ..config(DockerHost::Url(String::new())) };
    let targets = targets(&config);
    let second = targets.iter().filter(|target| target["__meta_docker_network_ip"] == "172.21.0.2");
    assert_eq!(second.count(), 3, "two ports, and the port of the container that shares it");
}

/// Answers each request line with status and body; one connection after another.
async fn daemon(listener: UnixListener, answer: impl Fn(&str) -> (u16, String)) {
    loop {
        let mut socket = listener.accept().await.unwrap().0;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (status, body) = answer(head.split(' ').nth(1).unwrap());
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        socket.write_all(reply.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn the_daemon_is_asked_over_its_socket_with_the_filters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let requests = Arc::clone(&seen);
    tokio::spawn(daemon(listener, move |path| {
        requests.lock().unwrap().push(path.to_owned());
        match path.split('?').next().unwrap() {
            "/containers/json" => (200, CONTAINERS.to_owned()),
            "/networks" => (200, NETWORKS.to_owned()),
            _ => (404, String::new()),
        }
    }));
    let filters = BTreeMap::from([("label".to_owned(), vec!["a=b".to_owned()])]);
    let mut daemon = Daemon::new(DockerSd { filters, ..config(DockerHost::Socket(path)) });
    let groups = daemon.look(&outlet().0).await.unwrap().unwrap();
    assert_eq!((groups.len(), &*groups[0].source), (1, "Docker"));
    assert_eq!(groups[0].targets.len(), 5);
    let expected = "/containers/json?filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D";
    assert_eq!(*seen.lock().unwrap(), [expected, "/networks"]);
}

#[tokio::test]
async fn half_an_answer_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(daemon(listener, |path| match path {
        "/containers/json" => (200, CONTAINERS.to_owned()),
        _ => (500, String::new()),
    }));
    let mut daemon = Daemon::new(config(DockerHost::Socket(path)));
    let error = daemon.look(&outlet().0).await.unwrap_err().to_string();
    assert!(error.contains("/networks: the daemon answered 500"), "{error}");
}
