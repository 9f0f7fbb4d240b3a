//! Rule files of the agent: the paths that its flags name, read whole.
//!
//! Invariant: all files are good, or none is taken.

use std::fmt;
use std::path::Path;

use weir_aggregate::decisions::{Decisions, HaLabels};
use weir_config::{ConfigErrors, Problem, files};

/// Good rules.
pub struct ReadRules {
    /// What they decide.
    pub decisions: Decisions,
    /// What has no effect, and whose outputs meet.
    pub warnings: Vec<Problem>,
}

/// For `--check`: the rules that would run. Nothing, where there are none.
impl fmt::Display for ReadRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for active in &self.decisions.rules {
            let (name, interval) = (active.rule.name(), active.rule.interval());
            writeln!(f, "rule         {name:?}: windows of {interval}")?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning      {warning}"))
    }
}

/// Reads the files that these patterns match, each once. No pattern, no rules.
pub fn read(patterns: &[String]) -> Result<ReadRules, ConfigErrors> {
    let (mut errors, mut paths) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match files::matching(Path::new("."), pattern) {
            Ok(found) if found.is_empty() => {
                errors.push(of_flag(format!("{pattern:?} matches no file")))
            }
            Ok(found) => paths.extend(found),
            Err(message) => errors.push(of_flag(message)),
        }
    }
    let texts = weir_rules::open(paths, &mut errors);
    let rules = match weir_rules::read(&texts) {
        Ok(rules) if errors.is_empty() => rules,
        read => {
            errors.extend(read.err().into_iter().flatten());
            return Err(ConfigErrors(errors));
        }
    };
    let mut decisions = Decisions::new(0, rules.rules);
    // HA pairs are the gateway's: to the agent a replica label is a label.
    decisions.ha = HaLabels { replica: String::new(), ..HaLabels::default() };
    Ok(ReadRules { decisions, warnings: rules.warnings })
}

fn of_flag(message: String) -> Problem {
    Problem::of_file("--aggregation.rule-file", message)
}
