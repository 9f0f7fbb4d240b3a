//! A scripted `/metrics` page for real scrapers: counters that reset, series that vanish.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::http;

/// A page that a test writes and real programs scrape.
pub struct Target {
    address: SocketAddr,
    page: Arc<Mutex<Option<String>>>,
    stopping: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Target {
    /// Serves an empty page on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let page = Arc::new(Mutex::new(Some(String::new())));
        let stopping = Arc::new(AtomicBool::new(false));
        let (theirs, stop) = (Arc::clone(&page), Arc::clone(&stopping));
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let page = theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A scraper that goes away early is not this thread's concern.
                answer(stream, page).ok();
            }
        });
        Self { address, page, stopping, serving: Some(serving) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says from now on; `None` answers 503, as a target that is down.
    pub fn say(&self, page: Option<String>) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.serving.take() {
            thread.join().ok();
        }
    }
}

fn answer(mut stream: TcpStream, page: Option<String>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    http::read_head(&mut BufReader::new(stream.try_clone()?))?;
    let (status, page) = page.map_or(("503 Down", String::new()), |page| ("200 OK", page));
    let length = page.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(page.as_bytes())
}
