//! Role `service`: a target for each port, at the service's name in the cluster.

use super::labels::{object, set};
use super::objects::Service;
use crate::discovery::{Group, LabelMap, join_host_port};

/// The group of a service.
pub(super) fn group(service: &Service) -> Group {
    let (name, namespace) = (&service.metadata.name, &service.metadata.namespace);
    let spec = &service.spec;
    let mut group = Group { labels: labels(service), ..Group::default() };
    for port in &spec.ports {
        let address = join_host_port(&format!("{name}.{namespace}.svc"), port.port);
        let mut target = LabelMap::from([("__address__".to_owned(), address)]);
        set(&mut target, "service_port_name", &port.name);
        set(&mut target, "service_port_number", &port.port.to_string());
        set(&mut target, "service_port_protocol", &port.protocol);
        set(&mut target, "service_type", &spec.r#type);
        if spec.r#type == "ExternalName" {
            set(&mut target, "service_external_name", &spec.external_name);
        } else {
            set(&mut target, "service_cluster_ip", &spec.cluster_ip);
        }
        if spec.r#type == "LoadBalancer" {
            set(&mut target, "service_loadbalancer_ip", &spec.load_balancer_ip);
        }
        group.targets.push(target);
    }
    group
}

/// Labels of a service, on its own targets and on those of its endpoints.
pub(super) fn labels(service: &Service) -> LabelMap {
    let mut labels = object("service", &service.metadata);
    set(&mut labels, "namespace", &service.metadata.namespace);
    labels
}
