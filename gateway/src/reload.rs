//! A changed configuration, applied without losing a window.
//!
//! The file is read and validated as a whole; a bad one changes nothing and says why. What decides
//! about samples goes through the log as a CONFIG record, so a replay decides the same at the same
//! place. Invariant: one reload at a time, and checkpoints see it as before or after, never half.

use std::sync::Arc;

use weir_remote::HttpTransport;

use crate::checkpoint::CurrentConfig;
use crate::config::{Config, DecisionText, Overrides, compare, load};
use crate::frontier::wall_ms;
use crate::node::{Current, Node};
use crate::shard::worker::lock;
use crate::wal::ConfigRecord;

/// Reads the configuration again and puts it in force; the errors are for the operator.
pub fn reload(node: &Arc<Node>, overrides: &Overrides) -> Result<(), String> {
    let current = node.current.load_full();
    let file = current.config.file.clone();
    let env = |name: &str| std::env::var(name).ok();
    let outcome = load(file.as_deref(), overrides, &env)
        .map_err(|errors| errors.to_string())
        .and_then(|config| {
            let changes = compare(&current.config, &config);
            let mut fixed: Vec<String> = changes.need_restart().map(ToString::to_string).collect();
            if current.config.destinations.is_empty() != config.destinations.is_empty() {
                let why = "remote_write: the first destination or the last one's end needs a restart: \
                           outputs go to destinations or to /federate";
                fixed.push(why.into());
            }
            if fixed.is_empty() { Ok(config) } else { Err(fixed.join("\n")) }
        })
        .and_then(|config| {
            // A destination that cannot be built refuses the reload before anything changes.
            config.destinations.iter().try_for_each(|d| HttpTransport::new(d).map(drop))?;
            let (level, tier) = (config.log.level.clone(), config.cluster.clone());
            if !tier.members().is_empty() {
                node.cluster.check_members(tier.members())?;
            }
            apply(node, config)?;
            if !tier.members().is_empty() {
                node.cluster.set_members(tier.members())?;
            }
            weir_telemetry::logs::set_level(&level).map_err(|e| e.to_string())
        });
    match &outcome {
        Ok(()) => tracing::info!("configuration reloaded"),
        Err(why) => tracing::error!(%why, "reload refused, nothing has changed"),
    }
    outcome
}

/// Puts a validated configuration in force.
pub fn apply(node: &Arc<Node>, config: Config) -> Result<(), String> {
    let _one_at_a_time = lock(&node.reloading);
    let current = node.current.load_full();
    let now = wall_ms();
    let known = DecisionText::from_bytes(&current.text).ok();
    if known.as_ref().is_some_and(|known| config.decisions.says_the_same(known)) {
        let (decisions, text) = (Arc::clone(&current.decisions), current.text.clone());
        node.current.store(Arc::new(Current { config, decisions, text, since_ms: now }));
        return Ok(());
    }
    let next = match &known {
        Some(known) => config.decisions.succeed(known, now),
        None => config.decisions.clone(),
    };
    let version = current.decisions.version + 1;
    let decisions = Arc::new(next.decisions(version).map_err(|errors| errors.to_string())?);
    let text = next.to_bytes();
    let record = ConfigRecord { version, at: now, text: text.clone() };
    crate::engine::log_config(node, &record, Arc::clone(&decisions))?;
    crate::crash::point("reload");
    node.current.store(Arc::new(Current { config, decisions, text, since_ms: now }));
    Ok(())
}

impl CurrentConfig for Node {
    fn current(&self) -> (u32, Vec<u8>) {
        let _not_in_a_reload = lock(&self.reloading);
        let current = self.current.load();
        (current.decisions.version, current.text.clone())
    }
}
