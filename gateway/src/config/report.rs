//! What `--check` prints: what would run.
//!
//! Invariant: no secret is shown. Nothing is judged here; warnings come with the configuration.

use std::fmt::Write;

use weir_aggregate::rule::{Grouping, Rule};
use weir_model::Millis;
use weir_remote::config::{Destination, OnFull};

use super::{Config, Size, TenantLimits};

/// A page for people about what this configuration would run.
pub fn check_report(config: &Config) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail; were it to, the page would end with the reason.
    write(config, &mut page).unwrap_or_else(|error| page.push_str(&error.to_string()));
    page
}

fn write(config: &Config, page: &mut String) -> std::fmt::Result {
    match &config.file {
        Some(file) => writeln!(page, "{}: good", file.display())?,
        None => writeln!(page, "no configuration file: all is default")?,
    }
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    writeln!(page, "node         {}", config.node_name)?;
    writeln!(page, "listen       {scheme}://{}", config.listen)?;
    tier(config, page)?;
    let who = match config.auth.users.len() + config.auth.bearer_tokens.len() {
        0 => "everybody".to_owned(),
        n => format!("{n} users and tokens"),
    };
    writeln!(page, "who may send {who}")?;
    writeln!(page, "data         {}", config.data_dir.display())?;
    let bound = config.wal.max_bytes.map_or("the disk".to_owned(), |b| Size(b).to_string());
    let segment = Size(config.wal.segment_bytes);
    writeln!(page, "log          segments of {segment}, bounded by {bound}")?;
    let w = &config.windows;
    writeln!(
        page,
        "windows      grace {}, backlog at most {}, refused when {} ahead; counters remembered {}",
        w.grace,
        w.backlog_wait_max,
        w.future_max,
        config.decisions.counter_memory()
    )?;
    tenants(config, page)?;
    for (name, value) in &config.external_labels {
        writeln!(page, "label        {name}={value:?}")?;
    }
    rules(config, page)?;
    destinations(config, page)?;
    agents(config, page)?;
    if !config.warnings.is_empty() {
        writeln!(page, "\nwarnings")?;
    }
    for warning in &config.warnings {
        writeln!(page, "  {warning}")?;
    }
    Ok(())
}

fn tier(config: &Config, page: &mut String) -> std::fmt::Result {
    let cluster = &config.cluster;
    let Some(listen) = cluster.listen.filter(|_| !cluster.is_alone()) else {
        return Ok(());
    };
    let secured = if cluster.tls.is_some() { "mutual TLS" } else { "plain HTTP" };
    writeln!(page, "tier         at {listen}, {secured}")?;
    for member in cluster.members() {
        let (name, address, capacity) = (&member.name, &member.address, member.capacity);
        writeln!(page, "             {name} at {address}, capacity {capacity}")?;
    }
    if let Some(etcd) = cluster.etcd() {
        let (endpoints, prefix) = (etcd.endpoints.join(", "), &etcd.prefix);
        writeln!(page, "             members below {prefix} in etcd at {endpoints}")?;
        if cluster.replicas > 1 {
            let after = cluster.failover_delay + etcd.session_ttl;
            writeln!(page, "             a follower takes over after {} s", after.as_secs_f64())?;
        }
    }
    Ok(())
}

fn tenants(config: &Config, page: &mut String) -> std::fmt::Result {
    let t = &config.tenancy;
    let without = if t.required { "refused" } else { t.default.as_str() };
    writeln!(page, "tenant       by {}, {without} without it", t.header)?;
    if !t.several {
        writeln!(
            page,
            "             others than {} are refused: a destination would mix them",
            t.default
        )?;
    }
    writeln!(page, "limits       {}", limits(&config.limits.defaults))?;
    for (tenant, own) in &config.limits.tenants {
        writeln!(page, "             {tenant}: {}", limits(own))?;
    }
    let series = config.decisions.series_limits();
    writeln!(
        page,
        "series       at most {} labels, names of {} B, values of {} B",
        series.labels, series.name_bytes, series.value_bytes
    )
}

fn limits(limits: &TenantLimits) -> String {
    let number = |n: Option<u64>| n.map_or("any number of".to_owned(), |n| n.to_string());
    format!(
        "{} series, {} new ones and {} samples a second; past that {}",
        number(limits.max_series),
        number(limits.new_series_per_second),
        number(limits.samples_per_second),
        limits.status_over_limit
    )
}

fn rules(config: &Config, page: &mut String) -> std::fmt::Result {
    let rules = config.decisions.decisions(0).map(|d| d.rules).unwrap_or_default();
    let files = config.decisions.rule_files().len();
    writeln!(
        page,
        "\n{} rules in {files} files; what matches none passes through as it came",
        rules.len()
    )?;
    match config.decisions.relabel_steps() {
        0 => {}
        steps => writeln!(page, "  before them: {steps} relabelling steps")?,
    }
    for active in &rules {
        let rule = &active.rule;
        writeln!(page, "  {} every {}{}", rule.name(), rule.interval(), grouping(rule))?;
        writeln!(page, "    takes {}", selectors(rule))?;
        for output in rule.outputs() {
            writeln!(page, "    gives {} ({output})", rule.output_name("<metric>", output))?;
        }
    }
    Ok(())
}

fn selectors(rule: &Rule) -> String {
    let mut texts = Vec::new();
    for group in rule.selectors().iter().flat_map(|s| s.alternatives()) {
        let conditions: Vec<String> = group.iter().map(ToString::to_string).collect();
        texts.push(format!("{{{}}}", conditions.join(",")));
    }
    let taken = if texts.is_empty() { "every series".to_owned() } else { texts.join(" or ") };
    match rule.tenants() {
        Some(tenants) => format!("{taken} of {}", tenants.join(", ")),
        None => taken,
    }
}

fn grouping(rule: &Rule) -> String {
    match rule.grouping() {
        Grouping::Series => String::new(),
        Grouping::By(labels) => format!(" by {}", labels.join(", ")),
        Grouping::Without(labels) => format!(" without {}", labels.join(", ")),
    }
}

fn destinations(config: &Config, page: &mut String) -> std::fmt::Result {
    if config.destinations.is_empty() {
        let max = Size(config.queue.max_bytes);
        return writeln!(page, "\nno remote_write: outputs are served at /federate, up to {max}");
    }
    writeln!(page, "\n{} destinations", config.destinations.len())?;
    for destination in &config.destinations {
        let queue = &destination.queue;
        writeln!(page, "  {} {}", destination.name, shown_url(destination))?;
        let full = match queue.on_full {
            OnFull::Block => "senders get 503",
            OnFull::DropOldest => "the oldest is given up",
        };
        let age = queue.max_age.map_or(String::new(), |age: Millis| format!(", at most {age} old"));
        writeln!(page, "    queue up to {}{age}; when it is full, {full}", Size(queue.max_bytes))?;
        let client = &destination.client;
        let kinds = [
            (client.basic_auth.is_some(), "basic_auth"),
            (client.authorization.is_some(), "authorization"),
            (client.oauth2.is_some(), "oauth2"),
        ];
        let auth = kinds.iter().find(|(given, _)| *given).map_or("no credentials", |(_, k)| k);
        let tenant = match (&destination.tenant_header, &destination.tenant_label) {
            (Some(header), _) => format!("header {header}"),
            (None, Some(label)) => format!("label {label}"),
            (None, None) => "not told".to_owned(),
        };
        writeln!(page, "    with {auth}; tenant: {tenant}")?;
    }
    Ok(())
}

fn agents(config: &Config, page: &mut String) -> std::fmt::Result {
    if !config.agents.is_empty() {
        writeln!(
            page,
            "\n{} configurations of agents, of which the first that matches counts",
            config.agents.len()
        )?;
    }
    for agent in &config.agents {
        let who = agent.selector.as_ref().map_or("every agent".to_owned(), ToString::to_string);
        let (name, version, file) = (&agent.name, &agent.version, agent.file.display());
        writeln!(page, "  {name} for {who}: {file} (version {version})")?;
    }
    Ok(())
}

/// The URL without its query, in which some backends take a key.
fn shown_url(destination: &Destination) -> &str {
    let url = &destination.url;
    url.split(['?', '#']).next().unwrap_or(url)
}
