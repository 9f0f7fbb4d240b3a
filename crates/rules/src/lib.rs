//! Rule files: reading their texts, and what only shows when all of them lie side by side.
//!
//! Gateway and agent take the same files, and say the same about them. Invariant: what it returns is
//! what `weir_aggregate` would run, in the order of the files. Patterns are not resolved here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_aggregate::rule::{Rule, RuleFile, load};
use weir_config::{Problem, explain_unknown_field, files};
use weir_model::Relabel;
use weir_relabel::{Program, RelabelConfig};

/// A rule file: its name as messages show it, and its text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// The file's name.
    pub file: String,
    /// All that it says.
    pub text: String,
}

/// All rules, and what is worth a word about them.
#[derive(Debug)]
pub struct Rules {
    /// In the order of the files.
    pub rules: Vec<Rule>,
    /// What has no effect, and whose outputs meet.
    pub warnings: Vec<Problem>,
}

/// Opens rule files, each once, in the order given. Those that cannot be read go to `errors`.
pub fn open(paths: Vec<PathBuf>, errors: &mut Vec<Problem>) -> Vec<RuleText> {
    let mut texts: Vec<RuleText> = Vec::new();
    for path in paths {
        let file = path.display().to_string();
        if texts.iter().any(|text| text.file == file) {
            continue;
        }
        match files::read_text(&path) {
            Ok(text) => texts.push(RuleText { file, text }),
            Err(message) => errors.push(Problem::of_file(file, message)),
        }
    }
    texts
}

/// Reads all rule files; every file's problems are returned.
pub fn read(texts: &[RuleText]) -> Result<Rules, Vec<Problem>> {
    let mut all = Rules { rules: Vec::new(), warnings: Vec::new() };
    let mut errors = Vec::new();
    let mut names: HashMap<String, Named> = HashMap::new();
    let mut meanings: HashMap<u128, Named> = HashMap::new();
    let mut outputs: HashMap<String, Named> = HashMap::new();
    for text in texts {
        let file = match load::<RelabelConfig>(&text.text, &compile) {
            Ok(file) => file,
            Err(problems) => {
                errors.extend(problems.into_iter().map(|problem| Problem {
                    file: text.file.clone(),
                    line: problem.line,
                    key: problem.rule.map_or(String::new(), |rule| format!("rule {rule}")),
                    message: explain_unknown_field(&problem.error.to_string()),
                }));
                continue;
            }
        };
        all.warnings.extend(notices(&text.file, &file));
        for (at, rule) in file.rules.into_iter().enumerate() {
            let here =
                Named { file: text.file.clone(), rule: at + 1, name: rule.name().to_owned() };
            if let Some(other) = names.get(rule.name()) {
                let unnamed = here.is_unnamed() && other.is_unnamed();
                let problem = here.problem(format!(
                    "the name {:?} is taken by {other}; names tell the rules' metrics apart",
                    here.name
                ));
                if unnamed { all.warnings.push(problem) } else { errors.push(problem) }
            }
            names.entry(here.name.clone()).or_insert_with(|| here.clone());
            if let Some(other) = meanings.get(&rule.identity()) {
                all.warnings.push(here.problem(format!(
                    "means the same as {other} and is left out: their outputs would be the same series"
                )));
                continue;
            }
            for (series, output) in output_series(&rule) {
                let other = outputs.entry(series).or_insert_with(|| here.clone());
                if other.file != here.file || other.rule != here.rule {
                    all.warnings.push(here.problem(format!(
                        "its output {output} is that of {other}: both write the same series"
                    )));
                }
            }
            meanings.entry(rule.identity()).or_insert(here);
            all.rules.push(rule);
        }
    }
    if all.rules.len() > usize::from(u16::MAX) {
        let message = format!("{} rules in all files; at most 65535 fit", all.rules.len());
        errors.push(Problem::of_file("rule_files", message));
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

/// What names the series of each of a rule's outputs, for comparison with other rules, and the
/// output. Where relabelling may change them, nothing is known.
fn output_series(rule: &Rule) -> Vec<(String, String)> {
    if rule.input_relabel().is_some() || rule.output_relabel().is_some() {
        return Vec::new();
    }
    let takes: Vec<String> = rule.selectors().iter().map(ToString::to_string).collect();
    let whose = (rule.tenants(), takes, rule.grouping(), rule.drop_input_labels());
    let each = rule.outputs().iter().map(|output| {
        let name = rule.output_name("", output);
        (format!("{whose:?} {name:?}"), output.to_string())
    });
    each.collect()
}

fn compile(configs: &[RelabelConfig]) -> Result<Arc<dyn Relabel>, Vec<String>> {
    match Program::compile(configs) {
        Ok(program) => Ok(Arc::new(program)),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

fn notices(file: &str, rules: &RuleFile) -> Vec<Problem> {
    let problem = |notice: &weir_aggregate::rule::Notice| Problem {
        file: file.to_owned(),
        line: notice.line,
        key: format!("rule {}", notice.rule),
        message: format!("{} has no effect: {}", notice.key, notice.reason),
    };
    rules.notices.iter().map(problem).collect()
}

/// A rule and where it stands.
#[derive(Clone)]
struct Named {
    file: String,
    rule: usize,
    name: String,
}

impl Named {
    /// Whether the name is the one that rules without a name get.
    fn is_unnamed(&self) -> bool {
        self.name == format!("rule_{}", self.rule)
    }

    fn problem(&self, message: String) -> Problem {
        Problem { file: self.file.clone(), line: None, key: format!("rule {}", self.rule), message }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule {} of {}", self.rule, self.file)
    }
}
