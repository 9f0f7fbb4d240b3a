//! Targets that behave, and targets that do not.

use std::io::Write;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_http::ClientConfig;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn settings() -> FetchSettings {
    let accept = "text/plain;version=0.0.4;q=0.2,*/*;q=0.1".to_owned();
    FetchSettings { accept, compression: true, timeout: LONG, body_bytes_max: 0 }
}

/// Reads a request's head.
async fn head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A target that answers every request with these bytes and closes; also the first request's head.
async fn fetched(
    answer: Vec<u8>,
    settings: &FetchSettings,
) -> (Result<String, FetchError>, Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics?x=1", listener.local_addr().unwrap()).parse().unwrap();
    let client = Client::new(ClientConfig::default(), Instant::now()).unwrap();
    let (heads, mut seen) = tokio::sync::mpsc::channel(100);
    let target = tokio::spawn(async move {
        loop {
            let mut socket = listener.accept().await.unwrap().0;
            let Some(head) = head(&mut socket).await else { continue };
            heads.try_send(head).ok();
            // The client may hang up early, which is what some tests are about.
            socket.write_all(&answer).await.ok();
        }
    });
    let mut page = b"what was here before".to_vec();
    let outcome = fetch(&client, &url, settings, &mut Way::default(), &mut page).await;
    target.abort();
    let outcome = outcome.map(|fetched| {
        page.drain(..fetched.at);
        fetched.content_type
    });
    (outcome, page, seen.recv().await.unwrap_or_default())
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").as_bytes(), body].concat()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_page_comes_with_its_type_and_the_request_says_what_prometheus_says() {
    let given = answer("Content-Type: text/plain\r\nContent-Length: 4", b"a 1\n");
    let (outcome, page, head) = fetched(given, &settings()).await;
    assert_eq!((outcome, &page[..]), (Ok("text/plain".to_owned()), &b"a 1\n"[..]));
    assert!(head.starts_with("GET /metrics?x=1 HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    for line in [
        "accept: text/plain;version=0.0.4;q=0.2,*/*;q=0.1\r\n",
        "accept-encoding: identity\r\n",
        "x-prometheus-scrape-timeout-seconds: 20\r\n",
        "user-agent: weir/",
    ] {
        assert!(head.contains(line), "{line:?} is not in {head:?}");
    }
}

#[test]
fn packing_is_asked_for_where_it_saves_something() {
    let encoding = |url: &str, compression| {
        let settings = FetchSettings { compression, ..settings() };
        headers(&url.parse().unwrap(), &settings)[ACCEPT_ENCODING].to_str().unwrap().to_owned()
    };
    assert_eq!(encoding("http://10.0.0.1:9100/metrics", true), "gzip");
    assert_eq!(encoding("http://10.0.0.1:9100/metrics", false), "identity");
    for host in ["localhost", "127.0.0.53", "[::1]"] {
        assert_eq!(encoding(&format!("http://{host}:9100/metrics"), true), "identity");
    }
}

#[tokio::test]
async fn packed_pages_are_unpacked_in_all_their_members() {
    let body = [gzip(b"a 1\n"), gzip(b"b 2\n")].concat();
    let (outcome, page, _) = fetched(answer("Content-Encoding: gzip", &body), &settings()).await;
    assert_eq!((outcome, &page[..]), (Ok(String::new()), &b"a 1\nb 2\n"[..]));
}

#[tokio::test]
async fn a_packed_page_that_is_none_or_is_cut_off_is_an_error() {
    let whole = gzip(&b"some_metric 1\n".repeat(100));
    let cut = &whole[..whole.len() - 9];
    for body in [&b"a 1\n plain text"[..], cut] {
        let (outcome, page, _) = fetched(answer("Content-Encoding: gzip", body), &settings()).await;
        assert!(matches!(outcome, Err(FetchError::Gzip(_))), "{outcome:?}");
        assert!(page.is_empty());
    }
}

#[tokio::test]
async fn another_status_is_an_error_that_names_it() {
    let given = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
    let (outcome, ..) = fetched(given, &settings()).await;
    let text = outcome.unwrap_err().to_string();
    assert_eq!(text, "server returned HTTP status 503 Service Unavailable");
}

#[tokio::test]
async fn a_page_of_the_limit_is_refused_and_memory_stays_small() {
    let limited = FetchSettings { body_bytes_max: 1000, ..settings() };
    let bomb = gzip(&vec![b'a'; 50 << 20]);
    let announced = "Content-Length: 1000000000000";
    for given in [
        answer("Content-Length: 1000", &[b'a'; 1000]),
        answer(announced, &vec![b'a'; 1 << 20]),
        answer("Content-Encoding: gzip", &bomb),
    ] {
        let (outcome, page, _) = fetched(given, &limited).await;
        assert_eq!(outcome, Err(FetchError::BodyLimit));
        assert!(page.capacity() < 10_000, "{} bytes", page.capacity());
    }
    let (outcome, page, _) = fetched(answer("Content-Length: 999", &[b'a'; 999]), &limited).await;
    assert_eq!((outcome, page.len()), (Ok(String::new()), 999));
}

#[tokio::test]
async fn a_page_shorter_than_announced_is_an_error() {
    let (outcome, page, _) = fetched(answer("Content-Length: 100", b"a 1\n"), &settings()).await;
    assert!(matches!(outcome, Err(FetchError::Client(ClientError::Broken(_)))), "{outcome:?}");
    assert!(page.is_empty());
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let given = b"HTTP/1.1 302 Found\r\nLocation: /metrics?x=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (outcome, ..) = fetched(given.to_vec(), &settings()).await;
    assert!(outcome.unwrap_err().to_string().contains("redirects"));
}

#[tokio::test]
async fn a_target_that_hangs_or_trickles_runs_into_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let client = Client::new(ClientConfig::default(), Instant::now()).unwrap();
    let short = FetchSettings { timeout: Duration::from_millis(100), ..settings() };
    for trickles in [false, true] {
        let (mut way, mut page) = (Way::default(), Vec::new());
        let target = async {
            let mut socket = listener.accept().await.unwrap().0;
            head(&mut socket).await;
            socket.write_all(&answer("Content-Length: 1000000", b"")).await.unwrap();
            while trickles && socket.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = fetch(&client, &url, &short, &mut way, &mut page) => outcome,
            () = target => unreachable!(),
        };
        assert_eq!(outcome, Err(FetchError::Timeout(short.timeout)));
    }
}
