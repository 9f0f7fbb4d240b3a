//! Role `node`: the kubelet of each node.

use super::labels::{object, set};
use super::objects::Node;
use crate::discovery::{Group, LabelMap, join_host_port, sanitize};

/// The group of a node; without a target if it has no address.
pub(super) fn group(node: &Node) -> Group {
    let mut group = Group { labels: meta_labels(node), ..Group::default() };
    set(&mut group.labels, "node_provider_id", &node.spec.provider_id);
    let addresses = &node.status.addresses;
    let of_kind = |kind: &str| addresses.iter().find(|address| address.r#type == kind);
    let Some(address) = ADDRESS_KINDS.iter().find_map(|kind| of_kind(kind)) else {
        return group;
    };
    let port = node.status.daemon_endpoints.kubelet_endpoint.port;
    let mut target = LabelMap::from([
        ("__address__".to_owned(), join_host_port(&address.address, port)),
        ("instance".to_owned(), node.metadata.name.clone()),
    ]);
    // The first of each kind: later ones do not replace it.
    for address in addresses.iter().rev() {
        set(&mut target, &format!("node_address_{}", sanitize(&address.r#type)), &address.address);
    }
    group.targets.push(target);
    group
}

/// Name, labels and annotations of a node; also what `attach_metadata` attaches.
pub(super) fn meta_labels(node: &Node) -> LabelMap {
    object("node", &node.metadata)
}

/// In the order of preference.
const ADDRESS_KINDS: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];
