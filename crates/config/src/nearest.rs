//! What an unknown key was probably meant to be.
//!
//! Only advice: nothing is ever corrected silently.

/// Keys that another program would know at the top of its file, each with what to do instead.
pub type Foreign = [(&'static str, &'static str)];

/// Says that a key is unknown among the known ones, and what was probably meant; `None` if it is
/// known.
pub(crate) fn unknown_key(key: &str, known: &[&str], foreign: &Foreign) -> Option<String> {
    if known.contains(&key) {
        return None;
    }
    let advice = foreign.iter().find(|(name, _)| *name == key);
    Some(match (advice, nearest(key, known)) {
        (Some((_, advice)), _) => format!("unknown key; {advice}"),
        (None, Some(near)) => format!("unknown key; did you mean {near}?"),
        (None, None) => format!("unknown key; allowed are {}", known.join(", ")),
    })
}

/// A message of serde's about an unknown field, with what was probably meant.
pub fn explain_unknown_field(message: &str) -> String {
    let parts = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((key, rest)) = parts else {
        return message.to_owned();
    };
    let known = rest.split_once("expected one of ").map_or("", |(_, known)| known);
    let known: Vec<&str> = known.split(", ").map(|k| k.trim_matches('`')).collect();
    match unknown_key(key, &known, &[]) {
        Some(advice) if known.len() > 1 => format!("{key}: {advice}"),
        _ => message.to_owned(),
    }
}

/// The one of `known` that takes the fewest edits to reach, if they are few for its length.
pub fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    // A key that is part of another is meant more surely than any typing error.
    let contained =
        |k: &&&str| key.len() >= 4 && (k.contains(key) || key.contains(**k)) && k.len() >= 4;
    let far = |k: &str| distance(key, k);
    let close =
        known.iter().filter(|k| far(k) <= 1 + key.len().min(k.len()) / 4).min_by_key(|k| far(k));
    close.or_else(|| known.iter().find(contained)).copied()
}

/// Edits (insert, delete, replace, swap neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_of_the_finger_is_one_edit() {
        for (typed, meant, edits) in [
            ("gracee", "grace", 1),
            ("grcae", "grace", 1),
            ("garce", "grace", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(typed, meant), edits, "{typed}");
        }
    }

    #[test]
    fn far_words_are_not_suggested() {
        assert_eq!(nearest("zebra", &["wal", "http", "tls"]), None);
        assert_eq!(nearest("window", &["wal", "windows"]), Some("windows"));
        assert_eq!(nearest("remote_writes", &["remote_write"]), Some("remote_write"));
        assert_eq!(
            nearest("max_body", &["header_timeout", "max_body_size"]),
            Some("max_body_size")
        );
    }

    #[test]
    fn messages_of_serde_are_explained() {
        let said = "unknown field `intervall`, expected one of `name`, `interval`";
        assert_eq!(explain_unknown_field(said), "intervall: unknown key; did you mean interval?");
        assert_eq!(explain_unknown_field("invalid u64"), "invalid u64");
    }
}
