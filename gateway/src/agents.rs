//! The gateway's side of central configuration: which configuration an agent is to run, and what
//! agents say about themselves when they ask.
//!
//! Invariant: what is kept is bounded, in number and by age, and lives in memory only: every agent
//! asks again within seconds. An agent is known by its name; two of one name are seen as one. Nothing
//! is sent to an agent that it has not asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use weir_agent_config::control::{AskError, Identity, Report};
use weir_model::Label;

use crate::config::AgentConfig;
use crate::shard::worker::lock;

mod answer;
mod view;

pub use answer::{handle, promise};
pub use view::{Agent, Assignment, Overview, State};

/// All agents that have asked lately.
#[derive(Debug, Default)]
pub struct Agents {
    known: Mutex<HashMap<String, Known>>,
    unlisted: AtomicU64,
}

/// What is known of one agent.
#[derive(Clone, Debug)]
struct Known {
    labels: BTreeMap<String, String>,
    report: Report,
    seen_ms: i64,
}

/// An agent's question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Of the URL.
    pub query: &'a str,
    /// The version that the agent has.
    pub held: Option<&'a str>,
    /// How the agent does; without one it is no agent that asks, and nothing is kept.
    pub report: Option<&'a [u8]>,
}

/// What an agent is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// A configuration that it does not have.
    Take {
        /// Its text.
        text: Arc<str>,
        /// Its version.
        version: String,
    },
    /// It has this version already.
    Keep(String),
    /// No configuration is for it.
    Nothing,
}

impl Agents {
    /// Answers a question out of these configurations, and notes who asked.
    pub fn ask(
        &self,
        configs: &[AgentConfig],
        question: &Question<'_>,
        now_ms: i64,
    ) -> Result<Told, AskError> {
        let asked = Identity::from_query(question.query)?;
        let report = question.report.map(Report::from_header).transpose()?;
        let told = match assigned(configs, &asked) {
            None => Told::Nothing,
            Some(config) if question.held == Some(config.version.as_str()) => {
                Told::Keep(config.version.clone())
            }
            Some(config) => {
                Told::Take { text: Arc::clone(&config.text), version: config.version.clone() }
            }
        };
        if let Some(report) = report {
            self.note(asked, report, now_ms);
        }
        Ok(told)
    }

    fn note(&self, asked: Identity, report: Report, now_ms: i64) {
        let mut known = lock(&self.known);
        if known.len() >= AGENTS_MAX && !known.contains_key(&asked.name) {
            forget(&mut known, now_ms);
            if known.len() >= AGENTS_MAX {
                self.unlisted.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        known.insert(asked.name, Known { labels: asked.labels, report, seen_ms: now_ms });
    }

    /// All of them by name, each with the configuration that it is to run now.
    pub fn list(&self, configs: &[AgentConfig], now_ms: i64) -> Vec<Agent> {
        let mut known = lock(&self.known);
        forget(&mut known, now_ms);
        let known: BTreeMap<String, Known> =
            known.iter().map(|(name, known)| (name.clone(), known.clone())).collect();
        let agent = |(name, known): (String, Known)| {
            let identity = Identity { name, labels: known.labels };
            let assigned = assigned(configs, &identity);
            Agent::new(identity, known.report, known.seen_ms, assigned, now_ms)
        };
        known.into_iter().map(agent).collect()
    }

    /// How many questions came from agents that there was no room to list.
    pub fn unlisted(&self) -> u64 {
        self.unlisted.load(Ordering::Relaxed)
    }
}

/// The first configuration whose selector takes the agent.
fn assigned<'a>(configs: &'a [AgentConfig], asked: &Identity) -> Option<&'a AgentConfig> {
    let labels = asked.seen_labels();
    let labels: Vec<Label<'_>> =
        labels.iter().map(|(name, value)| Label::new(name, value)).collect();
    configs.iter().find(|config| config.selector.as_ref().is_none_or(|s| s.matches(&labels)))
}

fn forget(known: &mut HashMap<String, Known>, now_ms: i64) {
    known.retain(|_, known| now_ms - known.seen_ms < FORGET_MS);
}

/// Agents that are listed.
pub const AGENTS_MAX: usize = 10_000;
/// An agent that has not asked for so long is no longer listed.
const FORGET_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests;
