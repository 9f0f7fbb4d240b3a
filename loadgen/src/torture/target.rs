//! A target that an agent scrapes: numbered pages that move, and what became of each.
//!
//! Invariant: a page is recorded before its first byte leaves, and as whole once its last one is with
//! the socket; so what a scraper may have and what it must have are both known. It can die, in the
//! middle of a page too, and come back with its counters at 0; and it can take requests and be silent.

use std::fmt::Write as _;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::clock::now_ms;
use crate::receiver::http;

/// The series with the page's number.
pub(super) const NUMBER: &str = "passed_on";

/// A page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// Pages of the target before it, over all its lives.
    pub(super) number: u64,
    /// Pages of this life before it.
    tick: u64,
    /// The target's, so that pages of two differ.
    seed: u64,
    /// When it was asked for, milliseconds.
    pub(super) asked: i64,
    /// When all of it was with the socket.
    pub(super) written: Option<i64>,
}

impl Page {
    /// One that is about to be served.
    pub(super) fn new(number: u64, tick: u64, seed: u64, asked: i64) -> Self {
        Self { number, tick, seed, asked, written: None }
    }

    /// The same, written at this time.
    pub(super) fn whole_at(self, written: i64) -> Self {
        Self { written: Some(written), ..self }
    }

    /// Counters that reset, gauges, series that end and come back, and one that no rule takes.
    pub(super) fn values(&self) -> Vec<(&'static str, f64)> {
        let (seed, tick) = (self.seed, self.tick);
        let mut values = vec![
            (NUMBER, self.number as f64),
            ("requests_total", ((tick % (97 + seed)) * (3 + seed)) as f64),
            ("in_flight", ((self.number * 31 + seed * 17) % 101) as f64),
        ];
        if (tick + seed * 7) % 50 < 30 {
            values.push(("sometimes_total", (tick * 2) as f64));
            values.push(("sometimes", (self.number % 13) as f64));
        }
        values
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.values() {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            // A string takes all that is written to it.
            writeln!(text, "# TYPE {name} {kind}\n{name} {value}").ok();
        }
        text
    }
}

/// What it does with a scrape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Serve,
    /// Takes the request and is silent.
    Hang,
    /// Resets every connection.
    Dead,
}

/// The target.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
    seed: u64,
}

struct State {
    manner: Manner,
    pages: Vec<Page>,
    /// Pages before this life.
    before: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// Serves on a free port.
    pub(super) fn start(seed: u64) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let state = State { manner: Manner::Serve, pages: Vec::new(), before: 0 };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { state, changed, stopping: AtomicBool::new(false), seed });
        let theirs = Arc::clone(&shared);
        let serving = std::thread::spawn(move || {
            let shared = Arc::clone(&theirs);
            let is_stopping = || theirs.stopping.load(Ordering::SeqCst);
            http::serve_each(&listener, is_stopping, move |stream| serve(stream, &shared));
        });
        Ok(Self { address, shared, serving: Some(serving) })
    }

    /// All its pages so far.
    pub(super) fn pages(&self) -> Vec<Page> {
        self.shared.state().pages.clone()
    }

    /// Dies; [`Target::revive`] is its next start.
    pub(super) fn die(&self) {
        let mut state = self.shared.state();
        state.before = state.pages.len() as u64;
        state.manner = Manner::Dead;
        self.shared.changed.notify_all();
    }

    /// Is silent from now on.
    pub(super) fn hang(&self) {
        self.shared.state().manner = Manner::Hang;
    }

    /// Serves from now on.
    pub(super) fn revive(&self) {
        self.shared.state().manner = Manner::Serve;
        self.shared.changed.notify_all();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.die();
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.serving.take() {
            thread.join().ok();
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut from = BufReader::new(stream.try_clone()?);
    while http::read_head(&mut from)?.is_some() {
        let Some(page) = begin(shared) else { return reset(&stream) };
        let body = page.text();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let (half, rest) = body.as_bytes().split_at(body.len() / 2);
        stream.write_all(head.as_bytes())?;
        stream.write_all(half)?;
        if shared.state().manner == Manner::Dead {
            return reset(&stream);
        }
        stream.write_all(rest)?;
        if let Some(page) = shared.state().pages.get_mut(page.number as usize) {
            *page = page.whole_at(now_ms());
        }
    }
    Ok(())
}

/// The next page, once it serves; none if it is dead.
fn begin(shared: &Shared) -> Option<Page> {
    let asked = now_ms();
    let mut state = shared.state();
    while state.manner == Manner::Hang {
        let woken = shared.changed.wait(state);
        state = woken.unwrap_or_else(PoisonError::into_inner);
    }
    if state.manner == Manner::Dead {
        return None;
    }
    let number = state.pages.len() as u64;
    let page = Page::new(number, number - state.before, shared.seed, asked);
    state.pages.push(page);
    Some(page)
}

/// With nothing to linger for, closing sends RST.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
