//! From Docker's lists of containers and networks to targets.
//!
//! One target for each network and exposed TCP port, or for each network where none is exposed.
//! Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use weir_agent_config::discovery::DockerSd;

use crate::discovery::{Group, LabelMap, join_host_port, sanitize};

/// A container as `/containers/json` lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default, deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Option<Endpoint>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    #[serde(rename = "Type")]
    protocol: String,
}

/// A network as `/networks` lists it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

/// All targets of a daemon.
pub(super) fn group(
    config: &DockerSd,
    containers: Vec<Container>,
    networks: Vec<Network>,
) -> Group {
    let networks: BTreeMap<&str, LabelMap> =
        networks.iter().map(|network| (network.id.as_str(), network_labels(network))).collect();
    let mut targets = Vec::new();
    for container in &containers {
        let Some(name) = container.names.first() else {
            continue;
        };
        let common = container_labels(container, name);
        for endpoint in endpoints(config, container, &containers) {
            let network = networks.get(endpoint.network_id.as_str());
            for mut target in endpoint_targets(config, container, endpoint) {
                target.extend(common.clone());
                target.extend(network.cloned().unwrap_or_default());
                targets.push(target);
            }
        }
    }
    Group { source: "Docker".to_owned(), labels: LabelMap::new(), targets }
}

/// Where a container can be reached: its networks, or those of the container whose it shares.
fn endpoints<'a>(
    config: &DockerSd,
    container: &'a Container,
    all: &'a [Container],
) -> Vec<&'a Endpoint> {
    let mut owner = container;
    // A container cannot share with one that shares with it, but who knows what an answer says.
    for _ in 0..SHARES_MAX {
        if !owner.network_settings.networks.is_empty() {
            break;
        }
        let shared = owner.host_config.network_mode.strip_prefix("container:");
        match shared.and_then(|id| all.iter().find(|other| other.id == id)) {
            Some(other) => owner = other,
            None => break,
        }
    }
    // In the order of names already.
    let found = owner.network_settings.networks.values().flatten();
    found.take(if config.match_first_network { 1 } else { usize::MAX }).collect()
}

fn endpoint_targets(
    config: &DockerSd,
    container: &Container,
    endpoint: &Endpoint,
) -> Vec<LabelMap> {
    let ip = if endpoint.ip_address.is_empty() && !endpoint.ipv6_address.is_empty() {
        &endpoint.ipv6_address
    } else {
        &endpoint.ip_address
    };
    let label = |name: &str, value: String| (name.to_owned(), value);
    let mut targets = Vec::new();
    for port in container.ports.iter().filter(|port| port.protocol == "tcp") {
        let mut target = LabelMap::from([
            label("__address__", join_host_port(ip, port.private_port)),
            label("__meta_docker_network_ip", ip.clone()),
            label("__meta_docker_port_private", port.private_port.to_string()),
        ]);
        if port.public_port > 0 {
            target.extend([
                label("__meta_docker_port_public", port.public_port.to_string()),
                label("__meta_docker_port_public_ip", port.ip.clone()),
            ]);
        }
        targets.push(target);
    }
    if targets.is_empty() {
        let address = if container.host_config.network_mode == "host" {
            config.host_networking_host.clone()
        } else {
            join_host_port(ip, config.port)
        };
        targets.push(LabelMap::from([
            label("__address__", address),
            label("__meta_docker_network_ip", ip.clone()),
        ]));
    }
    targets
}

fn container_labels(container: &Container, name: &str) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = |name: String, value: &str| labels.insert(name, value.to_owned());
    set("__meta_docker_container_id".to_owned(), &container.id);
    set("__meta_docker_container_name".to_owned(), name);
    let mode = &container.host_config.network_mode;
    set("__meta_docker_container_network_mode".to_owned(), mode);
    for (name, value) in &container.labels {
        set(format!("__meta_docker_container_label_{}", sanitize(name)), value);
    }
    labels
}

fn network_labels(network: &Network) -> LabelMap {
    let mut labels = LabelMap::new();
    let mut set = |name: &str, value: &str| {
        labels.insert(format!("__meta_docker_network_{name}"), value.to_owned())
    };
    set("id", &network.id);
    set("name", &network.name);
    set("scope", &network.scope);
    set("internal", if network.internal { "true" } else { "false" });
    set("ingress", if network.ingress { "true" } else { "false" });
    for (name, value) in &network.labels {
        set(&format!("label_{}", sanitize(name)), value);
    }
    labels
}

/// Docker writes null where it has nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

const SHARES_MAX: usize = 10;
