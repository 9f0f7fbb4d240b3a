//! As much of etcd's v3 API as a tier needs, through its JSON gateway.
//!
//! Invariant: a request goes to one endpoint, and to the next one only where nothing can have been
//! done by the first, or where doing it twice does no harm: a compare-and-swap that may have been
//! made is not made again, but looked up by its caller. Every wait has an end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir_http::client::Stream;
use weir_http::{
    Bytes, Client as Http, ClientConfig, ClientError, HeaderMap, HeaderValue, Reply, Secret,
    StatusCode, Uri, header,
};

use super::answers::{
    ErrorAnswer, LeaseAnswer, Pair, RangeAnswer, Streamed, SwapAnswer, TokenAnswer, WatchAnswer,
};
use crate::config::Etcd;
use crate::shard::worker::lock;

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Of an answer; a whole table and all members take less.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// What etcd answers to a token that it does not know, or no longer.
const UNAUTHENTICATED: u64 = 16;

/// Why etcd has not done as it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum EtcdError {
    /// No endpoint answers.
    #[error("{0}")]
    Away(#[from] ClientError),
    /// It answers that it will not.
    #[error("etcd answers {status}: {message}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// Of gRPC.
        code: u64,
        /// Its words.
        message: String,
    },
    /// The answer is not etcd's.
    #[error("the answer is not etcd's: {0}")]
    Answer(String),
    /// Another node has a session under this one's name.
    #[error("{name} is the name of the member at {address}; each member needs its own")]
    Taken {
        /// The name.
        name: String,
        /// Where the other is.
        address: String,
    },
    /// Another member has taken this one over.
    #[error("{name} has been taken over by {host}")]
    Elsewhere {
        /// This node's name.
        name: String,
        /// Who runs it.
        host: String,
    },
    /// The password's file.
    #[error("{0}")]
    Password(String),
}

/// One write of a transaction: the value that a key gets, if it is still as of this revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Swap {
    /// The whole key.
    pub(super) key: String,
    /// The revision of its last change; 0: it does not exist.
    pub(super) expected: u64,
    /// Its new value.
    pub(super) value: Vec<u8>,
    /// The lease that it ends with; 0 for none.
    pub(super) lease: i64,
}

/// A client of all endpoints.
pub(super) struct Client {
    http: Http,
    endpoints: Vec<String>,
    /// Which one answered last.
    current: AtomicUsize,
    credentials: Option<(String, std::path::PathBuf)>,
    token: Mutex<Option<HeaderValue>>,
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(config: &Etcd) -> Result<Self, String> {
        let http = ClientConfig {
            tls: config.tls.clone(),
            connect_timeout: Duration::from_secs(2),
            reply_bytes_max: REPLY_BYTES_MAX,
            follow_redirects: false,
            ..ClientConfig::default()
        };
        let http = Http::new(http, Instant::now()).map_err(|why| why.to_string())?;
        let endpoints = config.endpoints.iter().map(|url| url.trim_end_matches('/').to_owned());
        Ok(Self {
            http,
            endpoints: endpoints.collect(),
            current: AtomicUsize::new(0),
            credentials: config.credentials.clone(),
            token: Mutex::default(),
        })
    }

    /// All pairs below a prefix, at one revision, which is returned with them.
    pub(super) async fn list(&self, prefix: &str) -> Result<(u64, Vec<Pair>), EtcdError> {
        let range = json!({ "key": encode(prefix), "range_end": encode(&end_of(prefix)) });
        let answer: RangeAnswer = self.ask("/v3/kv/range", &range).await?;
        let pairs = answer.kvs.into_iter().map(|raw| raw.pair()).collect::<Option<_>>();
        let pairs =
            pairs.ok_or_else(|| EtcdError::Answer("a key or value that is not base64".into()))?;
        Ok((answer.header.revision, pairs))
    }

    /// Makes all writes, or none because some key has changed; says which.
    pub(super) async fn swap(&self, swaps: &[Swap]) -> Result<bool, EtcdError> {
        Ok(self.swap_at(swaps).await?.is_some())
    }

    /// The same; gives the revision that the written keys have then.
    pub(super) async fn swap_at(&self, swaps: &[Swap]) -> Result<Option<u64>, EtcdError> {
        let put = |swap: &Swap| {
            let value = BASE64.encode(&swap.value);
            let lease = swap.lease.to_string();
            json!({ "request_put": { "key": encode(&swap.key), "value": value, "lease": lease } })
        };
        let compares = swaps.iter().map(|swap| is_at(&swap.key, swap.expected));
        self.commit(compares.collect(), swaps.iter().map(put).collect()).await
    }

    /// Removes keys, if all of `unchanged` are still as of these revisions; says whether.
    pub(super) async fn remove(
        &self,
        unchanged: &[(String, u64)],
        gone: &[String],
    ) -> Result<bool, EtcdError> {
        let remove = |key: &String| json!({ "request_delete_range": { "key": encode(key) } });
        let compares = unchanged.iter().map(|(key, at)| is_at(key, *at));
        let done = self.commit(compares.collect(), gone.iter().map(remove).collect()).await?;
        Ok(done.is_some())
    }

    /// Does all, where all of `compares` holds; gives the revision of that.
    async fn commit(
        &self,
        compares: Vec<Value>,
        success: Vec<Value>,
    ) -> Result<Option<u64>, EtcdError> {
        let transaction = json!({ "compare": compares, "success": success });
        let answer: SwapAnswer = self.ask("/v3/kv/txn", &transaction).await?;
        Ok(answer.succeeded.then_some(answer.header.revision))
    }

    /// A lease that ends after `ttl` without [`Client::keep_alive`].
    pub(super) async fn grant(&self, ttl: Duration) -> Result<i64, EtcdError> {
        let answer: LeaseAnswer = self
            .ask("/v3/lease/grant", &json!({ "TTL": ttl.as_secs().max(1).to_string() }))
            .await?;
        answer.id.parse().map_err(|_| EtcdError::Answer(format!("lease {:?}", answer.id)))
    }

    /// Says whether the lease still lives; if so it does for its whole time again.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<bool, EtcdError> {
        let answer: Streamed<LeaseAnswer> =
            self.ask("/v3/lease/keepalive", &json!({ "ID": lease.to_string() })).await?;
        let answer = answer.result.unwrap_or_default();
        Ok(answer.ttl.parse::<u64>().is_ok_and(|left| left > 0))
    }

    /// Waits for the next change below a prefix after a revision, for so long at most.
    pub(super) async fn changed(
        &self,
        prefix: &str,
        after: u64,
        within: Duration,
    ) -> Result<bool, EtcdError> {
        let request = json!({ "create_request": {
            "key": encode(prefix),
            "range_end": encode(&end_of(prefix)),
            "start_revision": (after + 1).to_string(),
        } });
        let until = tokio::time::Instant::now() + within;
        let mut stream = self.open("/v3/watch", &request).await?;
        let mut lines = Vec::new();
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let chunk = match stream.chunk(left).await {
                Err(ClientError::Timeout) => return Ok(false),
                other => other?,
            };
            let Some(chunk) = chunk else {
                return Err(EtcdError::Answer("the watch has ended".into()));
            };
            lines.extend_from_slice(&chunk);
            while let Some(at) = lines.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = lines.drain(..=at).collect();
                let event: Streamed<WatchAnswer> = parse(&line)?;
                let event = event.result.unwrap_or_default();
                // One that is cancelled, by a compaction, has missed something.
                if event.canceled || !event.events.is_empty() {
                    return Ok(true);
                }
            }
            if lines.len() > REPLY_BYTES_MAX {
                return Ok(true);
            }
        }
    }

    /// Asks the endpoint that answered last, then the others; once more with another token if the
    /// first has run out.
    async fn ask<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, EtcdError> {
        let body = Bytes::from(body.to_string());
        let token = self.token().await?;
        let reply = match self.post(path, &body, token).await {
            Err(why) if self.has_run_out(&why) => {
                self.post(path, &body, self.authenticate().await?).await?
            }
            other => other?,
        };
        parse(&reply.body)
    }

    /// The same for an answer that goes on, of the endpoint that answered last.
    async fn open(&self, path: &str, body: &Value) -> Result<Stream, EtcdError> {
        let body = Bytes::from(body.to_string());
        let token = self.token().await?;
        match self.attempt(path, &body, token).await {
            Err(why) if self.has_run_out(&why) => {
                self.attempt(path, &body, self.authenticate().await?).await
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        path: &str,
        body: &Bytes,
        token: Option<HeaderValue>,
    ) -> Result<Stream, EtcdError> {
        let url = self.url(self.current.load(Ordering::Relaxed), path)?;
        let stream = self.http.post_stream(&url, headers(token), body.clone(), TIMEOUT).await?;
        if stream.status == StatusCode::OK {
            return Ok(stream);
        }
        Err(refused(stream.status, b""))
    }

    fn has_run_out(&self, why: &EtcdError) -> bool {
        let EtcdError::Refused { status, code, .. } = why else {
            return false;
        };
        self.credentials.is_some() && (*status == 401 || *code == UNAUTHENTICATED)
    }

    async fn token(&self) -> Result<Option<HeaderValue>, EtcdError> {
        let known = lock(&self.token).clone();
        if known.is_some() { Ok(known) } else { self.authenticate().await }
    }

    async fn authenticate(&self) -> Result<Option<HeaderValue>, EtcdError> {
        let Some((name, file)) = &self.credentials else {
            return Ok(None);
        };
        let read = weir_config::files::read_text(file);
        let password =
            read.map_err(|why| EtcdError::Password(format!("{} {why}", file.display())))?;
        let password = Secret::new(password.trim_end_matches(['\r', '\n']));
        let body = json!({ "name": name, "password": password.expose() }).to_string();
        let reply = self.post("/v3/auth/authenticate", &Bytes::from(body), None).await?;
        let answer: TokenAnswer = parse(&reply.body)?;
        let mut token = HeaderValue::from_str(&answer.token)
            .map_err(|_| EtcdError::Answer("a token that is no header".into()))?;
        token.set_sensitive(true);
        *lock(&self.token) = Some(token.clone());
        Ok(Some(token))
    }

    async fn post(
        &self,
        path: &str,
        body: &Bytes,
        token: Option<HeaderValue>,
    ) -> Result<Reply, EtcdError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut last = None;
        for at in (0..self.endpoints.len()).map(|step| (first + step) % self.endpoints.len()) {
            let url = self.url(at, path)?;
            let sent = self.http.post(&url, headers(token.clone()), body.clone(), TIMEOUT).await;
            match sent {
                Ok(reply) if reply.status == StatusCode::OK => {
                    self.current.store(at, Ordering::Relaxed);
                    return Ok(reply);
                }
                // It has no leader; another endpoint may.
                Ok(reply) if reply.status.is_server_error() => {
                    last = Some(refused(reply.status, &reply.body));
                }
                Ok(reply) => return Err(refused(reply.status, &reply.body)),
                Err(why) => {
                    let is_open = why.maybe_sent() && path == "/v3/kv/txn";
                    last = Some(why.into());
                    if is_open {
                        break;
                    }
                }
            }
        }
        self.current.store((first + 1) % self.endpoints.len().max(1), Ordering::Relaxed);
        Err(last.unwrap_or(EtcdError::Answer("no endpoint is configured".into())))
    }

    fn url(&self, at: usize, path: &str) -> Result<Uri, EtcdError> {
        let base = self.endpoints.get(at).map_or("", String::as_str);
        let url = format!("{base}{path}");
        url.parse().map_err(|why| ClientError::Url(format!("{url}: {why}")).into())
    }
}

/// That a key is as of this revision; 0: that it does not exist.
fn is_at(key: &str, revision: u64) -> Value {
    match revision {
        0 => json!({ "key": encode(key), "target": "CREATE", "result": "EQUAL",
                     "create_revision": "0" }),
        at => json!({ "key": encode(key), "target": "MOD", "result": "EQUAL",
                      "mod_revision": at.to_string() }),
    }
}

fn headers(token: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, token);
    }
    headers
}

fn refused(status: StatusCode, body: &[u8]) -> EtcdError {
    let error: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
    EtcdError::Refused { status: status.as_u16(), code: error.code, message: error.error }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, EtcdError> {
    serde_json::from_slice(body).map_err(|why| EtcdError::Answer(why.to_string()))
}

fn encode(text: &str) -> String {
    BASE64.encode(text)
}

/// The first key after all that begin with `prefix`, which ends in a slash.
fn end_of(prefix: &str) -> String {
    let mut end = prefix.trim_end_matches('/').to_owned();
    end.push((b'/' + 1) as char);
    end
}
