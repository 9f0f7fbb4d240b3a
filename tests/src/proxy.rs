//! A link between two programs that can be cut, held up and broken: a TCP proxy on loopback.
//!
//! Whoever is told the proxy's address instead of the real one is behind the link, in both
//! directions. Invariant: bytes pass unchanged and in order, or not at all; what was held passes
//! later, as after a partition that TCP has outlived. What has passed can be said again, as by a sender
//! that has not heard the answer. The clock is asked for delays only.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

/// What a link does with what comes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Manner {
    /// It passes.
    #[default]
    Pass,
    /// Each piece passes after this long, either way.
    Delay(Duration),
    /// Nothing passes, and nobody is told: packets that are dropped.
    Hold,
    /// What the one who connects says passes, and no answer does.
    HoldAnswers,
    /// Connections are reset, new ones too.
    Reset,
}

/// The link.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    to: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    sent: AtomicU64,
    answered: AtomicU64,
    /// What those who connected have said, by connection.
    said: Mutex<BTreeMap<u64, Vec<u8>>>,
}

/// Bytes of one connection that are remembered.
const REMEMBERED: usize = 1 << 20;

#[derive(Default)]
struct State {
    manner: Manner,
    stopping: bool,
}

/// How often a link that waits for bytes looks at what it is to do.
const LOOK: Duration = Duration::from_millis(20);

impl Proxy {
    /// A link to this address, on a free port.
    pub fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            to,
            state: Mutex::default(),
            changed: Condvar::new(),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            said: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if theirs.state().stopping {
                    return;
                }
                let shared = Arc::clone(&theirs);
                // Whoever goes away ends the connection, which is what it is there for.
                std::thread::spawn(move || serve(stream, &shared).ok());
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on, with open connections too.
    pub fn behave(&self, manner: Manner) {
        self.shared.state().manner = manner;
        self.shared.changed.notify_all();
    }

    /// Says every whole HTTP/1.1 POST to this path again that has passed; how many there were.
    pub fn say_again(&self, path: &str) -> usize {
        let said = self.shared.said().clone();
        let posts: Vec<&[u8]> = said.values().flat_map(|bytes| posts(bytes, path)).collect();
        for post in &posts {
            let mut stream = TcpStream::connect(self.shared.to).expect("somebody listens");
            stream.write_all(post).expect("it is read");
            // The answer's first byte: it has been taken, or not.
            let mut answer = [0];
            stream.read_exact(&mut answer).expect("an answer");
        }
        posts.len()
    }

    /// Bytes that have passed: from those who connected, and back.
    pub fn passed(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (of(&self.shared.sent), of(&self.shared.answered))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().stopping = true;
        self.shared.changed.notify_all();
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On this connection.
    There(u64),
    Back,
}

/// What may be done with bytes in hand.
enum Gate {
    Pass,
    End,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, number: u64, bytes: &[u8]) {
        if let Some(said) = self.said().get_mut(&number)
            && said.len() + bytes.len() <= REMEMBERED
        {
            said.extend_from_slice(bytes);
        }
    }

    fn ends(&self) -> bool {
        let state = self.state();
        state.stopping || state.manner == Manner::Reset
    }

    /// Waits until bytes may pass this way.
    fn gate(&self, way: Way) -> Gate {
        let mut state = self.state();
        loop {
            if state.stopping {
                return Gate::End;
            }
            match state.manner {
                Manner::Reset => return Gate::End,
                Manner::Hold => {}
                Manner::HoldAnswers if way == Way::Back => {}
                Manner::Pass | Manner::HoldAnswers => return Gate::Pass,
                Manner::Delay(time) => {
                    // Woken early: whatever it does now decides anew.
                    let waited = self.changed.wait_timeout(state, time);
                    let (woken, late) = waited.unwrap_or_else(PoisonError::into_inner);
                    if late.timed_out() {
                        return Gate::Pass;
                    }
                    state = woken;
                    continue;
                }
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn serve(near: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    // A partition drops the first packet like any other.
    if matches!(shared.gate(Way::There(0)), Gate::End) {
        return reset(&near);
    }
    let far = TcpStream::connect_timeout(&shared.to, Duration::from_secs(5))?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let (back_from, back_to) = (far.try_clone()?, near.try_clone()?);
    let theirs = Arc::clone(shared);
    let back = std::thread::spawn(move || pump(&back_from, &back_to, Way::Back, &theirs).ok());
    let number = {
        let mut said = shared.said();
        let number = said.len() as u64;
        said.insert(number, Vec::new());
        number
    };
    let outcome = pump(&near, &far, Way::There(number), shared);
    back.join().ok();
    outcome
}

/// Carries bytes one way until one of both sides has gone.
fn pump(mut from: &TcpStream, mut to: &TcpStream, way: Way, shared: &Shared) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if is_timeout(&error) => {
                if shared.ends() {
                    return reset(from).and(reset(to));
                }
                continue;
            }
            Err(_) => return reset(from).and(reset(to)),
        };
        if matches!(shared.gate(way), Gate::End) {
            return reset(from).and(reset(to));
        }
        if to.write_all(&bytes[..count]).is_err() {
            return reset(from).and(reset(to));
        }
        let counter = match way {
            Way::There(number) => {
                shared.remember(number, &bytes[..count]);
                &shared.sent
            }
            Way::Back => &shared.answered,
        };
        counter.fetch_add(count as u64, Ordering::SeqCst);
    }
    // An end is news as well, and held as such.
    if matches!(shared.gate(way), Gate::End) {
        return reset(from).and(reset(to));
    }
    to.shutdown(Shutdown::Write)
}

/// The whole POSTs to a path in what was said on a connection, as they stand.
fn posts<'a>(mut said: &'a [u8], path: &str) -> Vec<&'a [u8]> {
    let mut posts = Vec::new();
    while let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&said[..end]).to_ascii_lowercase();
        let len = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
        let len: usize = len.and_then(|len| len.trim().parse().ok()).unwrap_or(0);
        let Some((request, rest)) = said.split_at_checked(end + 4 + len) else { break };
        if head.starts_with(&format!("post {path} ")) {
            posts.push(request);
        }
        said = rest;
    }
    posts
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// With nothing to linger for, closing sends RST; the other half of the connection is woken.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    stream.shutdown(Shutdown::Read).or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;
    use crate::stub::{Reply, Stub};
    use crate::wait;

    fn ask(proxy: &Proxy) -> io::Result<u16> {
        http::get(proxy.address(), "/").map(|answer| answer.status)
    }

    #[test]
    fn what_passes_is_counted_and_what_is_reset_fails() {
        let stub = Stub::start(|_| Reply::page("here"));
        let proxy = Proxy::start(stub.address());
        assert_eq!(ask(&proxy).expect("an answer"), 200);
        // Counted once it has passed, so perhaps after its end has been read.
        wait::until("both ways are counted", Duration::from_secs(20), || {
            let (sent, answered) = proxy.passed();
            (sent > 10 && answered > 10).then_some(()).ok_or_else(|| format!("{sent}, {answered}"))
        });
        proxy.behave(Manner::Reset);
        assert!(ask(&proxy).is_err());
        proxy.behave(Manner::Delay(Duration::from_millis(5)));
        assert_eq!(ask(&proxy).expect("an answer"), 200);
    }

    #[test]
    fn what_is_held_passes_later_and_a_request_alone_passes_at_once() {
        let heard = Arc::new(AtomicU64::new(0));
        let hears = Arc::clone(&heard);
        let stub = Stub::start(move |_| {
            hears.fetch_add(1, Ordering::SeqCst);
            Reply::page("here")
        });
        let proxy = Proxy::start(stub.address());
        for (manner, arrives) in [(Manner::Hold, 0), (Manner::HoldAnswers, 1)] {
            let before = heard.load(Ordering::SeqCst);
            proxy.behave(manner);
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| ask(&proxy));
                wait::until_true("it arrives, or not", Duration::from_secs(5), || {
                    let arrived = heard.load(Ordering::SeqCst) - before;
                    // One that is held is seen to hang by the answer that is not there.
                    arrived == arrives && !asking.is_finished()
                });
                proxy.behave(Manner::Pass);
                assert_eq!(asking.join().expect("no panic").expect("an answer"), 200);
            });
        }
    }
}
