//! From what is written to what is meant: all errors at once, each with its key and line.
//!
//! Invariant: no [`Config`] while there is an error. The environment is an argument; no file is
//! opened here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_aggregate::ha::Mode;
use weir_config::{Check, ConfigErrors, Problem, Source, files};
use weir_model::Millis;
use weir_ring::Member;
use weir_telemetry::logs::LogFormat;

use super::decisions::{DecisionText, Parts};
use super::raw::{self, Raw};
use super::{AgentConfig, Config, Log, RuleText, Windows};

mod bounds;
mod cluster;
mod etcd;
mod labels;
mod limits;
mod listen;
mod paths;
mod remote;
mod tenancy;

pub(crate) use cluster::{address, is_member_name, node_name};
pub(crate) use listen::{directives, listen};

/// What validation needs to know of the world.
pub(crate) struct World<'a> {
    /// The configuration file.
    pub(crate) file: Option<&'a Path>,
    /// The rule files' texts, or what kept them from being read.
    pub(crate) rule_files: Result<Vec<RuleText>, Vec<Problem>>,
    /// The configurations of agents, or what is wrong with them.
    pub(crate) agents: Result<Vec<AgentConfig>, Vec<Problem>>,
    /// The members that `cluster.peers_file` lists, or what is wrong with them; `None` without one.
    pub(crate) members: Option<Result<Vec<Member>, Vec<Problem>>>,
    /// What finding them had to say.
    pub(crate) warnings: Vec<Problem>,
    /// The environment.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
}

/// Turns a file into a configuration, or says everything that is wrong with it.
pub(crate) fn validate(
    source: &Source,
    mut raw: Raw,
    world: World<'_>,
) -> Result<Config, ConfigErrors> {
    let mut check = Check::new(source);
    check.warnings = world.warnings;
    let folder = files::folder_of(world.file);
    paths::resolve(&mut raw, folder);
    let agents = world.agents.unwrap_or_else(|problems| {
        check.errors.extend(problems);
        Vec::new()
    });
    let (rule_texts, rules) = read_rules(world.rule_files, &mut check);
    let queue = bounds::queue(&raw.queue.take().unwrap_or_default(), &mut check);
    let destinations = remote::destinations(&mut raw, folder, &queue, &mut check);
    let tenancy = tenancy::tenancy(&raw, &rules, &destinations, &mut check);
    let (windows, counter_memory) = windows(&raw.windows.unwrap_or_default(), &mut check);
    let ha = labels::ha(&raw.ha.unwrap_or_default(), &mut check);
    let cluster = raw.cluster.unwrap_or_default();
    let shard_key = cluster::shard_key(cluster.shard_key.as_ref(), &ha, &mut check);
    let relabel = raw.relabel_configs.unwrap_or_default();
    labels::relabelling(&relabel, &shard_key, &mut check);
    let (limits, series) = limits::limits(raw.limits.unwrap_or_default(), &mut check);
    let http = bounds::http(&raw.http.unwrap_or_default(), &mut check);
    let global = raw.global.unwrap_or_default();
    labels::global(&global, &mut check);
    let wal = bounds::wal(&raw.wal.unwrap_or_default(), &http, &mut check);
    let listen = listen::of_file(&raw.listen, &mut check);
    let config = Config {
        file: world.file.map(Path::to_owned),
        listen,
        data_dir: PathBuf::from(check.word("data_dir", &raw.data_dir, "weir-data")),
        external_labels: labels::external(
            raw.external_labels,
            global.external_labels,
            world.env,
            &mut check,
        ),
        destinations: destinations.into_iter().map(|(destination, _)| destination).collect(),
        tenancy,
        windows,
        wal,
        queue: queue.bounds,
        limits,
        http,
        auth: listen::auth(raw.auth.unwrap_or_default(), &mut check),
        tls: raw.tls.and_then(|tls| listen::tls(&tls, &mut check)),
        node_name: cluster::name(&cluster.name, &mut check),
        cluster: cluster::cluster(&cluster, world.members, listen, &mut check),
        agents,
        log: log(&raw.log.unwrap_or_default(), &mut check),
        shutdown_deadline: shutdown(&raw.shutdown.unwrap_or_default(), &mut check),
        decisions: DecisionText::new(Parts {
            rule_files: rule_texts,
            rules: &rules,
            relabel: &relabel,
            ha,
            shard_key,
            series,
            counter_memory,
        }),
        warnings: std::mem::take(&mut check.warnings),
    };
    if check.errors.is_empty() {
        bounds::decisions(&config, &mut check);
    }
    check.finish(config)
}

fn read_rules(
    files: Result<Vec<RuleText>, Vec<Problem>>,
    check: &mut Check<'_>,
) -> (Vec<RuleText>, Vec<weir_aggregate::rule::Rule>) {
    let read = files.and_then(|texts| weir_rules::read(&texts).map(|read| (texts, read)));
    match read {
        Ok((texts, read)) => {
            check.warnings.extend(read.warnings);
            (texts, read.rules)
        }
        Err(problems) => {
            check.errors.extend(problems);
            (Vec::new(), Vec::new())
        }
    }
}

const DAY: Millis = Millis::from_secs(86_400);

fn windows(raw: &raw::Windows, check: &mut Check<'_>) -> (Windows, Millis) {
    let secs = Millis::from_secs;
    let hour = secs(3600);
    let grace = check.duration("windows.grace", &raw.grace, secs(30), Millis(0)..=hour);
    let default = secs(300).max(grace);
    let wait =
        check.duration("windows.backlog_wait_max", &raw.backlog_wait_max, default, Millis(0)..=DAY);
    if wait < grace {
        check.error(
            "windows.backlog_wait_max",
            format!("{wait} is less than windows.grace, {grace}"),
        );
    }
    let future = check.duration("windows.future_max", &raw.future_max, secs(600), secs(1)..=DAY);
    let week = Millis(7 * DAY.0);
    let memory =
        check.duration("windows.counter_memory", &raw.counter_memory, hour, secs(60)..=week);
    (Windows { grace, backlog_wait_max: wait, future_max: future }, memory)
}

fn log(raw: &raw::Log, check: &mut Check<'_>) -> Log {
    let level = check.word("log.level", &raw.level, "info");
    if let (Some(_), Err(message)) = (&raw.level, directives(&level)) {
        check.error("log.level", message);
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log { level, format: check.choice("log.format", &raw.format, LogFormat::Text, &formats) }
}

fn shutdown(raw: &raw::Shutdown, check: &mut Check<'_>) -> Duration {
    let allowed = Millis::from_secs(1)..=Millis::from_secs(600);
    check.duration("shutdown.deadline", &raw.deadline, Millis::from_secs(30), allowed).to_std()
}

/// The modes of `ha`, as they are written.
const MODES: [(&str, Mode); 2] = [("merge", Mode::Merge), ("elect", Mode::Elect)];
