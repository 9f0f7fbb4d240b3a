//! A remote write receiver that stands in for the backend and misbehaves as it is told.
//!
//! It keeps every sample that it accepts, with its bits and in its order, and can be slow, hang,
//! refuse a part, answer anything or slam the door: as a function says ([`Receiver::script`]) or a
//! file ([`Script`]); it can write all down ([`Record`]). Decodes with prost only. Invariant: what it answered 2xx to, or partly took,
//! is recorded before the answer leaves.

pub mod cli;
pub mod http;
pub mod record;
mod reply;
mod request;
pub mod script;

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::oracle::NativeHistogram;
use crate::samples::{Labels, Sample};

pub use record::{Record, Recorded};
pub use reply::Reply;
pub use request::Request;
pub use script::Script;

use reply::{text, written};

type Behaviour = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The receiver.
pub struct Receiver {
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
    script: Behaviour,
    accepted: Vec<Request>,
    /// Only counts what it accepts.
    forgets: bool,
    record: Option<Record>,
    samples: usize,
    seen: usize,
    version: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: Request) {
        let mut state = self.state();
        state.samples += request.samples.len();
        if let Some(record) = &mut state.record {
            record.add(&request);
        }
        if !state.forgets {
            state.accepted.push(request);
        }
    }
}

impl Receiver {
    /// Starts one that accepts everything, on a free port of this host.
    ///
    /// # Panics
    ///
    /// Where the host has none.
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0").expect("a free port")
    }

    /// Starts one that accepts everything, on an address; port 0 takes a free one.
    pub fn listen(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = State {
            script: Arc::new(|_| Reply::Accept),
            accepted: Vec::new(),
            forgets: false,
            record: None,
            samples: 0,
            seen: 0,
            version: 0,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            let shared = Arc::clone(&theirs);
            let is_stopping = || theirs.stopping.load(Ordering::SeqCst);
            http::serve_each(&listener, is_stopping, move |stream| serve(stream, &shared));
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
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

    /// From now on it only counts what it accepts: for runs without end.
    pub fn forget(&self) {
        self.shared.state().forgets = true;
    }

    /// Writes down what it accepts from now on.
    pub fn record_to(&self, record: Record) {
        self.shared.state().record = Some(record);
    }

    /// What has been written down, if anything is.
    pub fn recorded(&self) -> Option<Recorded> {
        self.shared.state().record.as_ref().map(Record::recorded)
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

    /// How many of them are such.
    pub fn count(&self, is_such: impl Fn(&Sample) -> bool) -> usize {
        let state = self.shared.state();
        state.accepted.iter().flat_map(|r| &r.samples).filter(|sample| is_such(sample)).count()
    }

    /// How many float samples have been accepted.
    pub fn sample_count(&self) -> usize {
        self.shared.state().samples
    }

    /// The native histograms accepted so far, in order.
    pub fn histograms(&self) -> Vec<(Arc<Labels>, NativeHistogram)> {
        let state = self.shared.state();
        let all = state.accepted.iter().flat_map(|r| &r.histograms);
        all.map(|(labels, h)| (Arc::clone(labels), crate::messages::native(h))).collect()
    }

    /// How many requests have come, whatever became of them.
    pub fn requests_seen(&self) -> usize {
        self.shared.state().seen
    }
}

impl Drop for Receiver {
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

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut answers = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    while let Some((start, headers)) = http::read_head(&mut from)? {
        let body = http::read_body(&mut from, &headers)?;
        let path = start.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = match Request::decode(path, headers, &body) {
            Ok(request) => answer(request, shared),
            Err(error) => Answer::Text(text(400, &[], &error)),
        };
        let answer = match answer {
            Answer::Text(answer) => answer,
            Answer::Close => return Ok(()),
            // With nothing to linger for, closing sends RST.
            Answer::Reset => return SockRef::from(&answers).set_linger(Some(Duration::ZERO)),
        };
        answers.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// How a connection goes on.
enum Answer {
    Text(String),
    Close,
    Reset,
}

fn answer(request: Request, shared: &Shared) -> Answer {
    shared.state().seen += 1;
    loop {
        let (script, version) = {
            let state = shared.state();
            (Arc::clone(&state.script), state.version)
        };
        // Scripts may look at the receiver, so they run without its lock.
        match script(&request) {
            Reply::Accept => {
                let headers = written(&request);
                shared.record(request);
                return Answer::Text(text(204, &headers, ""));
            }
            Reply::Slow(pause) => {
                std::thread::sleep(pause);
                let headers = written(&request);
                shared.record(request);
                return Answer::Text(text(204, &headers, ""));
            }
            Reply::Partly(refused, status, body) => {
                let mut taken = request;
                taken.samples.retain(|sample| !refused(sample));
                let headers = written(&taken);
                shared.record(taken);
                return Answer::Text(text(status, &headers, &body));
            }
            Reply::Status(status, headers, body) => {
                return Answer::Text(text(status, &headers, &body));
            }
            Reply::Close => return Answer::Close,
            Reply::Reset => return Answer::Reset,
            Reply::Lose => {
                shared.record(request);
                return Answer::Close;
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
