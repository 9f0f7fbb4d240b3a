//! Services, what is behind them, and ingresses.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Key, Kind, Meta, or_default};

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Service {
    pub(in super::super) metadata: Meta,
    pub(in super::super) spec: ServiceSpec,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct ServiceSpec {
    pub(in super::super) r#type: String,
    #[serde(rename = "clusterIP")]
    pub(in super::super) cluster_ip: String,
    #[serde(rename = "externalName")]
    pub(in super::super) external_name: String,
    #[serde(rename = "loadBalancerIP")]
    pub(in super::super) load_balancer_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) ports: Vec<ServicePort>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct ServicePort {
    pub(in super::super) name: String,
    pub(in super::super) port: u16,
    pub(in super::super) protocol: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Endpoints {
    pub(in super::super) metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) subsets: Vec<Subset>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct Subset {
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) not_ready_addresses: Vec<EndpointAddress>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) ports: Vec<EndpointPort>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct EndpointAddress {
    pub(in super::super) ip: String,
    pub(in super::super) hostname: String,
    pub(in super::super) node_name: Option<String>,
    pub(in super::super) target_ref: Option<TargetRef>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct EndpointPort {
    pub(in super::super) name: String,
    pub(in super::super) port: u16,
    pub(in super::super) protocol: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct TargetRef {
    pub(in super::super) kind: String,
    pub(in super::super) name: String,
    pub(in super::super) namespace: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct EndpointSlice {
    pub(in super::super) metadata: Meta,
    pub(in super::super) address_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) endpoints: Vec<SliceEndpoint>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) ports: Vec<SlicePort>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct SliceEndpoint {
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) addresses: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) conditions: SliceConditions,
    pub(in super::super) hostname: Option<String>,
    pub(in super::super) node_name: Option<String>,
    pub(in super::super) zone: Option<String>,
    pub(in super::super) target_ref: Option<TargetRef>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) deprecated_topology: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct SliceConditions {
    pub(in super::super) ready: Option<bool>,
    pub(in super::super) serving: Option<bool>,
    pub(in super::super) terminating: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct SlicePort {
    pub(in super::super) name: Option<String>,
    pub(in super::super) port: Option<u16>,
    pub(in super::super) protocol: Option<String>,
    pub(in super::super) app_protocol: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Ingress {
    pub(in super::super) metadata: Meta,
    pub(in super::super) spec: IngressSpec,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct IngressSpec {
    pub(in super::super) ingress_class_name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) rules: Vec<IngressRule>,
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) tls: Vec<IngressTls>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct IngressRule {
    pub(in super::super) host: String,
    pub(in super::super) http: Option<IngressHttp>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct IngressHttp {
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) paths: Vec<IngressPath>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct IngressPath {
    pub(in super::super) path: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct IngressTls {
    #[serde(deserialize_with = "or_default")]
    pub(in super::super) hosts: Vec<String>,
}

impl TargetRef {
    fn is(&self, key: &Key) -> bool {
        let kind = match key.kind {
            Kind::Pod => "Pod",
            Kind::Node => "Node",
            _ => return false,
        };
        self.kind == kind && self.name == key.name && (self.namespace == key.namespace)
    }
}

impl Endpoints {
    /// Whether its group shows anything of that object.
    pub(super) fn refers_to(&self, other: &Key) -> bool {
        if other.kind == Kind::Service {
            return self.metadata.namespace == other.namespace && self.metadata.name == other.name;
        }
        let concerned = |address: &EndpointAddress| {
            let node = other.kind == Kind::Node && address.node_name.as_ref() == Some(&other.name);
            node || address.target_ref.as_ref().is_some_and(|target| target.is(other))
        };
        let addresses = |subset: &Subset| {
            subset.addresses.iter().chain(&subset.not_ready_addresses).any(concerned)
        };
        self.subsets.iter().any(addresses)
    }
}

impl EndpointSlice {
    /// The service that it belongs to.
    pub(in super::super) fn service(&self) -> Option<&str> {
        self.metadata.labels.get("kubernetes.io/service-name").map(String::as_str)
    }

    /// Whether its group shows anything of that object.
    pub(super) fn refers_to(&self, other: &Key) -> bool {
        if other.kind == Kind::Service {
            let inside = self.metadata.namespace == other.namespace;
            return inside && self.service() == Some(&other.name);
        }
        self.endpoints.iter().any(|endpoint| {
            let node = other.kind == Kind::Node && endpoint.node_name.as_ref() == Some(&other.name);
            node || endpoint.target_ref.as_ref().is_some_and(|target| target.is(other))
        })
    }
}
