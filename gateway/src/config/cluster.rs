//! `cluster` as the rest of the gateway sees it: how this node is one of several.
//!
//! Invariant: a node that does not stand alone has an address to listen at, and with a static list
//! it is one of the list.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_http::tls::TlsVersion;
use weir_http::{ClientTlsConfig, ServerTlsConfig};
use weir_ring::Member;

/// A node among others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// `cluster.listen`: where other members, and nobody else, are served.
    pub listen: Option<SocketAddr>,
    /// `cluster.advertise`: where they reach this node, `host:port`.
    pub advertise: String,
    /// `cluster.advertise_push`: where senders reach this node, `host:port`; empty where nobody knows.
    pub advertise_push: String,
    /// `cluster.capacity`: this node's weight.
    pub capacity: u16,
    /// `cluster.tls`: plain HTTP where absent.
    pub tls: Option<ClusterTls>,
    /// Who the others are.
    pub membership: Membership,
    /// `cluster.replication_factor`: 2, if another member has a twin of the data directory.
    pub replicas: u8,
    /// `cluster.failover_delay`: who is gone for longer than its session is taken over after that.
    pub failover_delay: Duration,
    /// The member that has taken this one over, and runs it.
    pub host: Option<String>,
}

/// How long a follower waits, from the end of a session, unless it is told otherwise.
pub(crate) const FAILOVER_DELAY: Duration = Duration::from_secs(2);

/// How a node learns who the others are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Membership {
    /// There are none.
    Alone,
    /// `cluster.peers_file`: all members, this node among them.
    Static(Vec<Member>),
    /// `cluster.etcd`.
    Etcd(Box<Etcd>),
}

/// Certificates between members: one for both sides of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterTls {
    /// PEM chain, this node's own certificate first.
    pub cert_file: PathBuf,
    /// PEM key.
    pub key_file: PathBuf,
    /// Who signs members: others are neither let in nor asked.
    pub ca_file: PathBuf,
}

/// An etcd that keeps table and members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Etcd {
    /// URLs of its members.
    pub endpoints: Vec<String>,
    /// What all keys of the tier begin with; ends in a slash.
    pub prefix: String,
    /// A member that has not been heard of for so long is no longer listed.
    pub session_ttl: Duration,
    /// Who this node is to etcd, and the file of its password.
    pub credentials: Option<(String, PathBuf)>,
    /// TLS to `https` endpoints.
    pub tls: ClientTlsConfig,
}

impl Cluster {
    /// A node without others.
    pub fn alone() -> Self {
        Self {
            listen: None,
            advertise: String::new(),
            advertise_push: String::new(),
            capacity: 1,
            tls: None,
            membership: Membership::Alone,
            replicas: 1,
            failover_delay: FAILOVER_DELAY,
            host: None,
        }
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        self.membership == Membership::Alone
    }

    /// The members that a file lists.
    pub fn members(&self) -> &[Member] {
        match &self.membership {
            Membership::Static(members) => members,
            _ => &[],
        }
    }

    /// Where the members stand, if it is no file.
    pub fn etcd(&self) -> Option<&Etcd> {
        match &self.membership {
            Membership::Etcd(etcd) => Some(etcd),
            _ => None,
        }
    }
}

impl ClusterTls {
    /// For the listener: who shows no certificate of the tier gets nothing.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig {
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            client_ca_file: Some(self.ca_file.clone()),
            min_version: TlsVersion::Tls13,
        }
    }

    /// For requests to other members.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig {
            ca_file: Some(self.ca_file.clone()),
            cert_file: Some(self.cert_file.clone()),
            key_file: Some(self.key_file.clone()),
            min_version: TlsVersion::Tls13,
            ..ClientTlsConfig::default()
        }
    }
}
