//! What the pods run: every path mounted, every key there, probes that answer, time to stop, no rights
//! to spare, and configurations and command lines that the real programs accept.

use std::fs;

use serde_json::Value;

use crate::commands::succeed;
use crate::files::{assert_none, document, entries, read, strings};
use crate::image;
use crate::kubernetes::{all, find, port_names, title, workloads};
use crate::stage::Stage;

fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

fn containers(workload: &Value) -> impl Iterator<Item = &Value> {
    entries(&pod(workload)["initContainers"]).chain(entries(&pod(workload)["containers"]))
}

/// A volume of a pod by its name: as it stands, or a claim's template.
fn volume<'a>(workload: &'a Value, name: &Value) -> Option<&'a Value> {
    let claims = entries(&workload["spec"]["volumeClaimTemplates"]);
    let claim = |claim: &&Value| claim["metadata"]["name"] == *name;
    let plain = entries(&pod(workload)["volumes"]).find(|volume| volume["name"] == *name);
    plain.or_else(|| claims.into_iter().find(claim))
}

#[test]
fn every_volume_is_there_and_is_used() {
    let mut wrong = Vec::new();
    for (name, objects) in all() {
        for workload in workloads(&objects) {
            let title = format!("{name}: {}", title(workload));
            let mounts: Vec<&Value> =
                containers(workload).flat_map(|c| entries(&c["volumeMounts"])).collect();
            for mount in &mounts {
                match volume(workload, &mount["name"]) {
                    None => wrong.push(format!("{title}: no volume {}", mount["name"])),
                    Some(volume) if volume["configMap"].is_object() => {
                        let map = &volume["configMap"]["name"];
                        if find(&objects, "ConfigMap", map).is_none() {
                            wrong.push(format!("{title}: no ConfigMap {map}"));
                        }
                    }
                    Some(_) => {}
                }
            }
            let volumes = entries(&pod(workload)["volumes"]).map(|volume| &volume["name"]);
            let claims = entries(&workload["spec"]["volumeClaimTemplates"]);
            for volume in volumes.chain(claims.map(|claim| &claim["metadata"]["name"])) {
                if !mounts.iter().any(|mount| mount["name"] == *volume) {
                    wrong.push(format!("{title}: nobody mounts {volume}"));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn probes_ask_ports_that_are_there_and_a_replay_is_no_reason_to_kill() {
    let mut wrong = Vec::new();
    for (name, objects) in all() {
        for workload in workloads(&objects) {
            for container in entries(&pod(workload)["containers"]) {
                let title = format!("{name}: {}", title(workload));
                for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                    let asks = &container[probe];
                    let port =
                        asks["httpGet"]["port"].as_str().or(asks["tcpSocket"]["port"].as_str());
                    match port {
                        Some(port) if port_names(workload).contains(port) => {}
                        None if probe == "startupProbe" => {}
                        other => wrong.push(format!("{title}: {probe} asks {other:?}")),
                    }
                }
                let path = |probe: &str| container[probe]["httpGet"]["path"].as_str();
                let image = container["image"].as_str().unwrap_or_default();
                if image.starts_with("weir-gateway") {
                    assert_eq!(path("startupProbe"), Some("/-/healthy"), "{title}");
                }
                if image.starts_with("weir-") {
                    assert_eq!(path("livenessProbe"), Some("/-/healthy"), "{title}");
                    assert_eq!(path("readinessProbe"), Some("/-/ready"), "{title}");
                    assert!(container["startupProbe"].is_object(), "{title}");
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn nobody_has_more_rights_than_it_needs() {
    let mut wrong = Vec::new();
    for (name, objects) in all() {
        for workload in workloads(&objects) {
            let title = format!("{name}: {}", title(workload));
            let security = &pod(workload)["securityContext"];
            if security["runAsNonRoot"] != true
                || security["runAsUser"].as_u64().is_none_or(|u| u == 0)
            {
                wrong.push(format!("{title} may be root"));
            }
            if security["seccompProfile"]["type"] != "RuntimeDefault" {
                wrong.push(format!("{title}: no seccomp profile"));
            }
            for container in containers(workload) {
                let own = &container["securityContext"];
                let is_tight = own["readOnlyRootFilesystem"] == true
                    && own["allowPrivilegeEscalation"] == false
                    && own["capabilities"]["drop"] == serde_json::json!(["ALL"]);
                if !is_tight {
                    wrong.push(format!("{title}: {} is not tight: {own}", container["name"]));
                }
                let resources = &container["resources"];
                let bounded = ["/requests/cpu", "/requests/memory", "/limits/memory"]
                    .iter()
                    .all(|path| resources.pointer(path).is_some_and(Value::is_string));
                if !bounded {
                    wrong.push(format!("{title}: {} says not what it needs", container["name"]));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn stops_are_given_more_time_than_programs_take() {
    for (name, objects) in all() {
        for (kind, workload, map, key) in [
            ("StatefulSet", "weir-gateway", "weir-gateway", "gateway.yml"),
            ("DaemonSet", "weir-agent", "weir-agent", "agent.yml"),
        ] {
            let workload = find(&objects, kind, &workload.into()).expect("a workload");
            let patience =
                pod(workload)["terminationGracePeriodSeconds"].as_u64().expect("seconds");
            let map = find(&objects, "ConfigMap", &map.into()).expect("its configuration");
            let config = map["data"][key].as_str().expect("a text");
            // Both are the programs' defaults, and nothing here says otherwise.
            assert!(!config.contains("shutdown:"), "{name}: compare with its deadline");
            let own = if key == "gateway.yml" { 30 } else { 10 };
            assert!(patience > own, "{name}: {patience} s");
        }
    }
}

#[test]
fn journals_fit_on_the_volume() {
    let bytes = |text: &str| -> u64 {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().expect("a number");
        number
            << match &text[digits..] {
                "Gi" | "GiB" => 30,
                "Mi" | "MiB" => 20,
                unit => panic!("{unit}"),
            }
    };
    for (name, objects) in all() {
        let gateways = find(&objects, "StatefulSet", &"weir-gateway".into()).expect("gateways");
        let claim = &gateways["spec"]["volumeClaimTemplates"][0]["spec"]["resources"];
        let volume = bytes(claim["requests"]["storage"].as_str().expect("a size"));
        let map = find(&objects, "ConfigMap", &"weir-gateway".into()).expect("a configuration");
        let text = map["data"]["gateway.yml"].as_str().expect("a text");
        let config: Value = serde_saphyr::from_str(text).expect("YAML");
        let size = |key: &str| bytes(config[key]["max_size"].as_str().expect("a size"));
        let taken = size("wal") + size("queue");
        // Checkpoints, spare segments and the file system need room too.
        assert!(taken * 10 <= volume * 9, "{name}: {taken} of {volume}");
    }
}

/// The stage as a container sees it: its ConfigMaps are files, its other volumes folders.
fn stage_of(objects: &[Value], workload: &Value, container: &Value, stage: &Stage) {
    for mount in entries(&container["volumeMounts"]) {
        let path = mount["mountPath"].as_str().expect("a path");
        let volume = volume(workload, &mount["name"]).expect("a volume");
        fs::create_dir_all(stage.path(path)).expect("a folder");
        if let Some(map) = find(objects, "ConfigMap", &volume["configMap"]["name"]) {
            for (key, text) in map["data"].as_object().expect("data") {
                stage.write(&format!("{path}/{key}"), text.as_str().expect("a text"));
            }
        }
    }
}

/// A container's command with the variables that Kubernetes would replace.
fn words(container: &Value, program: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = program.map(str::to_owned).into_iter().collect();
    words.extend(strings(&container["command"]));
    words.extend(strings(&container["args"]));
    let known = [("$(POD_NAME)", "weir-gateway-1"), ("$(NODE_NAME)", "node-7")];
    for word in &mut words {
        for (variable, value) in known {
            *word = word.replace(variable, value);
        }
        assert!(!word.contains("$("), "{word}");
    }
    words
}

#[test]
fn gateways_accept_their_configuration_and_command_line() {
    for (name, objects) in all() {
        let gateways = find(&objects, "StatefulSet", &"weir-gateway".into()).expect("gateways");
        let stage = Stage::new();
        let pod = pod(gateways);
        let (init, main) = (&pod["initContainers"][0], &pod["containers"][0]);
        stage_of(&objects, gateways, init, &stage);
        succeed(&mut stage.command(&words(init, None)));
        let made = stage.path("/run/weir/gateway.yml");
        let config = document(&made);
        assert_eq!(config["cluster"]["name"], "weir-gateway-1", "{name}");
        let service = gateways["spec"]["serviceName"].as_str().expect("a service");
        let advertised = format!("weir-gateway-1.{service}:9202");
        assert_eq!(config["cluster"]["advertise"].as_str(), Some(advertised.as_str()), "{name}");
        let port = |name: &str| {
            let found = entries(&main["ports"]).find(|port| port["name"] == name).expect("a port");
            found["containerPort"].to_string()
        };
        for (key, name) in [(&config["listen"], "http"), (&config["cluster"]["listen"], "tier")] {
            let listen = key.as_str().and_then(|listen| listen.rsplit(':').next());
            assert_eq!(listen, Some(port(name).as_str()), "{name}");
        }
        stage_of(&objects, gateways, main, &stage);
        let mut words = words(main, Some(&image::start("gateway")[0]));
        words.push("--check".into());
        succeed(&mut stage.command(&words));
    }
}

#[test]
fn agents_accept_their_configuration_and_command_line() {
    for (name, objects) in all() {
        let agents = find(&objects, "DaemonSet", &"weir-agent".into()).expect("agents");
        let (stage, container) = (Stage::new(), &pod(agents)["containers"][0]);
        stage_of(&objects, agents, container, &stage);
        let mut words = words(container, Some(&image::start("agent")[0]));
        words.push("--check".into());
        let said = succeed(stage.command(&words).env("NODE_NAME", "node-7"));
        // What only a pod has is missed here, and nothing else.
        for warning in said.lines().filter(|line| line.starts_with("warning")) {
            assert!(warning.contains("/var/run/secrets/kubernetes.io/"), "{name}: {warning}");
        }
        let text = read(&stage.path("/etc/weir/agent.yml"));
        let own_node = ["spec.nodeName=${NODE_NAME}", "metadata.name=${NODE_NAME}"];
        assert!(own_node.iter().all(|selector| text.contains(selector)), "{name}: {text}");
        let gateways = find(&objects, "StatefulSet", &"weir-gateway".into()).expect("gateways");
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        let urls = strings(&config["remote_write"][0]["urls"]);
        let replicas = gateways["spec"]["replicas"].as_u64().expect("a number");
        let expected: Vec<String> = (0..replicas)
            .map(|n| format!("http://weir-gateway-{n}.weir-gateway:9201/api/v1/write"))
            .collect();
        assert_eq!(urls, expected, "{name}");
    }
}
