//! TLS over real sockets, with certificates made for each test.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response, Uri, Version};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::client::{Client, ClientConfig, ClientError, Reply};
use crate::drain::Drain;
use crate::secret::CHECK_INTERVAL;
use crate::server::{Handler, Peer, Server, ServerConfig as HttpConfig};

/// Says over which protocol and with which peer a request came.
struct Say;

impl Handler for Say {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
        let h2 = request.version() == Version::HTTP_2;
        let text = format!("h2={h2} tls={} certified={}", peer.tls, peer.certified);
        Response::new(Full::new(text.into()))
    }
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes `<name>.crt` and `<name>.key`, signed by `ca` for `host`, and `<name>.ca`.
fn issue(dir: &TempDir, name: &str, ca: &Ca, host: &str) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let cert = params.signed_by(&key, ca).unwrap();
    let path = |end: &str| dir.path().join(format!("{name}.{end}"));
    std::fs::write(path("crt"), cert.pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
    std::fs::write(path("ca"), ca.pem()).unwrap();
}

fn file(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

fn server_config(dir: &TempDir) -> ServerTlsConfig {
    ServerTlsConfig {
        cert_file: file(dir, "server.crt"),
        key_file: file(dir, "server.key"),
        client_ca_file: None,
        min_version: TlsVersion::Tls12,
    }
}

struct Running {
    url: Uri,
    tls: Arc<ServerTls>,
    errors: Arc<crate::listener::ServerCounters>,
}

async fn start(config: ServerTlsConfig) -> Running {
    let tls = Arc::new(ServerTls::load(config, Instant::now()).unwrap());
    let config = HttpConfig { tls: Some(Arc::clone(&tls)), ..HttpConfig::default() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
    let port = server.local_addr().unwrap().port();
    let errors = server.counters();
    tokio::spawn(server.serve(Arc::new(Say), Drain::new()));
    // By address, so that no resolver is needed; certificates name it.
    Running { url: format!("https://127.0.0.1:{port}/").parse().unwrap(), tls, errors }
}

fn trusting(ca_file: &Path) -> ClientTlsConfig {
    ClientTlsConfig { ca_file: Some(ca_file.to_owned()), ..ClientTlsConfig::default() }
}

fn client(tls: ClientTlsConfig, http2: bool) -> Client {
    let config = ClientConfig { tls, http2, ..ClientConfig::default() };
    Client::new(config, Instant::now()).unwrap()
}

async fn get(client: &Client, url: &Uri) -> Result<Reply, ClientError> {
    client.get(url, HeaderMap::new(), Duration::from_secs(20)).await
}

async fn text(client: &Client, url: &Uri) -> String {
    String::from_utf8(get(client, url).await.unwrap().body.to_vec()).unwrap()
}

fn is_connect<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    match outcome {
        Err(ClientError::Connect(reason)) => reason,
        other => panic!("want a failed connection, got {other:?}"),
    }
}

#[tokio::test]
async fn speaks_h2_where_offered_and_http_1_where_not() {
    let dir = tempfile::tempdir().unwrap();
    issue(&dir, "server", &ca(), "127.0.0.1");
    let server = start(server_config(&dir)).await;
    let trust = trusting(&file(&dir, "server.ca"));
    let said = text(&client(trust.clone(), true), &server.url).await;
    assert_eq!(said, "h2=true tls=true certified=false");
    let said = text(&client(trust, false), &server.url).await;
    assert_eq!(said, "h2=false tls=true certified=false");
}

#[tokio::test]
async fn many_requests_share_one_h2_connection() {
    let dir = tempfile::tempdir().unwrap();
    issue(&dir, "server", &ca(), "127.0.0.1");
    let server = start(server_config(&dir)).await;
    let client = client(trusting(&file(&dir, "server.ca")), true);
    assert_eq!(get(&client, &server.url).await.unwrap().status, 200);
    let asked = (0..16).map(|_| {
        let (client, url) = (client.clone(), server.url.clone());
        tokio::spawn(async move { get(&client, &url).await.unwrap().status })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!(server.errors.connections_total.load(Ordering::Relaxed), 1);
    assert_eq!(server.errors.requests.load(Ordering::Relaxed), 17);
}

#[tokio::test]
async fn an_untrusted_or_misnamed_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    issue(&dir, "server", &ca(), "gateway.example");
    issue(&dir, "other", &ca(), "gateway.example");
    let server = start(server_config(&dir)).await;
    let trust = trusting(&file(&dir, "server.ca"));
    let stranger = client(trusting(&file(&dir, "other.ca")), true);
    assert!(is_connect(get(&stranger, &server.url).await).contains("invalid peer certificate"));
    let misnamed = client(trust.clone(), true);
    assert!(is_connect(get(&misnamed, &server.url).await).contains("not valid for name"));
    assert!(get(&misnamed, &server.url).await.unwrap_err().retryable());
    let server_name = Some("gateway.example".to_owned());
    let named = client(ClientTlsConfig { server_name, ..trust }, true);
    assert_eq!(get(&named, &server.url).await.unwrap().status, 200);
    let anyone = ClientTlsConfig { insecure_skip_verify: true, ..ClientTlsConfig::default() };
    assert_eq!(get(&client(anyone, true), &server.url).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_without_the_right_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clients = ca();
    issue(&dir, "server", &ca(), "127.0.0.1");
    issue(&dir, "client", &clients, "agent");
    issue(&dir, "stranger", &ca(), "agent");
    let config =
        ServerTlsConfig { client_ca_file: Some(file(&dir, "client.ca")), ..server_config(&dir) };
    let server = start(config).await;
    let with = |name: &str| ClientTlsConfig {
        cert_file: Some(file(&dir, &format!("{name}.crt"))),
        key_file: Some(file(&dir, &format!("{name}.key"))),
        ..trusting(&file(&dir, "server.ca"))
    };
    let said = text(&client(with("client"), true), &server.url).await;
    assert_eq!(said, "h2=true tls=true certified=true");
    // In TLS 1.3 the client has finished its handshake before the server refuses it.
    assert!(get(&client(with("stranger"), true), &server.url).await.is_err());
    let nobody = client(trusting(&file(&dir, "server.ca")), true);
    assert!(get(&nobody, &server.url).await.is_err());
    assert!(server.errors.tls_handshake_errors.load(Ordering::Relaxed) >= 2);
    assert_eq!(server.errors.requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_changed_certificate_takes_effect_and_a_broken_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    issue(&dir, "server", &ca(), "127.0.0.1");
    let start_time = Instant::now();
    let server = start(server_config(&dir)).await;
    let before = client(trusting(&file(&dir, "server.ca")), true);
    assert_eq!(get(&before, &server.url).await.unwrap().status, 200);

    issue(&dir, "server", &ca(), "127.0.0.1");
    let after = client(trusting(&file(&dir, "server.ca")), true);
    assert!(get(&after, &server.url).await.is_err(), "nobody has looked yet");
    assert!(server.tls.poll_reload(start_time + 2 * CHECK_INTERVAL));
    assert_eq!(get(&after, &server.url).await.unwrap().status, 200);
    // What is connected stays connected.
    assert_eq!(get(&before, &server.url).await.unwrap().status, 200);

    // A new certificate whose key is not there yet: the old pair stays in use.
    let old_key = std::fs::read(file(&dir, "server.key")).unwrap();
    issue(&dir, "server", &ca(), "127.0.0.1");
    std::fs::write(file(&dir, "server.key"), old_key).unwrap();
    assert!(!server.tls.poll_reload(start_time + 4 * CHECK_INTERVAL));
    assert_eq!(get(&after, &server.url).await.unwrap().status, 200);
    assert_eq!(server.tls.reloads(), (1, 1));
}

#[tokio::test]
async fn a_pool_drops_connections_made_under_an_old_ca() {
    let dir = tempfile::tempdir().unwrap();
    let first = ca();
    issue(&dir, "server", &first, "127.0.0.1");
    let server = start(server_config(&dir)).await;
    std::fs::write(file(&dir, "trust.pem"), first.pem()).unwrap();
    let tls = trusting(&file(&dir, "trust.pem"));
    let start_time = Instant::now();
    let client = client(tls, true);
    assert_eq!(get(&client, &server.url).await.unwrap().status, 200);
    std::fs::write(file(&dir, "trust.pem"), ca().pem()).unwrap();
    assert!(client.tls().poll_reload(start_time + 2 * CHECK_INTERVAL));
    assert!(is_connect(get(&client, &server.url).await).contains("invalid peer certificate"));
    std::fs::write(file(&dir, "trust.pem"), "not a certificate").unwrap();
    assert!(!client.tls().poll_reload(start_time + 4 * CHECK_INTERVAL));
    assert_eq!(client.tls().reloads(), (1, 1));
}

#[test]
fn says_which_file_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    issue(&dir, "server", &ca(), "127.0.0.1");
    issue(&dir, "other", &ca(), "127.0.0.1");
    let load = |cert: &str, key: &str| {
        let config = ServerTlsConfig {
            cert_file: file(&dir, cert),
            key_file: file(&dir, key),
            ..server_config(&dir)
        };
        ServerTls::load(config, Instant::now()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(load("server.crt", "server.key"), Ok(()));
    assert!(load("nothing.crt", "server.key").unwrap_err().contains("nothing.crt"));
    assert!(load("server.key", "server.key").unwrap_err().contains("server.key: no CERTIFICATE"));
    assert!(load("server.crt", "server.crt").unwrap_err().contains("server.crt"));
    assert!(load("server.crt", "other.key").unwrap_err().contains("TLS configuration"));
}

#[test]
fn a_client_refuses_contradictions() {
    let load = |config| {
        ClientTls::load(config, true, Instant::now()).map(|_| ()).map_err(|e| e.to_string())
    };
    let both = ClientTlsConfig {
        ca: Some("x".to_owned()),
        ca_file: Some("/dev/null".into()),
        ..ClientTlsConfig::default()
    };
    assert!(load(both).unwrap_err().contains("at most one of ca and ca_file"));
    let half = ClientTlsConfig { cert: Some("x".to_owned()), ..ClientTlsConfig::default() };
    assert!(load(half).unwrap_err().contains("together"));
    let named =
        ClientTlsConfig { server_name: Some("a b".to_owned()), ..ClientTlsConfig::default() };
    assert!(load(named).unwrap_err().contains("server_name"));
}

#[test]
fn reads_the_keys_of_prometheus() {
    let json = r#"{"ca_file": "/ca", "server_name": "x", "insecure_skip_verify": true,
        "min_version": "TLS13"}"#;
    let config: ClientTlsConfig = serde_json::from_str(json).unwrap();
    assert_eq!(config.min_version, TlsVersion::Tls13);
    assert_eq!((config.ca_file, config.insecure_skip_verify), (Some("/ca".into()), true));
    let unknown: Result<ClientTlsConfig, _> = serde_json::from_str(r#"{"cafile": "/ca"}"#);
    assert!(unknown.unwrap_err().to_string().contains("cafile"));
}
