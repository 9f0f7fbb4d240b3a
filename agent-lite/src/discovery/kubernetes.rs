//! `kubernetes_sd_configs`: targets from the objects of a Kubernetes cluster.
//!
//! Invariant: groups are published once every kind of object that a role needs has been listed, and
//! from then on with every change. When the API is away, what is known stays.
//!
//! Its parts: `api` asks, `reflector` keeps one kind of object up to date by list and watch, `state`
//! holds all objects and says which groups a change concerns, and the roles build groups.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_http::auth::AuthorizationConfig;
use weir_http::{ClientAuthConfig, ClientConfig, ClientTlsConfig};

use weir_agent_config::discovery::kubernetes::{ApiServer, Attach, KubernetesSd, Role, Selector};

use super::{DiscoveryError, Outlet, Update};

mod api;
mod endpoints;
mod ingress;
mod labels;
mod node;
mod objects;
mod pod;
mod reflector;
mod service;
mod slice;
mod state;

use api::Api;
use objects::Kind;
use reflector::Scope;
use state::State;

/// The kind of object that a role makes targets of.
fn kind(role: Role) -> Kind {
    match role {
        Role::Pod => Kind::Pod,
        Role::Service => Kind::Service,
        Role::Endpoints => Kind::Endpoints,
        Role::EndpointSlice => Kind::EndpointSlice,
        Role::Node => Kind::Node,
        Role::Ingress => Kind::Ingress,
    }
}

/// Watches for ever.
pub(super) async fn run(config: KubernetesSd, outlet: Outlet) {
    let (api, namespaces) = loop {
        match prepare(&config) {
            Ok(prepared) => break prepared,
            // A service account's files may be mounted later.
            Err(error) => outlet.failed(&error),
        }
        tokio::time::sleep(PREPARE_PAUSE).await;
    };
    let mut state = State::new(config.role, config.attach);
    let (changes, mut inbox) = mpsc::channel(CHANGES_WAITING);
    let mut reflectors = JoinSet::new();
    let scopes = scopes(&config, &namespaces);
    let mut unlisted = scopes.len();
    for scope in scopes {
        let (api, changes, outlet) = (Arc::clone(&api), changes.clone(), outlet.clone());
        reflectors.spawn(reflector::reflect(api, scope, changes, outlet));
    }
    while let Some(change) = inbox.recv().await {
        let mut next = Some(change);
        while let Some(change) = next {
            if state.apply(change) {
                unlisted -= 1;
                if unlisted == 0 {
                    outlet.send(Update::All(state.all_groups())).await;
                }
            }
            next = inbox.try_recv().ok();
        }
        let groups = state.changed_groups();
        if unlisted == 0 && !groups.is_empty() {
            outlet.send(Update::Changed(groups)).await;
        }
    }
}

/// What has to be watched for a role.
fn scopes(config: &KubernetesSd, namespaces: &[String]) -> Vec<Scope> {
    let mut kinds = vec![kind(config.role)];
    if matches!(config.role, Role::Endpoints | Role::EndpointSlice) {
        kinds.extend([Kind::Service, Kind::Pod]);
    }
    let attach = config.attach;
    let nodes = matches!(config.role, Role::Pod | Role::Endpoints | Role::EndpointSlice);
    kinds.extend((attach.node && nodes).then_some(Kind::Node));
    kinds.extend((attach.namespace && config.role != Role::Node).then_some(Kind::Namespace));
    let mut scopes = Vec::new();
    for kind in kinds {
        let selector = config.selectors.iter().find(|(role, _)| self::kind(**role) == kind);
        let selector = selector.map(|(_, selector)| selector.clone()).unwrap_or_default();
        if !kind.is_namespaced() || namespaces.is_empty() {
            scopes.push(Scope::new(kind, None, selector));
        } else {
            let each = |name: &String| Scope::new(kind, Some(name.clone()), selector.clone());
            scopes.extend(namespaces.iter().map(each));
        }
    }
    scopes
}

fn prepare(config: &KubernetesSd) -> Result<(Arc<Api>, Vec<String>), DiscoveryError> {
    let server = match &config.api_server {
        Some(server) => server.clone(),
        None => in_cluster(Path::new(SERVICE_ACCOUNT))?,
    };
    let mut namespaces = config.namespaces.names.clone();
    if config.namespaces.own {
        let path = Path::new(SERVICE_ACCOUNT).join("namespace");
        let own = std::fs::read_to_string(&path);
        let own = own.map_err(|error| DiscoveryError::new(path.display(), error))?;
        namespaces.push(own.trim().to_owned());
    }
    namespaces.sort();
    namespaces.dedup();
    Ok((Arc::new(Api::new(server)?), namespaces))
}

/// The API server of the cluster that we run in; the files' content is read again as it changes.
fn in_cluster(account: &Path) -> Result<ApiServer, DiscoveryError> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| {
            DiscoveryError(format!("{name} is not set; outside of a cluster, give api_server"))
        })
    };
    let host = variable("KUBERNETES_SERVICE_HOST")?;
    let port = variable("KUBERNETES_SERVICE_PORT")?;
    let port =
        port.parse().map_err(|error| DiscoveryError::new("KUBERNETES_SERVICE_PORT", error))?;
    let file = |name: &str| -> Option<PathBuf> { Some(account.join(name)) };
    let credentials =
        AuthorizationConfig { credentials_file: file("token"), ..AuthorizationConfig::default() };
    let client = ClientConfig {
        auth: ClientAuthConfig { authorization: Some(credentials), ..ClientAuthConfig::default() },
        tls: ClientTlsConfig { ca_file: file("ca.crt"), ..ClientTlsConfig::default() },
        ..ClientConfig::default()
    };
    Ok(ApiServer { url: format!("https://{}", super::join_host_port(&host, port)), client })
}

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const PREPARE_PAUSE: Duration = Duration::from_secs(30);
/// Changes that wait; reflectors wait when there are more.
const CHANGES_WAITING: usize = 1000;

#[cfg(test)]
mod tests;
