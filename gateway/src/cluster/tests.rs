//! Members in one process, each with its listener: who sees whom, and who gets nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use weir_http::{
    Client, ClientConfig, Drain, Full, Handler, HeaderMap, Incoming, Peer, Request, Response,
};

use weir_model::ShardKey;

use super::*;
use crate::config::{ClusterTls, Overrides, load};

/// A configuration in this folder: the node `name` of these members.
fn config(folder: &Path, name: &str, members: &[(&str, &str)]) -> Config {
    let lines: String = members
        .iter()
        .map(|(name, address)| format!("- {{name: {name}, address: '{address}'}}\n"))
        .collect();
    std::fs::write(folder.join("peers.yml"), format!("members:\n{lines}")).unwrap();
    let text = format!(
        "data_dir: {:?}\ncluster: {{name: {name}, listen: '127.0.0.1:0', peers_file: peers.yml}}\n",
        folder
    );
    let file = folder.join("weir.yml");
    std::fs::write(&file, text).unwrap();
    load(Some(&file), &Overrides::default(), &|_| None).unwrap()
}

fn members(names: &[&str]) -> Vec<Member> {
    let member = |name: &&str| Member {
        name: (*name).into(),
        address: format!("{name}:1"),
        push: String::new(),
        capacity: 1,
    };
    names.iter().map(member).collect()
}

const AB: &[(&str, &str)] = &[("a", "127.0.0.1:1"), ("b", "127.0.0.1:2")];
const ABC: &[(&str, &str)] = &[("a", "127.0.0.1:1"), ("b", "127.0.0.1:2"), ("c", "127.0.0.1:3")];

#[test]
fn alone_it_owns_everything() {
    let cluster = Cluster::alone("weir");
    assert!(cluster.is_alone() && cluster.peers().all().is_empty());
    assert_eq!(cluster.owned(), OwnedSet::ALL);
}

#[test]
fn owners_survive_a_restart_with_other_members() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(&config(folder.path(), "a", AB)).unwrap();
    cluster.confirm().unwrap();
    let before = cluster.table();
    assert_eq!(before.version(), 1);
    let wider = Cluster::open(&config(folder.path(), "a", ABC)).unwrap();
    assert_eq!(wider.owned(), before.owned_by("a"), "a new member owns nothing by itself");
    assert!(wider.table().owned_by("c").is_empty());
    assert_eq!(wider.table().version(), 2);
    let narrower = Cluster::open(&config(folder.path(), "a", &AB[..1])).unwrap();
    assert_eq!(narrower.owned(), before.owned_by("a"), "b is not listed, and owns the rest");
}

#[test]
fn a_reload_takes_members_in_and_refuses_to_lose_an_owner() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(&config(folder.path(), "a", AB)).unwrap();
    cluster.confirm().unwrap();
    let told = cluster.watch();
    cluster.set_members(&members(&["a", "b", "c"])).unwrap();
    assert!(told.has_changed().unwrap());
    assert_eq!(*told.borrow(), 2);
    let names: Vec<String> =
        cluster.peers().all().iter().map(|peer| peer.member().name.clone()).collect();
    assert_eq!(names, ["b", "c"]);
    cluster.set_members(&members(&["a", "b"])).unwrap();
    let why = cluster.check_members(&members(&["a"])).unwrap_err();
    let owned = cluster.table().owned_by("b").len();
    assert!(why.contains(&format!("b owns {owned} virtual shards")), "{why}");
    assert!(why.contains("move its virtual shards first"), "{why}");
}

#[test]
fn a_draft_gives_way_to_a_table_in_force() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = Cluster::open(&config(one.path(), "b", AB)).unwrap();
    old.confirm().unwrap();
    // It has all three in its file, and its name would win where nothing else decides.
    let new = Cluster::open(&config(other.path(), "c", ABC)).unwrap();
    assert!(!new.owned().is_empty(), "by its draft");
    assert!(!old.learn(&new.table()), "nobody believes a draft");
    assert!(new.learn(&old.table()));
    new.confirm().unwrap();
    assert!(new.owned().is_empty());
    assert_eq!(new.table().owned_by("b"), old.owned());
}

#[test]
fn a_kept_table_that_is_damaged_is_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(kept::FILE), "{\"version\":").unwrap();
    let cluster = Cluster::open(&config(folder.path(), "a", AB)).unwrap();
    assert_eq!(cluster.table().version(), 0);
}

/// Answers everything under a name.
struct Named(&'static str);

impl Handler for Named {
    async fn handle(&self, _: Request<Incoming>, _: Peer) -> Response<Full<Bytes>> {
        let (name, terms) = Terms::of(&ShardKey::default()).header();
        let answer = Response::builder().header(MEMBER_HEADER, self.0).header(name, terms);
        answer.body(Full::new(Bytes::from_static(b"hello"))).unwrap()
    }
}

async fn serve(name: &'static str, tls: Option<&ClusterTls>) -> SocketAddr {
    let tls = tls.map(|tls| weir_http::ServerTls::load(tls.server(), Instant::now()).unwrap());
    let config = weir_http::ServerConfig { tls: tls.map(Arc::new), ..Default::default() };
    let any = "127.0.0.1:0".parse().unwrap();
    let server = weir_http::Server::bind(any, config).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve(Arc::new(Named(name)), Drain::new()));
    address
}

fn peers(own: &str, other: (&str, SocketAddr), tls: Option<&ClusterTls>) -> Peers {
    let member = |name: &str, address: String| Member {
        name: name.into(),
        address,
        push: String::new(),
        capacity: 1,
    };
    let both = vec![member(own, "x:1".into()), member(other.0, other.1.to_string())];
    let peers = Peers::new(own, Terms::of(&ShardKey::default()), tls);
    peers.follow(&Table::fill(both).unwrap()).unwrap();
    peers
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_counts_only_from_the_member_that_was_meant() {
    let address = serve("b", None).await;
    let right = peers("a", ("b", address), None);
    let reply = right.post("b", "/x", HeaderMap::new(), Bytes::new(), SOON).await.unwrap();
    assert_eq!(reply.body, "hello");
    let facts = right.get("b").unwrap();
    assert!(facts.facts().up.load(Ordering::Relaxed));
    let unknown = right.post("c", "/x", HeaderMap::new(), Bytes::new(), SOON).await;
    assert_eq!(unknown.unwrap_err().to_string(), "c is no other member");
    let wrong = peers("a", ("c", address), None);
    let why = wrong.post("c", "/x", HeaderMap::new(), Bytes::new(), SOON).await.unwrap_err();
    assert_eq!(why.to_string(), "who answers there is b");
    let peer = wrong.get("c").unwrap();
    assert!(!peer.facts().up.load(Ordering::Relaxed));
    assert_eq!(peer.facts().last_error(), "who answers there is b");
}

#[tokio::test]
async fn a_member_with_another_shard_key_is_no_answer() {
    let address = serve("b", None).await;
    let member =
        Member { name: "b".into(), address: address.to_string(), push: String::new(), capacity: 1 };
    let key = ShardKey { labels: vec!["host".into()], ..ShardKey::default() };
    let peers = Peers::new("a", Terms::of(&key), None);
    peers.follow(&Table::fill(vec![member]).unwrap()).unwrap();
    let why = peers.post("b", "/x", HeaderMap::new(), Bytes::new(), SOON).await.unwrap_err();
    assert_eq!(why.to_string(), "its cluster.shard_key or ha.replica_label differs from ours");
    assert!(!peers.get("b").unwrap().facts().up.load(Ordering::Relaxed));
}

/// Writes certificates of a new authority, and says where they are.
fn certificates(folder: &Path, name: &str) -> ClusterTls {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = cert.signed_by(&key, &ca).unwrap();
    let write = |end: &str, pem: String| {
        let file = folder.join(format!("{name}.{end}"));
        std::fs::write(&file, pem).unwrap();
        file
    };
    ClusterTls {
        cert_file: write("crt", cert.pem()),
        key_file: write("key", key.serialize_pem()),
        ca_file: write("ca", ca.pem()),
    }
}

#[tokio::test]
async fn without_a_certificate_of_the_tier_nothing_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (own, strange) = (certificates(folder.path(), "own"), certificates(folder.path(), "else"));
    let address = serve("b", Some(&own)).await;
    let post = async |tls: Option<&ClusterTls>| {
        let peers = peers("a", ("b", address), tls);
        peers.post("b", "/x", HeaderMap::new(), Bytes::new(), SOON).await
    };
    assert_eq!(post(Some(&own)).await.unwrap().body, "hello");
    assert!(post(Some(&strange)).await.is_err(), "another authority's");
    assert!(post(None).await.is_err(), "plain HTTP");
    // It trusts the tier, and has nothing to show.
    let tls = weir_http::ClientTlsConfig { cert_file: None, key_file: None, ..own.client() };
    let client = Client::new(ClientConfig { tls, ..Default::default() }, Instant::now()).unwrap();
    let url = format!("https://{address}/cluster/v1/table").parse().unwrap();
    assert!(client.get(&url, HeaderMap::new(), SOON).await.is_err());
}
