//! `dns_sd_configs`: targets from DNS records.
//!
//! Invariant: a name that no server could answer for keeps its last targets; one that does not
//! exist has none. The resolver is our own, small one: it asks the servers of `/etc/resolv.conf`,
//! read again each time, and caches nothing, for the refresh interval says how often to ask.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use weir_agent_config::discovery::DnsSd;

use super::refresh::Source;
use super::{DiscoveryError, Group, LabelMap, Outlet, join_host_port};

mod message;
mod resolver;

use message::Record;

/// The names and what was found for them.
#[derive(Debug)]
pub(super) struct Names {
    config: DnsSd,
    resolv_conf: PathBuf,
    found: BTreeMap<String, Group>,
}

impl Names {
    pub(super) fn new(config: DnsSd) -> Self {
        Self { config, resolv_conf: PathBuf::from("/etc/resolv.conf"), found: BTreeMap::new() }
    }
}

impl Source for Names {
    fn interval(&self) -> Duration {
        self.config.refresh_interval
    }

    async fn look(&mut self, outlet: &Outlet) -> Result<Option<Vec<Group>>, DiscoveryError> {
        let settings = tokio::fs::read_to_string(&self.resolv_conf).await;
        let path = self.resolv_conf.display();
        let settings = settings.map_err(|error| DiscoveryError::new(path, error))?;
        let settings = resolver::Settings::parse(&settings);
        for name in &self.config.names {
            match resolver::look_up(&settings, name, self.config.record_type).await {
                Ok(records) => {
                    self.found.insert(name.clone(), group(&self.config, name, &records));
                }
                Err(error) => outlet.failed(&DiscoveryError(error.to_string())),
            }
        }
        Ok(Some(self.found.values().cloned().collect()))
    }
}

fn group(config: &DnsSd, name: &str, records: &[Record]) -> Group {
    let port = config.port;
    let target = |record: &Record| {
        let mut labels = LabelMap::new();
        let mut set = |label: &str, value: String| labels.insert(label.to_owned(), value);
        let address = match record {
            Record::A(address) => join_host_port(&address.to_string(), port),
            Record::Aaaa(address) => join_host_port(&address.to_string(), port),
            Record::Srv { target, port } => {
                set("__meta_dns_srv_record_target", target.clone());
                set("__meta_dns_srv_record_port", port.to_string());
                join_host_port(target.trim_end_matches('.'), *port)
            }
            Record::Mx(target) => {
                set("__meta_dns_mx_record_target", target.clone());
                join_host_port(target.trim_end_matches('.'), port)
            }
            Record::Ns(target) => {
                set("__meta_dns_ns_record_target", target.clone());
                join_host_port(target.trim_end_matches('.'), port)
            }
        };
        set("__address__", address);
        set("__meta_dns_name", name.to_owned());
        labels
    };
    let targets = records.iter().map(target).collect();
    Group { source: name.to_owned(), labels: LabelMap::new(), targets }
}

#[cfg(test)]
mod tests;
