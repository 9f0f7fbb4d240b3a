//! The Kubernetes manifests: objects that fit one another.
//!
//! What a workload runs, mounts and promises is in `workloads`. The expected values are those of the
//! Kubernetes API reference.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::{assert_none, deploy, entries};
use crate::kustomize;

/// Kinds and the version of the API that has them.
const KINDS: [(&str, &str); 12] = [
    ("Namespace", "v1"),
    ("Service", "v1"),
    ("ConfigMap", "v1"),
    ("ServiceAccount", "v1"),
    ("StatefulSet", "apps/v1"),
    ("DaemonSet", "apps/v1"),
    ("Deployment", "apps/v1"),
    ("PodDisruptionBudget", "policy/v1"),
    ("NetworkPolicy", "networking.k8s.io/v1"),
    ("ClusterRole", "rbac.authorization.k8s.io/v1"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1"),
    ("StorageClass", "storage.k8s.io/v1"),
];

/// What base and overlay make, each by its name.
pub(crate) fn all() -> [(&'static str, Vec<Value>); 2] {
    ["base", "overlays/test"].map(|name| (name, kustomize::build(&deploy("kubernetes").join(name))))
}

/// An object's kind and name, for messages.
pub(crate) fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The object of a kind and a name.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &Value) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
}

/// Objects with pods.
pub(crate) fn workloads(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| object["spec"]["template"].is_object()).collect()
}

/// The workloads whose pods have all labels of a selector.
fn selected<'a>(objects: &'a [Value], labels: &Value) -> Vec<&'a Value> {
    let labels = labels.as_object().expect("labels");
    let has = |object: &&Value| {
        let theirs = &object["spec"]["template"]["metadata"]["labels"];
        labels.iter().all(|(key, value)| theirs[key] == *value)
    };
    workloads(objects).into_iter().filter(has).collect()
}

/// Names of the ports of a workload's containers.
pub(crate) fn port_names(workload: &Value) -> BTreeSet<&str> {
    let containers = entries(&workload["spec"]["template"]["spec"]["containers"]);
    let ports = containers.flat_map(|container| entries(&container["ports"]));
    ports.filter_map(|port| port["name"].as_str()).collect()
}

#[test]
fn kinds_are_known_and_names_unique() {
    for (name, objects) in all() {
        let mut titles = BTreeSet::new();
        for object in &objects {
            let kind = object["kind"].as_str().expect("a kind");
            let version = object["apiVersion"].as_str().expect("a version");
            assert!(KINDS.contains(&(kind, version)), "{name}: {kind} of {version}");
            assert!(titles.insert(title(object)), "{name}: {} twice", title(object));
        }
        assert!(objects.len() >= 15, "{name}: {titles:?}");
    }
}

#[test]
fn selectors_choose_the_pods_that_they_are_for() {
    let mut wrong = Vec::new();
    for (name, objects) in all() {
        let expect_one = |what: String, labels: &Value, wrong: &mut Vec<String>| {
            let found = selected(&objects, labels);
            if found.len() != 1 {
                wrong.push(format!("{name}: {what} chooses {} workloads", found.len()));
            }
            found.first().copied()
        };
        for workload in workloads(&objects) {
            let spec = &workload["spec"];
            let own = expect_one(title(workload), &spec["selector"]["matchLabels"], &mut wrong);
            if own != Some(workload) {
                wrong.push(format!("{name}: {} does not choose its own pods", title(workload)));
            }
            for spread in entries(&spec["template"]["spec"]["topologySpreadConstraints"]) {
                let what = format!("spread of {}", title(workload));
                expect_one(what, &spread["labelSelector"]["matchLabels"], &mut wrong);
            }
        }
        for service in of_kind(&objects, "Service") {
            let found = expect_one(title(service), &service["spec"]["selector"], &mut wrong);
            let names = found.map(port_names).unwrap_or_default();
            for port in entries(&service["spec"]["ports"]) {
                let target = port["targetPort"].as_str().unwrap_or_default();
                if !names.contains(target) {
                    wrong.push(format!("{name}: {} leads to port {target:?}", title(service)));
                }
            }
        }
        for budget in of_kind(&objects, "PodDisruptionBudget") {
            expect_one(title(budget), &budget["spec"]["selector"]["matchLabels"], &mut wrong);
        }
        for policy in of_kind(&objects, "NetworkPolicy") {
            let spec = &policy["spec"];
            let found = expect_one(title(policy), &spec["podSelector"]["matchLabels"], &mut wrong);
            let names = found.map(port_names).unwrap_or_default();
            for port in entries(&spec["ingress"]).flat_map(|rule| entries(&rule["ports"])) {
                let port = port["port"].as_str().unwrap_or_default();
                if !names.contains(port) {
                    wrong.push(format!("{name}: {} opens port {port:?}", title(policy)));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_port_between_gateways_is_for_gateways_only() {
    for (name, objects) in all() {
        let policy = find(&objects, "NetworkPolicy", &"weir-gateway".into()).expect("a policy");
        let rules = entries(&policy["spec"]["ingress"]);
        let opens = |rule: &&Value| entries(&rule["ports"]).any(|port| port["port"] == "tier");
        for rule in rules.filter(opens) {
            let from: Vec<&Value> = entries(&rule["from"]).collect();
            assert_eq!(from.len(), 1, "{name}");
            assert_eq!(from[0]["podSelector"], policy["spec"]["podSelector"], "{name}");
            assert!(from[0].get("namespaceSelector").is_none(), "{name}");
        }
    }
}

#[test]
fn accounts_and_rights_are_there_and_no_wider_than_discovery_needs() {
    for (name, objects) in all() {
        for workload in workloads(&objects) {
            let spec = &workload["spec"]["template"]["spec"];
            let account = &spec["serviceAccountName"];
            if account.is_null() {
                assert_eq!(spec["automountServiceAccountToken"], false, "{}", title(workload));
            } else {
                assert!(find(&objects, "ServiceAccount", account).is_some(), "{account}");
            }
        }
        for binding in of_kind(&objects, "ClusterRoleBinding") {
            assert!(find(&objects, "ClusterRole", &binding["roleRef"]["name"]).is_some(), "{name}");
            for subject in entries(&binding["subjects"]) {
                let account =
                    find(&objects, "ServiceAccount", &subject["name"]).expect("its account");
                assert_eq!(account["metadata"]["namespace"], subject["namespace"], "{name}");
            }
        }
        let verbs = of_kind(&objects, "ClusterRole").flat_map(|role| entries(&role["rules"]));
        let verbs: BTreeSet<&str> =
            verbs.flat_map(|rule| entries(&rule["verbs"])).filter_map(Value::as_str).collect();
        assert_eq!(verbs, BTreeSet::from(["get", "list", "watch"]), "{name}");
    }
}

#[test]
fn gateways_go_one_by_one_and_stand_apart() {
    for (name, objects) in all() {
        let gateways = find(&objects, "StatefulSet", &"weir-gateway".into()).expect("gateways");
        let budget =
            find(&objects, "PodDisruptionBudget", &"weir-gateway".into()).expect("a budget");
        assert_eq!(budget["spec"]["maxUnavailable"], 1, "{name}");
        let spread = entries(&gateways["spec"]["template"]["spec"]["topologySpreadConstraints"]);
        let keys: Vec<&str> = spread.filter_map(|s| s["topologyKey"].as_str()).collect();
        assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"], "{name}");
        let service =
            find(&objects, "Service", &gateways["spec"]["serviceName"]).expect("its service");
        assert_eq!(service["spec"]["clusterIP"], "None", "{name}: a name for each pod");
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true, "{name}");
        let client = find(&objects, "Service", &"weir".into()).expect("the senders' service");
        assert!(client["spec"]["clusterIP"].is_null(), "{name}");
    }
}
