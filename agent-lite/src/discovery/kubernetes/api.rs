//! Asking the Kubernetes API: pages of lists, and watches.
//!
//! Invariant: bodies, lines and waits are bounded. The API's own refusals (`Status` objects) come
//! back with their code, for 410 means that a list or watch must begin anew.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;
use weir_http::client::Stream;
use weir_http::header::ACCEPT;
use weir_http::{Client, ClientConfig, ClientError, HeaderMap, HeaderValue, StatusCode, Uri};

use super::objects::{Object, parse};
use super::reflector::Scope;
use super::{ApiServer, DiscoveryError};
use crate::discovery::http::BODY_BYTES_MAX;

/// A client of one API server.
#[derive(Debug)]
pub(super) struct Api {
    base: String,
    client: Client,
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    pub(super) version: String,
    pub(super) next: Option<String>,
}

/// What a watch says.
#[derive(Debug)]
pub(super) enum Event {
    Set(Box<Object>, String),
    Deleted(Box<Object>, String),
    /// How far the watch has come without a change.
    Bookmark(String),
}

/// Why the API gave no answer.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error("{0}")]
    Http(#[from] ClientError),
    #[error("the API answered {code}: {message}")]
    Refused { code: u16, message: String },
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("{0}")]
    Url(String),
}

/// A watch that is under way.
pub(super) struct Watch {
    scope: Scope,
    stream: Stream,
    buffer: Vec<u8>,
    /// Up to where the buffer has no line end.
    searched: usize,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMeta,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: ListMeta,
}

impl Api {
    pub(super) fn new(server: ApiServer) -> Result<Self, DiscoveryError> {
        let config = ClientConfig {
            reply_bytes_max: BODY_BYTES_MAX,
            // A connection for each watch: a dead one then stalls no other.
            http2: false,
            ..server.client
        };
        let client = Client::new(config, Instant::now());
        let client = client.map_err(|error| DiscoveryError(error.to_string()))?;
        Ok(Self { base: server.url, client })
    }

    /// One page of the objects in a scope; `next` is what the page before said.
    pub(super) async fn list(&self, scope: &Scope, next: Option<&str>) -> Result<Page, ApiError> {
        let limit = PAGE_OBJECTS.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(next.map(|next| ("continue", next)));
        let reply = self.client.get(&self.url(scope, &query)?, accept(), LIST_TIMEOUT).await?;
        if reply.status != StatusCode::OK {
            return Err(refused(reply.status, &reply.body));
        }
        if reply.truncated {
            return Err(ApiError::TooLong(BODY_BYTES_MAX));
        }
        let list: List<'_> = serde_json::from_slice(&reply.body)?;
        let items = list.items.unwrap_or_default();
        let objects: Result<_, _> =
            items.iter().map(|item| parse(scope.kind, item.get())).collect();
        let next = Some(list.metadata.r#continue).filter(|token| !token.is_empty());
        Ok(Page { objects: objects?, version: list.metadata.resource_version, next })
    }

    /// Begins to watch the scope from this version on.
    pub(super) async fn watch(&self, scope: &Scope, version: &str) -> Result<Watch, ApiError> {
        let seconds = (WATCH_SECS + crate::discovery::random() % WATCH_SECS).to_string();
        let query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds),
        ];
        let url = self.url(scope, &query)?;
        let mut stream = self.client.stream(&url, accept(), LIST_TIMEOUT).await?;
        if stream.status != StatusCode::OK {
            let body = stream.chunk(LIST_TIMEOUT).await?.unwrap_or_default();
            return Err(refused(stream.status, &body));
        }
        Ok(Watch { scope: scope.clone(), stream, buffer: Vec::new(), searched: 0 })
    }

    fn url(&self, scope: &Scope, query: &[(&str, &str)]) -> Result<Uri, ApiError> {
        let mut serializer = form_urlencoded::Serializer::new(String::new());
        serializer.extend_pairs(query);
        let selector = &scope.selector;
        for (key, value) in [("labelSelector", &selector.label), ("fieldSelector", &selector.field)]
        {
            if !value.is_empty() {
                serializer.append_pair(key, value);
            }
        }
        let path = scope.kind.path(scope.namespace.as_deref());
        let url = format!("{}{path}?{}", self.base, serializer.finish());
        url.parse().map_err(|error| ApiError::Url(format!("{url}: {error}")))
    }
}

impl Watch {
    /// The next event; `None` when the server has ended the watch, as it does in time.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            let found = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
            let Some(at) = found.map(|at| at + self.searched) else {
                self.searched = self.buffer.len();
                if self.searched > LINE_BYTES_MAX {
                    return Err(ApiError::TooLong(LINE_BYTES_MAX));
                }
                match self.stream.chunk(SILENCE_MAX).await? {
                    Some(bytes) => self.buffer.extend_from_slice(&bytes),
                    None => return Ok(None),
                }
                continue;
            };
            let event = event(&self.scope, &self.buffer[..at]);
            self.buffer.drain(..=at);
            self.searched = 0;
            if let Some(event) = event? {
                return Ok(Some(event));
            }
        }
    }
}

fn event(scope: &Scope, line: &[u8]) -> Result<Option<Event>, ApiError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    let text = line.object.get();
    if line.r#type == "ERROR" {
        let Status { code, message } = serde_json::from_str(text).unwrap_or_default();
        return Err(ApiError::Refused { code, message });
    }
    let version = serde_json::from_str::<Versioned>(text)?.metadata.resource_version;
    let object = || parse(scope.kind, text).map(Box::new);
    Ok(match line.r#type {
        "ADDED" | "MODIFIED" => Some(Event::Set(object()?, version)),
        "DELETED" => Some(Event::Deleted(object()?, version)),
        "BOOKMARK" => Some(Event::Bookmark(version)),
        // To come; what it means we cannot know.
        _ => None,
    })
}

impl ApiError {
    /// The version is too old to go on from: the list must be had anew.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }
}

fn refused(status: StatusCode, body: &[u8]) -> ApiError {
    let parsed: Status = serde_json::from_slice(body).unwrap_or_default();
    ApiError::Refused { code: status.as_u16(), message: parsed.message }
}

fn accept() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))])
}

/// The API's own clients use the same.
const PAGE_OBJECTS: u32 = 500;
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// A watch ends after five to ten minutes, so that agents spread anew over API servers.
const WATCH_SECS: u64 = 300;
/// Longer than any watch: the end must have been lost.
const SILENCE_MAX: Duration = Duration::from_secs(2 * WATCH_SECS + 60);
/// etcd holds objects of at most 1.5 MiB.
const LINE_BYTES_MAX: usize = 16 << 20;
