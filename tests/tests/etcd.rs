//! A tier whose table and members stand in a real etcd: agreed on by all, and none the worse for its
//! absence.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_gateway::cluster::{AssignError, Cluster, engine};
use weir_gateway::config::{Config, Overrides, load};
use weir_model::VShard;
use weir_tests::certificates::Authority;
use weir_tests::etcd::Etcd;
use weir_tests::gateway::Gateway;
use weir_tests::processes::free_address;
use weir_tests::samples::{Sample, labels};
use weir_tests::{http, sender, wait};

const SOON: Duration = Duration::from_secs(30);

/// The shortest that the gateway allows.
const TTL: &str = "2s";

/// A member below `/weir/test/`, with more keys of `cluster.etcd`.
fn config(name: &str, etcd: &Etcd, more: &str) -> String {
    let (listen, url) = (free_address(), etcd.url());
    format!(
        "cluster:\n  name: {name}\n  listen: {listen}\n  etcd: {{endpoints: ['http://127.0.0.1:1', \
         '{url}'], prefix: /weir/test/, session_ttl: {TTL}{more}}}\n"
    )
}

fn member(name: &str, etcd: &Etcd) -> Gateway {
    Gateway::prepare(&config(name, etcd, ""), "")
}

/// The API's answer.
fn asked(gateway: &Gateway, what: &str) -> serde_json::Value {
    let path = format!("/api/v1/cluster/{what}");
    let answer = http::get(gateway.address(), &path).expect("it answers");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Waits until a gateway sees so many members that are up.
fn wait_up(gateway: &Gateway, up: usize) {
    wait::until(&format!("{up} members are up"), SOON, || {
        let tier = asked(gateway, "members");
        let members = tier["members"].as_array().expect("a list");
        let seen = members.iter().filter(|member| member["up"] == true).count();
        (seen == up).then_some(()).ok_or(tier.to_string())
    });
}

fn owned(gateway: &Gateway) -> f64 {
    gateway.metrics().get("weir_cluster_vshards_owned", &[]).expect("it is of a tier")
}

fn wait_engine(gateway: &Gateway, up: f64) {
    gateway.wait_metrics("etcd's state is seen", SOON, |page| {
        page.get("weir_cluster_engine_up", &[]) == Some(up)
    });
}

/// Names below a prefix that ends in a slash, and how often each was written.
fn keys(etcd: &Etcd, prefix: &str) -> Vec<(String, String)> {
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let range = format!("{{\"key\":\"{}\",\"range_end\":\"{}\"}}", base64(prefix), base64(&end));
    let answer = etcd.ask("/v3/kv/range", &range);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    pairs.iter().map(|pair| (text(&pair["key"]), text(&pair["version"]))).collect()
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[test]
fn two_that_start_at_the_same_time_agree_on_one_first_table() {
    let etcd = Etcd::start();
    let mut gateways = ["gw-0", "gw-1"].map(|name| member(name, &etcd));
    // Both wait for it, so that neither is ahead by more than an attempt.
    etcd.freeze();
    gateways.iter_mut().for_each(Gateway::spawn);
    for gateway in &gateways {
        wait::until_true("it asks etcd", SOON, || gateway.log().contains("etcd cannot be used"));
    }
    etcd.thaw();
    gateways.iter_mut().for_each(Gateway::wait_started);
    let tables = gateways.each_ref().map(|gateway| asked(gateway, "table"));
    assert_eq!(tables[0]["owners"], tables[1]["owners"]);
    let shares = gateways.each_ref().map(owned);
    assert_eq!(shares[0] + shares[1], 4096.0);
    assert!(shares.iter().all(|&share| share > 1800.0), "{shares:?}");
    let table = keys(&etcd, "/weir/test/table/");
    assert_eq!(table.len(), 64, "{table:?}");
    assert!(table.iter().all(|(_, times)| times == "1"), "written once: {table:?}");
    gateways.iter().for_each(|gateway| wait_up(gateway, 2));

    // A third one owns nothing by itself.
    let mut third = member("gw-2", &etcd);
    third.launch();
    gateways.iter().for_each(|gateway| wait_up(gateway, 3));
    assert_eq!(owned(&third), 0.0);
    assert_eq!(asked(&third, "table")["members"], asked(&gateways[0], "table")["members"]);
    // It is gone with its session, for it owns nothing; an owner stays, and is away.
    third.kill();
    gateways[1].kill();
    wait::until("the one that owns nothing is gone", SOON, || {
        let tier = asked(&gateways[0], "members");
        let seen: Vec<(&str, bool)> = tier["members"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|member| (member["name"].as_str().unwrap_or(""), member["up"] == true))
            .collect();
        (seen == [("gw-0", true), ("gw-1", false)]).then_some(()).ok_or(tier.to_string())
    });
}

#[test]
fn while_etcd_is_away_all_goes_on_by_the_table_that_is_known() {
    let etcd = Etcd::start();
    let mut gateways = ["gw-0", "gw-1"].map(|name| member(name, &etcd));
    gateways[0].launch();
    gateways[1].launch();
    wait_up(&gateways[0], 2);
    let before = asked(&gateways[0], "table");
    etcd.freeze();
    wait_engine(&gateways[0], 0.0);
    let page = http::get(gateways[0].address(), "/").expect("the page").text();
    assert!(page.contains("etcd does not answer"), "{page}");
    let sample = Sample {
        labels: labels("up", &[("job", "a"), ("instance", "b")]),
        timestamp: wait::now_ms(),
        value: 1.0,
        start: 0,
        histogram: None,
    };
    let answer = sender::send_v1(gateways[0].address(), &[sample]).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    // One that starts meanwhile finds the table in its data directory.
    gateways[1].crash_and_restart();
    wait_up(&gateways[0], 2);
    wait_up(&gateways[1], 2);
    assert_eq!(asked(&gateways[1], "table"), before);
    assert_eq!(asked(&gateways[0], "table"), before);

    etcd.thaw();
    gateways.iter().for_each(|gateway| wait_engine(gateway, 1.0));
    // Their leases have ended meanwhile: new sessions begin, and last.
    wait::until("both have sessions", SOON, || {
        let sessions = keys(&etcd, "/weir/test/members/");
        (sessions.len() == 2).then_some(()).ok_or(format!("{sessions:?}"))
    });
    let mut third = member("gw-2", &etcd);
    third.launch();
    gateways.iter().for_each(|gateway| wait_up(gateway, 3));
    assert_eq!(asked(&third, "table")["owners"], before["owners"]);
}

/// Another node's configuration with this name would answer for it.
#[test]
fn a_name_that_is_taken_is_refused_until_its_session_ends() {
    let etcd = Etcd::start();
    let mut first = member("gw-0", &etcd);
    first.launch();
    let mut second = member("gw-0", &etcd);
    second.spawn();
    wait::until_true("it says so", SOON, || {
        second.log().contains("gw-0 is the name of the member at")
    });
    first.kill();
    // It has bound its socket, and tells so, long before it is ready.
    wait::until_true("the name is free", SOON, || second.log().contains("etcd answers"));
}

#[test]
fn a_password_is_shown_and_a_token_that_etcd_forgot_is_asked_for_again() {
    let mut etcd = Etcd::start();
    etcd.ask("/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"secret\"}");
    etcd.ask("/v3/auth/role/add", "{\"name\":\"root\"}");
    etcd.ask("/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    etcd.ask("/v3/auth/enable", "{}");
    let mut gateway = Gateway::prepare("", "");
    gateway.configure(&config("gw-0", &etcd, ", username: root, password_file: pass"), "");
    std::fs::write(gateway.folder().join("pass"), "secret\n").expect("a password");
    gateway.launch();
    assert_eq!(owned(&gateway), 4096.0);
    wait_engine(&gateway, 1.0);
    etcd.kill();
    wait_engine(&gateway, 0.0);
    etcd.start_again();
    wait_engine(&gateway, 1.0);
}

/// All is read anew every 10 s; a change is seen at once, five times in a row, or a watch is broken.
#[test]
fn a_change_is_seen_at_once_and_after_a_compaction_too() {
    const AT_ONCE: Duration = Duration::from_secs(7);
    let etcd = Etcd::start();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (one, other) = settled(folder.path(), &etcd).await;
        engine::keep(&one);
        for vshard in one.owned().iter().take(5) {
            other.assign(&[vshard], "a", "b").await.expect("it is given away");
            let mut version = one.watch();
            let seen = async {
                while one.owned().contains(vshard) {
                    version.changed().await.expect("the member lives");
                }
            };
            tokio::time::timeout(AT_ONCE, seen).await.expect("it is seen");
            let all = etcd.ask("/v3/kv/range", "{\"key\":\"AA==\"}");
            let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
            let revision = all["header"]["revision"].as_str().expect("a revision").to_owned();
            etcd.ask("/v3/kv/compaction", &format!("{{\"revision\":\"{revision}\"}}"));
        }
    });
}

#[test]
fn an_etcd_with_certificates_is_spoken_to_with_certificates() {
    let authority = Authority::new();
    let etcd = Etcd::start_secured(&authority);
    let tls = ", tls: {cert_file: own.crt, key_file: own.key, ca_file: ca.crt}";
    let mut gateways = ["gw-0", "gw-1"].map(|name| {
        let gateway = Gateway::prepare(&config(name, &etcd, tls), "");
        authority.issue(gateway.folder());
        gateway
    });
    gateways.iter_mut().for_each(Gateway::launch);
    gateways.iter().for_each(|gateway| wait_up(gateway, 2));
    gateways.iter().for_each(|gateway| wait_engine(gateway, 1.0));
}

/// A member in this process, without sockets of its own.
fn open(folder: &Path, name: &str, etcd: &Etcd) -> Arc<Cluster> {
    let file = folder.join(format!("{name}.yml"));
    let data = folder.join(name);
    std::fs::create_dir(&data).expect("a data directory");
    let text = format!("data_dir: {data:?}\n{}", config(name, etcd, ""));
    std::fs::write(&file, text).expect("a configuration");
    let config: Config = load(Some(&file), &Overrides::default(), &|_| None).expect("it is good");
    Arc::new(Cluster::open(&config).expect("a member"))
}

/// Two members, `a` and `b`, that have come to one table.
async fn settled(folder: &Path, etcd: &Etcd) -> (Arc<Cluster>, Arc<Cluster>) {
    let (one, other) = (open(folder, "a", etcd), open(folder, "b", etcd));
    let settled = tokio::join!(engine::settle(&one), engine::settle(&other));
    assert_eq!(settled, (Ok(()), Ok(())));
    (one, other)
}

#[test]
fn virtual_shards_change_hands_once_whoever_gives_them_at_the_same_time() {
    let etcd = Etcd::start();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (one, other) = settled(folder.path(), &etcd).await;
        // All of `a`'s in the first key but one, and that one: neither may undo the other's write.
        let mine: Vec<VShard> = one.owned().iter().filter(|vshard| vshard.0 < 64).collect();
        let (last, most) = mine.split_last().expect("it owns some");
        let last = [*last];
        let given = tokio::join!(one.assign(most, "a", "b"), other.assign(&last, "a", "b"));
        assert_eq!(given, (Ok(()), Ok(())));
        engine::keep(&one);
        let mut version = one.watch();
        while one.owned().iter().any(|vshard| vshard.0 < 64) {
            let changed = tokio::time::timeout(SOON, version.changed()).await;
            changed.expect("it is seen").expect("the member lives");
        }
        let table = one.table();
        for &vshard in &mine {
            assert_eq!((table.owner(vshard).name.as_str(), table.slot(vshard).epoch), ("b", 2));
        }
        let again = other.assign(&last, "a", "b").await;
        assert_eq!(again, Err(AssignError::NotOwner(last[0].0, "a".into())));
        let nobody = one.assign(&last, "b", "c").await;
        assert_eq!(nobody, Err(AssignError::NoMember("c".into())));
    });
}
