//! What the oracle found, as a report has it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::oracle::Differences;

/// Differences of a kind that a report names.
const NAMED_MOST: usize = 20;

/// What came out of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Checked {
    /// Whether nothing differs.
    pub right: bool,
    /// How many samples were compared.
    pub compared: usize,
    /// How many came again with the same bits.
    pub resent: usize,
    /// How many were not judged: what they must be cannot be known.
    pub unjudged: usize,
    /// Requests that were never acknowledged and may have been taken: that is why.
    pub doubtful_requests: usize,
    /// How many differ, by kind.
    pub counts: BTreeMap<&'static str, usize>,
    /// The first differences of each kind.
    pub first: BTreeMap<&'static str, Vec<String>>,
}

impl From<&Differences> for Checked {
    fn from(found: &Differences) -> Self {
        let kinds = found.kinds();
        let few = |list: &[String]| list.iter().take(NAMED_MOST).cloned().collect();
        let some = kinds.iter().filter(|(_, list)| !list.is_empty());
        Self {
            right: found.is_empty(),
            compared: found.compared,
            resent: found.resent,
            unjudged: found.unjudged,
            doubtful_requests: 0,
            counts: kinds.iter().map(|(kind, list)| (*kind, list.len())).collect(),
            first: some.map(|(kind, list)| (*kind, few(list))).collect(),
        }
    }
}

impl Checked {
    /// In one line.
    pub fn line(&self) -> String {
        let wrong = self.counts.iter().filter(|(_, count)| **count > 0);
        let wrong: Vec<String> = wrong.map(|(kind, count)| format!("{count} {kind}")).collect();
        let verdict = if self.right { "all right".to_owned() } else { wrong.join(", ") };
        let mut line = format!("{} compared, {verdict}", self.compared);
        if self.unjudged > 0 {
            line.push_str(&format!("; {} not judged", self.unjudged));
        }
        if self.doubtful_requests > 0 {
            line.push_str(&format!(
                "; {} requests were not acknowledged and may have been taken",
                self.doubtful_requests
            ));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_all_and_names_the_first() {
        let lost: Vec<String> = (0..30).map(|at| format!("x at {at}")).collect();
        let found = Differences { lost, compared: 100, ..Differences::default() };
        let checked = Checked::from(&found);
        assert_eq!((checked.right, checked.counts["lost"], checked.counts["late"]), (false, 30, 0));
        assert_eq!(checked.first["lost"].len(), 20);
        assert_eq!(checked.line(), "100 compared, 30 lost");
        let right = Checked::from(&Differences { compared: 7, ..Differences::default() });
        assert_eq!(right.line(), "7 compared, all right");
        let doubtful = Checked { unjudged: 3, doubtful_requests: 2, ..right };
        let line = "7 compared, all right; 3 not judged; 2 requests were not acknowledged and may have been taken";
        assert_eq!(doubtful.line(), line);
    }
}
