//! The compose file: its structure by the Compose specification, as far as it is used, and each command
//! line by the real program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use weir_tests::processes::{Program, free_address};
use weir_tests::{http, packages, wait};

use crate::commands::succeed;
use crate::files::{assert_none, deploy, document, entries, read, strings};
use crate::image;
use crate::stage::Stage;

/// Keys of a service that this file uses; any other is a slip, or belongs here.
const KEYS: [&str; 14] = [
    "image",
    "build",
    "entrypoint",
    "command",
    "environment",
    "ports",
    "volumes",
    "depends_on",
    "restart",
    "stop_grace_period",
    "read_only",
    "tmpfs",
    "cap_drop",
    "security_opt",
];

const SOON: Duration = Duration::from_secs(60);

fn compose() -> Value {
    document(&deploy("compose/compose.yml"))
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().expect("services").iter()
}

fn weirs<'a>(compose: &'a Value, image: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    services(compose).filter(move |(_, service)| {
        service["image"].as_str().is_some_and(|name| name.starts_with(image))
    })
}

#[test]
fn services_name_what_is_there() {
    let compose = compose();
    let stages = image::stages();
    let mut wrong = Vec::new();
    let (mut published, mut mounted) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in services(&compose) {
        for key in service.as_object().expect("a service").keys() {
            if !KEYS.contains(&key.as_str()) {
                wrong.push(format!("{name}: {key}"));
            }
        }
        let image = service["image"].as_str().unwrap_or_default();
        if !image.rsplit_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest") {
            wrong.push(format!("{name}: image {image} has no version"));
        }
        if let Some(target) = service["build"]["target"].as_str() {
            let context =
                deploy("compose").join(service["build"]["context"].as_str().expect("one"));
            let file = context.join(service["build"]["dockerfile"].as_str().expect("one"));
            if !file.is_file() || !stages.contains_key(target) {
                wrong.push(format!("{name}: {target} of {}", file.display()));
            }
        }
        let needed =
            service["depends_on"].as_object().into_iter().flatten().map(|(n, _)| n.clone());
        for other in needed.chain(strings(&service["depends_on"])) {
            if compose["services"].get(&other).is_none() {
                wrong.push(format!("{name} depends on {other}"));
            }
        }
        for port in strings(&service["ports"]) {
            if !port.starts_with("127.0.0.1:") || !published.insert(port.clone()) {
                wrong.push(format!("{name}: {port} is published beyond loopback, or twice"));
            }
        }
        for volume in strings(&service["volumes"]) {
            let from = volume.split(':').next().unwrap_or_default();
            if from.starts_with('.') {
                if !deploy("compose").join(from).exists() {
                    wrong.push(format!("{name}: {from} is not there"));
                }
            } else {
                mounted.insert(from.to_owned());
            }
        }
    }
    assert_none(&wrong);
    let declared = compose["volumes"].as_object().expect("volumes").keys().cloned();
    assert_eq!(mounted, declared.collect());
    assert_eq!(weirs(&compose, "weir-gateway:").count(), 3);
}

#[test]
fn hosts_in_configurations_are_services() {
    let compose = compose();
    let known = |host: &str| {
        compose["services"].get(host).is_some()
            || ["localhost", "MEMBER", "services"].contains(&host)
    };
    let mut seen = 0;
    for file in
        ["gateway.yml", "agent-0.yml", "agent-1.yml", "prometheus.yml", "grafana/datasources.yml"]
    {
        let text = read(&deploy("compose").join(file));
        let code: Vec<&str> = text.lines().filter(|l| !l.trim().starts_with('#')).collect();
        let code = code.join("\n");
        let urls = code.split("http://").skip(1).filter_map(|rest| rest.split(':').next());
        let targets = code.split("targets: [").skip(1).filter_map(|rest| rest.split(']').next());
        let targets = targets.flat_map(|list| list.split(", "));
        let targets = targets.filter_map(|target| target.trim_matches('"').split(':').next());
        for host in urls.chain(targets) {
            assert!(known(host), "{file}: {host}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}

#[test]
fn both_agents_read_the_same_file_but_for_their_half() {
    let text = |n: usize| read(&deploy(&format!("compose/agent-{n}.yml")));
    let other =
        text(1).replace("agent-0.yml", "agent-1.yml").replace(r#"regex: "1""#, r#"regex: "0""#);
    assert_eq!(other, text(0));
}

/// The stage as a service's container sees it.
fn mounted(service: &Value) -> Stage {
    let stage = Stage::new();
    for volume in strings(&service["volumes"]) {
        let parts: Vec<&str> = volume.split(':').collect();
        if parts[0].starts_with('.') {
            stage.mount(&deploy("compose").join(parts[0]), parts[1]);
        } else {
            fs::create_dir_all(stage.path(parts[1])).expect("a volume");
        }
    }
    stage
}

#[test]
fn gateways_accept_their_command_lines() {
    let compose = compose();
    for (name, service) in weirs(&compose, "weir-gateway:") {
        let stage = mounted(service);
        // Compose makes one $ of two; the program checks where it would run.
        let mut words: Vec<String> = strings(&service["entrypoint"]);
        words.extend(strings(&service["command"]));
        let words: Vec<String> = words.iter().map(|word| word.replace("$$", "$")).collect();
        let member = service["environment"]["MEMBER"].as_str().expect("its name");
        assert_eq!(member, name);
        let (script, shell) = words.split_last().expect("sh -c script");
        let run = |script: String| {
            let mut command = stage.command(&[shell, &[script]].concat());
            command.env("MEMBER", member);
            command
        };
        // Once to have the file that it makes, once as it stands: what is awaited is taken out between.
        let (make, start) = script.split_once(" && exec ").expect("it makes its file first");
        succeed(&mut run(make.to_owned()));
        let made = stage.path("/run/weir/gateway.yml");
        let text = read(&made);
        assert!(text.contains(&format!("\n  name: {member}\n")), "{text}");
        assert!(text.contains(&format!("\n  advertise: {member}:9202\n")), "{text}");
        succeed(&mut run(format!("exec {start} --check")));
    }
}

#[test]
fn agents_accept_their_command_lines() {
    let compose = compose();
    for (name, service) in weirs(&compose, "weir-agent-lite:") {
        let stage = mounted(service);
        let mut words = vec![image::start("agent")[0].clone()];
        words.extend(strings(&service["command"]));
        assert!(words.contains(&format!("--agent.name={name}")), "{words:?}");
        words.push("--check".into());
        succeed(&mut stage.command(&words));
    }
}

#[test]
fn the_made_up_services_serve_a_list_of_their_pages() {
    let compose = compose();
    let (stage, folder) = (Stage::new(), tempfile::tempdir().expect("a folder"));
    let mut words = vec![image::start("loadgen")[0].clone()];
    words.extend(strings(&compose["services"]["services"]["command"]));
    let pages = words.iter().position(|word| word.starts_with("--listen=")).expect("pages");
    words[pages] = "--listen=127.0.0.1:0".into();
    let (list, address) = (words.len() - 1, free_address());
    assert!(words[list].starts_with("--discovery="), "{words:?}");
    words[list] = format!("--discovery={address}");
    let _program = Program::start("services", &mut stage.command(&words), folder.path());
    let list = wait::until("the list is served", SOON, || {
        let answer = http::get(address, "/targets").map_err(|e| e.to_string())?;
        serde_json::from_str::<Value>(&answer.text()).map_err(|e| e.to_string())
    });
    assert_eq!(entries(&list[0]["targets"]).count(), 10);
}

#[test]
fn prometheus_starts_as_it_is_told() {
    let compose = compose();
    let service = &compose["services"]["prometheus"];
    let (stage, folder) = (mounted(service), tempfile::tempdir().expect("a folder"));
    let config = stage.path("/etc/prometheus/prometheus.yml");
    succeed(
        std::process::Command::new(packages::find("promtool"))
            .args(["check", "config"])
            .arg(&config),
    );
    let address = free_address();
    let mut words = vec![packages::find("prometheus").display().to_string()];
    words.extend(strings(&service["command"]));
    words.push(format!("--web.listen-address={address}"));
    let _program = Program::start("prometheus", &mut stage.command(&words), folder.path());
    let rules = wait::until("it is ready and has the rules", SOON, || {
        let ready = http::get(address, "/-/ready").map_err(|e| e.to_string())?;
        let rules = http::get(address, "/api/v1/rules").map_err(|e| e.to_string())?;
        let rules: Value = serde_json::from_str(&rules.text()).map_err(|e| e.to_string())?;
        let count = entries(&rules["data"]["groups"]).count();
        if ready.status == 200 && count > 0 { Ok(count) } else { Err(ready.text()) }
    });
    assert_eq!(rules, 4, "groups of all files of alerts");
}

#[test]
fn grafana_is_given_the_dashboards_and_their_data_source() {
    let compose = compose();
    let volumes = strings(&compose["services"]["grafana"]["volumes"]);
    let inside = |from: &str| {
        let found = volumes.iter().find_map(|volume| volume.strip_prefix(&format!("{from}:")));
        found
            .and_then(|rest| rest.split(':').next())
            .unwrap_or_else(|| panic!("{from} is not mounted"))
    };
    let providers = document(&deploy("compose/grafana/dashboards.yml"));
    assert_eq!(
        providers["providers"][0]["options"]["path"].as_str(),
        Some(inside("../dashboards"))
    );
    let provisioning = Path::new("/etc/grafana/provisioning");
    assert!(
        Path::new(inside("./grafana/dashboards.yml")).starts_with(provisioning.join("dashboards"))
    );
    assert!(
        Path::new(inside("./grafana/datasources.yml"))
            .starts_with(provisioning.join("datasources"))
    );
    let sources = document(&deploy("compose/grafana/datasources.yml"));
    assert_eq!(sources["datasources"][0]["type"].as_str(), Some("prometheus"));
    let interval = document(&deploy("compose/prometheus.yml"))["global"]["scrape_interval"].clone();
    assert_eq!(sources["datasources"][0]["jsonData"]["timeInterval"], interval);
}
