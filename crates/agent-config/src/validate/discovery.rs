//! `static_configs` and `*_sd_configs`, but for Kubernetes's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use weir_config::{Check, Text, files};
use weir_http::config::check_url;

use super::http::{Bearer, client};
use super::kubernetes;
use super::limits::refresh;
use crate::Host;
use crate::discovery::{
    DnsSd as Dns, DockerHost, DockerSd as Docker, FileSd as File, Group, HttpSd as Http, LabelMap,
    Mechanism, RecordType,
};
use crate::raw::ScrapeBlock;
use crate::raw::discovery::{DnsSd, DockerSd, FileSd, HttpSd, StaticConfig};

/// The mechanisms of a job, in the order of their kinds.
pub(super) fn mechanisms(
    block: &ScrapeBlock,
    host: &Host<'_>,
    check: &mut Check<'_>,
) -> Vec<Mechanism> {
    let mut all = Vec::new();
    if let Some(configs) = &block.static_configs {
        // Relabelling may still make addresses of what is none.
        let relabelled = block.relabel_configs.as_ref().is_some_and(|rules| !rules.is_empty());
        let groups = entries("static_configs", configs, check, |index, config, check| {
            fixed(index, config, relabelled, check)
        });
        all.push(Mechanism::Fixed(groups));
    }
    let configs = block.file_sd_configs.as_deref().unwrap_or_default();
    all.extend(entries("file_sd_configs", configs, check, |_, config, check| {
        Mechanism::File(files_sd(config, host, check))
    }));
    let configs = block.http_sd_configs.as_deref().unwrap_or_default();
    all.extend(entries("http_sd_configs", configs, check, |_, config, check| {
        Mechanism::Http(Box::new(http_sd(config, host, check)))
    }));
    let configs = block.dns_sd_configs.as_deref().unwrap_or_default();
    all.extend(entries("dns_sd_configs", configs, check, |_, config, check| {
        Mechanism::Dns(dns_sd(config, check))
    }));
    let configs = block.kubernetes_sd_configs.as_deref().unwrap_or_default();
    all.extend(entries("kubernetes_sd_configs", configs, check, |_, config, check| {
        Mechanism::Kubernetes(Box::new(kubernetes::kubernetes(config, host, check)))
    }));
    let configs = block.docker_sd_configs.as_deref().unwrap_or_default();
    all.extend(entries("docker_sd_configs", configs, check, |_, config, check| {
        Mechanism::Docker(Box::new(docker_sd(config, host, check)))
    }));
    all
}

/// Each entry of a list, checked at its own place.
fn entries<R, T>(
    key: &str,
    configs: &[R],
    check: &mut Check<'_>,
    read: impl Fn(usize, &R, &mut Check<'_>) -> T,
) -> Vec<T> {
    let each = configs.iter().enumerate().map(|(index, config)| {
        check.within(&format!("{key}[{index}]"), |check| read(index, config, check))
    });
    each.collect()
}

fn fixed(index: usize, config: &StaticConfig, relabelled: bool, check: &mut Check<'_>) -> Group {
    let labels = config.labels.clone().unwrap_or_default();
    if labels.contains_key("") {
        check.error("labels", "\"\" is not a label name");
    }
    let mut targets = Vec::new();
    for (place, address) in config.targets.iter().flatten().enumerate() {
        if address.contains('/') && !relabelled {
            let message = format!(
                "{address:?} is not a valid hostname; the path stands in metrics_path, and http or \
                 https in scheme"
            );
            check.error(&format!("targets[{place}]"), message);
        }
        targets.push(LabelMap::from([("__address__".to_owned(), address.clone())]));
    }
    Group { source: index.to_string(), labels, targets }
}

fn files_sd(config: &FileSd, host: &Host<'_>, check: &mut Check<'_>) -> File {
    let mut paths = Vec::new();
    for (index, name) in config.files.iter().flatten().enumerate() {
        if !is_pattern(name) {
            let message = format!(
                "{name:?} is no such path; it ends in .json, .yml or .yaml, and only its last part \
                 may hold a *, one"
            );
            check.error(&format!("files[{index}]"), message);
        }
        let mut path = Some(name.clone());
        files::join_text(&mut path, host.folder);
        paths.extend(path);
    }
    if paths.is_empty() {
        check.error("files", "names no file");
    }
    let refresh_interval = refresh(&config.refresh_interval, 300, check);
    File { files: paths, refresh_interval }
}

/// Prometheus's `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`.
fn is_pattern(name: &str) -> bool {
    let ending = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
    let Some(stem) = ending.iter().find_map(|ending| name.strip_suffix(ending)) else {
        return false;
    };
    stem.split_once('*').is_none_or(|(_, rest)| !rest.contains('/'))
}

fn http_sd(config: &HttpSd, host: &Host<'_>, check: &mut Check<'_>) -> Http {
    let url = config.url.clone().unwrap_or_default();
    check_url("url", &url, "http://discovery.example.com/targets", check);
    let bearer = Bearer { token: &config.bearer_token, file: &config.bearer_token_file };
    Http {
        url,
        refresh_interval: refresh(&config.refresh_interval, 60, check),
        client: client(config.http_client(), &bearer, host, check),
    }
}

fn dns_sd(config: &DnsSd, check: &mut Check<'_>) -> Dns {
    let names = config.names.clone().unwrap_or_default();
    if names.is_empty() {
        check.error("names", "must contain at least one name");
    }
    let kind = config.r#type.as_ref().map(|text| text.to_ascii_uppercase());
    let types = [
        ("SRV", RecordType::Srv),
        ("A", RecordType::A),
        ("AAAA", RecordType::Aaaa),
        ("MX", RecordType::Mx),
        ("NS", RecordType::Ns),
    ];
    let record_type = check.choice("type", &kind, RecordType::Srv, &types);
    let port = port("port", &config.port, 0, check);
    if port == 0 && record_type != RecordType::Srv {
        check.error("port", "is required for all record types except SRV");
    }
    let refresh_interval = refresh(&config.refresh_interval, 30, check);
    Dns { names, record_type, port, refresh_interval }
}

fn docker_sd(config: &DockerSd, host: &Host<'_>, check: &mut Check<'_>) -> Docker {
    let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, filter) in config.filters.iter().flatten().enumerate() {
        let name = filter.name.clone().unwrap_or_default();
        if name.is_empty() {
            check.error(&format!("filters[{index}].name"), "is missing");
        }
        filters.entry(name).or_default().extend(filter.values.clone().unwrap_or_default());
    }
    let bearer = Bearer { token: &config.bearer_token, file: &config.bearer_token_file };
    Docker {
        host: docker_host(&config.host, check),
        port: port("port", &config.port, 80, check),
        host_networking_host: check.word(
            "host_networking_host",
            &config.host_networking_host,
            "localhost",
        ),
        match_first_network: check.flag("match_first_network", &config.match_first_network, true),
        filters,
        refresh_interval: refresh(&config.refresh_interval, 60, check),
        client: client(config.http_client(), &bearer, host, check),
    }
}

fn docker_host(text: &Text, check: &mut Check<'_>) -> DockerHost {
    let text = text.clone().unwrap_or_default();
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => DockerHost::Socket(PathBuf::from(path)),
        Some(("http" | "https", host)) if !host.is_empty() => {
            DockerHost::Url(text.trim_end_matches('/').to_owned())
        }
        Some(("tcp", host)) if !host.is_empty() => {
            DockerHost::Url(format!("http://{}", host.trim_end_matches('/')))
        }
        _ => {
            let message = if text.is_empty() {
                "is missing; for the daemon of this host it is unix:///var/run/docker.sock".into()
            } else {
                format!("{text:?} is not a URL with unix, http, https or tcp")
            };
            check.error("host", message);
            DockerHost::Url(text)
        }
    }
}

fn port(key: &str, text: &Text, default: u16, check: &mut Check<'_>) -> u16 {
    let port = check.number(key, text, u64::from(default), 0..=u64::from(u16::MAX));
    u16::try_from(port).unwrap_or(default)
}
