//! Several gateways that are one tier: real processes on loopback that know each other by a file.
//!
//! All have the same rules and the same destinations. With links, each reaches each other one
//! through a [`Proxy`] of that pair and direction, so that a network can be cut anywhere and its
//! bytes counted. Invariant: a gateway has its addresses, its name and its data for its whole life,
//! however often it is killed and started.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use weir_loadgen::ports::lasting_address;

use crate::certificates::Authority;
use crate::gateway::Gateway;
use crate::metrics::Page;
use crate::proxy::{Manner, Proxy};
use crate::wait;

/// How long it may take until all members see each other, and until one ends in order.
const SOON: Duration = Duration::from_secs(60);

/// More of `cluster`: what an [`Authority`] issues.
const TLS: &str = ", tls: {cert_file: own.crt, key_file: own.key, ca_file: ca.crt}";

/// Gateways that know each other.
pub struct Tier {
    gateways: Vec<Gateway>,
    links: Vec<Link>,
}

/// The way from one gateway to another.
struct Link {
    from: usize,
    to: usize,
    proxy: Proxy,
}

impl Tier {
    /// Starts so many with this configuration (without what [`Gateway::start`] adds, and without
    /// `cluster`) and these rules, and waits until all see each other.
    pub fn start(count: usize, config: &str, rules: &str) -> Self {
        let mut tier = Self::prepare(count, config, rules, (false, ""));
        tier.launch();
        tier
    }

    /// The same with a link for each of them to each other one.
    pub fn start_linked(count: usize, config: &str, rules: &str) -> Self {
        let mut tier = Self::prepare(count, config, rules, (true, ""));
        tier.launch();
        tier
    }

    /// As [`Tier::start`], with certificates of one authority: nothing is said between them in the clear.
    pub fn start_secured(count: usize, config: &str, rules: &str) -> Self {
        let mut tier = Self::prepare(count, config, rules, (false, TLS));
        let authority = Authority::new();
        tier.gateways.iter().for_each(|gateway| authority.issue(gateway.folder()));
        tier.launch();
        tier
    }

    /// As [`Tier::start_linked`]; all of them make this mistake (`crates/model/src/mutation.rs`).
    pub fn start_erring(
        count: usize,
        config: &str,
        rules: &str,
        mistake: Option<&'static str>,
    ) -> Self {
        let mut tier = Self::prepare(count, config, rules, (true, ""));
        tier.gateways.iter_mut().for_each(|gateway| gateway.mutate(mistake));
        tier.launch();
        tier
    }

    fn prepare(count: usize, config: &str, rules: &str, (linked, more): (bool, &str)) -> Self {
        let address = |_| lasting_address().expect("a free port");
        let inner: Vec<SocketAddr> = (0..count).map(address).collect();
        let doors: Vec<SocketAddr> = (0..count).map(address).collect();
        let mut links = Vec::new();
        for (from, to) in pairs(count).filter(|_| linked) {
            links.push(Link { from, to, proxy: Proxy::start(inner[to]) });
        }
        let gateways = inner.iter().enumerate().map(|(number, own)| {
            let mut gateway = Gateway::prepare("", rules);
            gateway.settle(doors[number]);
            let mut seen = inner.clone();
            for link in links.iter().filter(|link| link.from == number) {
                seen[link.to] = link.proxy.address();
            }
            let peers = gateway.folder().join("peers.yml");
            fs::write(&peers, members(&seen, &doors)).expect("members are written");
            let name = name(number);
            let cluster = format!("{{name: {name}, listen: {own:?}, peers_file: {peers:?}{more}}}");
            gateway.configure(&format!("{config}cluster: {cluster}\n"), rules);
            gateway
        });
        Self { gateways: gateways.collect(), links }
    }

    fn launch(&mut self) {
        self.gateways.iter_mut().for_each(Gateway::spawn);
        self.gateways.iter_mut().for_each(Gateway::wait_started);
        self.wait_members();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.gateways.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// Where senders reach each of them.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(Gateway::address).collect()
    }

    /// One of them.
    pub fn gateway(&mut self, number: usize) -> &mut Gateway {
        &mut self.gateways[number]
    }

    /// SIGKILL.
    pub fn kill(&mut self, number: usize) {
        self.gateways[number].kill();
    }

    /// Starts one that has ended; does not wait.
    pub fn spawn(&mut self, number: usize) {
        self.gateways[number].spawn();
    }

    /// Starts one that has ended, and waits until it is ready.
    pub fn restart(&mut self, number: usize) {
        self.gateways[number].spawn();
        self.gateways[number].wait_started();
    }

    /// SIGTERM, and waits for its orderly end.
    pub fn stop_gracefully(&mut self, number: usize) {
        self.gateways[number].terminate();
        let status = self.gateways[number].program().wait_exit(SOON);
        assert!(status.success(), "{}: {status}", name(number));
    }

    /// SIGSTOP: it holds its connections and says nothing.
    pub fn freeze(&mut self, number: usize) {
        self.gateways[number].program().signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&mut self, number: usize) {
        self.gateways[number].program().signal(Signal::CONT);
    }

    /// From one gateway to another, what comes is treated so from now on.
    pub fn link(&self, from: usize, to: usize, manner: Manner) {
        let link = self.links.iter().find(|link| (link.from, link.to) == (from, to));
        link.expect("a tier with links").proxy.behave(manner);
    }

    /// What one gateway has posted to another at this path is said again; how many requests.
    pub fn say_again(&self, from: usize, to: usize, path: &str) -> usize {
        let link = self.links.iter().find(|link| (link.from, link.to) == (from, to));
        link.expect("a tier with links").proxy.say_again(path)
    }

    /// Everything to and from a gateway is treated so from now on.
    pub fn isolate(&self, number: usize, manner: Manner) {
        let its = |link: &&Link| link.from == number || link.to == number;
        self.links.iter().filter(its).for_each(|link| link.proxy.behave(manner));
    }

    /// All links pass again.
    pub fn heal(&self) {
        self.links.iter().for_each(|link| link.proxy.behave(Manner::Pass));
    }

    /// Bytes that have passed between gateways, answers and probes included.
    pub fn bytes_between(&self) -> u64 {
        let both = |(there, back)| there + back;
        self.links.iter().map(|link| both(link.proxy.passed())).sum()
    }

    /// The `/metrics` of each; panics if one does not answer.
    pub fn metrics(&self) -> Vec<Page> {
        self.gateways.iter().map(Gateway::metrics).collect()
    }

    /// A metric, summed over labels and gateways.
    pub fn sum(&self, metric: &str, pairs: &[(&str, &str)]) -> f64 {
        self.metrics().iter().map(|page| page.count(metric, pairs)).sum()
    }

    /// Waits until each sees all others up.
    pub fn wait_members(&self) {
        let count = self.len() as f64;
        wait::until("all see each other", SOON, || {
            let up = |page: &Page| page.count("weir_cluster_members", &[("state", "up")]);
            let seen: Vec<f64> = self.metrics().iter().map(up).collect();
            let all = seen.iter().all(|&up| up == count);
            all.then_some(()).ok_or_else(|| format!("up, as each sees it: {seen:?}"))
        });
    }

    /// Waits until all windows up to an event time (milliseconds) are closed everywhere.
    pub fn wait_frontier(&self, to_ms: i64, within: Duration) {
        self.gateways.iter().for_each(|gateway| gateway.wait_frontier(to_ms, within));
    }

    /// Panics unless the audit of each adds up.
    pub fn assert_audited(&self) {
        self.gateways.iter().for_each(Gateway::assert_audited);
    }
}

/// The name of a gateway of a tier.
pub fn name(number: usize) -> String {
    format!("gw-{number}")
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |from| (0..count).map(move |to| (from, to))).filter(|(a, b)| a != b)
}

/// The file of all members at these addresses, and with these for senders.
fn members(addresses: &[SocketAddr], doors: &[SocketAddr]) -> String {
    let mut file = "members:\n".to_owned();
    for (number, (address, door)) in addresses.iter().zip(doors).enumerate() {
        let name = name(number);
        writeln!(file, "  - {{name: {name}, address: \"{address}\", push: \"{door}\"}}")
            .expect("a string");
    }
    file
}
