//! Asking name servers, as Prometheus does it.
//!
//! Invariant: every wait has an end. The search list is gone through until a name is known; only
//! when every name of it is known not to exist is there nothing, otherwise it is an error.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use weir_agent_config::discovery::RecordType;

use super::super::random;
use super::message::{Answer, MessageError, NO_SUCH_NAME, OK, Record, UDP_BYTES, answer, question};

/// What `/etc/resolv.conf` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    pub(super) dots: usize,
}

/// Why nothing is known about a name.
#[derive(Debug, Error)]
#[error("could not resolve {name:?}: {reason}")]
pub(super) struct ResolveError {
    name: String,
    reason: String,
}

#[derive(Debug, Error)]
enum AskError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Message(#[from] MessageError),
    #[error("no answer in time")]
    Timeout,
    #[error("answered with code {0}")]
    Code(u8),
    #[error("a truncated answer over TCP")]
    Truncated,
}

impl Settings {
    /// Reads the file's text; what is not known is passed over, as resolvers do.
    pub(super) fn parse(text: &str) -> Self {
        let mut settings = Self { servers: Vec::new(), search: Vec::new(), dots: 1 };
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("nameserver") => {
                    // A zone after an address names an interface, which we leave to the kernel.
                    let server = words.next().and_then(|s| s.split('%').next()?.parse().ok());
                    settings.servers.extend(server.map(|ip: IpAddr| SocketAddr::new(ip, 53)));
                }
                Some("domain" | "search") => {
                    settings.search = words.map(str::to_owned).collect();
                }
                Some("options") => {
                    let dots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    settings.dots = dots.unwrap_or(settings.dots).min(15);
                }
                _ => {}
            }
        }
        if settings.servers.is_empty() {
            settings.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        settings
    }

    /// The names that a name may stand for, in the order in which they are tried.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let mut names: Vec<String> = searched.collect();
        let enough_dots = name.matches('.').count() >= self.dots;
        names.insert(if enough_dots { 0 } else { names.len() }, name.to_owned());
        names
    }
}

/// The records of a name; none if the name does not exist.
pub(super) async fn look_up(
    settings: &Settings,
    name: &str,
    kind: RecordType,
) -> Result<Vec<Record>, ResolveError> {
    let mut failure = None;
    for candidate in settings.candidates(name) {
        match ask_any(settings, &candidate, kind).await {
            Ok(answer) if answer.code == OK => return Ok(answer.records),
            Ok(_) => {}
            Err(reason) => failure = Some(reason),
        }
    }
    match failure {
        None => Ok(Vec::new()),
        Some(reason) => Err(ResolveError { name: name.to_owned(), reason }),
    }
}

/// The first answer of a server that knows, or knows that there is nothing.
async fn ask_any(settings: &Settings, name: &str, kind: RecordType) -> Result<Answer, String> {
    let mut reasons = Vec::new();
    for &server in &settings.servers {
        match ask(server, name, kind).await {
            Ok(answer) if matches!(answer.code, OK | NO_SUCH_NAME) => return Ok(answer),
            Ok(answer) => reasons.push(format!("{server}: {}", AskError::Code(answer.code))),
            Err(error) => reasons.push(format!("{server}: {error}")),
        }
    }
    Err(reasons.join("; "))
}

/// Asks over UDP, and over TCP if the answer does not fit.
async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Answer, AskError> {
    let id = random_id();
    let wait = timeout(WAIT, ask_udp(server, id, name, kind));
    let answer = wait.await.map_err(|_| AskError::Timeout)??;
    if !answer.truncated {
        return Ok(answer);
    }
    let wait = timeout(WAIT, ask_tcp(server, id, name, kind));
    let answer = wait.await.map_err(|_| AskError::Timeout)??;
    if answer.truncated { Err(AskError::Truncated) } else { Ok(answer) }
}

async fn ask_udp(
    server: SocketAddr,
    id: u16,
    name: &str,
    kind: RecordType,
) -> Result<Answer, AskError> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: what others send does not arrive.
    socket.connect(server).await?;
    socket.send(&question(id, name, kind, true)?).await?;
    let mut buffer = vec![0; usize::from(UDP_BYTES)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match answer(buffer.get(..length).unwrap_or_default(), id, kind) {
            // A late answer to somebody who had this port before.
            Err(MessageError::Foreign) => {}
            outcome => return Ok(outcome?),
        }
    }
}

async fn ask_tcp(
    server: SocketAddr,
    id: u16,
    name: &str,
    kind: RecordType,
) -> Result<Answer, AskError> {
    let mut stream = TcpStream::connect(server).await?;
    let question = question(id, name, kind, false)?;
    let length = u16::try_from(question.len()).map_err(|_| MessageError::Name)?;
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(answer(&message, id, kind)?)
}

/// Hard to guess, so that nobody can answer in the server's place.
fn random_id() -> u16 {
    let [a, b, ..] = random().to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// For each server and transport.
const WAIT: Duration = Duration::from_secs(2);
