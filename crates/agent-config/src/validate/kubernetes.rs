//! `kubernetes_sd_configs`.

use std::collections::BTreeMap;

use weir_config::expand::variables;
use weir_config::{Check, Text};
use weir_http::HttpClientConfig;
use weir_http::config::check_url;

use super::http::{Bearer, client};
use crate::Host;
use crate::discovery::kubernetes::{ApiServer, Attach, KubernetesSd, Namespaces, Role, Selector};
use crate::raw::discovery as raw;

/// One entry.
pub(super) fn kubernetes(
    config: &raw::KubernetesSd,
    host: &Host<'_>,
    check: &mut Check<'_>,
) -> KubernetesSd {
    if config.role.is_none() {
        check.error("role", format!("is missing; it is one of {}", ROLES.map(|r| r.0).join(", ")));
    }
    if config.kubeconfig_file.is_some() {
        check.error("kubeconfig_file", "is not supported; give api_server and its credentials");
    }
    let role = role(&config.role, check);
    let attach = config.attach_metadata.as_ref();
    let attach = check.within("attach_metadata", |check| Attach {
        node: attach.is_some_and(|attach| check.flag("node", &attach.node, false)),
        namespace: attach.is_some_and(|attach| check.flag("namespace", &attach.namespace, false)),
    });
    let api_server = api_server(config, host, check);
    let mut namespaces = Namespaces::default();
    if let Some(block) = &config.namespaces {
        namespaces.names = block.names.clone().unwrap_or_default();
        namespaces.own = check.flag("namespaces.own_namespace", &block.own_namespace, false);
        if namespaces.own && api_server.is_some() {
            let message = "cannot be used with api_server: it is the namespace of the agent's pod";
            check.error("namespaces.own_namespace", message);
        }
    }
    let selectors = selectors(config, role, attach, host, check);
    KubernetesSd { role, api_server, namespaces, selectors, attach }
}

fn role(text: &Text, check: &mut Check<'_>) -> Role {
    check.choice("role", text, Role::Pod, &ROLES)
}

fn api_server(
    config: &raw::KubernetesSd,
    host: &Host<'_>,
    check: &mut Check<'_>,
) -> Option<ApiServer> {
    let url = config.api_server.clone().filter(|url| !url.is_empty());
    let bearer = Bearer { token: &config.bearer_token, file: &config.bearer_token_file };
    let own = config.http_client();
    let given =
        own != HttpClientConfig::default() || bearer.token.is_some() || bearer.file.is_some();
    let client = client(own, &bearer, host, check);
    let Some(url) = url else {
        if given {
            let message = "is missing: inside of a cluster the pod's service account says how to \
                           reach the API, and other settings mean nothing";
            check.error("api_server", message);
        }
        return None;
    };
    check_url("api_server", &url, "https://kubernetes.example.com:6443", check);
    Some(ApiServer { url: url.trim_end_matches('/').to_owned(), client })
}

fn selectors(
    config: &raw::KubernetesSd,
    role: Role,
    attach: Attach,
    host: &Host<'_>,
    check: &mut Check<'_>,
) -> BTreeMap<Role, Selector> {
    let mut selectors = BTreeMap::new();
    for (index, selector) in config.selectors.iter().flatten().enumerate() {
        check.within(&format!("selectors[{index}]"), |check| {
            let of = self::role(&selector.role, check);
            let allowed = allowed(role, attach);
            if selector.role.is_none() {
                check.error("role", "is missing");
            } else if !allowed.contains(&of) {
                let names: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
                let message =
                    format!("role {} supports only {} selectors", role.as_str(), names.join(", "));
                check.error("role", message);
            }
            let mut text = |key: &str, text: &Text| {
                let text = text.as_deref().unwrap_or_default();
                variables(text, host.env).unwrap_or_else(|message| {
                    check.error(key, message);
                    String::new()
                })
            };
            let label = text("label", &selector.label);
            let field = text("field", &selector.field);
            if selectors.insert(of, Selector { label, field }).is_some() {
                check.error("role", format!("{} has a selector already", of.as_str()));
            }
        });
    }
    selectors
}

/// Which objects can be chosen among: those that the role looks at.
fn allowed(role: Role, attach: Attach) -> Vec<Role> {
    match role {
        Role::Endpoints | Role::EndpointSlice => vec![Role::Pod, Role::Service, role],
        Role::Pod if attach.node => vec![role, Role::Node],
        _ => vec![role],
    }
}

const ROLES: [(&str, Role); 6] = [
    ("pod", Role::Pod),
    ("service", Role::Service),
    ("endpoints", Role::Endpoints),
    ("endpointslice", Role::EndpointSlice),
    ("node", Role::Node),
    ("ingress", Role::Ingress),
];
