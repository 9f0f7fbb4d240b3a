//! A scripted remote write receiver in the test's own process.
//!
//! It keeps every sample that it accepts, with its bits and in its order, and can answer anything,
//! hang, or slam the door. Decodes with prost only. Invariant: what it answered 2xx to is recorded
//! before the answer leaves.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message;
use weir_wire::oracle::{v1, v2};

use crate::http::{self, header};
use crate::samples::{Labels, Sample};

/// What the backend does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Records it and answers 204, with Written headers for 2.0.
    Accept,
    /// Answers with a status, headers and a text, and records nothing.
    Status(u16, Vec<(String, String)>, String),
    /// Records nothing and closes without an answer.
    Close,
    /// Records it and closes without an answer, as a receiver that is killed at that moment.
    Lose,
    /// Keeps the sender waiting until the script changes, then does what that says.
    Hang,
}

/// A request as it came, decompressed and decoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its float samples.
    pub samples: Vec<Sample>,
    /// Native histograms in it.
    pub histograms: Vec<(Arc<Labels>, weir_wire::oracle::Histogram)>,
    /// Whether it was 2.0.
    pub is_v2: bool,
}

type Script = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The receiver.
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
}

struct State {
    script: Script,
    accepted: Vec<Request>,
    seen: usize,
    version: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend {
    /// Starts one that accepts everything, on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = State {
            script: Arc::new(|_| Reply::Accept),
            accepted: Vec::new(),
            seen: 0,
            version: 0,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &theirs));
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its remote write URL.
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Changes what it does from now on, also with those that hang.
    pub fn script(&self, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        let mut state = self.shared.state();
        state.script = Arc::new(script);
        state.version += 1;
        self.shared.changed.notify_all();
    }

    /// Accepts everything from now on.
    pub fn accept_all(&self) {
        self.script(|_| Reply::Accept);
    }

    /// Answers everything with a status from now on.
    pub fn answer_all(&self, status: u16) {
        self.script(move |_| Reply::Status(status, Vec::new(), "scripted".into()));
    }

    /// Everything accepted so far, in order.
    pub fn accepted(&self) -> Vec<Request> {
        self.shared.state().accepted.clone()
    }

    /// The float samples accepted so far, in order.
    pub fn samples(&self) -> Vec<Sample> {
        let state = self.shared.state();
        state.accepted.iter().flat_map(|r| r.samples.iter().cloned()).collect()
    }

    /// How many requests have come, whatever became of them.
    pub fn requests_seen(&self) -> usize {
        self.shared.state().seen
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.accept_all();
        // Wakes the accepting thread.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(stream, &shared).ok());
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut answers = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    while let Some((start, headers)) = http::read_head(&mut from)? {
        let body = http::read_body(&mut from, &headers)?;
        let path = start.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = match decode(path, headers, &body) {
            Ok(request) => answer(request, shared),
            Err(error) => Some(text(400, &[], &error)),
        };
        let Some(answer) = answer else { return Ok(()) };
        answers.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// The answer to a request; `None` closes the connection.
fn answer(request: Request, shared: &Shared) -> Option<String> {
    shared.state().seen += 1;
    loop {
        let (script, version) = {
            let state = shared.state();
            (Arc::clone(&state.script), state.version)
        };
        // Scripts may look at the backend, so they run without its lock.
        match script(&request) {
            Reply::Accept => {
                let headers = written(&request);
                shared.state().accepted.push(request);
                return Some(text(204, &headers, ""));
            }
            Reply::Status(status, headers, body) => return Some(text(status, &headers, &body)),
            Reply::Close => return None,
            Reply::Lose => {
                shared.state().accepted.push(request);
                return None;
            }
            Reply::Hang => {
                let mut state = shared.state();
                while state.version == version {
                    let woken = shared.changed.wait(state);
                    state = woken.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

fn written(request: &Request) -> Vec<(String, String)> {
    if !request.is_v2 {
        return Vec::new();
    }
    let header = |what: &str, count: usize| {
        (format!("X-Prometheus-Remote-Write-{what}-Written"), count.to_string())
    };
    vec![
        header("Samples", request.samples.len()),
        header("Histograms", request.histograms.len()),
        header("Exemplars", 0),
    ]
}

fn text(status: u16, headers: &[(String, String)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} scripted\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 204 {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text
}

fn decode(path: String, headers: Vec<(String, String)>, body: &[u8]) -> Result<Request, String> {
    let bytes = match header(&headers, "content-encoding") {
        Some("zstd") => zstd::stream::decode_all(body).map_err(|e| e.to_string())?,
        _ => decompress(body)?,
    };
    let content_type = header(&headers, "content-type").unwrap_or_default();
    let is_v2 = content_type.contains("io.prometheus.write.v2.Request");
    let mut request = Request { path, headers, samples: Vec::new(), histograms: Vec::new(), is_v2 };
    if is_v2 {
        let message = v2::Request::decode(&bytes[..]).map_err(|e| e.to_string())?;
        read_v2(&message, &mut request)?;
    } else {
        let message = v1::WriteRequest::decode(&bytes[..]).map_err(|e| e.to_string())?;
        read_v1(&message, &mut request);
    }
    Ok(request)
}

/// Snappy's block format, up to 64 MiB of it.
pub(crate) fn decompress(body: &[u8]) -> Result<Vec<u8>, String> {
    let length = snap::raw::decompress_len(body).map_err(|e| e.to_string())?;
    let mut bytes = vec![0; length.min(64 << 20)];
    snap::raw::Decoder::new().decompress(body, &mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn read_v1(message: &v1::WriteRequest, into: &mut Request) {
    for series in &message.timeseries {
        let pairs = series.labels.iter().map(|l| (l.name.clone(), l.value.clone()));
        let labels: Arc<Labels> = Arc::new(pairs.collect());
        let samples = series.samples.iter().map(|s| Sample::new(&labels, s.timestamp, s.value));
        into.samples.extend(samples);
        let histograms = series.histograms.iter().map(|h| (Arc::clone(&labels), h.clone()));
        into.histograms.extend(histograms);
    }
}

fn read_v2(message: &v2::Request, into: &mut Request) -> Result<(), String> {
    let symbol = |at: u32| {
        let symbol = message.symbols.get(at as usize).cloned();
        symbol.ok_or_else(|| format!("symbol {at} of {}", message.symbols.len()))
    };
    for series in &message.timeseries {
        let mut labels = Labels::new();
        for pair in series.labels_refs.chunks(2) {
            let &[name, value] = pair else {
                return Err("odd label references".into());
            };
            labels.insert(symbol(name)?, symbol(value)?);
        }
        let labels = Arc::new(labels);
        into.samples.extend(series.samples.iter().map(|s| Sample {
            start: s.start_timestamp,
            ..Sample::new(&labels, s.timestamp, s.value)
        }));
        let histograms = series.histograms.iter().map(|h| (Arc::clone(&labels), h.clone()));
        into.histograms.extend(histograms);
    }
    Ok(())
}
