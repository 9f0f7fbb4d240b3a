//! `kubernetes_sd_configs`.

use std::collections::BTreeMap;

use weir_http::ClientConfig;

/// One entry of `kubernetes_sd_configs`.
#[derive(Clone, Debug)]
pub struct KubernetesSd {
    /// `role`
    pub role: Role,
    /// `api_server` with how to reach it; `None` inside of a cluster, where the pod's service
    /// account says both.
    pub api_server: Option<ApiServer>,
    /// `namespaces`
    pub namespaces: Namespaces,
    /// `selectors`: which objects of a kind are looked at, by role.
    pub selectors: BTreeMap<Role, Selector>,
    /// `attach_metadata`
    pub attach: Attach,
}

/// What is turned into targets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Ports of containers.
    Pod,
    /// Ports of services.
    Service,
    /// Addresses behind services, by the older API.
    Endpoints,
    /// Addresses behind services.
    EndpointSlice,
    /// Kubelets.
    Node,
    /// Paths of ingresses.
    Ingress,
}

/// An API server.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// `https://host:port`, without a final slash.
    pub url: String,
    /// Credentials, TLS, proxy, headers.
    pub client: ClientConfig,
}

/// Which namespaces are looked at; all of them by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Namespaces {
    /// `names`
    pub names: Vec<String>,
    /// `own_namespace`: that of the agent's pod too.
    pub own: bool,
}

/// Which objects of a kind are looked at. The API server does the choosing, so that a `DaemonSet`'s
/// agent with `field: spec.nodeName=…` is told of its own node's pods only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    /// `label`
    pub label: String,
    /// `field`
    pub field: String,
}

/// What else goes onto targets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attach {
    /// Labels and annotations of the node; for pods and endpoints.
    pub node: bool,
    /// Labels and annotations of the namespace.
    pub namespace: bool,
}

impl Role {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Node => "node",
            Self::Ingress => "ingress",
        }
    }
}
