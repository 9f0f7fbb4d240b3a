//! Role `pod`: a target for each port of each container, or for each container without ports.

use super::labels::{object, set};
use super::objects::{Container, ContainerStatus, Pod};
use super::state::State;
use crate::discovery::{Group, LabelMap, join_host_port};

/// The group of a pod; without targets while it has no address.
pub(super) fn group(pod: &Pod, state: &State) -> Group {
    let mut group = Group::default();
    if pod.status.pod_ip.is_empty() {
        return group;
    }
    group.labels = labels(pod);
    set(&mut group.labels, "namespace", &pod.metadata.namespace);
    group.labels.extend(state.node_labels(&pod.spec.node_name));
    for (container, init) in containers(pod) {
        let statuses = match init {
            true => &pod.status.init_container_statuses,
            false => &pod.status.container_statuses,
        };
        let id = container_id(statuses, &container.name);
        let mut base = LabelMap::new();
        set(&mut base, "pod_container_name", &container.name);
        set(&mut base, "pod_container_id", id);
        set(&mut base, "pod_container_image", &container.image);
        set(&mut base, "pod_container_init", if init { "true" } else { "false" });
        if container.ports.is_empty() {
            // The port is for relabelling to add.
            base.insert("__address__".to_owned(), pod.status.pod_ip.clone());
            group.targets.push(base);
            continue;
        }
        for port in &container.ports {
            let mut target = base.clone();
            let address = join_host_port(&pod.status.pod_ip, port.container_port);
            target.insert("__address__".to_owned(), address);
            set(&mut target, "pod_container_port_name", &port.name);
            set(&mut target, "pod_container_port_number", &port.container_port.to_string());
            set(&mut target, "pod_container_port_protocol", &port.protocol);
            group.targets.push(target);
        }
    }
    group
}

/// Labels of a pod, on its own targets and on those of endpoints that it is behind.
pub(super) fn labels(pod: &Pod) -> LabelMap {
    let mut labels = object("pod", &pod.metadata);
    set(&mut labels, "pod_ip", &pod.status.pod_ip);
    set(&mut labels, "pod_ready", &ready(pod));
    set(&mut labels, "pod_phase", &pod.status.phase);
    set(&mut labels, "pod_node_name", &pod.spec.node_name);
    set(&mut labels, "pod_host_ip", &pod.status.host_ip);
    set(&mut labels, "pod_uid", &pod.metadata.uid);
    if let Some(controller) = pod.metadata.controller() {
        set(&mut labels, "pod_controller_kind", &controller.kind);
        set(&mut labels, "pod_controller_name", &controller.name);
    }
    labels
}

/// All containers, and whether each is one of the init containers.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let own = pod.spec.containers.iter().map(|container| (container, false));
    own.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

fn container_id<'a>(statuses: &'a [ContainerStatus], name: &str) -> &'a str {
    let status = statuses.iter().find(|status| status.name == name);
    status.map_or("", |status| &status.container_id)
}

fn ready(pod: &Pod) -> String {
    let condition = pod.status.conditions.iter().find(|condition| condition.r#type == "Ready");
    condition.map_or("unknown".to_owned(), |condition| condition.status.to_ascii_lowercase())
}
