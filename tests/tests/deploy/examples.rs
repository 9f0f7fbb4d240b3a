//! Every example configuration is good by the gateway's own `--check`, and has no warning but of what
//! only the place can tell: who reaches the port between members.

use crate::files::{below, deploy, shown};
use crate::stage::Stage;

/// Files of `deploy/examples` that are no configurations: rules, and what configurations name.
fn is_part(name: &str) -> bool {
    name.contains("/rules/") || name.ends_with("/peers.yml")
}

#[test]
fn every_example_is_good() {
    let stage = Stage::new();
    stage.mount(&deploy("examples"), "/etc/weir");
    let mut checked = 0;
    for file in below(&deploy("examples"), ".yml") {
        let name = shown(&file);
        if is_part(&name) {
            continue;
        }
        let inside = format!("/etc/weir/{}", name.trim_start_matches("deploy/examples/"));
        let words = ["weir-gateway", "--config.file", &inside, "--check"].map(str::to_owned);
        let mut check = stage.command(&words);
        let said = crate::commands::succeed(&mut check);
        let warnings = said.split("warnings\n").nth(1).unwrap_or_default().lines();
        let is_open_port = |line: &&str| line.contains("cluster.listen: whoever reaches this port");
        let unexpected: Vec<&str> =
            warnings.filter(|line| !line.trim().is_empty() && !is_open_port(line)).collect();
        assert!(unexpected.is_empty(), "{name}: {unexpected:?}");
        checked += 1;
    }
    let backends = ["cortex", "m3db", "prometheus", "backends/mimir", "victoriametrics"];
    for name in backends.iter().chain(&["backends/thanos", "cluster/etcd", "cluster/peers-file"]) {
        assert!(deploy(&format!("examples/{name}.yml")).is_file(), "{name}");
    }
    assert!(checked >= 11, "{checked}");
}
