//! Answers as servers send them, in pieces of every size, and what is left to the ordinary client.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::client::{Client, ClientConfig};

const SIZED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\na 1\nb 2\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nTransfer-Encoding: \
    chunked\r\n\r\n3\r\na 1\r\n0005;x=\"y\"\r\n\nb 2\n\r\n0\r\nTrailer: t\r\n\r\n";

/// What a server is asked for, and gives for each connection in turn: for each request one answer, in
/// pieces of this size.
async fn serve(listener: &TcpListener, connections: &[&[&[u8]]], piece: usize) -> Vec<String> {
    let mut heads = Vec::new();
    for answers in connections {
        let mut socket = listener.accept().await.unwrap().0;
        socket.set_nodelay(true).unwrap();
        for answer in *answers {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            heads.push(String::from_utf8(head).unwrap());
            for piece in answer.chunks(piece) {
                socket.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    }
    heads
}

fn wire(listener: &TcpListener) -> Wire {
    let client = Client::new(ClientConfig::default(), Instant::now()).unwrap();
    let url = format!("http://{}/metrics?a=b", listener.local_addr().unwrap()).parse().unwrap();
    let headers = [("accept", "text/plain")];
    client.wire(&url, crate::client::header_map(headers).unwrap()).unwrap()
}

/// Asks once for each answer.
async fn ask(
    connections: &[&[&[u8]]],
    piece: usize,
    bytes_max: usize,
) -> Vec<Result<String, WireError>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut wire = wire(&listener);
    let (mut page, mut got) = (b"before".to_vec(), Vec::new());
    let asking = async {
        for _ in connections.iter().flat_map(|answers| answers.iter()) {
            let whole = wire.get(bytes_max, &mut page).await;
            got.push(whole.map(|whole| {
                assert_eq!(whole.content_type, "text/plain");
                String::from_utf8(page[whole.at..].to_vec()).unwrap()
            }));
        }
    };
    let ((), heads) = tokio::join!(asking, serve(&listener, connections, piece));
    for head in heads {
        let host = format!("\r\nhost: {}\r\n", listener.local_addr().unwrap());
        assert!(
            head.starts_with("GET /metrics?a=b HTTP/1.1\r\n") && head.contains(&host),
            "{head}"
        );
        assert!(head.contains("\r\naccept: text/plain\r\n"), "{head}");
        assert!(head.contains("\r\nuser-agent: weir/"), "{head}");
    }
    got
}

#[tokio::test]
async fn one_connection_serves_for_all_answers_however_they_are_cut() {
    for piece in [1, 7, 64, 1000] {
        let got = ask(&[&[SIZED, CHUNKED, CHUNKED, SIZED]], piece, 1000).await;
        assert_eq!(got, vec![Ok("a 1\nb 2\n".to_owned()); 4], "in pieces of {piece}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_made_again() {
    let got = ask(&[&[SIZED], &[CHUNKED], &[SIZED]], 1000, 1000).await;
    assert_eq!(got, vec![Ok("a 1\nb 2\n".to_owned()); 3]);
    // This one says so, and the next request does not even try.
    let last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\
        Content-Length: 4\r\n\r\na 1\n";
    let got = ask(&[&[last], &[SIZED]], 1000, 1000).await;
    assert_eq!(got, [Ok("a 1\n".to_owned()), Ok("a 1\nb 2\n".to_owned())]);
}

#[tokio::test]
async fn a_body_of_the_limit_is_refused_and_a_broken_one_is_no_page() {
    for answer in [SIZED, CHUNKED] {
        assert_eq!(ask(&[&[answer]], 1000, 8).await, [Err(WireError::TooLarge)]);
        assert!(matches!(&ask(&[&[answer]], 1000, 9).await[..], [Ok(_)]));
        for cut in [1, 5] {
            let cut = &answer[..answer.len() - cut];
            let got = ask(&[&[cut]], 1000, 1000).await;
            assert!(matches!(&got[..], [Err(WireError::Broken(_))]), "{got:?}");
        }
    }
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["x\r\n", "-1\r\n", "\r\n", "2\r\nabc\r\n", "ffffffffffffffffff\r\n"] {
        let got = ask(&[&[[head, body].concat().as_bytes()]], 1000, 1000).await;
        assert!(matches!(&got[..], [Err(WireError::Broken(_))]), "{body:?}: {got:?}");
    }
}

#[tokio::test]
async fn what_is_not_plain_is_left_to_the_client() {
    for answer in [
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "SSH-2.0\r\n\r\n",
    ] {
        let got = ask(&[&[answer.as_bytes()]], 1000, 1000).await;
        assert_eq!(got, [Err(WireError::Unusual)], "{answer:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut wire = wire(&listener);
    drop(listener);
    assert_eq!(wire.get(1000, &mut Vec::new()).await, Err(WireError::Silent));

    let client = |config| Client::new(config, Instant::now()).unwrap();
    let has_wire =
        |client: &Client, url: &str| client.wire(&url.parse().unwrap(), HeaderMap::new()).is_some();
    let plain = client(ClientConfig::default());
    assert!(has_wire(&plain, "http://a/"));
    assert!(!has_wire(&plain, "https://a/") && !has_wire(&plain, "http://u:p@a/"));
    let socket = ClientConfig { unix_socket: Some("/s".into()), ..ClientConfig::default() };
    assert!(!has_wire(&client(socket), "http://a/"));
    let basic = crate::auth::BasicAuthConfig { username: "u".into(), ..Default::default() };
    let auth = crate::auth::ClientAuthConfig { basic_auth: Some(basic), ..Default::default() };
    assert!(!has_wire(&client(ClientConfig { auth, ..ClientConfig::default() }), "http://a/"));
}
