//! Values of all virtual shards as runs of equal ones, `[how many, which]`: how tables are written.

use weir_model::VSHARDS;

/// Runs of equal values.
pub fn runs<T: PartialEq + Copy>(values: impl Iterator<Item = T>) -> Vec<(u16, T)> {
    let mut runs: Vec<(u16, T)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    runs
}

/// The values of all runs; `None` where they are not as many as there are virtual shards.
pub fn spread<T: Copy>(runs: &[(u16, T)]) -> Option<Vec<T>> {
    let all: usize = runs.iter().map(|(count, _)| usize::from(*count)).sum();
    let repeat = |&(count, value): &(u16, T)| std::iter::repeat_n(value, usize::from(count));
    (all == usize::from(VSHARDS)).then(|| runs.iter().flat_map(repeat).collect())
}
