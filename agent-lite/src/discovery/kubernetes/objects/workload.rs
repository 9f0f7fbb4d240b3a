//! Pods and nodes.

use serde::Deserialize;

use super::{Meta, or_default};

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Pod {
    pub(in super::super) metadata: Meta,
    pub(in super::super) spec: PodSpec,
    pub(in super::super) status: PodStatus,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct PodSpec {
    pub(in super::super) node_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) containers: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) init_containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Container {
    pub(in super::super) name: String,
    pub(in super::super) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) ports: Vec<ContainerPort>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct ContainerPort {
    pub(in super::super) name: String,
    pub(in super::super) container_port: u16,
    pub(in super::super) protocol: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct PodStatus {
    pub(in super::super) phase: String,
    #[serde(rename = "podIP")]
    pub(in super::super) pod_ip: String,
    #[serde(rename = "hostIP")]
    pub(in super::super) host_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Condition {
    pub(in super::super) r#type: String,
    pub(in super::super) status: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct ContainerStatus {
    pub(in super::super) name: String,
    #[serde(rename = "containerID")]
    pub(in super::super) container_id: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Node {
    pub(in super::super) metadata: Meta,
    pub(in super::super) spec: NodeSpec,
    pub(in super::super) status: NodeStatus,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct NodeSpec {
    #[serde(rename = "providerID")]
    pub(in super::super) provider_id: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct NodeStatus {
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) addresses: Vec<NodeAddress>,
    pub(in super::super) daemon_endpoints: DaemonEndpoints,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct NodeAddress {
    pub(in super::super) r#type: String,
    pub(in super::super) address: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct DaemonEndpoints {
    pub(in super::super) kubelet_endpoint: DaemonEndpoint,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct DaemonEndpoint {
    // The API writes it in upper case.
    #[serde(rename = "Port")]
    pub(in super::super) port: u16,
}
