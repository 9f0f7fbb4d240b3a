//! Role `endpoints`: a target for each address and port behind a service, and for the other ports
//! of the pods there.

use super::labels::{object, set, set_some};
use super::objects::{EndpointPort, Endpoints, Kind, Object, Pod, TargetRef};
use super::state::State;
use super::{pod, service};
use crate::discovery::{Group, LabelMap, join_host_port};

/// The group of an `Endpoints` object.
pub(super) fn group(endpoints: &Endpoints, state: &State) -> Group {
    let (name, namespace) = (&endpoints.metadata.name, &endpoints.metadata.namespace);
    let mut labels = object("endpoints", &endpoints.metadata);
    set(&mut labels, "namespace", namespace);
    if let Some(Object::Service(service)) = state.get(Kind::Service, namespace, name) {
        labels.extend(service::labels(service));
    }
    let mut targets = Vec::new();
    let mut pods = Backing::default();
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let ready = subset.addresses.iter().map(|address| (address, "true"));
            let not_ready = subset.not_ready_addresses.iter().map(|address| (address, "false"));
            for (address, ready) in ready.chain(not_ready) {
                let mut target = address_labels(&address.ip, port, ready);
                if let Some(reference) = &address.target_ref {
                    set(&mut target, "endpoint_address_target_kind", &reference.kind);
                    set(&mut target, "endpoint_address_target_name", &reference.name);
                }
                set_some(&mut target, "endpoint_node_name", address.node_name.as_deref());
                if !address.hostname.is_empty() {
                    set(&mut target, "endpoint_hostname", &address.hostname);
                }
                if let Some(node) = &address.node_name {
                    target.extend(state.node_labels(node));
                }
                pods.attach(&mut target, address.target_ref.as_ref(), Some(port.port), state);
                targets.push(target);
            }
        }
    }
    targets.extend(pods.other_ports());
    Group { labels, targets, ..Group::default() }
}

fn address_labels(ip: &str, port: &EndpointPort, ready: &str) -> LabelMap {
    let address = join_host_port(ip, port.port);
    let mut target = LabelMap::from([("__address__".to_owned(), address)]);
    set(&mut target, "endpoint_port_name", &port.name);
    set(&mut target, "endpoint_port_protocol", &port.protocol);
    set(&mut target, "endpoint_ready", ready);
    target
}

/// The pods behind endpoints, and which of their ports have been seen.
#[derive(Default)]
pub(super) struct Backing<'a> {
    pods: Vec<(&'a Pod, Vec<u16>)>,
}

impl<'a> Backing<'a> {
    /// Adds a pod's labels to the target that refers to it, and those of the container whose port
    /// it is.
    pub(super) fn attach(
        &mut self,
        target: &mut LabelMap,
        reference: Option<&TargetRef>,
        port: Option<u16>,
        state: &'a State,
    ) {
        let reference = reference.filter(|reference| reference.kind == "Pod");
        let found = reference.and_then(|to| state.get(Kind::Pod, &to.namespace, &to.name));
        let Some(Object::Pod(pod)) = found else {
            return;
        };
        target.extend(pod::labels(pod));
        let at = self.pods.iter().position(|(known, _)| std::ptr::eq(*known, &**pod));
        let at = at.unwrap_or_else(|| {
            self.pods.push((pod, Vec::new()));
            self.pods.len() - 1
        });
        let Some(port) = port else {
            return;
        };
        self.pods[at].1.push(port);
        for (number, labels) in container_ports(pod) {
            if number == port {
                target.extend(labels);
            }
        }
    }

    /// Targets for ports of the pods that no endpoint has.
    pub(super) fn other_ports(self) -> Vec<LabelMap> {
        let mut targets = Vec::new();
        for (pod, seen) in self.pods {
            let ip = &pod.status.pod_ip;
            for (port, labels) in container_ports(pod) {
                if ip.is_empty() || seen.contains(&port) {
                    continue;
                }
                let mut target = pod::labels(pod);
                target.extend(labels);
                target.insert("__address__".to_owned(), join_host_port(ip, port));
                targets.push(target);
            }
        }
        targets
    }
}

/// The ports of a pod, each with labels of its container.
fn container_ports(pod: &Pod) -> Vec<(u16, LabelMap)> {
    let mut ports = Vec::new();
    for (container, init) in pod::containers(pod) {
        for port in &container.ports {
            let mut labels = LabelMap::new();
            set(&mut labels, "pod_container_name", &container.name);
            set(&mut labels, "pod_container_image", &container.image);
            set(&mut labels, "pod_container_init", if init { "true" } else { "false" });
            set(&mut labels, "pod_container_port_name", &port.name);
            set(&mut labels, "pod_container_port_number", &port.container_port.to_string());
            set(&mut labels, "pod_container_port_protocol", &port.protocol);
            ports.push((port.container_port, labels));
        }
    }
    ports
}
