//! The server over real sockets, spoken to by hand and by the crate's own client.

use hyper::StatusCode;
use hyper::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::*;
use crate::client::{Client, ClientConfig, ClientError};
use crate::limits::{BodyError, declared_len, read_body};

/// Echoes bodies of up to 16 bytes; `/wait` answers when the gate opens.
struct Echo {
    entered: Semaphore,
    gate: Semaphore,
}

impl Handler for Echo {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Full<Bytes>> {
        assert_ne!(request.uri().path(), "/panic");
        if request.uri().path() == "/wait" {
            self.entered.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
        let claimed = declared_len(request.headers());
        let body = read_body(request.into_body(), claimed, 16, Duration::from_millis(200)).await;
        let (status, body) = match body {
            Ok(body) => (StatusCode::OK, body),
            Err(BodyError::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
            Err(BodyError::Timeout) => (StatusCode::REQUEST_TIMEOUT, Bytes::new()),
            Err(BodyError::Broken) => (StatusCode::BAD_REQUEST, Bytes::new()),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response
    }
}

struct Running {
    addr: SocketAddr,
    echo: Arc<Echo>,
    drain: Drain,
    counters: Arc<ServerCounters>,
}

async fn start(config: ServerConfig) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
    let (addr, counters) = (server.local_addr().unwrap(), server.counters());
    let echo = Arc::new(Echo { entered: Semaphore::new(0), gate: Semaphore::new(0) });
    let drain = Drain::new();
    tokio::spawn(server.serve(Arc::clone(&echo), drain.clone()));
    Running { addr, echo, drain, counters }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    fn url(&self, path: &str) -> hyper::Uri {
        format!("http://{}{path}", self.addr).parse().unwrap()
    }

    async fn post(&self, path: &str, body: &'static str) -> Result<(u16, Bytes), ClientError> {
        let client = Client::new(ClientConfig::default(), Instant::now()).unwrap();
        let reply = client.post(&self.url(path), HeaderMap::new(), body.into(), LONG).await?;
        Ok((reply.status.as_u16(), reply.body))
    }
}

/// Everything until the peer closes; a reset counts as a close.
async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 512];
    let read = async {
        while let Ok(n @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(LONG, read).await.expect("the server did not close");
    String::from_utf8(all).unwrap()
}

/// Waits for a condition that another task brings about.
async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("the condition never came");
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn answers_and_counts() {
    let server = start(ServerConfig::default()).await;
    assert_eq!(server.post("/", "hello").await.unwrap(), (200, "hello".into()));
    assert_eq!(server.counters.requests.load(Ordering::Relaxed), 1);
    assert_eq!(server.counters.connections_total.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused() {
    let server = start(ServerConfig::default()).await;
    assert_eq!(server.post("/", "sixteen bytes ok").await.unwrap().0, 200);
    assert_eq!(server.post("/", "seventeen is more").await.unwrap().0, 413);
    // Chunked: no length is declared.
    let mut stream = server.connect().await;
    let request =
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
        9\r\nnine byte\r\n9\r\nnine more\r\n0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert!(read_to_close(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_body_that_never_comes_ends_in_a_timeout() {
    let server = start(ServerConfig::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
    assert!(read_to_close(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn slow_headers_are_cut() {
    let server = start(ServerConfig { header_timeout: SHORT, ..Default::default() }).await;
    for start in ["", "P", "POST / HTTP/1.1\r\nhost: "] {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, "", "{start:?}");
    }
    until(|| server.counters.connections_open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(server.counters.idle_closed.load(Ordering::Relaxed), 3);
    assert_eq!(server.counters.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let server = start(ServerConfig { idle_timeout: SHORT, ..Default::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut stream).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.counters.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_idle_time_is_answered() {
    let server = start(ServerConfig { idle_timeout: SHORT, ..Default::default() }).await;
    let gate = {
        let echo = Arc::clone(&server.echo);
        async move {
            echo.entered.acquire().await.unwrap().forget();
            tokio::time::sleep(SHORT * 3).await;
            echo.gate.add_permits(1);
        }
    };
    let (answer, ()) = tokio::join!(server.post("/wait", "x"), gate);
    assert_eq!(answer.unwrap(), (200, "x".into()));
}

#[tokio::test]
async fn connections_over_the_cap_are_refused_and_counted() {
    let server = start(ServerConfig { connections_max: 2, ..Default::default() }).await;
    let (first, _second) = (server.connect().await, server.connect().await);
    until(|| server.counters.connections_open.load(Ordering::Relaxed) == 2).await;
    let mut third = server.connect().await;
    let answer = read_to_close(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(server.counters.connections_refused.load(Ordering::Relaxed), 1);
    drop(first);
    until(|| server.counters.connections_open.load(Ordering::Relaxed) == 1).await;
    assert_eq!(server.post("/", "again").await.unwrap().0, 200);
}

#[tokio::test]
async fn draining_finishes_requests_and_closes_the_rest() {
    let server = start(ServerConfig::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut half = server.connect().await;
    half.write_all(b"GET / HT").await.unwrap();
    let drained = async {
        server.echo.entered.acquire().await.unwrap().forget();
        until(|| server.counters.requests.load(Ordering::Relaxed) == 2).await;
        server.drain.start();
        assert!(!server.drain.wait(SHORT).await, "a request is still in flight");
        read_to_close(&mut half).await;
        assert!(read_to_close(&mut idle).await.starts_with("HTTP/1.1 200 "));
        assert!(TcpStream::connect(server.addr).await.is_err(), "the socket is still open");
        server.echo.gate.add_permits(1);
        assert!(server.drain.wait(LONG).await);
    };
    let (answer, ()) = tokio::join!(server.post("/wait", "kept"), drained);
    assert_eq!(answer.unwrap(), (200, "kept".into()));
}

#[tokio::test]
async fn what_does_not_drain_is_cut() {
    let server = start(ServerConfig::default()).await;
    let cut = async {
        server.echo.entered.acquire().await.unwrap().forget();
        server.drain.start();
        assert!(!server.drain.wait(Duration::ZERO).await);
        server.drain.cut();
        assert!(server.drain.wait(LONG).await);
    };
    let (answer, ()) = tokio::join!(server.post("/wait", "lost"), cut);
    assert!(matches!(answer, Err(ClientError::Broken(_))), "{answer:?}");
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let server = start(ServerConfig::default()).await;
    assert!(server.post("/panic", "x").await.unwrap_err().maybe_sent());
    assert_eq!(server.post("/", "x").await.unwrap().0, 200);
    until(|| server.counters.connections_open.load(Ordering::Relaxed) <= 1).await;
}

#[tokio::test]
async fn garbage_is_answered_and_closed() {
    let server = start(ServerConfig::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    until(|| server.counters.connection_errors.load(Ordering::Relaxed) == 1).await;
}
