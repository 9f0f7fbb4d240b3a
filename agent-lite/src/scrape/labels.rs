//! From the labels of a page to those of a series: the target's, conflicts between the two, the
//! job's relabelling, and external labels.
//!
//! Prometheus's `mutateSampleLabels`. It runs once for each series that is new to its target.

use weir_model::{Labels, LabelsBuilder, Relabel as _};

use super::limits::ScrapeError;
use super::settings::Settings;

const EXPORTED: &str = "exported_";

/// Makes the series' labels of the page's, in place; `false` means that the series is dropped.
/// `says_empty` tells whether the page has a label of this name with an empty value, which is no
/// label, yet with `honor_labels` keeps the target's away.
pub(super) fn finish(
    labels: &mut LabelsBuilder,
    target: &Labels,
    settings: &Settings,
    says_empty: &dyn Fn(&str) -> bool,
) -> Result<bool, ScrapeError> {
    if settings.honor_labels {
        honor(labels, target, says_empty);
    } else {
        overrule(labels, target);
    }
    if !settings.metric_relabel.apply(labels) || labels.is_empty() {
        return Ok(false);
    }
    if labels.get(weir_model::labels::METRIC_NAME).is_empty() {
        return Err(ScrapeError::NoName);
    }
    settings.limits.check(labels)?;
    add_external(labels, settings);
    Ok(true)
}

/// The labels of a report series: the target's under its name.
pub(super) fn of_report(name: &str, target: &Labels, settings: &Settings) -> LabelsBuilder {
    let mut labels = LabelsBuilder::from_labels(target.iter());
    labels.set(weir_model::labels::METRIC_NAME, name);
    add_external(&mut labels, settings);
    labels
}

/// What the target's series have in common, unless its page or relabelling says otherwise.
pub(super) fn of_target(target: &Labels, settings: &Settings) -> LabelsBuilder {
    let mut labels = LabelsBuilder::from_labels(target.iter());
    add_external(&mut labels, settings);
    labels
}

fn add_external(labels: &mut LabelsBuilder, settings: &Settings) {
    for (name, value) in &settings.external_labels {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
}

fn honor(labels: &mut LabelsBuilder, target: &Labels, says_empty: &dyn Fn(&str) -> bool) {
    for label in target.iter() {
        if labels.get(label.name).is_empty() && !says_empty(label.name) {
            labels.set(label.name, label.value);
        }
    }
}

/// The target's labels win; what they replace moves under a name that is free.
fn overrule(labels: &mut LabelsBuilder, target: &Labels) {
    let mut replaced: Vec<(String, String)> = Vec::new();
    for label in target.iter() {
        let exposed = labels.get(label.name);
        if !exposed.is_empty() {
            replaced.push((label.name.to_owned(), exposed.to_owned()));
        }
        labels.set(label.name, label.value);
    }
    // Shorter names first, so that `foo` gets its new name before `exported_foo` takes another.
    replaced.sort_by_key(|(name, _)| name.len());
    for (name, value) in replaced {
        let mut free = format!("{EXPORTED}{name}");
        while !labels.get(&free).is_empty() {
            free.insert_str(0, EXPORTED);
        }
        labels.set(&free, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Label;

    fn set(pairs: &[(&str, &str)]) -> LabelsBuilder {
        LabelsBuilder::from_labels(pairs.iter().map(|&(n, v)| Label::new(n, v)))
    }

    fn finished(exposed: &[(&str, &str)], target: &[(&str, &str)], settings: &Settings) -> String {
        let mut labels = set(exposed);
        labels.set("__name__", "m");
        let kept = finish(&mut labels, &set(target).build(), settings, &|_| false);
        if kept == Ok(true) { labels.build().to_string() } else { format!("{kept:?}") }
    }

    /// The cases of Prometheus's `TestScrapeLoopAppendForConflictingPrefixedLabels`.
    #[test]
    fn conflicting_labels_move_as_in_prometheus() {
        let moved = |exposed: &[_], target: &[_]| finished(exposed, target, &Settings::default());
        assert_eq!(moved(&[("foo", "1")], &[("foo", "2")]), r#"m{exported_foo="1",foo="2"}"#);
        assert_eq!(
            moved(&[("foo", "1")], &[("foo", "2"), ("exported_foo", "2")]),
            r#"m{exported_exported_foo="1",exported_foo="2",foo="2"}"#
        );
        assert_eq!(
            moved(&[("foo", "1"), ("exported_foo", "2")], &[("foo", "3")]),
            r#"m{exported_exported_foo="1",exported_foo="2",foo="3"}"#
        );
        assert_eq!(
            moved(&[("exported_foo", "1")], &[("exported_foo", "2")]),
            r#"m{exported_exported_foo="1",exported_foo="2"}"#
        );
        assert_eq!(
            moved(&[("foo", "1"), ("exported_foo", "2")], &[("foo", "3"), ("exported_foo", "4")]),
            r#"m{exported_exported_exported_foo="2",exported_exported_foo="1",exported_foo="4",foo="3"}"#
        );
        let exposed =
            [("foo", "3"), ("exported_foo", "4"), ("exported_exported_exported_foo", "5")];
        let target =
            [("foo", "0"), ("exported_exported_foo", "1"), ("exported_exported_exported_foo", "2")];
        assert_eq!(
            moved(&exposed, &target),
            concat!(
                r#"m{exported_exported_exported_exported_exported_foo="5","#,
                r#"exported_exported_exported_exported_foo="3","#,
                r#"exported_exported_exported_foo="2",exported_exported_foo="1","#,
                r#"exported_foo="4",foo="0"}"#
            )
        );
    }

    #[test]
    fn the_page_wins_where_it_is_honoured() {
        let settings = Settings { honor_labels: true, ..Settings::default() };
        let exposed = [("n1", "1"), ("n2", "2")];
        let target = [("n1", "0"), ("n3", "3")];
        assert_eq!(finished(&exposed, &target, &settings), r#"m{n1="1",n2="2",n3="3"}"#);
        // A push gateway's `instance=""`.
        let mut labels = set(&[("__name__", "m")]);
        let target = set(&[("instance", "gateway"), ("job", "push")]).build();
        finish(&mut labels, &target, &settings, &|name| name == "instance").unwrap();
        assert_eq!(labels.build().to_string(), r#"m{job="push"}"#);
    }

    #[test]
    fn external_labels_come_last_and_yield() {
        let external = [("dc", "x"), ("job", "other")];
        let settings = Settings {
            external_labels: external.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            ..Settings::default()
        };
        assert_eq!(finished(&[], &[("job", "j")], &settings), r#"m{dc="x",job="j"}"#);
        let report = of_report("up", &set(&[("job", "j")]).build(), &settings);
        assert_eq!(report.build().to_string(), r#"up{dc="x",job="j"}"#);
    }
}
