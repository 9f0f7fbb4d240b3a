//! What is repeated and what is not; https, against Weir's own server with a certificate made for the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use weir_http::{
    Bytes, Drain, Full, Handler, Incoming, Peer, Request, Response, Server, ServerConfig,
    ServerTls, ServerTlsConfig,
};

use super::*;
use crate::body::{Compression, Protocol};
use crate::receiver::{Receiver, Reply, http};

/// 503 the first time, 204 for each that has the right headers, 400 for others.
#[derive(Default)]
struct Script(AtomicU32);

impl Handler for Script {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
        let header = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
        let right = peer.tls
            && header("content-type") == Some(Protocol::V2.content_type().as_bytes())
            && header("content-encoding") == Some(b"zstd")
            && header("x-scope-orgid") == Some(b"t");
        let turn = self.0.fetch_add(1, Ordering::SeqCst);
        let retried = header("retry-attempt") == Some(b"1");
        let (status, text) = match turn {
            0 if right => (503, "busy"),
            1 if right && retried => (204, ""),
            _ => (400, "wrong"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status.try_into().expect("a status");
        response.headers_mut().insert("retry-after", HeaderValue::from_static("3"));
        response
    }
}

/// A server that lives as long as the process, and the authority of its certificate.
fn serve(folder: &std::path::Path) -> SocketAddr {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let cert = params.signed_by(&key, &ca).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("it is written");
        path
    };
    file("ca", ca.pem());
    let tls = ServerTlsConfig {
        cert_file: file("cert", cert.pem()),
        key_file: file("key", key.serialize_pem()),
        client_ca_file: None,
        min_version: weir_http::tls::TlsVersion::Tls12,
    };
    let tls = ServerTls::load(tls, Instant::now()).expect("good files");
    let (tell, hear) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let config = ServerConfig { tls: Some(Arc::new(tls)), ..ServerConfig::default() };
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = Server::bind(any, config).await.expect("a free port");
            tell.send(server.local_addr().expect("its address")).expect("somebody waits");
            server.serve(Arc::new(Script::default()), Drain::new()).await;
        });
    });
    hear.recv().expect("it serves")
}

#[test]
fn https_says_and_hears_what_http_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = serve(folder.path());
    let url = format!("https://localhost:{}/api/v1/push", address.port());
    let mut endpoint = Endpoint {
        headers: vec![("X-Scope-OrgID".to_owned(), "t".to_owned())],
        protocol: Protocol::V2,
        compression: Compression::Zstd,
        timeout: Duration::from_secs(20),
        ca_file: Some(folder.path().join("ca")),
        ..Endpoint::plain(Endpoint::url(&url).expect("a URL"))
    };
    let mut connection = Connection::new(&endpoint).expect("good files");
    let busy = connection.post(b"body", None, 0).expect("an answer");
    assert_eq!((busy.status, busy.text.as_str()), (503, "busy"));
    assert_eq!(busy.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(connection.post(b"body", None, 1).expect("an answer").status, 204);
    let mislabelled = connection.post(b"body", Some("text/plain"), 0).expect("an answer");
    assert_eq!(mislabelled.status, 400);
    endpoint.ca_file = None;
    let mut stranger = Connection::new(&endpoint).expect("the system's authorities");
    assert!(stranger.post(b"body", None, 0).is_err(), "an unknown authority is not trusted");
}

/// An empty 1.0 request in snappy's block format.
const NOTHING: &[u8] = &[0];

#[test]
fn what_a_server_took_without_an_answer_is_not_sent_again_in_secret() {
    let receiver = Receiver::start();
    let url = Endpoint::url(&receiver.url()).expect("a URL");
    let mut connection = Connection::new(&Endpoint::plain(url)).expect("plain");
    assert_eq!(connection.post(NOTHING, None, 0).expect("an answer").status, 204);
    receiver.script(|_| Reply::Lose);
    let lost = connection.post(NOTHING, None, 0).expect_err("it took it and closed");
    assert!(lost.sent, "{lost:?}");
    assert_eq!((receiver.requests_seen(), receiver.accepted().len()), (2, 2));
    drop(receiver);
    let nobody = connection.post(NOTHING, None, 1).expect_err("nobody listens");
    assert!(!nobody.sent, "{nobody:?}");
}

#[test]
fn a_connection_that_was_closed_while_it_was_idle_is_no_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let (tell, closed) = std::sync::mpsc::sync_channel(2);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut from = io::BufReader::new(stream);
            let head = http::read_head(&mut from).expect("a head").expect("a request");
            http::read_body(&mut from, &head.1).expect("a body");
            from.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("it hears");
            drop(from);
            tell.send(()).expect("somebody waits");
        }
    });
    let endpoint = Endpoint::plain(Endpoint::url(&url).expect("a URL"));
    let mut connection = Connection::new(&endpoint).expect("plain");
    for _ in 0..2 {
        assert_eq!(connection.post(NOTHING, None, 0).expect("an answer").status, 204);
        closed.recv().expect("it closes");
    }
}
