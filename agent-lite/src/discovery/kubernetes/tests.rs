//! Objects as the API gives them, against the labels of Prometheus's documentation.

use std::collections::BTreeMap;

use weir_agent_config::discovery::kubernetes::Namespaces;

use super::*;
use crate::discovery::{Group, LabelMap};
use objects::{Object, parse};
use state::Change;

mod watching;

const POD: &str = include_str!("tests/pod.json");
const SERVICE: &str = include_str!("tests/service.json");
const ENDPOINTS: &str = include_str!("tests/endpoints.json");
const SLICE: &str = include_str!("tests/slice.json");
const NODE: &str = include_str!("tests/node.json");
const INGRESS: &str = include_str!("tests/ingress.json");
const NAMESPACE: &str = r#"{"metadata": {"name": "shop", "labels": {"env": "prod"},
    "annotations": {"owner": "x"}}, "spec": {"finalizers": ["kubernetes"]}}"#;

const ALL: [(Kind, &str); 7] = [
    (Kind::Pod, POD),
    (Kind::Service, SERVICE),
    (Kind::Endpoints, ENDPOINTS),
    (Kind::EndpointSlice, SLICE),
    (Kind::Node, NODE),
    (Kind::Ingress, INGRESS),
    (Kind::Namespace, NAMESPACE),
];

fn object(kind: Kind, text: &str) -> Box<Object> {
    Box::new(parse(kind, text).unwrap())
}

fn state(role: Role, attach: Attach) -> State {
    let mut state = State::new(role, attach);
    for (kind, text) in ALL {
        state.apply(Change::Set(object(kind, text)));
    }
    state
}

fn group(role: Role, attach: Attach) -> Group {
    let mut groups = state(role, attach).all_groups();
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

/// Labels as lines, without the prefix that nearly all have.
fn text(labels: &LabelMap) -> String {
    let line = |(name, value): (&String, &String)| {
        format!("{}={value}", name.strip_prefix("__meta_kubernetes_").unwrap_or(name))
    };
    labels.iter().map(line).collect::<Vec<_>>().join("\n")
}

const POD_LABELS: &str = "\
pod_annotation_prometheus_io_scrape=true
pod_annotationpresent_prometheus_io_scrape=true
pod_controller_kind=ReplicaSet
pod_controller_name=web-7d4b9c
pod_host_ip=10.0.0.1
pod_ip=10.1.0.7
pod_label_app_kubernetes_io_name=web
pod_label_pod_template_hash=7d4b9c
pod_labelpresent_app_kubernetes_io_name=true
pod_labelpresent_pod_template_hash=true
pod_name=web-7d4b9c-x2x5z
pod_node_name=node-1
pod_phase=Running
pod_ready=true
pod_uid=0a1b2c3d-1111-2222-3333-444455556666";

const SERVICE_LABELS: &str = "\
service_annotation_note=n
service_annotationpresent_note=true
service_label_team=a
service_labelpresent_team=true
service_name=web";

#[test]
fn pods_give_a_target_for_each_port_of_each_container() {
    let group = group(Role::Pod, Attach::default());
    assert_eq!(group.source, "pod/shop/web-7d4b9c-x2x5z");
    assert_eq!(text(&group.labels), format!("namespace=shop\n{POD_LABELS}"));
    let targets: Vec<String> = group.targets.iter().map(text).collect();
    assert_eq!(targets.len(), 4);
    assert_eq!(
        targets[1],
        "__address__=10.1.0.7:9090\npod_container_id=containerd://bbb\n\
         pod_container_image=registry/web:1.2\npod_container_init=false\npod_container_name=web\n\
         pod_container_port_name=metrics\npod_container_port_number=9090\n\
         pod_container_port_protocol=TCP"
    );
    assert_eq!(
        targets[2],
        "__address__=10.1.0.7\npod_container_id=\npod_container_image=busybox\n\
         pod_container_init=false\npod_container_name=shell"
    );
    assert_eq!(
        targets[3],
        "__address__=10.1.0.7\npod_container_id=containerd://aaa\npod_container_image=web:1.2\n\
         pod_container_init=true\npod_container_name=migrate"
    );
}

#[test]
fn metadata_of_node_and_namespace_is_attached_if_wanted() {
    let group = group(Role::Pod, Attach { node: true, namespace: true });
    let text = text(&group.labels);
    for label in [
        "node_name=node-1",
        "node_label_kubernetes_io_os=linux",
        "node_labelpresent_kubernetes_io_os=true",
        "node_annotation_ttl=0",
        "namespace_label_env=prod",
        "namespace_labelpresent_env=true",
        "namespace_annotation_owner=x",
        "namespace_annotationpresent_owner=true",
    ] {
        assert!(text.lines().any(|line| line == label), "{label} in\n{text}");
    }
}

#[test]
fn services_give_a_target_for_each_port() {
    let group = group(Role::Service, Attach::default());
    assert_eq!(group.source, "svc/shop/web");
    assert_eq!(text(&group.labels), format!("namespace=shop\n{SERVICE_LABELS}"));
    assert_eq!(
        text(&group.targets[0]),
        "__address__=web.shop.svc:80\nservice_cluster_ip=10.2.0.5\n\
         service_loadbalancer_ip=192.0.2.7\nservice_port_name=http\nservice_port_number=80\n\
         service_port_protocol=TCP\nservice_type=LoadBalancer"
    );
}

#[test]
fn endpoints_have_labels_of_service_and_pod_and_the_pods_other_ports() {
    let group = group(Role::Endpoints, Attach::default());
    assert_eq!(group.source, "endpoints/shop/web");
    let trigger = "endpoints_kubernetes_io_last_change_trigger_time";
    assert_eq!(
        text(&group.labels),
        format!(
            "endpoints_annotation_{trigger}=2026-01-02T03:04:09Z\n\
             endpoints_annotationpresent_{trigger}=true\nendpoints_label_team=a\n\
             endpoints_labelpresent_team=true\nendpoints_name=web\nnamespace=shop\n{SERVICE_LABELS}"
        )
    );
    let targets: Vec<String> = group.targets.iter().map(text).collect();
    let (before, after) = POD_LABELS.split_at(POD_LABELS.find("pod_controller_kind").unwrap());
    assert_eq!(
        targets[0],
        format!(
            "__address__=10.1.0.7:8080\nendpoint_address_target_kind=Pod\n\
             endpoint_address_target_name=web-7d4b9c-x2x5z\nendpoint_node_name=node-1\n\
             endpoint_port_name=http\nendpoint_port_protocol=TCP\nendpoint_ready=true\n{before}\
             pod_container_image=registry/web:1.2\npod_container_init=false\n\
             pod_container_name=web\npod_container_port_name=http\n\
             pod_container_port_number=8080\npod_container_port_protocol=TCP\n{after}"
        )
    );
    assert_eq!(
        targets[1],
        "__address__=10.1.0.9:8080\nendpoint_hostname=web-9\nendpoint_port_name=http\n\
         endpoint_port_protocol=TCP\nendpoint_ready=false"
    );
    assert!(targets[2].starts_with("__address__=10.1.0.7:9090\npod_annotation"), "{}", targets[2]);
    assert_eq!(targets.len(), 3);
}

#[test]
fn slices_have_labels_of_service_and_pod_and_the_pods_other_ports() {
    let group = group(Role::EndpointSlice, Attach { node: true, namespace: false });
    assert_eq!(group.source, "endpointslice/shop/web-abcde");
    assert_eq!(
        text(&group.labels),
        format!(
            "endpointslice_address_type=IPv4\n\
             endpointslice_label_kubernetes_io_service_name=web\n\
             endpointslice_labelpresent_kubernetes_io_service_name=true\n\
             endpointslice_name=web-abcde\nnamespace=shop\n{SERVICE_LABELS}"
        )
    );
    let first = text(&group.targets[0]);
    let own = "__address__=10.1.0.7:8080\n\
        endpointslice_address_target_kind=Pod\n\
        endpointslice_address_target_name=web-7d4b9c-x2x5z\n\
        endpointslice_endpoint_conditions_ready=true\n\
        endpointslice_endpoint_conditions_serving=true\n\
        endpointslice_endpoint_conditions_terminating=false\n\
        endpointslice_endpoint_hostname=web-0\n\
        endpointslice_endpoint_node_name=node-1\n\
        endpointslice_endpoint_topology_kubernetes_io_hostname=node-1\n\
        endpointslice_endpoint_topology_present_kubernetes_io_hostname=true\n\
        endpointslice_endpoint_zone=eu-1a\n\
        endpointslice_port=8080\n\
        endpointslice_port_app_protocol=http\n\
        endpointslice_port_name=http\n\
        endpointslice_port_protocol=TCP\n\
        node_annotation_ttl=0\n";
    assert!(first.starts_with(own), "{first}");
    assert!(first.contains("\npod_container_port_number=8080\n"), "{first}");
    assert_eq!(group.targets.len(), 2);
    assert_eq!(group.targets[1]["__address__"], "10.1.0.7:9090");
}

#[test]
fn nodes_are_their_kubelets() {
    let group = group(Role::Node, Attach::default());
    assert_eq!(group.source, "node/node-1");
    assert_eq!(
        text(&group.labels),
        "node_annotation_ttl=0\nnode_annotationpresent_ttl=true\nnode_label_kubernetes_io_os=linux\n\
         node_labelpresent_kubernetes_io_os=true\nnode_name=node-1\nnode_provider_id=aws:///eu-1a/i-1"
    );
    assert_eq!(
        text(&group.targets[0]),
        "__address__=10.0.0.1:10250\nnode_address_Hostname=node-1.local\n\
         node_address_InternalIP=10.0.0.1\ninstance=node-1"
    );
}

#[test]
fn ingresses_give_a_target_for_each_path() {
    let group = group(Role::Ingress, Attach::default());
    assert_eq!(group.source, "ingress/shop/front");
    assert_eq!(
        text(&group.labels),
        "ingress_class_name=nginx\ningress_label_team=a\ningress_labelpresent_team=true\n\
         ingress_name=front\nnamespace=shop"
    );
    let targets: Vec<String> = group.targets.iter().map(text).collect();
    let expected = [("www", "https", "/shop"), ("www", "https", "/"), ("a.b", "http", "/")];
    let expected = expected.map(|(host, scheme, path)| {
        format!(
            "__address__={host}.example.com\ningress_host={host}.example.com\n\
             ingress_path={path}\ningress_scheme={scheme}"
        )
    });
    assert_eq!(targets, expected);
}

#[test]
fn only_groups_that_a_change_concerns_are_built_again() {
    let mut state = state(Role::Endpoints, Attach { node: true, namespace: true });
    assert_eq!(state.changed_groups().len(), 1);
    assert_eq!(state.changed_groups(), []);
    // A heartbeat and a new version are no change.
    let heartbeat = NODE.replace("03:04:05", "03:05:05").replace("\"14\"", "\"99\"");
    state.apply(Change::Set(object(Kind::Node, &heartbeat)));
    state.apply(Change::Set(object(Kind::Pod, &POD.replace("web-7d4b9c-x2x5z", "another"))));
    assert_eq!(state.changed_groups(), []);
    for (kind, text, from, to) in [
        (Kind::Node, NODE, "linux", "windows"),
        (Kind::Pod, POD, "registry/web:1.2", "registry/web:1.3"),
        (Kind::Service, SERVICE, "\"team\": \"a\"", "\"team\": \"b\""),
        (Kind::Namespace, NAMESPACE, "prod", "test"),
    ] {
        state.apply(Change::Set(object(kind, &text.replace(from, to))));
        assert_eq!(state.changed_groups().len(), 1, "{kind:?}");
    }
    state.apply(Change::Deleted(object(Kind::Endpoints, ENDPOINTS).key()));
    let gone = state.changed_groups();
    assert_eq!((&*gone[0].source, gone[0].targets.len()), ("endpoints/shop/web", 0));
}

#[test]
fn a_list_takes_away_what_is_not_in_it_but_only_in_its_namespace() {
    let mut state = State::new(Role::Pod, Attach::default());
    let elsewhere = POD.replace("\"shop\"", "\"other\"");
    state.apply(Change::Set(object(Kind::Pod, POD)));
    state.apply(Change::Set(object(Kind::Pod, &elsewhere)));
    state.changed_groups();
    let scope = Scope::new(Kind::Pod, Some("shop".to_owned()), Selector::default());
    assert!(state.apply(Change::Listed { scope: scope.clone(), objects: vec![] }));
    assert!(!state.apply(Change::Listed { scope, objects: vec![] }), "listed before");
    let gone = state.changed_groups();
    assert_eq!((gone.len(), &*gone[0].source), (1, "pod/shop/web-7d4b9c-x2x5z"));
    assert_eq!(state.all_groups().len(), 1);
}

#[test]
fn a_role_watches_what_it_shows() {
    let config = |role, attach| KubernetesSd {
        role,
        api_server: None,
        namespaces: Namespaces::default(),
        selectors: BTreeMap::new(),
        attach,
    };
    let kinds = |role, attach, namespaces: &[&str]| -> Vec<Kind> {
        let namespaces: Vec<String> = namespaces.iter().map(|ns| (*ns).to_owned()).collect();
        let scopes = scopes(&config(role, attach), &namespaces);
        scopes.iter().map(|scope| scope.kind).collect()
    };
    let all = Attach { node: true, namespace: true };
    assert_eq!(kinds(Role::Pod, Attach::default(), &[]), [Kind::Pod]);
    assert_eq!(
        kinds(Role::Endpoints, all, &["a", "b"]),
        [
            [Kind::Endpoints; 2].as_slice(),
            &[Kind::Service; 2],
            &[Kind::Pod; 2],
            &[Kind::Node, Kind::Namespace]
        ]
        .concat()
    );
    assert_eq!(kinds(Role::Node, all, &["a"]), [Kind::Node]);
    assert_eq!(kinds(Role::Ingress, all, &[]), [Kind::Ingress, Kind::Namespace]);
}
