//! The client against servers made for each test, some of them ill-behaved on purpose.

use std::net::SocketAddr;
use std::sync::Mutex;

use hyper::Response;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::{AuthorizationConfig, BasicAuthConfig, OAuth2Config};
use crate::drain::Drain;
use crate::limits::read_body;
use crate::secret::Secret;
use crate::server::{Handler, Peer, Server, ServerConfig};

const LONG: Duration = Duration::from_secs(20);

/// Answers by path, and remembers `method path authorization body` of each request.
#[derive(Default)]
struct Stub {
    seen: Mutex<Vec<String>>,
    tokens: AtomicU64,
}

impl Stub {
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn answer(&self, path: &str, query: &str, authorization: &str, body: &str) -> Response<String> {
        let response = Response::builder();
        match path {
            "/moved" => response.status(302).header(LOCATION, query).body(String::new()),
            "/redirect" => response.status(307).header(LOCATION, query).body(String::new()),
            "/loop" => response.status(307).header(LOCATION, "/loop").body(String::new()),
            "/big" => response.body("x".repeat(200_000)),
            // An endpoint that wants the credentials in the form.
            "/token" if !body.contains("client_secret=k%26y") => {
                response.status(401).body(String::new())
            }
            "/token" => {
                let number = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
                response.body(format!(
                    r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":"3600"}}"#
                ))
            }
            // The first token is revoked.
            "/protected" if authorization != "Bearer t2" => {
                response.status(401).body(String::new())
            }
            _ => response.header("x-weir", "yes").body("ok".to_owned()),
        }
        .unwrap()
    }
}

impl Handler for Stub {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = read_body(body, None, 1 << 20, LONG).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let text = |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let (authorization, target) = (text("authorization"), head.uri.to_string());
        let proxy = text("proxy-authorization");
        let line = format!("{} {target} {authorization}{proxy} {body}", head.method);
        self.seen.lock().unwrap().push(line);
        let query = head.uri.query().unwrap_or_default();
        self.answer(head.uri.path(), query, authorization, &body).map(|body| Full::new(body.into()))
    }
}

async fn stub() -> (SocketAddr, Arc<Stub>) {
    let addr = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(addr, ServerConfig::default()).await.unwrap();
    let (addr, stub) = (server.local_addr().unwrap(), Arc::new(Stub::default()));
    tokio::spawn(server.serve(Arc::clone(&stub), Drain::new()));
    (addr, stub)
}

/// A server that reads a request's headers, writes `answer`, and closes; for each connection.
async fn raw(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        }
    });
    addr
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn url(addr: SocketAddr, path: &str) -> Uri {
    format!("http://{addr}{path}").parse().unwrap()
}

fn client(config: ClientConfig) -> Client {
    Client::new(config, Instant::now()).unwrap()
}

async fn post(client: &Client, url: &Uri, timeout: Duration) -> Result<Reply, ClientError> {
    client.post(url, HeaderMap::new(), Bytes::from_static(b"body"), timeout).await
}

async fn get(client: &Client, url: &Uri) -> Result<Reply, ClientError> {
    client.get(url, HeaderMap::new(), LONG).await
}

#[tokio::test]
async fn posts_with_its_headers_and_keeps_the_connection() {
    let (addr, stub) = stub().await;
    let headers = header_map([("authorization", "Custom x"), ("X-Scope-OrgID", "t")]).unwrap();
    let client = client(ClientConfig { headers, ..ClientConfig::default() });
    for _ in 0..3 {
        let reply = post(&client, &url(addr, "/write"), LONG).await.unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"ok"[..]));
        assert_eq!((reply.headers["x-weir"].as_bytes(), reply.truncated), (&b"yes"[..], false));
    }
    assert_eq!(stub.seen(), vec!["POST /write Custom x body"; 3]);
    assert_eq!(client.counters().requests.load(Ordering::Relaxed), 3);
    assert_eq!(client.counters().in_flight.load(Ordering::Relaxed), 0);
    assert!(header_map([("no good", "x")]).unwrap_err().contains("no good"));
}

#[tokio::test]
async fn credentials_are_sent() {
    let (addr, stub) = stub().await;
    let basic = BasicAuthConfig {
        username: "Aladdin".to_owned(),
        password: Some(Secret::new("open sesame")),
        ..BasicAuthConfig::default()
    };
    let auth = ClientAuthConfig { basic_auth: Some(basic.clone()), ..Default::default() };
    let by_config = client(ClientConfig { auth, ..ClientConfig::default() });
    get(&by_config, &url(addr, "/")).await.unwrap();
    let token = AuthorizationConfig { credentials: Some(Secret::new("t0k")), ..Default::default() };
    let auth = ClientAuthConfig { authorization: Some(token.clone()), ..Default::default() };
    let by_token = client(ClientConfig { auth, ..ClientConfig::default() });
    get(&by_token, &url(addr, "/")).await.unwrap();
    let by_url: Uri = format!("http://Aladdin:open%20sesame@{addr}/").parse().unwrap();
    get(&client(ClientConfig::default()), &by_url).await.unwrap();
    // RFC 7617, section 2.
    let rfc = "GET / Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== ";
    assert_eq!(stub.seen(), [rfc, "GET / Bearer t0k ", rfc]);
    let both = ClientAuthConfig {
        basic_auth: Some(basic),
        authorization: Some(token),
        ..Default::default()
    };
    let config = ClientConfig { auth: both, ..ClientConfig::default() };
    assert!(Client::new(config, Instant::now()).unwrap_err().to_string().contains("at most one"));
}

#[tokio::test]
async fn an_oauth2_token_is_fetched_kept_and_renewed_when_refused() {
    let (addr, stub) = stub().await;
    let oauth2 = OAuth2Config {
        client_id: "weir".to_owned(),
        client_secret: Some(Secret::new("k&y")),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        token_url: url(addr, "/token").to_string(),
        ..OAuth2Config::default()
    };
    let auth = ClientAuthConfig { oauth2: Some(oauth2), ..Default::default() };
    let client = client(ClientConfig { auth, ..ClientConfig::default() });
    for _ in 0..2 {
        let reply = post(&client, &url(addr, "/protected"), LONG).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    // base64("weir:k%26y"): the form encoding applies inside basic credentials, too.
    let by_header = "POST /token Basic d2VpcjprJTI2eQ== grant_type=client_credentials&scope=a+b";
    let by_form = "POST /token  grant_type=client_credentials&scope=a+b\
        &client_id=weir&client_secret=k%26y";
    let expected = [
        by_header,
        by_form,
        "POST /protected Bearer t1 body",
        by_header,
        by_form,
        "POST /protected Bearer t2 body",
        "POST /protected Bearer t2 body",
    ];
    assert_eq!(stub.seen(), expected);
}

#[tokio::test]
async fn errors_say_whether_anything_was_sent() {
    let client = client(ClientConfig::default());
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let refused = post(&client, &url(closed, "/"), LONG).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Connect(reason) if reason.contains("refused")));
    assert!(refused.retryable() && !refused.maybe_sent());

    let broken = post(&client, &url(raw(b"").await, "/"), LONG).await.unwrap_err();
    assert!(matches!(&broken, ClientError::Broken(_)) && broken.retryable() && broken.maybe_sent());

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = url(silent.local_addr().unwrap(), "/");
    let late = post(&client, &silent_url, Duration::from_millis(50)).await.unwrap_err();
    assert!(late == ClientError::Timeout && late.retryable() && late.maybe_sent());

    for bad in ["/no/host", "ftp://127.0.0.1/"] {
        let error = post(&client, &bad.parse().unwrap(), LONG).await.unwrap_err();
        assert!(matches!(error, ClientError::Url(_)) && !error.retryable(), "{bad}");
    }
    assert_eq!(client.counters().errors.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn long_and_broken_replies_keep_their_status() {
    let (addr, _stub) = stub().await;
    let config = ClientConfig { reply_bytes_max: 1000, ..ClientConfig::default() };
    let client = client(config);
    let long = get(&client, &url(addr, "/big")).await.unwrap();
    assert_eq!((long.status.as_u16(), long.body.len(), long.truncated), (200, 1000, true));
    let cut = raw(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let reply = post(&client, &url(cut, "/"), LONG).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.truncated), (204, false));
    let cut = raw(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 99\r\n\r\nout of order").await;
    let reply = post(&client, &url(cut, "/"), LONG).await.unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (400, &b"out of order"[..]));
    assert!(reply.truncated);
}

#[tokio::test]
async fn waiting_for_a_place_counts_toward_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = url(silent.local_addr().unwrap(), "/");
    let (addr, stub) = stub().await;
    let client = client(ClientConfig { concurrency_max: 1, ..ClientConfig::default() });
    let first = tokio::spawn({
        let client = client.clone();
        async move { post(&client, &silent_url, Duration::from_millis(300)).await }
    });
    while client.counters().in_flight.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let second = post(&client, &url(addr, "/"), Duration::from_millis(50)).await;
    assert_eq!(second.unwrap_err(), ClientError::Timeout);
    assert!(stub.seen().is_empty());
    assert_eq!(first.await.unwrap().unwrap_err(), ClientError::Timeout);
    assert_eq!(post(&client, &url(addr, "/"), LONG).await.unwrap().status, 200);
}

#[tokio::test]
async fn redirects_are_followed_and_take_no_secrets_elsewhere() {
    let ((here, stub), (there, other)) = (stub().await, stub().await);
    let token = AuthorizationConfig { credentials: Some(Secret::new("t")), ..Default::default() };
    let auth = ClientAuthConfig { authorization: Some(token), ..Default::default() };
    let client = client(ClientConfig { auth, ..ClientConfig::default() });
    let reply = post(&client, &url(here, "/moved?/next"), LONG).await.unwrap();
    assert_eq!(reply.status.as_u16(), 302, "Go would ask for it without the body");
    assert_eq!(get(&client, &url(here, "/redirect?/next")).await.unwrap().status, 200);
    let away = url(here, &format!("/redirect?http://{there}/away"));
    assert_eq!(get(&client, &away).await.unwrap().status, 200);
    assert_eq!(stub.seen().get(2).unwrap(), "GET /next Bearer t ");
    assert_eq!(other.seen(), ["GET /away  "]);
    // A POST takes its body along, and no secrets either.
    assert_eq!(post(&client, &url(here, "/redirect?/next"), LONG).await.unwrap().status, 200);
    assert_eq!(stub.seen().last().unwrap(), "POST /next Bearer t body");
    assert_eq!(post(&client, &away, LONG).await.unwrap().status, 200);
    assert_eq!(other.seen().last().unwrap(), "POST /away  body");
    stub.seen();
    assert!(post(&client, &url(here, "/loop"), LONG).await.is_err());
    assert_eq!(stub.seen().len(), 11, "ten redirects are followed");
    let looping = get(&client, &url(here, "/loop")).await.unwrap_err();
    assert!(!looping.retryable() && looping.to_string().contains("redirects"));
}

#[tokio::test]
async fn plain_requests_go_through_a_proxy_in_absolute_form() {
    let (addr, stub) = stub().await;
    let proxy_url = Some(Secret::new(format!("http://Aladdin:open%20sesame@{addr}")));
    let proxy = ProxyConfig { url: proxy_url, ..ProxyConfig::default() };
    let client = client(ClientConfig { proxy, ..ClientConfig::default() });
    let target = "http://backend.invalid:9009/push".parse().unwrap();
    assert_eq!(post(&client, &target, LONG).await.unwrap().status, 200);
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(stub.seen(), [format!("POST http://backend.invalid:9009/push {basic} body")]);
}

#[tokio::test]
async fn https_requests_ask_the_proxy_for_a_tunnel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
        head
    });
    let proxy_url = Some(Secret::new(format!("http://{addr}")));
    let config = ProxyConfig {
        url: proxy_url,
        connect_headers: [("X-Zone".to_owned(), vec![Secret::new("a")])].into(),
        ..ProxyConfig::default()
    };
    let client = client(ClientConfig { proxy: config, ..ClientConfig::default() });
    let target = "https://backend.invalid/push".parse().unwrap();
    let error = post(&client, &target, LONG).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(_)), "{error:?}");
    let head = proxy.await.unwrap();
    assert!(head.starts_with("CONNECT backend.invalid:443 HTTP/1.1\r\n"));
    assert!(head.to_ascii_lowercase().contains("\r\nx-zone: a\r\n"), "{head}");
    let socks = ClientConfig {
        proxy: ProxyConfig {
            url: Some(Secret::new("socks5://127.0.0.1:1")),
            ..ProxyConfig::default()
        },
        ..ClientConfig::default()
    };
    assert!(Client::new(socks, Instant::now()).unwrap_err().to_string().contains("only http"));
}

#[test]
fn nothing_printed_holds_a_secret() {
    let basic = BasicAuthConfig {
        username: "u".to_owned(),
        password: Some(Secret::new("hunter2")),
        ..BasicAuthConfig::default()
    };
    let config = ClientConfig {
        auth: ClientAuthConfig { basic_auth: Some(basic), ..Default::default() },
        headers: header_map([("x-api-key", "hunter2")]).unwrap(),
        proxy: ProxyConfig {
            url: Some(Secret::new("http://u:hunter2@127.0.0.1:1")),
            ..ProxyConfig::default()
        },
        ..ClientConfig::default()
    };
    let before = format!("{config:?}");
    let client = Client::new(config, Instant::now()).unwrap();
    assert!(!before.contains("hunter2") && !format!("{client:?}").contains("hunter2"));
}
