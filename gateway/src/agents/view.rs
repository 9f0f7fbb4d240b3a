//! An agent as others see it: the page of the gateway, its JSON and its metrics.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_agent_config::control::{Identity, Refused, Report};

use crate::config::AgentConfig;

/// How an agent stands to the configuration that it is to run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has said that it cannot take it.
    Refused,
    /// It has not asked for a while.
    Silent,
    /// It has not taken it yet.
    Behind,
    /// No selector takes it.
    Unassigned,
    /// It runs it.
    Current,
}

/// One agent.
#[derive(Clone, Debug, Serialize)]
pub struct Agent {
    /// What it is called.
    pub name: String,
    /// What its operator says about it.
    pub labels: BTreeMap<String, String>,
    /// How it stands.
    pub state: State,
    /// When it asked last, milliseconds since the epoch.
    pub seen_ms: i64,
    /// What it is to run.
    pub assigned: Option<Assignment>,
    /// What it said.
    pub report: Report,
}

/// A configuration that an agent is to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Assignment {
    /// `agents[].name`.
    pub name: String,
    /// Of its text.
    pub version: String,
}

/// All agents, for a page.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overview {
    /// How many there are, by state.
    pub counts: BTreeMap<State, u64>,
    /// Some of them, those with trouble first.
    pub shown: Vec<Agent>,
    /// Questions from agents that there was no room to list.
    pub unlisted: u64,
}

impl Agent {
    pub(super) fn new(
        identity: Identity,
        report: Report,
        seen_ms: i64,
        assigned: Option<&AgentConfig>,
        now_ms: i64,
    ) -> Self {
        let quiet_ms = i64::try_from(report.poll_ms).unwrap_or(i64::MAX).saturating_mul(3);
        let refused = |version: &str| report.refused.as_ref().is_some_and(|r| r.config == version);
        let state = match assigned {
            _ if now_ms - seen_ms > quiet_ms.max(SILENT_MS) => State::Silent,
            None => State::Unassigned,
            Some(config) if refused(&config.version) => State::Refused,
            Some(config) if report.config.as_ref() == Some(&config.version) => State::Current,
            Some(_) => State::Behind,
        };
        let assigned = assigned.map(|config| Assignment {
            name: config.name.clone(),
            version: config.version.clone(),
        });
        Self { name: identity.name, labels: identity.labels, state, seen_ms, assigned, report }
    }

    /// Why it could not take a configuration.
    pub fn error(&self) -> Option<&str> {
        self.report.refused.as_ref().map(|Refused { error, .. }| error.as_str())
    }
}

impl Overview {
    /// Sums up a list of agents.
    pub fn new(mut agents: Vec<Agent>, unlisted: u64) -> Self {
        let mut counts = BTreeMap::new();
        if !agents.is_empty() {
            counts.extend(State::ALL.map(|state| (state, 0)));
        }
        for agent in &agents {
            *counts.entry(agent.state).or_default() += 1;
        }
        agents.sort_by_key(|agent| agent.state);
        agents.truncate(SHOWN_MAX);
        Self { counts, shown: agents, unlisted }
    }

    /// How many there are in a state.
    pub fn count(&self, state: State) -> u64 {
        self.counts.get(&state).copied().unwrap_or_default()
    }
}

impl State {
    /// Those that need a look come first.
    pub const ALL: [Self; 5] =
        [Self::Refused, Self::Silent, Self::Behind, Self::Unassigned, Self::Current];

    /// As metrics and pages call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Unassigned => "unassigned",
            Self::Current => "current",
        }
    }
}

/// Nobody is silent sooner, however often it says that it asks.
const SILENT_MS: i64 = 15_000;
/// Agents on the page; `/api/v1/agents` has all.
const SHOWN_MAX: usize = 100;
