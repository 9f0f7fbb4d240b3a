//! Gateways of a tier see each other, on a port that is theirs alone.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use weir_loadgen::ports::lasting_address;
use weir_tests::certificates::Authority;
use weir_tests::gateway::{Gateway, binary};
use weir_tests::processes::free_address;
use weir_tests::{http, packages, wait};

/// How soon a member that has gone is seen to be away, and one that is back to be up.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(30);

const NAMES: [&str; 3] = ["gw-0", "gw-1", "gw-2"];

/// A tier of three, none of them started.
struct Tier {
    gateways: Vec<Gateway>,
    addresses: Vec<SocketAddr>,
}

impl Tier {
    /// `tls` is more of `cluster`, for the member at a place.
    fn prepare(tls: impl Fn(&Path, usize) -> String) -> Self {
        let lasting = |_| lasting_address().expect("a free port");
        let addresses: Vec<SocketAddr> = NAMES.iter().map(lasting).collect();
        let tier = Self { gateways: NAMES.map(|_| Gateway::prepare("", "")).into(), addresses };
        for (at, gateway) in tier.gateways.iter().enumerate() {
            let (name, listen) = (NAMES[at], tier.addresses[at]);
            let more = tls(gateway.folder(), at);
            let config = format!(
                "cluster:\n  name: {name}\n  listen: {listen}\n  peers_file: peers.yml\n{more}"
            );
            gateway.configure(&config, "");
            tier.list(at, &NAMES);
        }
        tier
    }

    /// Writes the file of peers of the member at a place.
    fn list(&self, at: usize, names: &[&str]) {
        let mut text = String::from("members:\n");
        for (name, address) in names.iter().zip(&self.addresses) {
            // One of them by a name, which may have several addresses.
            let host = if *name == "gw-1" { "localhost".into() } else { address.ip().to_string() };
            let port = address.port();
            text.push_str(&format!("- {{name: {name}, address: '{host}:{port}'}}\n"));
        }
        fs::write(self.gateways[at].folder().join("peers.yml"), text).expect("a file of peers");
    }

    fn start(&mut self) {
        self.gateways.iter_mut().for_each(Gateway::launch);
    }

    /// What `weir-gateway admin` says of the gateway at a place.
    fn admin(&self, at: usize, words: &[&str]) -> String {
        let address = format!("http://{}", self.gateways[at].address());
        let mut command = Command::new(binary());
        let output = command.arg("admin").args(words).args(["--address", &address]).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the member at a place sees others so.
    fn wait_states(&self, at: usize, states: [&str; 3], within: Duration) {
        wait::until(&format!("{} sees {states:?}", NAMES[at]), within, || {
            let text = self.admin(at, &["members"]);
            let seen: Vec<&str> = text
                .lines()
                .skip(1)
                .take(3)
                .filter_map(|line| line.split_whitespace().nth(1))
                .collect();
            (seen == states).then_some(()).ok_or(text.clone())
        });
    }
}

#[test]
fn members_see_who_is_up_and_who_is_away() {
    let mut tier = Tier::prepare(|_, _| String::new());
    tier.start();
    for at in 0..3 {
        tier.wait_states(at, ["up", "up", "up"], SOON);
    }
    let tables: Vec<String> = (0..3).map(|at| tier.admin(at, &["table", "--json"])).collect();
    assert!(tables.iter().all(|table| *table == tables[0]), "{tables:?}");
    let owned: Vec<f64> = tier
        .gateways
        .iter()
        .filter_map(|gateway| gateway.metrics().get("weir_cluster_vshards_owned", &[]))
        .collect();
    assert_eq!(owned.iter().sum::<f64>(), 4096.0, "{owned:?}");
    assert!(owned.iter().all(|&owned| owned > 1000.0), "{owned:?}");

    tier.gateways[2].kill();
    tier.wait_states(0, ["up", "up", "away"], SEEN_WITHIN);
    let page = tier.gateways[0].metrics();
    assert_eq!(page.get("weir_cluster_members", &[("state", "away")]), Some(1.0));
    assert_eq!(page.get("weir_cluster_members", &[("state", "up")]), Some(2.0));
    // A request that it was killed under broke off; the next one says why.
    wait::until("the page says why", SEEN_WITHIN, || {
        let page = http::get(tier.gateways[0].address(), "/").expect("the page").text();
        page.contains("of the tier is away: cannot connect").then_some(()).ok_or(page)
    });
    tier.gateways[2].spawn();
    tier.gateways[2].wait_ready();
    tier.wait_states(0, ["up", "up", "up"], SEEN_WITHIN);
    tier.wait_states(2, ["up", "up", "up"], SEEN_WITHIN);
    assert_eq!(tier.admin(2, &["table", "--json"]), tables[0]);

    // One that hangs takes connections, and answers nothing.
    tier.gateways[1].program().signal(Signal::STOP);
    tier.wait_states(0, ["up", "away", "up"], SEEN_WITHIN);
    tier.gateways[1].program().signal(Signal::CONT);
    tier.wait_states(0, ["up", "up", "up"], SEEN_WITHIN);
}

#[test]
fn a_member_joins_a_tier_without_taking_anything_and_an_owner_cannot_be_left_out() {
    let mut tier = Tier::prepare(|_, _| String::new());
    for at in 0..2 {
        tier.list(at, &NAMES[..2]);
        tier.gateways[at].launch();
    }
    let before = tier.admin(0, &["table"]);
    for at in 0..2 {
        tier.list(at, &NAMES);
        let answer = http::post(tier.gateways[at].address(), "/-/reload", &[], b"");
        assert_eq!(answer.expect("an answer").status, 200);
    }
    tier.gateways[2].launch();
    tier.wait_states(0, ["up", "up", "up"], SOON);
    let owned = tier.gateways[2].metrics().get("weir_cluster_vshards_owned", &[]);
    assert_eq!(owned, Some(0.0));
    let after = tier.admin(2, &["table"]);
    assert_eq!(after.replace("table version 2", "table version 1"), before);

    tier.list(0, &NAMES[..1]);
    let answer = http::post(tier.gateways[0].address(), "/-/reload", &[], b"");
    let text = answer.expect("an answer").text();
    assert!(text.contains("gw-1 owns") && text.contains("move its virtual shards first"), "{text}");
    tier.wait_states(0, ["up", "up", "up"], SOON);
}

#[test]
fn with_certificates_the_port_is_for_members_only() {
    let authority = Authority::new();
    let mut tier = Tier::prepare(|folder, _| {
        authority.issue(folder);
        "  tls: {cert_file: own.crt, key_file: own.key, ca_file: ca.crt}\n".into()
    });
    tier.start();
    for at in 0..3 {
        tier.wait_states(at, ["up", "up", "up"], SOON);
    }
    // Plain HTTP gets no answer; curl as a client of TLS gets one with the member's certificate only.
    assert!(http::get(tier.addresses[0], "/cluster/v1/table").is_err());
    let folder = tier.gateways[1].folder();
    let url = format!("https://{}/cluster/v1/table", tier.addresses[0]);
    let curl = |more: &[&str]| {
        let mut command = Command::new(packages::find("curl"));
        command.args(["--silent", "--cacert", "ca.crt", &url]).args(more).current_dir(folder);
        command.output().expect("curl runs")
    };
    let stranger = curl(&[]);
    assert!(!stranger.status.success() && stranger.stdout.is_empty(), "{stranger:?}");
    let member = curl(&["--cert", "own.crt", "--key", "own.key"]);
    assert!(member.stdout.starts_with(b"{\"version\":1,"), "{member:?}");
}

#[test]
fn a_member_that_places_series_otherwise_is_away_and_it_is_said_why() {
    let mut tier = Tier::prepare(|_, at| match at {
        2 => "  shard_key: {labels: [host]}\n".into(),
        _ => String::new(),
    });
    tier.start();
    tier.wait_states(0, ["up", "up", "away"], SOON);
    tier.wait_states(2, ["away", "away", "up"], SOON);
    let why = "its cluster.shard_key or ha.replica_label differs from ours";
    // While it starts it is away for another reason.
    for at in [0, 2] {
        wait::until("the page says why", SEEN_WITHIN, || {
            let page = http::get(tier.gateways[at].address(), "/").expect("the page").text();
            page.contains(why).then_some(()).ok_or(page)
        });
    }
    // Neither does it take what is placed by the other key.
    let terms = [("weir-terms", "1 0123456789abcdef")];
    let answer =
        http::post(tier.addresses[0], "/cluster/v1/write", &terms, b"").expect("an answer");
    assert_eq!((answer.status, answer.text().trim_end()), (409, why));
}

#[test]
fn what_is_told_goes_to_the_directory_that_was_asked_or_nowhere() {
    let mut tier = Tier::prepare(|_, _| String::new());
    tier.start();
    tier.wait_states(0, ["up", "up", "up"], SOON);
    let post = |meant: &str, piece: &[u8]| {
        let headers = [("weir-member", "gw-1"), ("weir-epoch", "7"), ("weir-meant", meant)];
        http::post(tier.addresses[0], "/cluster/v1/partials", &headers, piece).expect("an answer")
    };
    let asked = post("", b"");
    let own = asked.header("weir-epoch").expect("its directory's number").to_owned();
    assert_eq!((asked.status, asked.text().as_str()), (200, "0"));
    let elsewhere = post("1", b"a piece");
    assert_eq!((elsewhere.status, elsewhere.header("weir-epoch")), (409, Some(own.as_str())));
    // One for it is read, and this is none.
    assert_eq!(post(&own, b"a piece").status, 400);
}

#[test]
fn nobody_there_is_said_in_words() {
    let address = free_address().to_string();
    let output = Command::new(binary()).args(["admin", "members", "--address", &address]).output();
    let output = output.expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains(&format!("no gateway answers at http://{address}")), "{error}");
}
