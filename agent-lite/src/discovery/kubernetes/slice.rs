//! Role `endpointslice`: a target for each address and port of a slice, and for the other ports of
//! the pods there.

use super::endpoints::Backing;
use super::labels::{object, set, set_some};
use super::objects::{EndpointSlice, Kind, Object, SliceEndpoint, SlicePort};
use super::service;
use super::state::State;
use crate::discovery::{Group, LabelMap, join_host_port, sanitize};

/// The group of a slice.
pub(super) fn group(slice: &EndpointSlice, state: &State) -> Group {
    let namespace = &slice.metadata.namespace;
    let mut labels = object("endpointslice", &slice.metadata);
    set(&mut labels, "namespace", namespace);
    set(&mut labels, "endpointslice_address_type", &slice.address_type);
    let service = slice.service().and_then(|name| state.get(Kind::Service, namespace, name));
    if let Some(Object::Service(service)) = service {
        labels.extend(service::labels(service));
    }
    let mut targets = Vec::new();
    let mut pods = Backing::default();
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let mut target = target(address, endpoint, port);
                let reference = endpoint.target_ref.as_ref();
                let node = reference.filter(|to| to.kind == "Node").map(|to| &to.name);
                if let Some(node) = node.or(endpoint.node_name.as_ref()) {
                    target.extend(state.node_labels(node));
                }
                pods.attach(&mut target, reference, port.port, state);
                targets.push(target);
            }
        }
    }
    targets.extend(pods.other_ports());
    Group { labels, targets, ..Group::default() }
}

fn target(address: &str, endpoint: &SliceEndpoint, port: &SlicePort) -> LabelMap {
    let number = port.port.map(|number| number.to_string());
    let at = match port.port {
        Some(number) => join_host_port(address, number),
        None => address.to_owned(),
    };
    let mut target = LabelMap::from([("__address__".to_owned(), at)]);
    let flag = |flag: Option<bool>| flag.map(|flag| if flag { "true" } else { "false" });
    let (conditions, reference) = (&endpoint.conditions, endpoint.target_ref.as_ref());
    for (name, value) in [
        ("port", number.as_deref()),
        ("port_name", port.name.as_deref()),
        ("port_protocol", port.protocol.as_deref()),
        ("port_app_protocol", port.app_protocol.as_deref()),
        ("endpoint_conditions_ready", flag(conditions.ready)),
        ("endpoint_conditions_serving", flag(conditions.serving)),
        ("endpoint_conditions_terminating", flag(conditions.terminating)),
        ("endpoint_hostname", endpoint.hostname.as_deref()),
        ("endpoint_node_name", endpoint.node_name.as_deref()),
        ("endpoint_zone", endpoint.zone.as_deref()),
        ("address_target_kind", reference.map(|to| to.kind.as_str())),
        ("address_target_name", reference.map(|to| to.name.as_str())),
    ] {
        set_some(&mut target, &format!("endpointslice_{name}"), value);
    }
    for (name, value) in &endpoint.deprecated_topology {
        let name = sanitize(name);
        set(&mut target, &format!("endpointslice_endpoint_topology_{name}"), value);
        set(&mut target, &format!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    target
}
