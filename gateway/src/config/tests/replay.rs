//! Decisions as the log keeps them: the same bytes, the same decisions, without a file.

use proptest::prelude::*;
use weir_aggregate::ha::Mode;
use weir_model::{Label, LabelsBuilder, Millis, Timestamp};

use super::*;

const TEXT: &str = "rule_files: [r.yml]
relabel_configs:
  - {source_labels: [env], target_label: stage, replacement: 'x-$1', regex: '(.+)'}
  - {action: drop, source_labels: [__name__], regex: go_.*}
ha: {mode: elect, cluster_label: team, replica_label: copy}
cluster: {shard_key: {labels: [node], split: [[a], [b]]}}
windows: {counter_memory: 2h}
limits: {defaults: {labels_per_series: 33, label_name_length: 44, label_value_length: 55}}
";

fn folder(rules: &str) -> Folder {
    Folder::new(&[("weir.yml", TEXT), ("r.yml", rules)])
}

const TOTAL: &str = "- {name: total, match: a, interval: 1m, outputs: [total]}\n";
const LAST: &str = "- {name: last, match: b, interval: 10s, outputs: [last]}\n";

#[test]
fn bytes_give_the_same_decisions_after_every_file_is_gone() {
    let text = {
        let folder = folder(&format!("{TOTAL}{LAST}"));
        folder.load().unwrap().decisions
    };
    let again = DecisionText::from_bytes(&text.to_bytes()).unwrap();
    assert_eq!(again, text);
    let decisions = again.decisions(3).unwrap();
    assert_eq!(decisions.version, 3);
    let rules: Vec<_> = decisions.rules.iter().map(|a| (a.rule.name(), a.active_after)).collect();
    assert_eq!(rules, [("total", Timestamp::MIN), ("last", Timestamp::MIN)]);
    assert_eq!((decisions.ha.mode, decisions.ha.cluster.as_str()), (Mode::Elect, "team"));
    assert_eq!(decisions.ha.replica, "copy");
    assert_eq!(decisions.shard_key.labels, ["node"]);
    assert_eq!(decisions.shard_key.replica_label, "copy");
    assert_eq!(decisions.shard_key.split, [["a"], ["b"]]);
    assert_eq!(decisions.counter_memory, Millis::from_secs(7200));
    let limits = decisions.limits;
    assert_eq!((limits.labels, limits.name_bytes, limits.value_bytes), (33, 44, 55));
    let relabel = decisions.relabel.unwrap();
    let mut labels =
        LabelsBuilder::from_labels([Label::new("__name__", "up"), Label::new("env", "prod")]);
    assert!(relabel.apply(&mut labels));
    assert_eq!(labels.get("stage"), "x-prod");
    assert!(
        !relabel.apply(&mut LabelsBuilder::from_labels([Label::new("__name__", "go_threads")]))
    );
}

#[test]
fn a_new_rule_begins_with_the_next_whole_window_and_a_kept_one_goes_on() {
    let first = folder(TOTAL).load().unwrap().decisions;
    // The kept rule changes its name and its place: neither is what it means.
    let renamed = TOTAL.replace("name: total", "name: renamed");
    let both = folder(&format!("{LAST}{renamed}")).load().unwrap().decisions;
    let at = |text: &DecisionText| -> Vec<Timestamp> {
        text.decisions(1).unwrap().rules.iter().map(|active| active.active_after).collect()
    };
    // Windows end at multiples of the interval; one that ends now has begun already.
    assert_eq!(at(&both.succeed(&first, 123_456)), [130_000, Timestamp::MIN]);
    assert_eq!(at(&both.succeed(&first, 130_000)), [140_000, Timestamp::MIN]);
    assert_eq!(at(&both.succeed(&first, -1)), [0, Timestamp::MIN]);
    // Later successors change nothing about it, and a round trip neither.
    let second = both.succeed(&first, 123_456);
    let second = DecisionText::from_bytes(&second.to_bytes()).unwrap();
    let third = both.succeed(&second, 999_999);
    assert_eq!(at(&third), [130_000, Timestamp::MIN]);
    assert!(third.says_the_same(&both) && !third.says_the_same(&first));
    // A rule that was away is new when it comes back.
    let without = first.succeed(&third, 1_000_000);
    assert_eq!(at(&both.succeed(&without, 1_000_000)), [1_010_000, Timestamp::MIN]);
}

#[test]
fn other_bytes_are_refused_with_a_reason() {
    let text = folder(TOTAL).load().unwrap().decisions;
    let json = String::from_utf8(text.to_bytes()).unwrap();
    let refusal = |json: &str| DecisionText::from_bytes(json.as_bytes()).unwrap_err().to_string();
    let newer = json.replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(
        refusal(&newer),
        "logged configuration: format 2 is not known; this version reads 1"
    );
    assert!(refusal(&json[..json.len() - 1]).starts_with("logged configuration: EOF"));
    assert!(refusal(&json.replacen("\"ha\"", "\"hb\"", 1)).contains("unknown field `hb`"));
    let spoiled = json.replacen("interval: 1m", "interval: 1x", 1);
    let spoiled = DecisionText::from_bytes(spoiled.as_bytes()).unwrap().decisions(1);
    assert!(spoiled.err().unwrap().to_string().contains("\"1x\" is not a duration"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(DecisionText::from_bytes(&bytes));
    }

    #[test]
    fn a_new_rules_start_is_the_first_multiple_past_now(now in -10_000_000i64..4_000_000_000_000, secs in 1i64..7200) {
        let rules = format!("- {{match: a, interval: {secs}s, outputs: [total]}}\n");
        let next = folder(&rules).load().unwrap().decisions;
        let empty = good("").decisions;
        let start = next.succeed(&empty, now).decisions(1).unwrap().rules[0].active_after;
        prop_assert!(start > now && start - now <= secs * 1000 && start % (secs * 1000) == 0);
    }
}
