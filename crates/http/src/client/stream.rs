//! An answer whose body is read as it comes.
//!
//! Invariant: every wait for more has an end. How much is kept of what came is the caller's affair,
//! and so is what the bytes mean.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response, StatusCode};

use super::ClientError;

/// The head of an answer, and its body to come. Dropping it ends the connection.
#[derive(Debug)]
pub struct Stream {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Stream {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body }
    }

    /// The next bytes, `timeout` at most from now; `None` at the end.
    pub async fn chunk(&mut self, timeout: Duration) -> Result<Option<Bytes>, ClientError> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let frame = tokio::time::timeout_at(deadline, self.body.frame()).await;
            match frame.map_err(|_| ClientError::Timeout)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(ClientError::Broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UnixListener};

    use super::*;
    use crate::client::{Client, ClientConfig};

    const LONG: Duration = Duration::from_secs(20);
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    #[tokio::test]
    async fn the_body_comes_while_the_server_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/watch", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::new(ClientConfig::default(), Instant::now()).unwrap();
        let (mut stream, mut socket) = tokio::join!(
            async { client.stream(&url, HeaderMap::new(), LONG).await.unwrap() },
            async {
                let mut socket = listener.accept().await.unwrap().0;
                socket.read_u8().await.unwrap();
                socket.write_all(HEAD).await.unwrap();
                socket
            }
        );
        assert_eq!(stream.status, StatusCode::OK);
        for text in ["one", "two"] {
            socket.write_all(format!("3\r\n{text}\r\n").as_bytes()).await.unwrap();
            assert_eq!(stream.chunk(LONG).await.unwrap().unwrap(), text.as_bytes());
        }
        let silence = stream.chunk(Duration::from_millis(10)).await;
        assert_eq!(silence, Err(ClientError::Timeout));
        socket.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(stream.chunk(LONG).await, Ok(None));
    }

    #[tokio::test]
    async fn a_broken_body_is_an_error_and_not_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/watch", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::new(ClientConfig::default(), Instant::now()).unwrap();
        let (mut stream, socket) = tokio::join!(
            async { client.stream(&url, HeaderMap::new(), LONG).await.unwrap() },
            async {
                let mut socket = listener.accept().await.unwrap().0;
                socket.read_u8().await.unwrap();
                socket.write_all(HEAD).await.unwrap();
                socket
            }
        );
        drop(socket);
        assert!(matches!(stream.chunk(LONG).await, Err(ClientError::Broken(_))));
    }

    #[tokio::test]
    async fn a_unix_socket_answers_whatever_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let config = ClientConfig { unix_socket: Some(path), ..ClientConfig::default() };
        let client = Client::new(config, Instant::now()).unwrap();
        let url = "http://docker/_ping".parse().unwrap();
        let (reply, head) = tokio::join!(
            async { client.get(&url, HeaderMap::new(), LONG).await.unwrap() },
            async {
                let mut socket = listener.accept().await.unwrap().0;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
                socket.write_all(answer).await.unwrap();
                String::from_utf8(head).unwrap()
            }
        );
        assert!(
            head.starts_with("GET /_ping HTTP/1.1\r\n") && head.contains("host: docker"),
            "{head}"
        );
        assert_eq!(&reply.body[..], b"OK");
    }
}
