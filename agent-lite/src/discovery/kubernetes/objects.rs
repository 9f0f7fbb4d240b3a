//! The objects of the Kubernetes API, as far as targets are made of them.
//!
//! Invariant: unknown fields are passed over, absent ones and `null` are empty. Two objects are
//! equal if nothing that matters here differs, whatever their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

mod network;
mod workload;

pub(super) use network::{
    EndpointPort, EndpointSlice, Endpoints, Ingress, Service, SliceEndpoint, SlicePort, TargetRef,
};
pub(super) use workload::{Container, ContainerStatus, Node, Pod};

/// A kind of object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Node,
    Ingress,
    Namespace,
}

/// What an object is known by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Object {
    Pod(Box<Pod>),
    Service(Box<Service>),
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
    Node(Box<Node>),
    Ingress(Box<Ingress>),
    Namespace(Box<Namespace>),
}

/// What all objects have.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) owner_references: Vec<Owner>,
}

/// Who made an object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) controller: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Namespace {
    pub(super) metadata: Meta,
}

impl Kind {
    /// Where the API has it.
    pub(super) fn path(self, namespace: Option<&str>) -> String {
        let (api, plural) = match self {
            Self::Pod => ("/api/v1", "pods"),
            Self::Service => ("/api/v1", "services"),
            Self::Endpoints => ("/api/v1", "endpoints"),
            Self::Node => ("/api/v1", "nodes"),
            Self::Namespace => ("/api/v1", "namespaces"),
            Self::EndpointSlice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Self::Ingress => ("/apis/networking.k8s.io/v1", "ingresses"),
        };
        match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
            None => format!("{api}/{plural}"),
        }
    }

    /// Whether its objects lie in namespaces.
    pub(super) fn is_namespaced(self) -> bool {
        !matches!(self, Self::Node | Self::Namespace)
    }
}

impl Key {
    pub(super) fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The source of its group, as Prometheus writes it.
    pub(super) fn source(&self) -> String {
        let role = match self.kind {
            Kind::Node => return format!("node/{}", self.name),
            Kind::Pod => "pod",
            Kind::Service => "svc",
            Kind::Endpoints => "endpoints",
            Kind::EndpointSlice => "endpointslice",
            Kind::Ingress => "ingress",
            Kind::Namespace => "namespace",
        };
        format!("{role}/{}/{}", self.namespace, self.name)
    }
}

impl Object {
    pub(super) fn key(&self) -> Key {
        let (kind, meta) = match self {
            Self::Pod(object) => (Kind::Pod, &object.metadata),
            Self::Service(object) => (Kind::Service, &object.metadata),
            Self::Endpoints(object) => (Kind::Endpoints, &object.metadata),
            Self::EndpointSlice(object) => (Kind::EndpointSlice, &object.metadata),
            Self::Node(object) => (Kind::Node, &object.metadata),
            Self::Ingress(object) => (Kind::Ingress, &object.metadata),
            Self::Namespace(object) => (Kind::Namespace, &object.metadata),
        };
        Key::new(kind, &meta.namespace, &meta.name)
    }

    /// Whether the group of this object shows anything of that one.
    pub(super) fn refers_to(&self, other: &Key) -> bool {
        if other.kind == Kind::Namespace {
            return self.key().namespace == other.name;
        }
        match self {
            Self::Pod(pod) => other.kind == Kind::Node && pod.spec.node_name == other.name,
            Self::Endpoints(endpoints) => endpoints.refers_to(other),
            Self::EndpointSlice(slice) => slice.refers_to(other),
            _ => false,
        }
    }
}

impl Meta {
    /// Kind and name of the controller that made the object.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// Reads an object's JSON.
pub(super) fn parse(kind: Kind, text: &str) -> Result<Object, serde_json::Error> {
    Ok(match kind {
        Kind::Pod => Object::Pod(serde_json::from_str(text)?),
        Kind::Service => Object::Service(serde_json::from_str(text)?),
        Kind::Endpoints => Object::Endpoints(serde_json::from_str(text)?),
        Kind::EndpointSlice => Object::EndpointSlice(serde_json::from_str(text)?),
        Kind::Node => Object::Node(serde_json::from_str(text)?),
        Kind::Ingress => Object::Ingress(serde_json::from_str(text)?),
        Kind::Namespace => Object::Namespace(serde_json::from_str(text)?),
    })
}

/// Go writes null for an empty list.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
