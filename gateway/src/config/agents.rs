//! `agents`: configurations of agents, and which agents each of them is for.
//!
//! Invariant: every text is one that an agent can run, as far as can be told on another host. The
//! files of texts are opened here, once; what they name is not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_agent_config::control::{TEXT_BYTES_MAX, version_of};
use weir_agent_config::read_for_others;
use weir_aggregate::matcher::Selector;
use weir_config::{Check, Problem, Source, files};

use super::raw;

/// One entry of `agents`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentConfig {
    /// `name`: unique.
    pub name: String,
    /// `match`: by the agents' labels. Default: all agents.
    pub selector: Option<Selector>,
    /// `config_file`: where the text stands.
    pub file: PathBuf,
    /// What agents get.
    pub text: Arc<str>,
    /// Of the text.
    pub version: String,
}

/// Reads all entries and their files, in their order: the first that matches an agent is its own.
pub(crate) fn read(
    blocks: &[raw::AgentBlock],
    folder: &Path,
    source: &Source,
    warnings: &mut Vec<Problem>,
) -> Result<Vec<AgentConfig>, Vec<Problem>> {
    let mut check = Check::new(source);
    let mut names = BTreeSet::new();
    let mut configs: Vec<AgentConfig> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        check.within(&format!("agents[{index}]"), |check| {
            let name = block.name.clone().unwrap_or_default();
            if name.is_empty() {
                check.error("name", "is missing; agents and pages are told it");
            } else if !names.insert(name.clone()) {
                check.error("name", format!("{name:?} is an earlier entry's name"));
            }
            if configs.last().is_some_and(|config| config.selector.is_none()) {
                check.warn("", "is for no agent: the entry before it has no match, and takes all");
            }
            let selector = block.r#match.as_ref().and_then(|text| {
                text.parse().map_err(|why| check.error("match", format!("{text:?}: {why}"))).ok()
            });
            let (file, text) = text(block, folder, check);
            let version = version_of(&text);
            configs.push(AgentConfig { name, selector, file, text: text.into(), version });
        });
    }
    warnings.append(&mut check.warnings);
    if check.errors.is_empty() { Ok(configs) } else { Err(check.errors) }
}

/// The text of an entry; what is wrong with it is said with the text's own lines.
fn text(block: &raw::AgentBlock, folder: &Path, check: &mut Check<'_>) -> (PathBuf, String) {
    let Some(file) = block.config_file.as_ref().filter(|file| !file.is_empty()) else {
        check.error("config_file", "is missing; it names a configuration as an agent reads it");
        return (PathBuf::new(), String::new());
    };
    let file = folder.join(file);
    let name = file.display().to_string();
    let text = match files::read_text(&file) {
        Ok(text) if text.len() > TEXT_BYTES_MAX => {
            check.error("config_file", format!("{name} is longer than the 1MiB that agents take"));
            return (file, String::new());
        }
        Ok(text) => text,
        Err(why) => {
            check.error("config_file", format!("{name} {why}"));
            return (file, String::new());
        }
    };
    match read_for_others(&name, &text) {
        Ok(config) => check.warnings.extend(config.warnings),
        Err(problems) => check.errors.extend(problems.0),
    }
    (file, text)
}
