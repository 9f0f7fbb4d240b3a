//! The configuration from the gateway: asked for again and again, checked, and kept.
//!
//! Invariant: what runs is the newest text that this host could take, and the disk holds it, so that
//! an agent starts without its gateway. A text that cannot be taken changes nothing; it is tried
//! again with every question, for a file or a name that it lacks may come, and the gateway is told
//! why. Asking is paced, with jitter, and failing to ask is never a reason to stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use weir_agent_config::control::{
    CONFIG_PATH, Identity, REPORT_HEADER, Refused, TEXT_BYTES_MAX, version_of,
};
use weir_agent_config::{Config, Host, read};
use weir_http::{
    Client, ClientConfig, HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header,
};
use weir_model::Millis;
use weir_remote::config::raw::RemoteWrite;

use crate::cli::CentralArgs;
use crate::force::Force;

mod counts;
mod store;

pub use counts::Counts;
use counts::Observer;
use store::Store;

/// Where the configuration comes from, and what is kept of it.
pub struct Central {
    identity: Identity,
    remote_write: [RemoteWrite; 1],
    client: Client,
    url: Uri,
    poll_interval: Millis,
    store: Store,
    counts: Arc<Counts>,
    state: Mutex<State>,
}

/// What is known of configurations.
#[derive(Debug, Default)]
struct State {
    /// The version that runs.
    running: Option<String>,
    /// A newer text that could not be taken, and why.
    refused: Option<(String, Refused)>,
    /// Why the last question had no answer; said once.
    trouble: Option<String>,
    observer: Observer,
}

/// What the gateway says.
enum Answer {
    Take(String),
    Keep,
    Nothing,
}

impl Central {
    /// Reads certificates and secrets; asks nobody. `host` is this host's name, `storage` the
    /// agent's folder.
    pub fn new(args: &CentralArgs, host: &str, storage: &Path) -> Result<Self, String> {
        let identity = args.identity(host);
        let failed = |why: &dyn std::fmt::Display| format!("--gateway: {why}");
        let query = identity.to_query();
        Identity::from_query(&query)
            .map_err(|why| format!("--agent.name, --agent.label: {why}"))?;
        let url = args.url(&format!("{CONFIG_PATH}?{query}"));
        let url: Uri = url.parse().map_err(|why| failed(&why))?;
        let client = args.client().client_config();
        let client = ClientConfig { reply_bytes_max: TEXT_BYTES_MAX, ..client };
        let client = Client::new(client, Instant::now()).map_err(|why| failed(&why))?;
        Ok(Self {
            identity,
            remote_write: [args.remote_write()],
            client,
            url,
            poll_interval: args.poll_interval,
            store: Store::new(storage),
            counts: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// What to start with: the last good configuration, or one without jobs until there is another.
    pub fn start(&mut self) -> Result<Config, String> {
        if let Some(text) = self.store.load() {
            match self.read(&text) {
                Ok(config) => {
                    self.state.get_mut().running = Some(version_of(&text));
                    return Ok(config);
                }
                Err(why) => tracing::error!(why, "the configuration kept on disk is not taken"),
            }
        }
        self.read("")
    }

    /// What it counts.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Asks for ever.
    pub async fn run(self: Arc<Self>, force: Arc<Force>) {
        loop {
            self.poll(&force).await.unwrap_or_default();
            tokio::time::sleep(jittered(self.poll_interval)).await;
        }
    }

    /// Asks once. The error says why there is nothing new, or why it is not taken.
    pub async fn poll(&self, force: &Arc<Force>) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let answer = self.ask(&mut state, force).await;
        self.counts.answered(answer.as_ref().map(|answer| match answer {
            Answer::Take(_) => counts::NEW,
            Answer::Keep => counts::SAME,
            Answer::Nothing => counts::NONE,
        }));
        let result = match answer {
            Ok(Answer::Take(text)) => self.take(&mut state, text, force).await,
            Ok(Answer::Keep) => match state.refused.take() {
                Some((text, _)) => self.take(&mut state, text, force).await,
                None => Ok(()),
            },
            Ok(Answer::Nothing) => {
                let labels = &self.identity.labels;
                Err(format!("the gateway has no configuration for an agent with labels {labels:?}"))
            }
            Err(why) => Err(format!("the gateway cannot be asked: {why}")),
        };
        if state.trouble.as_ref() != result.as_ref().err() {
            match &result {
                Ok(()) => tracing::info!("the gateway's configuration is in force"),
                Err(why) => tracing::warn!(why, "what runs goes on unchanged"),
            }
            state.trouble = result.as_ref().err().cloned();
        }
        result
    }

    async fn ask(&self, state: &mut State, force: &Force) -> Result<Answer, String> {
        let mut report = state.observer.report(force);
        report.poll_ms = u64::try_from(self.poll_interval.0).unwrap_or_default();
        report.config.clone_from(&state.running);
        report.refused = state.refused.as_ref().map(|(_, refused)| refused.clone());
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&report.to_header()).map_err(|why| why.to_string())?;
        headers.insert(HeaderName::from_static(REPORT_HEADER), value);
        let refused = state.refused.as_ref().map(|(_, refused)| &refused.config);
        if let Some(held) = refused.or(state.running.as_ref()) {
            let tag = HeaderValue::from_str(&format!("\"{held}\""));
            headers.insert(header::IF_NONE_MATCH, tag.map_err(|why| why.to_string())?);
        }
        let reply = self.client.get(&self.url, headers, TIMEOUT).await;
        let reply = reply.map_err(|why| why.to_string())?;
        match reply.status {
            StatusCode::OK if reply.truncated => Err("its answer is too long".to_owned()),
            StatusCode::OK => String::from_utf8(reply.body.to_vec())
                .map(Answer::Take)
                .map_err(|_| "its answer is not UTF-8".to_owned()),
            StatusCode::NOT_MODIFIED => Ok(Answer::Keep),
            StatusCode::NOT_FOUND => Ok(Answer::Nothing),
            other => {
                let said = String::from_utf8_lossy(&reply.body);
                Err(format!("it answered {other}: {}", said.lines().next().unwrap_or_default()))
            }
        }
    }

    /// Brings a text into force and keeps it, or remembers why not.
    async fn take(&self, state: &mut State, text: String, force: &Force) -> Result<(), String> {
        let version = version_of(&text);
        state.refused = None;
        if state.running.as_ref() == Some(&version) {
            return Ok(());
        }
        let taken = match self.read(&text) {
            Ok(config) => force.apply(config).await,
            Err(why) => {
                force.refused();
                Err(why)
            }
        };
        if let Err(why) = taken {
            let refused = Refused { config: version.clone(), error: why.clone() };
            state.refused = Some((text, refused));
            return Err(format!("version {version} is not taken: {why}"));
        }
        tracing::info!(version, "another configuration is in force");
        state.running = Some(version);
        if let Err(why) = self.store.save(&text) {
            tracing::error!(%why, "the configuration cannot be kept for the next start");
        }
        Ok(())
    }

    /// A text as this host reads it: variables are the agent's labels, then the environment's.
    fn read(&self, text: &str) -> Result<Config, String> {
        let labels: BTreeMap<&str, &str> = self.identity.seen_labels();
        let env = |name: &str| match labels.get(name) {
            Some(value) => Some((*value).to_owned()),
            None => std::env::var(name).ok(),
        };
        let here = Host::here(Path::new(""), &env);
        let host = Host { remote_write: &self.remote_write, ..here };
        let config = read("the gateway's", text, &host).map_err(|errors| errors.to_string())?;
        for warning in &config.warnings {
            tracing::warn!(%warning, "configuration");
        }
        Ok(config)
    }
}

/// An interval, give or take a tenth, so that agents started together do not ask together.
fn jittered(interval: Millis) -> Duration {
    let tenth = interval.0 / 10 + 1;
    let place = i64::try_from(crate::discovery::random() >> 1).unwrap_or_default();
    Millis(interval.0 - tenth + place % (2 * tenth)).to_std()
}

const TIMEOUT: Duration = Duration::from_secs(10);
