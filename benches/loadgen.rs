//! What a sample costs the load generator: patching it into its body, and sending that.
//!
//! The workload is the `kubernetes` preset of a million series in requests of 2,000 samples, so the
//! bodies do not lie in the cache. `fill` is the CPU time of making a request of a prepared body, `send`
//! that of the same and a whole exchange over loopback, on the sender's thread alone, with a sink that
//! answers 204 to whatever comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{bench_series, measuring, thread_time};
use weir_loadgen::body::{Body, Compression, Protocol, Scratch};
use weir_loadgen::sender::Endpoint;
use weir_loadgen::sender::connection::Connection;
use weir_loadgen::workload::presets::Preset;
use weir_loadgen::workload::{Request, Shape, Workload};

const REQUEST_SAMPLES: u32 = 2000;
const START_MS: i64 = 1_760_000_000_000;
const INTERVAL_MS: i64 = 10_000;

const LOADS: [(Protocol, Compression); 3] = [
    (Protocol::V1, Compression::Snappy),
    (Protocol::V2, Compression::Snappy),
    (Protocol::V1, Compression::Zstd),
];

fn workload() -> Workload {
    let plain = Shape::plain(Preset::Kubernetes, bench_series() as u64);
    let shape = Shape { samples_per_request: REQUEST_SAMPLES, ..plain };
    Workload::new(shape, 1)
}

/// A request of any number, the rounds an interval apart.
fn request(workload: &Workload, number: u64) -> Request {
    let time = START_MS + (number / workload.slots()) as i64 * INTERVAL_MS;
    Request { number, time, since: time }
}

/// The bodies of all slots.
fn bodies(workload: &Workload, load: (Protocol, Compression)) -> Vec<Body> {
    let slots = 0..workload.slots();
    slots.map(|slot| Body::new(workload, &request(workload, slot), load.0, load.1)).collect()
}

/// Makes `count` requests and hands each to `post`: CPU time of this thread.
fn run(
    workload: &Workload,
    bodies: &mut [Body],
    count: u64,
    mut post: impl FnMut(&[u8]),
) -> Duration {
    let mut scratch = Scratch::default();
    let begin = thread_time();
    for number in 0..count {
        let slot = (number % workload.slots()) as usize;
        bodies[slot].fill(workload, &request(workload, number), &mut scratch);
        post(bodies[slot].bytes());
    }
    thread_time() - begin
}

fn fill(criterion: &mut Criterion) {
    let workload = workload();
    let mut group = criterion.benchmark_group("loadgen");
    group.throughput(Throughput::Elements(u64::from(REQUEST_SAMPLES)));
    for load in LOADS {
        let mut bodies = bodies(&workload, load);
        let name = format!("{}-{}", load.0.name(), load.1.name());
        group.bench_function(BenchmarkId::new("fill", &name), |bencher| {
            bencher.iter_custom(|count| {
                run(&workload, &mut bodies, count, |body| {
                    std::hint::black_box(body);
                })
            });
        });
        let mut connection = Connection::new(&endpoint(load, sink())).expect("a connection");
        let mut post = |body: &[u8]| {
            let answer = connection.post(body, None, 0).expect("an answer");
            assert_eq!(answer.status, 204);
        };
        group.bench_function(BenchmarkId::new("send", &name), |bencher| {
            bencher.iter_custom(|count| run(&workload, &mut bodies, count, &mut post));
        });
    }
    group.finish();
}

fn endpoint(load: (Protocol, Compression), to: SocketAddr) -> Endpoint {
    Endpoint {
        protocol: load.0,
        compression: load.1,
        ..Endpoint::plain(Endpoint::url(&format!("http://{to}/api/v1/push")).expect("a URL"))
    }
}

/// Takes one connection and answers 204 to each request, until the other side closes.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        // It ends with the bench.
        swallow(stream).ok();
    });
    address
}

fn swallow(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        body.resize(length, 0);
        from.read_exact(&mut body)?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}

criterion_group!(
    name = benches;
    config = Criterion::default()
        .sample_size(if measuring() { 30 } else { 10 })
        .measurement_time(Duration::from_secs(3));
    targets = fill
);
criterion_main!(benches);
