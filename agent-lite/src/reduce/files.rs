//! Rule files of the agent: the paths that its flags name, read whole.
//!
//! Invariant: all files are good, or none is taken.

use std::fmt;
use std::path::Path;

use weir_aggregate::decisions::{Decisions, HaLabels};
use weir_config::{ConfigErrors, Problem, files};
use weir_rules::RuleText;

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
    let mut errors = Vec::new();
    let mut texts: Vec<RuleText> = Vec::new();
    for pattern in patterns {
        let found = files::matching(Path::new("."), pattern).and_then(|found| {
            if found.is_empty() { Err(format!("{pattern:?} matches no file")) } else { Ok(found) }
        });
        match found {
            Ok(found) => {
                for path in found {
                    let file = path.display().to_string();
                    if texts.iter().any(|text| text.file == file) {
                        continue;
                    }
                    match files::read_text(&path) {
                        Ok(text) => texts.push(RuleText { file, text }),
                        Err(message) => errors.push(Problem::of_file(file, message)),
                    }
                }
            }
            Err(message) => errors.push(Problem::of_file("--aggregation.rule-file", message)),
        }
    }
    let rules = match weir_rules::read(&texts) {
        Ok(rules) if errors.is_empty() => rules,
        Ok(_) => return Err(ConfigErrors(errors)),
        Err(problems) => {
            errors.extend(problems);
            return Err(ConfigErrors(errors));
        }
    };
    let mut decisions = Decisions::new(0, rules.rules);
    // HA pairs are the gateway's: to the agent a replica label is a label.
    decisions.ha = HaLabels { replica: String::new(), ..HaLabels::default() };
    Ok(ReadRules { decisions, warnings: rules.warnings })
}
