//! Labels that every kind of object gives its targets.

use super::objects::Meta;
use crate::discovery::{LabelMap, sanitize};

/// `__meta_kubernetes_<name>`
pub(super) fn meta(name: &str) -> String {
    format!("__meta_kubernetes_{name}")
}

/// Sets `__meta_kubernetes_<name>`.
pub(super) fn set(labels: &mut LabelMap, name: &str, value: &str) {
    labels.insert(meta(name), value.to_owned());
}

/// Sets it if there is a value, be it an empty one.
pub(super) fn set_some(labels: &mut LabelMap, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        set(labels, name, value);
    }
}

/// Name, labels and annotations of an object; `role` is their prefix.
pub(super) fn object(role: &str, object: &Meta) -> LabelMap {
    let mut labels = annotations_and_labels(role, object);
    set(&mut labels, &format!("{role}_name"), &object.name);
    labels
}

/// Labels and annotations of an object, each with a flag that it is there.
pub(super) fn annotations_and_labels(role: &str, object: &Meta) -> LabelMap {
    let mut labels = LabelMap::new();
    for (kind, pairs) in [("label", &object.labels), ("annotation", &object.annotations)] {
        for (name, value) in pairs {
            let name = sanitize(name);
            set(&mut labels, &format!("{role}_{kind}_{name}"), value);
            set(&mut labels, &format!("{role}_{kind}present_{name}"), "true");
        }
    }
    labels
}
