//! Role `ingress`: a target for each path of each host.

use super::labels::{object, set, set_some};
use super::objects::Ingress;
use crate::discovery::{Group, LabelMap};

/// The group of an ingress.
pub(super) fn group(ingress: &Ingress) -> Group {
    let spec = &ingress.spec;
    let mut labels = object("ingress", &ingress.metadata);
    set(&mut labels, "namespace", &ingress.metadata.namespace);
    set_some(&mut labels, "ingress_class_name", spec.ingress_class_name.as_deref());
    let mut group = Group { labels, ..Group::default() };
    for rule in &spec.rules {
        let mut hosts = spec.tls.iter().flat_map(|tls| &tls.hosts);
        let tls = hosts.any(|pattern| matches(pattern, &rule.host));
        let paths: Vec<&str> = match &rule.http {
            None => vec!["/"],
            Some(http) => http.paths.iter().map(|path| path.path.as_str()).collect(),
        };
        for path in paths {
            let mut target = LabelMap::from([("__address__".to_owned(), rule.host.clone())]);
            set(&mut target, "ingress_scheme", if tls { "https" } else { "http" });
            set(&mut target, "ingress_host", &rule.host);
            set(&mut target, "ingress_path", if path.is_empty() { "/" } else { path });
            group.targets.push(target);
        }
    }
    group
}

/// Whether a host is the pattern, or differs in the first label only, where the pattern has a star.
fn matches(pattern: &str, host: &str) -> bool {
    let below = pattern.strip_prefix("*.");
    pattern == host || below.is_some_and(|below| host.split_once('.').map(|h| h.1) == Some(below))
}
