//! A target whose pages are numbered, and that misbehaves when it is told to.
//!
//! Invariant: [`CountingTarget::served`] holds a number only once its whole page was handed to the
//! socket, so what a scraper must have is known exactly.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http;

/// What a target does with a scrape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Serves `ticks_total <number>`, and the target's other series.
    Serve,
    /// Takes the request and never answers.
    Hang,
    /// Promises more bytes than it sends, and closes.
    PromiseMore,
    /// Promises so few bytes that the page ends in the middle of a line.
    PromiseLess,
    /// Streams so many bytes of good lines, or as many as the other side takes.
    Flood(u64),
    /// A page with bytes that are no text in its middle.
    Garble,
    /// Redirects to itself.
    Circle,
}

/// The target.
pub struct CountingTarget {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    manner: Mutex<Manner>,
    served: Mutex<Vec<u64>>,
    asked: AtomicU64,
    series: usize,
    noise: usize,
    stopping: AtomicBool,
}

impl Shared {
    fn served(&self) -> MutexGuard<'_, Vec<u64>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CountingTarget {
    /// Serves pages of so many series beside the number, on a free port.
    pub fn start(series: usize) -> Self {
        Self::start_noisy(series, 0)
    }

    /// The same, and so many series whose values do not compress.
    pub fn start_noisy(series: usize, noise: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Serve),
            served: Mutex::default(),
            asked: AtomicU64::new(0),
            series,
            noise,
            stopping: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let serving = std::thread::spawn(move || {
            let shared = Arc::clone(&theirs);
            let is_stopping = || theirs.stopping.load(Ordering::SeqCst);
            http::serve_each(&listener, is_stopping, move |stream| answer(stream, &shared));
        });
        Self { address, shared, serving: Some(serving) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on.
    pub fn behave(&self, manner: Manner) {
        *self.shared.manner() = manner;
    }

    /// The numbers of the whole pages so far, in order.
    pub fn served(&self) -> Vec<u64> {
        self.shared.served().clone()
    }

    /// How many scrapes have come, whatever became of them.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for CountingTarget {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.serving.take() {
            thread.join().ok();
        }
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    if http::read_head(&mut BufReader::new(stream.try_clone()?))?.is_none() {
        return Ok(());
    }
    let number = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
    let mut page = format!("# TYPE ticks_total counter\nticks_total {number}\n");
    for series in 0..shared.series {
        page.push_str(&format!("filler{{n=\"{series}\"}} {number}\n"));
    }
    for series in 0..shared.noise {
        let noise = (number << 32 | series as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        page.push_str(&format!("noise{{n=\"{series}\"}} {noise}\n"));
    }
    let manner = *shared.manner();
    match manner {
        Manner::Serve => {
            send(&mut stream, "200 OK", page.len(), page.as_bytes())?;
            shared.served().push(number);
            Ok(())
        }
        Manner::Hang => {
            while *shared.manner() == manner && !shared.stopping.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Ok(())
        }
        Manner::PromiseMore => {
            send(&mut stream, "200 OK", 2 * page.len(), page.as_bytes())?;
            stream.shutdown(Shutdown::Both)
        }
        Manner::PromiseLess => {
            page.push_str("cut_off{label=\"never ends\"} 1\n");
            send(&mut stream, "200 OK", page.len() - 12, page.as_bytes())
        }
        Manner::Flood(bytes) => flood(&mut stream, bytes),
        Manner::Garble => {
            let mut page = page.into_bytes();
            page.extend_from_slice(b"garbled{label=\"\xff\xfe\"} 1\nafter 1\n");
            send(&mut stream, "200 OK", page.len(), &page)
        }
        Manner::Circle => {
            let head = "HTTP/1.1 302 Found\r\nLocation: /metrics\r\nConnection: close\r\n\
                        Content-Length: 0\r\n\r\n";
            stream.write_all(head.as_bytes())
        }
    }
}

fn send(stream: &mut TcpStream, status: &str, length: usize, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn flood(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    let mut piece = String::new();
    for number in 0..2000 {
        piece.push_str(&format!("flood{{n=\"{number}\",of=\"lines that are good but many\"}} 1\n"));
    }
    send(stream, "200 OK", usize::try_from(bytes).unwrap_or(usize::MAX), b"")?;
    let mut sent = 0;
    while sent < bytes {
        stream.write_all(piece.as_bytes())?;
        sent += piece.len() as u64;
    }
    Ok(())
}
