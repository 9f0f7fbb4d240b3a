//! A tier that may grow and shrink between senders and a backend, and what an operator does to it.
//!
//! Invariant: a member has its name and its addresses for its whole life. Senders know the first three.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use weir_gateway::cluster::table_text;
use weir_loadgen::ports::lasting_address;
use weir_model::{VSHARDS, VShard};
use weir_ring::{OwnedSet, Table};
use weir_tests::backend::Backend;
use weir_tests::etcd::Etcd;
use weir_tests::gateway::{Gateway, binary, sending_to};
use weir_tests::load::{Load, Rules, vshards_of};
use weir_tests::samples::{History, Sample, labels};
use weir_tests::tier::name;
use weir_tests::{http, sender, wait};

pub(crate) const RULES: Rules = Rules { short_s: 2, long_s: 6 };
/// Longer than anything that happens to a gateway here, so that nothing may be late.
const GRACE: &str = "10s";
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// A tier waits for a gateway that is away for a minute at most.
const MISSING: Duration = Duration::from_secs(75);
/// Members at first.
pub(crate) const FIRST: usize = 3;
const SENDERS: usize = 6;
/// Virtual shards that move together.
const LOT: usize = 128;

/// A tier, its senders and its backend.
pub(crate) struct Stage {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) load: Load,
    inner: Vec<SocketAddr>,
    etcd: Option<Etcd>,
    backend: Backend,
    probed: History,
}

impl Stage {
    /// Starts three members, and waits until the load flows.
    pub(crate) fn begin(etcd: Option<Etcd>) -> Self {
        let (backend, load) = (Backend::start(), Load::spread(&[], 0, 100));
        let (gateways, inner, probed) = (Vec::new(), Vec::new(), History::default());
        let mut stage = Self { gateways, load, inner, etcd, backend, probed };
        (0..FIRST).for_each(|_| stage.add());
        stage.list(FIRST);
        stage.gateways.iter_mut().for_each(Gateway::spawn);
        stage.gateways.iter_mut().for_each(Gateway::wait_started);
        stage.wait_up(FIRST);
        let places: Vec<SocketAddr> = stage.gateways.iter().map(Gateway::address).collect();
        stage.load = Load::spread(&places, SENDERS, 100);
        stage.wait_samples(1_000);
        stage
    }

    /// One more member, which nobody knows and which does not run.
    pub(crate) fn add(&mut self) {
        let (own, number) = (lasting_address().expect("a free port"), self.gateways.len());
        let gateway = Gateway::prepare("", "");
        let others = match &self.etcd {
            Some(etcd) => {
                let url = etcd.url();
                format!("etcd: {{endpoints: ['{url}'], prefix: /weir/moves/, session_ttl: 4s}}")
            }
            None => format!("peers_file: {:?}", gateway.folder().join("peers.yml")),
        };
        let config = sending_to(&self.backend.url(), GRACE, "");
        let name = name(number);
        let config = format!(
            "{config}wal: {{checkpoint_interval: 500ms}}\n\
             cluster: {{name: {name}, listen: {own:?}, {others}}}\n"
        );
        gateway.configure(&config, &RULES.file());
        self.inner.push(own);
        self.gateways.push(gateway);
    }

    /// Writes the first so many into the file of each member.
    pub(crate) fn list(&self, count: usize) {
        let mut file = "members:\n".to_owned();
        for (number, address) in self.inner.iter().enumerate().take(count) {
            let name = name(number);
            writeln!(file, "  - {{name: {name}, address: \"{address}\"}}").expect("a string");
        }
        for gateway in &self.gateways {
            fs::write(gateway.folder().join("peers.yml"), &file).expect("members are written");
        }
    }

    /// Has the first so many read their files again.
    pub(crate) fn reload(&self, count: usize) {
        for gateway in &self.gateways[..count] {
            let answer = http::post(gateway.address(), "/-/reload", &[], b"").expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }

    /// Waits until each of the first so many sees all of these up.
    pub(crate) fn wait_up(&self, count: usize) {
        wait::until("all see each other", SOON, || {
            let up = |gateway: &Gateway| {
                gateway.metrics().count("weir_cluster_members", &[("state", "up")])
            };
            let seen: Vec<f64> = self.gateways[..count].iter().map(up).collect();
            let all = seen.iter().all(|&up| up == count as f64);
            all.then_some(()).ok_or_else(|| format!("up, as each sees it: {seen:?}"))
        });
    }

    /// The table as a member knows it.
    pub(crate) fn table(&self, number: usize) -> Table {
        let address = self.gateways[number].address();
        let answer = http::get(address, "/api/v1/cluster/table").expect("an answer");
        table_text::read(&answer.body).expect("a table")
    }

    /// Waits until the first so many know one table of so many members, and gives it.
    pub(crate) fn wait_agreed(&self, count: usize) -> Table {
        wait::until("all know one table", SOON, || {
            let tables: Vec<Table> = (0..count).map(|number| self.table(number)).collect();
            let owners = |table: &Table| {
                let all = (0..VSHARDS).map(VShard);
                all.map(|v| (table.owner(v).name.clone(), table.slot(v).epoch)).collect::<Vec<_>>()
            };
            let first = owners(&tables[0]);
            let one = tables.iter().all(|t| owners(t) == first && t.members().len() == count);
            let seen: Vec<_> = tables.iter().map(|t| (t.generation(), t.members().len())).collect();
            one.then(|| tables[0].clone()).ok_or_else(|| format!("generations, members: {seen:?}"))
        })
    }

    /// `weir-gateway admin`, over a member.
    pub(crate) fn admin(&self, at: usize, words: &[&str]) -> Result<String, String> {
        ended(self.spawn_admin(at, words))
    }

    /// The same without waiting for its end.
    pub(crate) fn spawn_admin(&self, at: usize, words: &[&str]) -> Child {
        let address = format!("http://{}", self.gateways[at].address());
        let mut command = Command::new(binary());
        command.arg("admin").args(words).args(["--address", &address]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it runs")
    }

    /// Virtual shards of a member, as many as move together: all that the load uses first.
    pub(crate) fn lot(&self, number: usize) -> OwnedSet {
        let owned = self.table(number).owned_by(&name(number));
        let mut lot: Vec<VShard> =
            vshards_of(SENDERS).into_iter().filter(|&v| owned.contains(v)).collect();
        assert!(lot.len() > 2, "{lot:?}");
        let rest: Vec<VShard> = owned.iter().filter(|v| !lot.contains(v)).collect();
        lot.extend(rest);
        lot.into_iter().take(LOT).collect()
    }

    /// Waits until so many more samples are acknowledged.
    pub(crate) fn wait_samples(&self, more: usize) {
        let before = self.load.acknowledged();
        wait::until_true("samples are acknowledged", SOON, || {
            self.load.acknowledged() >= before + more
        });
    }

    /// Lets some time pass under load.
    pub(crate) fn pause(&self, ms: i64) {
        wait::for_clock(wait::now_ms() + ms);
    }

    /// Sends each member series of all virtual shards, about; each must be taken at once, and is
    /// expected at the backend.
    pub(crate) fn probe(&mut self, count: usize) {
        for at in 0..count {
            let now = wait::now_ms();
            let sample = |number: usize| {
                let (from, number) = (at.to_string(), number.to_string());
                let labels = labels("probe_passed_on", &[("from", &from), ("number", &number)]);
                Sample::new(&labels, now, 1.0)
            };
            let samples: Vec<Sample> = (0..4_000).map(sample).collect();
            let answer = sender::send_v1(self.gateways[at].address(), &samples);
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 204, "{}: {}", name(at), answer.text());
            self.probed.add(&samples);
        }
    }

    /// A metric, summed over the first so many.
    pub(crate) fn sum(&self, count: usize, metric: &str, pairs: &[(&str, &str)]) -> f64 {
        self.gateways[..count].iter().map(|gateway| gateway.metrics().count(metric, pairs)).sum()
    }

    /// The longest pause of the last moves of the first so many, seconds.
    pub(crate) fn longest_pause(&self, count: usize) -> f64 {
        let pause = |gateway: &Gateway| gateway.metrics().count("weir_move_pause_seconds", &[]);
        self.gateways[..count].iter().map(pause).fold(0.0, f64::max)
    }

    /// Ends the load, and panics unless everything came out as the oracle computes it. Three members
    /// are left.
    pub(crate) fn judge(self, what: &str) {
        let Self { gateways, load, backend, mut probed, .. } = self;
        let gateways = &gateways[..FIRST];
        let last_tick = wait::now_ms();
        let mut history = load.stop();
        for (labels, samples) in std::mem::take(&mut probed.0) {
            history.0.entry(labels).or_default().extend(samples);
        }
        let through = RULES.window_end(last_tick) - RULES.long_s * 1000;
        gateways.iter().for_each(|gateway| gateway.wait_frontier(through, SOON));
        let verdict = wait::until("everything arrives as computed", MISSING, || {
            RULES.compare(&history, &backend.samples(), through).into_result()
        });
        assert!(verdict.compared > 1_000, "{verdict}");
        for gateway in gateways {
            let late = gateway.metrics().count("weir_samples_total", &[("class", "late")]);
            assert_eq!(late, 0.0, "samples within grace were late");
            gateway.assert_audited();
        }
        say(&format!("{what}: {} samples acknowledged; {verdict}\n", history.len()));
    }
}

/// What a program that was started said, or how it failed.
pub(crate) fn ended(child: Child) -> Result<String, String> {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
}

pub(crate) fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("stdout");
}
