//! The senders: small, patient, and remembering what was acknowledged.
//!
//! Each has its own targets and sends all of a tick in one request, again and again until it is
//! acknowledged, as Prometheus does; of several gateways each try goes to any. Every other sender speaks
//! 2.0 in zstd. When told to die, a sender's next request ends in the middle. Invariant: a sample is among
//! the arrivals if, and only if, it was acknowledged. Values are whole numbers, so that sums are exact in
//! any order.

mod flood;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message as _;

use super::dice::Dice;
use crate::clock::now_ms;
use crate::messages::{message_v1, message_v2, snappy};
use crate::oracle::{Arrival, NativeHistogram};
use crate::receiver::http;
use crate::samples::{Labels, Sample, labels, stale_marker};

/// What seeds of senders are apart: at most so many have dice of their own.
const SEEDS: u64 = 4;
/// Time between their ticks.
const TICK_MS: i64 = 200;
/// How long one of several gateways may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The senders of a tier.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    /// What was answered that no sender should see.
    refusal: Mutex<Option<String>>,
    stopping: AtomicBool,
    requests: AtomicUsize,
    acknowledged: AtomicUsize,
    dying: AtomicUsize,
}

impl Shared {
    fn acknowledge(&self, samples: &[Sample]) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.extend(samples.iter().map(Arrival::in_time));
        drop(arrivals);
        self.acknowledged.fetch_add(samples.len(), Ordering::SeqCst);
    }
}

impl Fleet {
    /// Starts sending to these gateways.
    pub(super) fn start(to: &[SocketAddr], senders: usize, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let spawn = |number| {
            let shared = Arc::clone(&shared);
            let dice = Dice::new(seed.wrapping_mul(SEEDS).wrapping_add(number as u64));
            let mut to = Places { addresses: to.to_vec(), dice };
            std::thread::spawn(move || send(&mut to, number, &shared))
        };
        Self { senders: (0..senders).map(spawn).collect(), shared }
    }

    /// How many there are.
    pub(super) fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Samples acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Requests so far, those that failed included.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The next requests, so many, end in the middle.
    pub(super) fn die(&self, times: usize) {
        self.shared.dying.store(times, Ordering::SeqCst);
    }

    /// An answer that should not have come.
    pub(super) fn refusal(&self) -> Option<String> {
        self.shared.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has been acknowledged, in the order of acknowledgement.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops once everything sent is acknowledged.
    pub(super) fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for sender in self.senders.drain(..) {
            sender.join().ok();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The gateways, and which one is next.
struct Places {
    addresses: Vec<SocketAddr>,
    dice: Dice,
}

impl Places {
    /// Any of them, and how long it may take to answer: among several, another one is tried soon.
    fn next(&mut self) -> (SocketAddr, Duration) {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        match self.addresses[..] {
            [only] => (only, PATIENCE * 10),
            _ => (self.dice.one_of(&self.addresses).unwrap_or(nowhere), PATIENCE),
        }
    }
}

fn send(to: &mut Places, number: usize, shared: &Shared) {
    for tick in 0.. {
        // One more tick at the end: a frontier that waits for its targets sees them caught up.
        let is_last = shared.stopping.load(Ordering::SeqCst);
        let now = now_ms();
        let samples = samples_of(number, tick, now);
        if !deliver(to, &Message::of(number, &samples), shared) {
            return;
        }
        shared.acknowledge(&samples);
        if is_last {
            return;
        }
        let left = u64::try_from(now + TICK_MS - now_ms()).unwrap_or(0);
        std::thread::sleep(Duration::from_millis(left));
    }
}

/// Sends until it is acknowledged. `false` if it was refused for good, or nobody comes back.
fn deliver(to: &mut Places, message: &Message, shared: &Shared) -> bool {
    let mut stopped_for = 0;
    loop {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let (to, patience) = to.next();
        let dying = |left: usize| left.checked_sub(1);
        if shared.dying.fetch_update(Ordering::SeqCst, Ordering::SeqCst, dying).is_ok() {
            send_half(to, message);
            continue;
        }
        match post(to, message, patience) {
            Ok(answer) if answer.status == 204 => return true,
            Ok(answer) if answer.status < 500 => {
                let text = format!("{}: {}", answer.status, answer.text());
                *shared.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                return false;
            }
            _ => std::thread::sleep(Duration::from_millis(40)),
        }
        // Whoever stops with a gateway that is gone for good does not wait for ever.
        stopped_for += usize::from(shared.stopping.load(Ordering::SeqCst));
        if stopped_for > 1000 {
            return false;
        }
    }
}

/// A request as it goes out.
struct Message {
    body: Vec<u8>,
    content_type: &'static str,
    encoding: &'static str,
    version: &'static str,
}

impl Message {
    /// As this sender writes it: every other one speaks 2.0 in zstd.
    fn of(sender: usize, samples: &[Sample]) -> Self {
        if sender.is_multiple_of(2) {
            return Self::plain(samples);
        }
        let plain = message_v2(samples).encode_to_vec();
        Self {
            // Memory takes all.
            body: zstd::bulk::compress(&plain, 1).unwrap_or_default(),
            content_type: "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            encoding: "zstd",
            version: "2.0.0",
        }
    }

    /// 1.0 in snappy.
    fn plain(samples: &[Sample]) -> Self {
        Self {
            body: snappy(&message_v1(samples).encode_to_vec()),
            content_type: "application/x-protobuf",
            encoding: "snappy",
            version: "0.1.0",
        }
    }

    fn headers(&self) -> [(&'static str, &'static str); 3] {
        [
            ("Content-Type", self.content_type),
            ("Content-Encoding", self.encoding),
            ("X-Prometheus-Remote-Write-Version", self.version),
        ]
    }
}

fn post(to: SocketAddr, message: &Message, patience: Duration) -> std::io::Result<http::Answer> {
    http::send(to, "POST", "/api/v1/write", &message.headers(), &message.body, patience)
}

/// The first half of a request, and then nothing.
fn send_half(to: SocketAddr, message: &Message) {
    let mut head = format!("POST /api/v1/write HTTP/1.1\r\nHost: {to}\r\n");
    for (name, value) in message.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = &message.body;
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    if let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) {
        // Whether it arrives is all the same.
        stream.write_all(head.as_bytes()).ok();
        stream.write_all(&body[..body.len() / 2]).ok();
    }
}

/// What one sender says at one tick: counters that reset, gauges, series that end and come back,
/// some that no rule takes, and one that the backend may refuse.
fn samples_of(sender: usize, tick: i64, now: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for target in 0..6 {
        let instance = format!("host-{sender}-{target}:9100");
        let zone = if target % 2 == 0 { "even" } else { "odd" };
        let pairs = [("instance", instance.as_str()), ("job", "torture"), ("zone", zone)];
        let seed = i64::try_from(sender * 11 + target).unwrap_or(0);
        let mut say = |name: &str, value: f64| {
            let labels: Arc<Labels> = labels(name, &pairs);
            samples.push(Sample::new(&labels, now, value));
        };
        say("requests_total", ((tick % (41 + seed)) * (3 + seed)) as f64);
        say("in_flight", ((tick * 31 + seed * 17) % 101) as f64);
        say("passed_on", (tick * 1000 + seed) as f64);
        // One in a while: whoever looks for it halves its request again and again.
        if target == 0 && tick % 5 == 0 {
            say("sometimes_refused", tick as f64);
        }
        match (tick + seed * 7) % 50 {
            0..25 => {
                say("sometimes_total", (tick * 2) as f64);
                say("sometimes", (tick % 13) as f64);
            }
            25 => {
                say("sometimes_total", stale_marker());
                say("sometimes", stale_marker());
            }
            _ => {}
        }
        let sizes = sizes(tick % (41 + seed), seed, now);
        samples.push(Sample::native(&labels("sizes", &pairs), sizes));
    }
    samples
}

/// A native histogram that counts on with its ticks, in whole numbers.
fn sizes(ticks: i64, seed: i64, now: i64) -> NativeHistogram {
    let (small, large) = ((ticks * 2) as f64, (ticks * (1 + seed)) as f64);
    NativeHistogram {
        timestamp: now,
        count: small + large,
        sum: small + 4.0 * large,
        schema: 3,
        positive: [(1, small), (17, large)].into(),
        ..NativeHistogram::default()
    }
}
