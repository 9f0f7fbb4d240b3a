//! A node among others: what its file may say, and the file of its peers.

use weir_ring::Member;

use super::*;

const OWN: &str = "cluster: {name: gw-0, listen: '127.0.0.1:9202', peers_file: peers.yml}\n";

const PEERS: &str = "members:
- {name: gw-0, address: '127.0.0.1:9202'}
- {name: gw-1, address: 'gw-1.weir.svc:9202', capacity: 4}
- {name: gw-2, address: '[fd00::2]:9202', capacity: 0}
";

fn member(name: &str, address: &str, capacity: u16) -> Member {
    Member { name: name.into(), address: address.into(), push: String::new(), capacity }
}

#[test]
fn a_file_of_peers_makes_a_tier() {
    let folder = Folder::new(&[("weir.yml", OWN), ("peers.yml", PEERS)]);
    let config = folder.load().unwrap();
    let members = vec![
        member("gw-0", "127.0.0.1:9202", 1),
        member("gw-1", "gw-1.weir.svc:9202", 4),
        member("gw-2", "[fd00::2]:9202", 0),
    ];
    let expected = Cluster {
        advertise_push: "127.0.0.1:9201".into(),
        listen: Some("127.0.0.1:9202".parse().unwrap()),
        advertise: "127.0.0.1:9202".into(),
        capacity: 1,
        tls: None,
        membership: Membership::Static(members),
        replicas: 1,
        failover_delay: Duration::from_secs(2),
        host: None,
    };
    assert_eq!(config.cluster, expected);
    assert_eq!(config.warnings, []);
    let report = check_report(&config);
    for line in ["at 127.0.0.1:9202, plain HTTP", "gw-1 at gw-1.weir.svc:9202, capacity 4"] {
        assert!(report.contains(line), "{line}:\n{report}");
    }
}

#[test]
fn everything_wrong_with_the_file_of_peers_is_said_with_its_own_lines() {
    let peers = "members:
- {name: gw-1, address: gw-1}
- {name: 'a b', address: '0.0.0.0:9202', capacity: 101}
- {name: gw-1, address: 'gw-3:0'}
- {}
- {name: gw-4, address: 'x:1'}
- {name: gw-5, address: 'x:1'}
";
    let folder = Folder::new(&[("weir.yml", OWN), ("peers.yml", peers)]);
    assert_eq!(
        folder.errors(),
        [
            "peers.yml:1: members: this node, \"gw-0\" (cluster.name), is not among the members",
            "peers.yml:2: members[0].address: \"gw-1\" is not an address such as 10.0.0.1:9202 or gw-0.weir:9202",
            "peers.yml:3: members[1].name: \"a b\" is not 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'",
            "peers.yml:3: members[1].address: \"0.0.0.0:9202\" leads nowhere; others need an address of this machine",
            "peers.yml:3: members[1].capacity: 101 is out of bounds; allowed is 0 to 100",
            "peers.yml:4: members[2].address: \"gw-3:0\" is not an address such as 10.0.0.1:9202 or gw-0.weir:9202",
            "peers.yml:4: members[2].name: \"gw-1\" is an earlier entry's name",
            "peers.yml:5: members[3].name: is missing; each member has the name of its cluster.name",
            "peers.yml:5: members[3].address: is missing; write where the member's cluster.listen is reached",
            "peers.yml:7: members[5].address: \"x:1\" is an earlier entry's",
        ]
    );
    folder.write("peers.yml", "member: []\n");
    assert_eq!(folder.errors(), ["peers.yml:1: member: unknown key; did you mean members?"]);
    folder.write("peers.yml", &PEERS.replace("capacity: 4", "capcity: 4"));
    assert_eq!(
        folder.errors(),
        ["peers.yml:3: members[1].capcity: unknown key; did you mean capacity?"]
    );
}

#[test]
fn a_tier_needs_an_address_and_says_what_has_no_effect() {
    let folder = Folder::new(&[("weir.yml", ""), ("peers.yml", PEERS)]);
    folder.write("weir.yml", "cluster: {name: gw-0, peers_file: peers.yml}\n");
    assert_eq!(
        folder.errors(),
        [
            "weir.yml:1: cluster: listen is missing; other members reach this node there: listen: :9202"
        ]
    );
    folder.write(
        "weir.yml",
        "cluster:\n  name: gw-0\n  listen: :9202\n  advertise: gw-0:9202\n  capacity: 2\n  peers_file: peers.yml\n",
    );
    assert_eq!(
        folder.warnings(),
        [
            "weir.yml:3: cluster.listen: whoever reaches this port is taken for a member; set cluster.tls, or keep the port within a trusted net",
            "weir.yml:4: cluster.advertise: has no effect: the file of peers says 127.0.0.1:9202",
            "weir.yml:5: cluster.capacity: has no effect: the file of peers says 1",
        ]
    );
    folder.write("weir.yml", "cluster: {listen: ':9202', capacity: 2}\n");
    assert_eq!(
        folder.warnings(),
        [
            "weir.yml:1: cluster.listen: has no effect: this node stands alone; name its tier by peers_file or etcd",
            "weir.yml:1: cluster.capacity: has no effect: this node stands alone; name its tier by peers_file or etcd",
        ]
    );
    assert!(folder.load().unwrap().cluster.is_alone());
}

#[test]
fn etcd_keeps_the_members_where_no_file_does() {
    let folder = Folder::new(&[("peers.yml", PEERS), ("pass", "hunter2")]);
    folder.write(
        "weir.yml",
        "cluster:
  name: gw-0
  listen: :9202
  advertise: gw-0.weir:9202
  capacity: 3
  etcd: {endpoints: ['http://etcd-0:2379'], username: weir, password_file: pass}
",
    );
    let config = folder.load().unwrap();
    let expected = Etcd {
        endpoints: vec!["http://etcd-0:2379".into()],
        prefix: "/weir/".into(),
        session_ttl: Duration::from_secs(10),
        credentials: Some(("weir".into(), folder.path("pass"))),
        tls: weir_http::ClientTlsConfig::default(),
    };
    assert_eq!(config.cluster.membership, Membership::Etcd(Box::new(expected)));
    assert_eq!((config.cluster.advertise.as_str(), config.cluster.capacity), ("gw-0.weir:9202", 3));
    assert!(check_report(&config).contains("members below /weir/ in etcd at http://etcd-0:2379"));
    folder.write(
        "weir.yml",
        "cluster:
  name: gw-0
  listen: :9202
  peers_file: peers.yml
  etcd:
    endpoints: [etcd-0]
    prefix: weir
    session_ttl: 2500ms
    username: weir
    tls: {cert_file: a}
",
    );
    let errors = folder.errors();
    let said: Vec<&str> = errors.iter().map(|e| e.split(": ").nth(1).unwrap()).collect();
    let etcd = "cluster.etcd";
    let of = |key: &str| format!("{etcd}.{key}");
    let (endpoints, prefix, ttl, tls) =
        (of("endpoints[0]"), of("prefix"), of("session_ttl"), of("tls"));
    assert_eq!(said, [etcd, etcd, &endpoints, &prefix, &ttl, &tls], "{errors:#?}");
    folder.write("weir.yml", "cluster: {listen: ':9202', etcd: {endpoints: ['http://e:1']}}\n");
    assert_eq!(
        folder.errors(),
        [
            "weir.yml:1: cluster.advertise: \"0.0.0.0:9202\" leads nowhere; others need an address of this machine"
        ]
    );
}

#[test]
fn members_change_by_a_reload_and_the_rest_by_a_restart() {
    let folder = Folder::new(&[("weir.yml", OWN), ("peers.yml", PEERS)]);
    let old = folder.load().unwrap();
    folder.write("peers.yml", &PEERS.replace("capacity: 4", "capacity: 5"));
    let new = folder.load().unwrap();
    let changes = compare(&old, &new);
    assert_eq!(changes.0, [Change { key: "cluster.peers_file".into(), restart: None }]);
    folder.write("weir.yml", &OWN.replace("9202", "9203"));
    let keys: Vec<String> =
        compare(&new, &folder.load().unwrap()).0.into_iter().map(|c| c.key).collect();
    assert_eq!(keys, ["cluster.listen", "cluster.advertise"]);
    folder.write("weir.yml", "cluster: {name: gw-0}\n");
    let changes = compare(&new, &folder.load().unwrap());
    assert!(changes.need_restart().any(|change| change.key == "cluster"), "{changes:?}");
}
