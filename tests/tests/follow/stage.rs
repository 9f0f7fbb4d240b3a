//! Three gateways at replication factor 2 between senders and a backend.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use weir_loadgen::ports::lasting_address;
use weir_tests::backend::Backend;
use weir_tests::etcd::Etcd;
use weir_tests::gateway::{Gateway, binary, sending_to};
use weir_tests::load::{Load, Rules};
use weir_tests::metrics::Page;
use weir_tests::{http, wait};

/// Windows of two lengths.
const RULES: Rules = Rules { short_s: 2, long_s: 6 };
/// Longer than anything that happens to a gateway here, so that nothing may be late.
const GRACE: &str = "45s";
pub(crate) const GATEWAYS: usize = 3;
pub(crate) const SOON: Duration = Duration::from_secs(120);
/// Grace, and until the last window is closed and sent.
const AT_LAST: Duration = Duration::from_secs(150);

/// A tier with followers.
pub(crate) struct Stage {
    gateways: Vec<Gateway>,
    load: Load,
    backend: Backend,
    // Ends last.
    etcd: Etcd,
}

/// The name of a gateway.
pub(crate) fn name(number: usize) -> String {
    format!("gw-{number}")
}

impl Stage {
    /// Starts everything with these sessions and this delay, and waits until all are followed.
    pub(crate) fn begin(session_ttl: &str, failover_delay: &str) -> Self {
        Self::begin_on(session_ttl, failover_delay, |_| {})
    }

    /// The same; `before` is given each gateway's data directory before that is used.
    pub(crate) fn begin_on(
        session_ttl: &str,
        failover_delay: &str,
        mut before: impl FnMut(&Path),
    ) -> Self {
        let (etcd, backend) = (Etcd::start(), Backend::start());
        // Small segments: on a disk that others use, too, large ones make a start slow.
        let sending = sending_to(&backend.url(), GRACE, "")
            + "wal: {segment_size: 8MiB}\nhttp: {max_body_size: 1MiB}\n";
        let prepare = |number| {
            let (listen, url) = (lasting_address().expect("a free port"), etcd.url());
            let cluster = format!(
                "cluster:\n  name: {}\n  listen: {listen}\n  replication_factor: 2\n  \
                 failover_delay: {failover_delay}\n  etcd: {{endpoints: ['{url}'], session_ttl: \
                 {session_ttl}}}\n",
                name(number)
            );
            Gateway::prepare(&format!("{sending}{cluster}"), &RULES.file())
        };
        let mut gateways: Vec<Gateway> = (0..GATEWAYS).map(prepare).collect();
        gateways.iter().for_each(|gateway| before(&gateway.data_dir()));
        gateways.iter_mut().for_each(Gateway::spawn);
        gateways.iter_mut().for_each(Gateway::wait_started);
        let addresses: Vec<SocketAddr> = gateways.iter().map(Gateway::address).collect();
        let load = Load::spread(&addresses, 4, 200);
        let stage = Self { gateways, load, backend, etcd };
        stage.wait_all_followed();
        stage.wait_samples(1_000);
        stage
    }

    pub(crate) fn gateway(&mut self, number: usize) -> &mut Gateway {
        &mut self.gateways[number]
    }

    /// What another gateway that runs says of a member.
    fn member(&self, of: usize) -> Value {
        let others = self.gateways.iter().enumerate().filter(|(number, _)| *number != of);
        let asked = others
            .into_iter()
            .find_map(|(_, other)| http::get(other.address(), "/api/v1/cluster/members").ok());
        let tier = asked.map(|answer| answer.text()).unwrap_or_default();
        let tier: Value = serde_json::from_str(&tier).unwrap_or_default();
        let members = tier["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().find(|member| member["name"] == name(of)).unwrap_or_default()
    }

    /// Waits until a member has a follower in step, another one than `than`; gives which.
    pub(crate) fn wait_followed(&self, number: usize, than: Option<usize>) -> usize {
        wait::until(&format!("{} is followed", name(number)), SOON, || {
            let member = self.member(number);
            let follower = (0..GATEWAYS).find(|&other| member["follower"] == name(other));
            let follower = follower.filter(|_| member["in_step"] == true);
            follower.filter(|&follower| Some(follower) != than).ok_or(member.to_string())
        })
    }

    /// Waits until all of them have.
    pub(crate) fn wait_all_followed(&self) {
        for number in 0..GATEWAYS {
            self.wait_followed(number, None);
        }
    }

    /// Waits until a member runs on another one's machine, is ready and has a follower in step. Gives
    /// where senders reach it.
    pub(crate) fn wait_taken_over(&self, number: usize, by: usize) -> SocketAddr {
        let file = self.twin(number, by).join("listen.addr");
        wait::until(&format!("{} takes {} over", name(by), name(number)), SOON, || {
            let member = self.member(number);
            let text = fs::read_to_string(&file).map_err(|_| member.to_string())?;
            let address: SocketAddr = text.parse().map_err(|_| text)?;
            let ready = http::get(address, "/-/ready").map_err(|why| why.to_string())?;
            let is_done = ready.status == 200
                && member["host"] == name(by)
                && member["in_step"] == true
                && member["up"] == true;
            is_done.then_some(address).ok_or(format!("{member} {}", ready.text()))
        })
    }

    /// Gives all that a member owns to the others, and waits until it owns nothing.
    pub(crate) fn drain(&self, number: usize) {
        let other = &self.gateways[(number + 1) % GATEWAYS];
        let mut command = Command::new(binary());
        command.args(["admin", "drain", &name(number), "--address"]);
        let done = command.arg(format!("http://{}", other.address())).output().expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        wait::until(&format!("{} owns nothing", name(number)), SOON, || {
            let member = self.member(number);
            (member["vshards"] == 0).then_some(()).ok_or(member.to_string())
        });
    }

    /// Whether etcd has a record of a member: then it is expected back, or taken over.
    pub(crate) fn has_record(&self, number: usize) -> bool {
        let key = BASE64.encode(format!("/weir/followers/{}", name(number)));
        let found = self.etcd.ask("/v3/kv/range", &format!("{{\"key\":\"{key}\"}}"));
        found.contains(&key)
    }

    /// Where a follower keeps a member's files.
    pub(crate) fn twin(&self, of: usize, by: usize) -> PathBuf {
        self.gateways[by].data_dir().join("twins").join(name(of)).join("data")
    }

    /// Waits until so many more samples are acknowledged.
    pub(crate) fn wait_samples(&self, more: usize) {
        let before = self.load.acknowledged();
        wait::until_true("samples are acknowledged", SOON, || {
            self.load.acknowledged() >= before + more
        });
    }

    /// Ends the load, and panics unless everything came out as the oracle computes it. The members are at
    /// `at` in the end.
    pub(crate) fn judge(self, what: &str, at: &[SocketAddr]) {
        self.judge_but(what, at, false);
    }

    /// The same; with `repeats` some samples may come a second time, too late: what lay at a gateway that
    /// slept was sent again elsewhere.
    pub(crate) fn judge_but(self, what: &str, at: &[SocketAddr], repeats: bool) {
        let last_tick = wait::now_ms();
        let history = self.load.stop();
        let through = RULES.window_end(last_tick) - RULES.long_s * 1000;
        let verdict = wait::until("everything arrives as computed", AT_LAST, || {
            RULES.compare(&history, &self.backend.samples(), through).into_result()
        });
        assert!(verdict.compared > 1_000, "{verdict}");
        for &address in at {
            wait::until("the audit adds up", SOON, || {
                let page = http::get(address, "/metrics").map_err(|why| why.to_string())?;
                let page = Page::parse(&page.text());
                let late = page.count("weir_samples_total", &[("class", "late")]);
                assert!(repeats || late == 0.0, "{late} samples within grace were late");
                match page.get("weir_audit_imbalance_samples", &[]) {
                    Some(0.0) => Ok(()),
                    other => Err(format!("{address}: {other:?}")),
                }
            });
        }
        say(&format!("{what}: {} samples acknowledged; {verdict}\n", history.len()));
    }

    /// Where the gateways are, but for some.
    pub(crate) fn addresses_but(&self, gone: usize) -> Vec<SocketAddr> {
        let others = self.gateways.iter().enumerate().filter(|(number, _)| *number != gone);
        others.map(|(_, gateway)| gateway.address()).collect()
    }
}

pub(crate) fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("stdout");
}
