//! The Dockerfile, as far as that can be seen without Docker: its stages, what it copies and builds,
//! who runs what, and that the programs accept what the images start them with.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_tests::gateway::Gateway;
use weir_tests::processes::free_address;

use crate::commands::{output, succeed};
use crate::files::{below, deploy, read, root, strings};
use crate::stage::Stage;

/// A stage: what it builds on, and its instructions.
pub(crate) struct Step {
    base: String,
    lines: Vec<(String, String)>,
}

impl Step {
    fn last(&self, instruction: &str) -> Option<&str> {
        let found = self.lines.iter().rev().find(|(name, _)| name == instruction);
        found.map(|(_, rest)| rest.as_str())
    }
}

/// All stages by name; lines that go on are joined, comments gone.
pub(crate) fn stages() -> BTreeMap<String, Step> {
    let text = read(&deploy("docker/Dockerfile"));
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    let mut stages: BTreeMap<String, Step> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, rest) = line.split_once(' ').expect("an instruction and its words");
        let words: Vec<&str> = rest.split_whitespace().collect();
        if name == "FROM" {
            let [base, "AS", stage] = words[..] else { panic!("{line}") };
            current = Some(stage.to_owned());
            let step = Step { base: base.to_owned(), lines: Vec::new() };
            assert!(stages.insert(stage.to_owned(), step).is_none(), "{stage} twice");
        } else if let Some(step) = current.as_ref().and_then(|stage| stages.get_mut(stage)) {
            step.lines.push((name.to_owned(), words.join(" ")));
        } else {
            assert_eq!(name, "ARG", "{line}");
        }
    }
    stages
}

/// What a container of a stage runs: its entrypoint and its command, unless others are given.
pub(crate) fn start(stage: &str) -> Vec<String> {
    let stages = stages();
    let json = |instruction: &str| -> Vec<String> {
        let text = stages[stage].last(instruction).unwrap_or("[]");
        strings(&serde_json::from_str::<Value>(text).expect("the form that needs no shell"))
    };
    [json("ENTRYPOINT"), json("CMD")].concat()
}

#[test]
fn stages_copy_what_is_there_and_what_is_built() {
    let stages = stages();
    let build = &stages["build"];
    let run = build.last("RUN").expect("it builds");
    let built: Vec<&str> =
        run.split("--bin ").skip(1).filter_map(|r| r.split(' ').next()).collect();
    assert_eq!(built, ["weir-gateway", "weir-loadgen", "weir-agent-lite"]);
    for name in ["gateway", "loadgen", "agent-lite"] {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"weir-{name}\"")), "{name}");
    }
    for (name, stage) in stages.iter().filter(|(name, _)| *name != "build") {
        for (_, rest) in stage.lines.iter().filter(|(instruction, _)| instruction == "COPY") {
            let words: Vec<&str> = rest.split(' ').collect();
            match words[..] {
                ["--from=build", from, "/usr/local/bin/"] => {
                    let program = from.strip_prefix("/out/").expect("what is built");
                    assert!(built.contains(&program), "{name}: {rest}");
                    assert!(run.contains(&format!("/{program}")), "{name}: {rest}");
                }
                [_mode, from, _to] => assert!(root().join(from).is_file(), "{name}: {rest}"),
                _ => panic!("{name}: {rest}"),
            }
        }
        assert!(stage.base == "base" || stage.base.starts_with("debian:"), "{name}");
    }
}

#[test]
fn the_toolchain_is_the_repositorys() {
    let text = read(&deploy("docker/Dockerfile"));
    let version = text.lines().find_map(|line| line.strip_prefix("ARG RUST=")).expect("ARG RUST");
    let toolchain = read(&root().join("rust-toolchain.toml"));
    assert!(toolchain.contains(&format!("channel = \"{version}\"")), "{version}: {toolchain}");
}

#[test]
fn nothing_that_is_built_is_ignored() {
    let ignored = read(&deploy("docker/Dockerfile.dockerignore"));
    let manifest = read(&root().join("Cargo.toml"));
    let members = manifest.split("members = [").nth(1).and_then(|m| m.split(']').next());
    let members: Vec<&str> = members.expect("members").split('"').skip(1).step_by(2).collect();
    for pattern in ignored.lines() {
        for member in &members {
            let sources = below(&root().join(member), ".rs");
            let inside = |path: &std::path::Path| {
                path.strip_prefix(root()).expect("it is below").display().to_string()
            };
            let hit = sources.iter().map(|path| inside(path)).find(|path| {
                match pattern.strip_prefix("**/") {
                    // Fuzz targets are no members; they stand apart.
                    Some("fuzz") => {
                        path.contains("/fuzz/")
                            && !path.contains("/fuzz/fuzz_targets/")
                            && !path.starts_with("tests/fuzz/")
                    }
                    Some(folder) => path.contains(&format!("/{folder}/")),
                    None => path.starts_with(&format!("{pattern}/")),
                }
            });
            assert_eq!(hit, None, "{pattern}");
        }
    }
}

#[test]
fn nobody_is_root_and_services_tell_their_health() {
    for (name, stage) in stages() {
        if ["build", "base"].contains(&name.as_str()) {
            continue;
        }
        assert_eq!(stage.last("USER"), Some("65532:65532"), "{name}");
        let program = start(&name)[0].clone();
        assert!(program.starts_with("weir-"), "{name}: {program}");
        let health = stage.last("HEALTHCHECK");
        assert_eq!(health.is_some(), name != "loadgen", "{name}");
        let exposed = stage.last("EXPOSE").unwrap_or_default();
        let port = health.and_then(|h| h.rsplit('"').nth(1)).unwrap_or_default();
        assert!(exposed.split(' ').any(|e| e == port), "{name}: {port}");
    }
}

#[test]
fn the_programs_accept_what_the_images_start_them_with() {
    let stage = Stage::new();
    stage.mount(&deploy("examples/victoriametrics.yml"), "/etc/weir/gateway.yml");
    stage.mount(&deploy("examples/rules"), "/etc/weir/rules");
    stage.mount(&deploy("compose/agent-0.yml"), "/etc/weir/agent.yml");
    for name in ["gateway", "agent"] {
        let mut words = start(name);
        words.push("--check".into());
        succeed(&mut stage.command(&words));
    }
    let help = succeed(&mut stage.command(&start("loadgen")));
    assert!(help.contains("torture"), "{help}");
}

#[test]
fn the_health_check_tells_who_answers_from_who_does_not() {
    let check = |port: u16| {
        let mut command = std::process::Command::new(deploy("docker/healthy"));
        output(command.arg(port.to_string()))
    };
    let mut gateway = Gateway::start("", "");
    let port = gateway.address().port();
    check(port).expect("it is healthy");
    gateway.kill();
    check(port).expect_err("nobody listens");
    check(free_address().port()).expect_err("nobody listens");
}
