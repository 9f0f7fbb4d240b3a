//! The systemd units, by systemd's own tools and by the programs that they start.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use weir_tests::{agent, gateway, packages};

use crate::commands::succeed;
use crate::files::{below, deploy, read, shown};
use crate::stage::Stage;

/// Of 10, which is a unit without any hardening; `systemd-analyze` calls up to 2 "OK".
const EXPOSURE_MAX: f64 = 2.0;

fn all() -> Vec<PathBuf> {
    let units = below(&deploy("systemd"), ".service");
    assert_eq!(units.len(), 2);
    units
}

#[test]
fn systemd_accepts_and_finds_them_hardened() {
    let analyze = packages::find("systemd-analyze");
    let folder = tempfile::tempdir().expect("a folder");
    for unit in all() {
        // systemd looks whether the programs are there.
        let mut text = read(&unit);
        for program in [gateway::binary(), agent::binary()] {
            let name = program.file_name().expect("a name").to_string_lossy();
            let installed = format!("/usr/local/bin/{name} ");
            text = text.replace(&installed, &format!("{} ", program.display()));
        }
        let copy = folder.path().join(unit.file_name().expect("a name"));
        fs::write(&copy, text).expect("a unit");
        let said = succeed(Command::new(&analyze).args(["verify", "--man=no"]).arg(&copy));
        assert_eq!(said, "", "{}", shown(&unit));
        let said = succeed(
            Command::new(&analyze).args(["security", "--offline=yes", "--no-pager"]).arg(&copy),
        );
        let overall = said.lines().find(|line| line.contains("Overall exposure level"));
        let level = overall.and_then(|l| l.rsplit(": ").next()?.split(' ').next()?.parse().ok());
        assert!(level.is_some_and(|l: f64| l <= EXPOSURE_MAX), "{}: {overall:?}", shown(&unit));
    }
}

#[test]
fn the_programs_accept_their_command_lines() {
    let stage = Stage::new();
    stage.mount(&deploy("examples/prometheus.yml"), "/etc/weir/gateway.yml");
    stage.mount(&deploy("examples/rules"), "/etc/weir/rules");
    stage.mount(&deploy("compose/agent-0.yml"), "/etc/weir/agent.yml");
    for unit in all() {
        let text = read(&unit);
        let of =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        let start = of("ExecStart=").expect("ExecStart");
        let before = of("ExecStartPre=").expect("ExecStartPre");
        for line in [format!("{start} --check"), before] {
            let line = line.replace("/usr/local/bin/", "");
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            succeed(&mut stage.command(&words));
        }
    }
}

#[test]
fn stops_are_given_more_time_than_programs_take() {
    for (unit, own_secs) in [("weir-gateway.service", 30), ("weir-agent-lite.service", 10)] {
        let text = read(&deploy("systemd").join(unit));
        let value = text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
        let secs: u64 = value.and_then(|v| v.strip_suffix('s')?.parse().ok()).expect("seconds");
        assert!(secs > own_secs, "{unit}: {secs}");
    }
}
