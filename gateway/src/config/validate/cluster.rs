//! `cluster`: this node among others, and what decides where a series lives.
//!
//! Keys of what does not exist yet are known and refused.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use weir_aggregate::decisions::HaLabels;
use weir_config::{Check, Problem, Text};
use weir_model::{Millis, ShardKey};
use weir_ring::Member;

use super::{etcd, listen::listen};
use crate::config::cluster::FAILOVER_DELAY;
use crate::config::raw;
use crate::config::{Cluster, ClusterTls, Membership};

/// What a node is called that does not say.
pub(crate) fn node_name(text: &Text) -> &str {
    text.as_deref().unwrap_or("weir")
}

/// Whether a node can be called so; the error says how it can.
pub(crate) fn is_member_name(name: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_legal) {
        return Err(format!("{name:?} is not 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'"));
    }
    Ok(())
}

/// Whether others can be told this address; the error says what one looks like.
pub(crate) fn address(text: &str) -> Result<(), String> {
    let wrong = || format!("{text:?} is not an address such as 10.0.0.1:9202 or gw-0.weir:9202");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let is_v6 = |host: &str| {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inside.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_name = !host.is_empty() && host.len() < 256 && host.chars().all(is_word);
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if port == 0 || !(is_name || is_v6(host)) {
        return Err(wrong());
    }
    let host = host.trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => {
            Err(format!("{text:?} leads nowhere; others need an address of this machine"))
        }
        _ => Ok(()),
    }
}

pub(super) fn name(text: &Text, check: &mut Check<'_>) -> String {
    let name = node_name(text);
    if let Err(why) = is_member_name(name) {
        check.error("cluster.name", why);
    }
    name.to_owned()
}

/// `cluster`, but for the name and the shard key.
pub(super) fn cluster(
    raw: &raw::Cluster,
    members: Option<Result<Vec<Member>, Vec<Problem>>>,
    served_at: SocketAddr,
    check: &mut Check<'_>,
) -> Cluster {
    let membership = membership(raw, members, check);
    let replicas = replication(&raw.replication_factor, &membership, check);
    let (default, most) = (Millis(FAILOVER_DELAY.as_millis() as i64), Millis::from_secs(3600));
    let key = "cluster.failover_delay";
    let failover_delay = check.duration(key, &raw.failover_delay, default, Millis(0)..=most);
    if membership == Membership::Alone {
        without_effect(raw, check);
    }
    let listen = listening(&raw.listen, membership == Membership::Alone, check);
    let tls = raw.tls.as_ref().and_then(|tls| certificates("cluster.tls", tls, check));
    if let Some(listen) = listen.filter(|_| membership != Membership::Alone)
        && tls.is_none()
        && !listen.ip().is_loopback()
    {
        let message = "whoever reaches this port is taken for a member; set cluster.tls, or keep \
                       the port within a trusted net";
        check.warn("cluster.listen", message);
    }
    let capacity = check.number("cluster.capacity", &raw.capacity, 1, 0..=100) as u16;
    if let Membership::Static(members) = &membership {
        file_counts(raw, members, check);
    }
    let advertise = advertised(&raw.advertise, listen, &membership, check);
    Cluster {
        advertise_push: pushed_to(&raw.advertise_push, &advertise, served_at, check),
        advertise,
        capacity,
        listen,
        tls,
        membership,
        replicas,
        failover_delay: failover_delay.to_std(),
        host: None,
    }
}

fn membership(
    raw: &raw::Cluster,
    members: Option<Result<Vec<Member>, Vec<Problem>>>,
    check: &mut Check<'_>,
) -> Membership {
    if raw.etcd.is_some() && raw.peers_file.is_some() {
        check.error("cluster.etcd", "stands beside cluster.peers_file; keep one of them");
    }
    let etcd = raw.etcd.as_ref().map(|raw| etcd::etcd(raw, check));
    match (members, etcd) {
        (Some(Err(problems)), _) => {
            check.errors.extend(problems);
            Membership::Static(Vec::new())
        }
        (Some(Ok(members)), _) => Membership::Static(members),
        (None, Some(etcd)) => Membership::Etcd(Box::new(etcd)),
        (None, None) => Membership::Alone,
    }
}

fn replication(text: &Text, membership: &Membership, check: &mut Check<'_>) -> u8 {
    let key = "cluster.replication_factor";
    let replicas = check.number(key, text, 1, 1..=2) as u8;
    if replicas > 1 && !matches!(membership, Membership::Etcd(_)) {
        let message = "2 needs cluster.etcd: who takes over from whom must be agreed on";
        check.error(key, message);
    }
    replicas
}

fn without_effect(raw: &raw::Cluster, check: &mut Check<'_>) {
    let keys = [
        ("listen", raw.listen.is_some()),
        ("advertise", raw.advertise.is_some()),
        ("advertise_push", raw.advertise_push.is_some()),
        ("capacity", raw.capacity.is_some()),
        ("tls", raw.tls.is_some()),
        ("failover_delay", raw.failover_delay.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_there)| *is_there) {
        let message = "has no effect: this node stands alone; name its tier by peers_file or etcd";
        check.warn(&format!("cluster.{key}"), message);
    }
}

fn listening(text: &Text, is_alone: bool, check: &mut Check<'_>) -> Option<SocketAddr> {
    let Some(text) = text else {
        if !is_alone {
            let message = "listen is missing; other members reach this node there: listen: :9202";
            check.error("cluster", message);
        }
        return None;
    };
    listen(text).map_err(|message| check.error("cluster.listen", message)).ok()
}

/// The file of peers says of this node what others are told; the keys may only say the same.
fn file_counts(raw: &raw::Cluster, members: &[Member], check: &mut Check<'_>) {
    let Some(own) = members.iter().find(|member| member.name == node_name(&raw.name)) else {
        return;
    };
    let said = [
        ("advertise", &raw.advertise, own.address.clone()),
        ("advertise_push", &raw.advertise_push, own.push.clone()),
        ("capacity", &raw.capacity, own.capacity.to_string()),
    ];
    for (key, text, listed) in said {
        if text.as_ref().is_some_and(|text| *text != listed) {
            let message = format!("has no effect: the file of peers says {listed}");
            check.warn(&format!("cluster.{key}"), message);
        }
    }
}

fn advertised(
    text: &Text,
    listen: Option<SocketAddr>,
    membership: &Membership,
    check: &mut Check<'_>,
) -> String {
    let default = listen.map(|address| address.to_string());
    let Some(text) = text.clone().or(default) else {
        return String::new();
    };
    let is_told = matches!(membership, Membership::Etcd(_));
    if is_told && let Err(why) = address(&text) {
        check.error("cluster.advertise", why);
    }
    text
}

/// The host at which other members reach this node, and the port at which it takes requests.
fn pushed_to(text: &Text, advertise: &str, served_at: SocketAddr, check: &mut Check<'_>) -> String {
    match text {
        Some(text) => {
            if let Err(why) = address(text) {
                check.error("cluster.advertise_push", why);
            }
            text.clone()
        }
        None => {
            let host = advertise.rsplit_once(':').map(|(host, _)| host);
            let is_local = |host: &&str| host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            let reached = host.filter(|host| !served_at.ip().is_loopback() || is_local(host));
            let at = reached.map(|host| format!("{host}:{}", served_at.port()));
            at.filter(|at| address(at).is_ok()).unwrap_or_default()
        }
    }
}

/// All three files, or none.
fn certificates(at: &str, raw: &raw::ClusterTls, check: &mut Check<'_>) -> Option<ClusterTls> {
    let path = |text: &Text| text.as_ref().filter(|t| !t.is_empty()).map(PathBuf::from);
    match (path(&raw.cert_file), path(&raw.key_file), path(&raw.ca_file)) {
        (Some(cert_file), Some(key_file), Some(ca_file)) => {
            Some(ClusterTls { cert_file, key_file, ca_file })
        }
        (None, None, None) => None,
        _ => {
            check.error(at, "needs cert_file, key_file and ca_file: members know each other by it");
            None
        }
    }
}

pub(super) fn shard_key(
    raw: Option<&raw::ShardKey>,
    ha: &HaLabels,
    check: &mut Check<'_>,
) -> ShardKey {
    let mut key = ShardKey { replica_label: ha.replica.clone(), ..ShardKey::default() };
    let Some(raw) = raw else {
        return key;
    };
    if let Some(labels) = &raw.labels {
        let at = "cluster.shard_key.labels";
        if labels.is_empty() || labels.len() > LABELS_MAX {
            check.error(at, format!("{} labels; allowed are 1 to {LABELS_MAX}", labels.len()));
        }
        for (index, label) in labels.iter().enumerate() {
            let at = format!("{at}[{index}]");
            if label.is_empty() {
                check.error(&at, "is empty; a label has a name");
            } else if ["le", "quantile", "__name__"].contains(&label.as_str()) {
                let message =
                    format!("{label} would tear the series of one histogram or target apart");
                check.error(&at, message);
            } else if *label == ha.replica {
                let message =
                    format!("{label} is ha.replica_label, by which replicas would never meet");
                check.error(&at, message);
            } else if labels.iter().take(index).any(|earlier| earlier == label) {
                check.error(&at, format!("{label} is listed twice"));
            }
        }
        key.labels.clone_from(labels);
    }
    for (index, target) in raw.split.iter().flatten().enumerate() {
        if target.len() != key.labels.len() {
            let at = format!("cluster.shard_key.split[{index}]");
            let labels = key.labels.join(", ");
            check.error(&at, format!("has {} values; give one for each of {labels}", target.len()));
        }
    }
    key.split = raw.split.clone().unwrap_or_default();
    key
}

/// Targets are told apart by few labels; more are a mistake.
const LABELS_MAX: usize = 8;
