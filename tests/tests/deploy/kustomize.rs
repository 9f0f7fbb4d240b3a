//! As much of kustomize as `deploy/kubernetes` uses, read by its documentation.
//!
//! Invariant: a key that this reader does not know is an error, so that nothing is left unchecked.
//! Deliberately without the hashes at the end of generated names: who refers to such a name in the
//! sources refers to the name without.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::files::{document, documents, entries, read, shown, strings};

const KEYS: [&str; 7] =
    ["apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images", "patches"];

/// Kinds that stand outside of namespaces.
const CLUSTER_WIDE: [&str; 3] = ["Namespace", "ClusterRole", "ClusterRoleBinding"];

/// The objects that a folder's kustomization makes.
pub(crate) fn build(folder: &Path) -> Vec<Value> {
    let file = folder.join("kustomization.yaml");
    let kustomization = document(&file);
    for key in kustomization.as_object().expect("keys").keys() {
        assert!(KEYS.contains(&key.as_str()), "{}: {key}", shown(&file));
    }
    let mut objects = Vec::new();
    for resource in strings(&kustomization["resources"]) {
        let path = folder.join(resource);
        objects.extend(if path.is_dir() { build(&path) } else { documents(&path) });
    }
    for generator in entries(&kustomization["configMapGenerator"]) {
        generate(generator, folder, &mut objects);
    }
    for patch in entries(&kustomization["patches"]) {
        let operations = document(&folder.join(patch["path"].as_str().expect("a path")));
        let target = |object: &&mut Value| {
            let wanted = &patch["target"];
            object["kind"] == wanted["kind"] && object["metadata"]["name"] == wanted["name"]
        };
        let object = objects.iter_mut().find(target).expect("what is patched is there");
        for operation in entries(&operations) {
            apply(operation, object);
        }
    }
    for image in entries(&kustomization["images"]) {
        objects.iter_mut().for_each(|object| tag(image, object));
    }
    if let Some(namespace) = kustomization["namespace"].as_str() {
        for object in &mut objects {
            let is_outside = object["kind"].as_str().is_some_and(|k| CLUSTER_WIDE.contains(&k));
            if !is_outside {
                object["metadata"]["namespace"] = namespace.into();
            }
        }
    }
    objects
}

fn generate(generator: &Value, folder: &Path, objects: &mut Vec<Value>) {
    let mut data = Map::new();
    for file in strings(&generator["files"]) {
        let path = folder.join(&file);
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        data.insert(name, read(&path).into());
    }
    let name = &generator["name"];
    let same =
        |object: &&mut Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == *name;
    let there = objects.iter_mut().find(same);
    match (generator["behavior"].as_str().unwrap_or("create"), there) {
        ("create", None) => objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data,
        })),
        ("replace", Some(object)) => object["data"] = Value::Object(data),
        (behavior, _) => panic!("{name}: {behavior}"),
    }
}

/// One operation of JSON Patch (RFC 6902).
fn apply(operation: &Value, object: &mut Value) {
    let path = operation["path"].as_str().expect("a path");
    assert_eq!(operation["op"], "replace", "{path}");
    let place = object.pointer_mut(path).unwrap_or_else(|| panic!("{path} is not there"));
    place.clone_from(&operation["value"]);
}

fn tag(image: &Value, value: &mut Value) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                if key == "image" && *value == image["name"] {
                    let tag = image["newTag"].as_str().expect("a tag");
                    *value = format!("{}:{tag}", image["name"].as_str().expect("a name")).into();
                } else {
                    tag(image, value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| tag(image, value)),
        _ => {}
    }
}
