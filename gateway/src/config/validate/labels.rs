//! Labels that are added, removed and given a meaning: `external_labels`, `relabel_configs`, `ha`.

use std::collections::BTreeMap;

use weir_aggregate::decisions::HaLabels;
use weir_aggregate::ha::Mode;
use weir_config::Check;
use weir_config::expand::external_labels;
use weir_model::{Label, LabelsBuilder, Relabel, ShardKey};
use weir_relabel::{Action, Program, RelabelConfig};

use crate::config::raw;

type Labels = BTreeMap<String, String>;

/// `external_labels`, at the top or in `global`, with `${VARIABLE}` replaced.
pub(super) fn external(
    top: Option<Labels>,
    global: Option<Labels>,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> Labels {
    if top.is_some() && global.is_some() {
        let message = "stands here and at the top; keep one of them";
        check.error("global.external_labels", message);
    }
    let at = if top.is_some() { "external_labels" } else { "global.external_labels" };
    external_labels(at, top.or(global).unwrap_or_default(), env, check)
}

/// What `global` says about scraping and evaluating.
pub(super) fn global(raw: &raw::Global, check: &mut Check<'_>) {
    const LIMIT: &str = "see limits.defaults for what a gateway refuses";
    const SCRAPE: &str = "a gateway neither scrapes nor evaluates rules";
    let keys = [
        ("scrape_interval", &raw.scrape_interval, SCRAPE),
        ("scrape_timeout", &raw.scrape_timeout, SCRAPE),
        ("scrape_protocols", &raw.scrape_protocols, SCRAPE),
        ("evaluation_interval", &raw.evaluation_interval, SCRAPE),
        ("rule_query_offset", &raw.rule_query_offset, SCRAPE),
        ("query_log_file", &raw.query_log_file, SCRAPE),
        ("body_size_limit", &raw.body_size_limit, "see http.max_body_size"),
        ("sample_limit", &raw.sample_limit, LIMIT),
        ("label_limit", &raw.label_limit, LIMIT),
        ("label_name_length_limit", &raw.label_name_length_limit, LIMIT),
        ("label_value_length_limit", &raw.label_value_length_limit, LIMIT),
        ("target_limit", &raw.target_limit, SCRAPE),
    ];
    for (key, value, reason) in keys {
        if value.is_some() {
            check.warn(&format!("global.{key}"), format!("has no effect: {reason}"));
        }
    }
}

/// `ha`.
pub(super) fn ha(raw: &raw::Ha, check: &mut Check<'_>) -> HaLabels {
    let default = HaLabels::default();
    let labels = HaLabels {
        mode: check.choice("ha.mode", &raw.mode, Mode::Merge, &super::MODES),
        cluster: check.word("ha.cluster_label", &raw.cluster_label, &default.cluster),
        replica: check.word("ha.replica_label", &raw.replica_label, &default.replica),
    };
    if labels.cluster == labels.replica {
        let message = format!("{} is ha.cluster_label too; the two must differ", labels.replica);
        check.error("ha.replica_label", message);
    }
    labels
}

/// `relabel_configs`: they compile, and no step makes one series of several targets.
pub(super) fn relabelling(configs: &[RelabelConfig], key: &ShardKey, check: &mut Check<'_>) {
    if let Err(errors) = Program::compile(configs) {
        for error in errors {
            let at = format!("relabel_configs[{}]", error.rule - 1);
            check.error(&at, error.kind);
        }
        return;
    }
    for (index, config) in configs.iter().enumerate() {
        let lost: Vec<&str> =
            key.labels.iter().map(String::as_str).filter(|l| takes_away(config, l)).collect();
        if !lost.is_empty() {
            let message = format!(
                "takes {} away, by which targets are told apart: series of several targets would \
                 become one; aggregate them with a rule, or change cluster.shard_key",
                lost.join(", ")
            );
            check.error(&format!("relabel_configs[{index}]"), message);
        }
    }
}

/// Whether the step gives a label the same value on every series, as far as the step alone shows.
fn takes_away(config: &RelabelConfig, label: &str) -> bool {
    let drops = matches!(config.action, Action::LabelDrop | Action::LabelKeep);
    let is_everything = config.regex == RelabelConfig::default().regex;
    let overwrites = config.action == Action::Replace
        && config.target_label == label
        && is_everything
        && !config.replacement.contains('$');
    if overwrites {
        return true;
    }
    let Ok(program) = Program::compile(std::slice::from_ref(config)) else {
        return false;
    };
    let mut labels = LabelsBuilder::from_labels([Label::new(label, "a")]);
    program.apply(&mut labels);
    drops && labels.get(label).is_empty()
}
