//! A scripted HTTP server in the test's own process: each request goes to a closure, whose reply
//! goes back. One connection a request, so that no answer depends on another.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// What was asked for, as it stands in the first line: a path, or a whole URL at a proxy.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// What was asked for, less its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        http::header(&self.headers, name).unwrap_or_default()
    }
}

/// What goes back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status and reason, as `200 OK`.
    pub status: &'static str,
    /// Headers besides the length.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// 200 with a body of this type.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status: "200 OK", headers, body: body.into() }
    }

    /// 200 with a page in text format 0.0.4.
    pub fn page(text: &str) -> Self {
        Self::ok("text/plain; version=0.0.4", text)
    }

    /// A status, and nothing more.
    pub fn status(status: &'static str) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server; it ends when dropped.
pub struct Stub {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Stub {
    /// Serves on a free port of loopback. Each connection has a thread, so a script may wait.
    pub fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let script: Arc<Script> = Arc::new(script);
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let script = Arc::clone(&script);
                // A client that goes away early is not this thread's concern.
                std::thread::spawn(move || answer(stream, &*script).ok());
            }
        });
        Self { address, stopping, serving: Some(serving) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.serving.take() {
            thread.join().ok();
        }
    }
}

fn answer(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut from = BufReader::new(stream.try_clone()?);
    let Some((start, headers)) = http::read_head(&mut from)? else {
        return Ok(());
    };
    let body = http::read_body(&mut from, &headers)?;
    let mut words = start.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reply = script(&Request { method, target, headers, body });
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", reply.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&reply.body)
}
