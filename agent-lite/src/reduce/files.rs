//! Rule files of the agent: the paths that its flags name, read whole.
//!
//! Invariant: all files are good, or none is taken.

use std::path::Path;

use weir_aggregate::decisions::{Decisions, HaLabels};
use weir_config::{ConfigErrors, Problem, files};
use weir_rules::RuleText;

/// Reads the files that these patterns match, each once; the warnings come along.
pub fn read(patterns: &[String]) -> Result<(Decisions, Vec<Problem>), ConfigErrors> {
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
    Ok((decisions, rules.warnings))
}
