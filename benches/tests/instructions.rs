//! Instructions a sample, step by step, against what is recorded in `instructions.txt`.
//!
//! A count that grows by more than a tenth fails. If the growth is meant, record anew:
//! `benches/instructions.sh | tee benches/instructions.txt`; so too after a gain, or the next loss
//! goes unseen.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Steps and their instructions a sample.
fn counts(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (step, count) = line.split_once(' ')?;
        Some((step.to_owned(), count.parse().ok()?))
    };
    text.lines().map(|l| line(l).unwrap_or_else(|| panic!("not a count: {l}"))).collect()
}

#[test]
fn no_step_costs_a_tenth_more_than_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(folder.join("instructions.sh")).output().expect("bash");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "instructions.sh: {said}");
    let now = counts(&String::from_utf8_lossy(&run.stdout));
    let recorded = std::fs::read_to_string(folder.join("instructions.txt")).expect("the record");
    let recorded = counts(&recorded);
    assert!(now.keys().eq(recorded.keys()), "other steps: {now:?}, recorded {recorded:?}");
    let wrong: Vec<String> = (now.iter())
        .map(|(step, count)| (step, *count, recorded[step]))
        .filter(|&(_, count, known)| count > known * 1.1)
        .map(|(step, count, known)| format!("{step}: {count}, recorded {known}"))
        .collect();
    assert!(wrong.is_empty(), "instructions a sample: {}", wrong.join(", "));
}
