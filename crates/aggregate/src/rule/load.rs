//! From a file's text to rules, or to everything that is wrong with them.

use std::fmt::Display;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;
use weir_model::labels::METRIC_NAME;
use weir_model::{Millis, Relabel};

use super::error::{Notice, RuleError, RuleProblem};
use super::identity::identity;
use super::name::suffix;
use super::raw::{At, RawRule, line};
use super::{Grouping, MAX_GROUPS_DEFAULT, OutputKind, Rule, STALENESS_DEFAULT};
use crate::matcher::Selector;

/// How the caller compiles relabelling.
pub type Compile<'a, R> = &'a dyn Fn(&[R]) -> Result<Arc<dyn Relabel>, Vec<String>>;

/// What a rule file holds.
#[derive(Debug, Default)]
pub struct RuleFile {
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// What it says without effect.
    pub notices: Vec<Notice>,
}

/// Reads a rule file. `R` is a relabelling rule, which `compile` understands; its text (`Display`)
/// must be the same for rules that mean the same, as it is part of [`Rule::identity`].
///
/// What is no rule file at all (bad YAML, an unknown key) gives one problem; else every rule is
/// validated and all problems are returned.
pub fn load<R>(text: &str, compile: Compile<'_, R>) -> Result<RuleFile, Vec<RuleProblem>>
where
    R: DeserializeOwned + Display,
{
    // An empty file holds no rules: YAML reads it as null.
    let raw: Option<Vec<Spanned<RawRule<R>>>> = serde_saphyr::from_str(text).map_err(shape)?;
    let raw = raw.unwrap_or_default();
    let mut file = RuleFile::default();
    let mut problems = Vec::new();
    if raw.len() > usize::from(u16::MAX) {
        let error = RuleError::TooManyRules(raw.len());
        return Err(vec![RuleProblem { line: None, rule: None, error }]);
    }
    for (at, raw) in raw.into_iter().enumerate() {
        let mut validator = Validator { rule: at + 1, line: line(&raw), problems: &mut problems };
        let rule = validator.rule(&raw.value, compile, &mut file.notices);
        if file.rules.iter().any(|r| r.name == rule.name) {
            let error = RuleError::DuplicateName(rule.name.clone());
            validator.problem(raw.value.name.as_ref().and_then(line), error);
        }
        file.rules.push(rule);
    }
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

fn shape(error: serde_saphyr::Error) -> Vec<RuleProblem> {
    let line = error.location().map(|l| l.line()).filter(|&line| line > 0);
    // The place is told apart from the text; the snippet would tell it once more.
    let text = error.without_snippet().to_string();
    let text = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let error = RuleError::Shape(text);
    vec![RuleProblem { line, rule: None, error }]
}

/// Turns one raw rule into a rule, noting what is wrong on the way. What it returns is of use
/// only if nothing was.
struct Validator<'a> {
    rule: usize,
    line: Option<u64>,
    problems: &'a mut Vec<RuleProblem>,
}

impl Validator<'_> {
    fn rule<R: Display>(
        &mut self,
        raw: &RawRule<R>,
        compile: Compile<'_, R>,
        notices: &mut Vec<Notice>,
    ) -> Rule {
        self.notices(raw, notices);
        let interval = self.interval(raw);
        let grouping = self.grouping(raw);
        let written = raw.interval.as_ref().map_or("", |i| i.value.as_str());
        let mut rule = Rule {
            name: self.name(raw),
            tenants: self.tenants(raw),
            selectors: self.selectors(raw),
            interval,
            dedup_interval: self.dedup_interval(raw, interval),
            staleness: self.staleness(raw, interval),
            name_suffix: suffix(written, &grouping),
            grouping,
            outputs: self.outputs(raw),
            keep_metric_names: raw.keep_metric_names.as_ref().is_some_and(|k| k.value),
            keep_input: raw.keep_input.unwrap_or_default(),
            late: raw.late.unwrap_or_default(),
            births: raw.births.unwrap_or_default(),
            max_groups: self.max_groups(raw),
            input_relabel: self.relabel(
                "input_relabel_configs",
                &raw.input_relabel_configs,
                compile,
            ),
            output_relabel: self.relabel(
                "output_relabel_configs",
                &raw.output_relabel_configs,
                compile,
            ),
            drop_input_labels: sorted(raw.drop_input_labels.as_deref().unwrap_or_default()),
            identity: 0,
        };
        self.keep_names(raw, &rule);
        rule.identity = identity(
            &rule,
            &texts(&raw.input_relabel_configs),
            &texts(&raw.output_relabel_configs),
        );
        rule
    }

    fn problem(&mut self, line: Option<u64>, error: RuleError) {
        let line = line.or(self.line);
        self.problems.push(RuleProblem { line, rule: Some(self.rule), error });
    }

    fn notices<R>(&self, raw: &RawRule<R>, notices: &mut Vec<Notice>) {
        const WINDOWS: &str = "windows are by sample time always";
        const GRACE: &str =
            "late samples are told by the grace period, and `late` says what becomes of them";
        const FIRST: &str = "state survives restarts, so there is no first window to leave out";
        let keys = [
            ("enable_windows", &raw.enable_windows, WINDOWS),
            ("ignore_old_samples", &raw.ignore_old_samples, GRACE),
            ("ignore_first_intervals", &raw.ignore_first_intervals, FIRST),
            (
                "ignore_first_sample_interval",
                &raw.ignore_first_sample_interval,
                "`births` says when a first sample counts",
            ),
            (
                "flush_on_shutdown",
                &raw.flush_on_shutdown,
                "open windows survive a restart and go on",
            ),
            (
                "no_align_flush_to_interval",
                &raw.no_align_flush_to_interval,
                "windows are aligned to multiples of the interval always",
            ),
        ];
        for (key, value, reason) in keys {
            if let Some(value) = value {
                notices.push(Notice { line: line(value), rule: self.rule, key, reason });
            }
        }
    }

    fn name<R>(&mut self, raw: &RawRule<R>) -> String {
        match &raw.name {
            None => format!("rule_{}", self.rule),
            Some(name) => {
                if name.value.is_empty() {
                    self.problem(line(name), RuleError::Empty("name"));
                }
                name.value.clone()
            }
        }
    }

    fn tenants<R>(&mut self, raw: &RawRule<R>) -> Option<Vec<String>> {
        let tenants = raw.tenants.as_ref()?;
        if tenants.value.is_empty() {
            self.problem(line(tenants), RuleError::Empty("tenants"));
        }
        Some(sorted(&tenants.value))
    }

    fn selectors<R>(&mut self, raw: &RawRule<R>) -> Vec<Selector> {
        let Some(selected) = &raw.r#match else {
            return Vec::new();
        };
        let at = line(selected);
        if selected.value.0.is_empty() {
            self.problem(at, RuleError::Empty("match"));
        }
        let mut selectors = Vec::new();
        for selected in &selected.value.0 {
            match selected.text.parse() {
                Ok(selector) => selectors.push(selector),
                Err(error) => self.problem(selected.line.or(at), RuleError::Selector(error)),
            }
        }
        selectors
    }

    /// A duration that is there and can be read.
    fn duration(&mut self, key: &'static str, value: &At<String>) -> Option<Millis> {
        let value = value.as_ref()?;
        match value.value.parse() {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.problem(line(value), RuleError::Duration(key, error));
                None
            }
        }
    }

    fn interval<R>(&mut self, raw: &RawRule<R>) -> Millis {
        let at = raw.interval.as_ref().and_then(line);
        let interval = self.duration("interval", &raw.interval);
        match interval {
            None if raw.interval.is_none() => self.problem(None, RuleError::NoInterval),
            Some(short) if short < Millis::from_secs(1) => {
                self.problem(at, RuleError::IntervalTooShort(short));
            }
            _ => {}
        }
        // A stand-in, so that the other keys can be judged too.
        interval.filter(|i| i.0 > 0).unwrap_or(Millis::from_secs(1))
    }

    fn dedup_interval<R>(&mut self, raw: &RawRule<R>, interval: Millis) -> Option<Millis> {
        let dedup = self.duration("dedup_interval", &raw.dedup_interval)?;
        // As in vmagent, 0s is none.
        let dedup = Some(dedup).filter(|d| d.0 > 0)?;
        if interval.0 % dedup.0 != 0 {
            let at = raw.dedup_interval.as_ref().and_then(line);
            self.problem(at, RuleError::DedupInterval { dedup, interval });
        }
        Some(dedup)
    }

    fn staleness<R>(&mut self, raw: &RawRule<R>, interval: Millis) -> Millis {
        let Some(staleness) = self.duration("staleness_interval", &raw.staleness_interval) else {
            return STALENESS_DEFAULT.max(interval);
        };
        if staleness < interval {
            let at = raw.staleness_interval.as_ref().and_then(line);
            self.problem(at, RuleError::Staleness { staleness, interval });
        }
        staleness
    }

    fn grouping<R>(&mut self, raw: &RawRule<R>) -> Grouping {
        let listed = |labels: &At<Vec<String>>| {
            let labels = labels.as_ref().map_or(&[][..], |l| &l.value);
            sorted(labels)
        };
        let (mut by, without) = (listed(&raw.by), listed(&raw.without));
        // As in vmagent, an empty list is none.
        match (by.is_empty(), without.is_empty()) {
            (true, true) => Grouping::Series,
            (true, false) => Grouping::Without(without),
            (false, true) => {
                by.retain(|label| label != METRIC_NAME);
                Grouping::By(by)
            }
            (false, false) => {
                self.problem(raw.without.as_ref().and_then(line), RuleError::ByAndWithout);
                Grouping::Series
            }
        }
    }

    fn outputs<R>(&mut self, raw: &RawRule<R>) -> Vec<OutputKind> {
        let listed = raw.outputs.as_deref().unwrap_or_default();
        if listed.is_empty() {
            self.problem(None, RuleError::NoOutputs);
        }
        let mut outputs: Vec<OutputKind> = Vec::new();
        for text in listed {
            match text.value.parse::<OutputKind>() {
                Err(error) => self.problem(line(text), RuleError::Output(error)),
                Ok(output) if outputs.iter().any(|o| o.as_str() == output.as_str()) => {
                    self.problem(line(text), RuleError::DuplicateOutput(output.as_str()));
                }
                Ok(output) => outputs.push(output),
            }
        }
        outputs.sort_by_key(OutputKind::rank);
        outputs
    }

    fn keep_names<R>(&mut self, raw: &RawRule<R>, rule: &Rule) {
        if !rule.keep_metric_names {
            return;
        }
        let at = raw.keep_metric_names.as_ref().and_then(line);
        let single = matches!(rule.outputs.as_slice(), [output] if output.is_single_series());
        if !single && !rule.outputs.is_empty() {
            let outputs: Vec<String> = rule.outputs.iter().map(ToString::to_string).collect();
            self.problem(at, RuleError::KeepNamesOutputs(outputs.join(", ")));
        }
        if rule.keep_input {
            self.problem(at, RuleError::KeepNamesAndInput);
        }
        if matches!(&rule.grouping, Grouping::Without(l) if l.iter().any(|l| l == METRIC_NAME)) {
            self.problem(at, RuleError::KeepNamesWithoutName);
        }
    }

    fn max_groups<R>(&mut self, raw: &RawRule<R>) -> u32 {
        let Some(given) = &raw.max_groups else {
            return MAX_GROUPS_DEFAULT;
        };
        let groups = u32::try_from(given.value).ok().filter(|&g| g > 0);
        groups.unwrap_or_else(|| {
            self.problem(line(given), RuleError::MaxGroups(given.value));
            MAX_GROUPS_DEFAULT
        })
    }

    fn relabel<R>(
        &mut self,
        key: &'static str,
        configs: &At<Vec<R>>,
        compile: Compile<'_, R>,
    ) -> Option<Arc<dyn Relabel>> {
        let configs = configs.as_ref().filter(|c| !c.value.is_empty())?;
        match compile(&configs.value) {
            Ok(program) => Some(program),
            Err(errors) => {
                for error in errors {
                    self.problem(line(configs), RuleError::Relabel(key, error));
                }
                None
            }
        }
    }
}

fn texts<R: Display>(configs: &At<Vec<R>>) -> Vec<String> {
    let configs = configs.iter().flat_map(|c| &c.value);
    configs.map(ToString::to_string).collect()
}

fn sorted(labels: &[String]) -> Vec<String> {
    let mut labels = labels.to_vec();
    labels.sort();
    labels.dedup();
    labels
}
